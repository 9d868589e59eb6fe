"""The paper exchange behind its doors: which market, whose accounts, at which time.

What belongs here: making a venue of the lake's market and of accounts in the ledger's database, for a
replay or in real time. What does not: the doors themselves (`paper_exchange.alpaca_door`, `tws_door`),
and the account of a portfolio (`Desk.broker`), which trades in this process.

A replay has accounts of its own, named after it, so that its clock and its books are apart from those of
real time. Opened again, it goes on where its books stand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.paper_exchange.clocks import RealTime, Replay, VenueClock
from scizor_dagster.paper_exchange.lake_data import LakeSessionData, former_names
from scizor_dagster.paper_exchange.opening import open_venue
from scizor_dagster.paper_exchange.paper_venue import PaperVenue
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.paper_exchange.venue_store import Standing, VenueAccount, VenueStore
from scizor_dagster.sessions import TradingCalendar

DEFAULT_CASH = Decimal(100_000)
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Period:
    """Days that are replayed, both included, `speed` seconds of theirs in one."""

    first: date
    last: date
    speed: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be opened.

    Attributes:
        houses: Whose doors are opened; each gets one account.
        cash: Deposit of each account, in the market's currency; None is what it was opened with, else 100,000.
        period: What is replayed; None is real time.
        name: Name of the books; None names them after market and period.
    """

    market: str
    houses: tuple[House, ...]
    cash: Decimal | None = None
    period: Period | None = None
    name: str | None = None

    @property
    def books(self) -> str:
        if self.name is not None:
            return self.name
        return self.market if self.period is None else f"{self.market}-{self.period.first}-{self.period.last}"

    def account(self, house: House) -> str:
        """Name of the account: the books' own at Alpaca, a paper account's number made of it at IBKR."""
        if house is House.ALPACA:
            return self.books
        number = int.from_bytes(sha256(self.books.encode()).digest()[:8], "big") % 9_000_000 + 1_000_000
        return f"DU{number}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """An open venue.

    Attributes:
        accounts: Name of the account of each house.
        speed: Seconds of its clock in one.
        end: Where its clock stands still at last; None in real time.
        missing: Sessions of the replay that have no bars: nothing trades in them.
    """

    venue: PaperVenue
    accounts: Mapping[House, str]
    speed: float
    end: datetime | None
    missing: Sequence[date]


def open_exchange(desk: Desk, wanted: Wanted) -> Exchange:
    """Open the venue of a market; accounts that do not exist yet are created, nothing else is.

    Raises:
        ConfigError: there is no such market.
        InputError: nothing has been collected yet, the period has no session with bars, or its books stand after it.
        WrongAccount: the books were opened with another deposit.
    """
    calendar = desk.calendar(wanted.market)
    instruments = desk.instruments(wanted.market)
    if len(wanted.books) > _LONGEST_NAME or not wanted.books.isprintable() or not wanted.books.strip():
        raise InputError(
            f"'{wanted.books}' is no name for books.", remedy="Use 1 to 64 printable characters.", where="--name"
        )
    sessions, missing = _sessions(desk, wanted, calendar)
    accounts = {house: wanted.account(house) for house in wanted.houses}
    store = VenueStore(desk.ledger)
    clock: VenueClock = RealTime(desk.clock)
    end = None
    if wanted.period is not None:
        # A rehearsal by this clock still has the last session to collect.
        end = calendar.settled_at(sessions[-1])
        clock = _replay(wanted, calendar.open_at(sessions[0]), end, store.latest(list(accounts.values())))
    known = {row.name: row for row in store.standings()}
    venue = open_venue(
        desk.ledger,
        [_account(desk, wanted, house, name, known.get(name)) for house, name in accounts.items()],
        LakeSessionData(desk.lake, wanted.market),
        calendar,
        clock,
        instruments,
        former_names=former_names(desk.lake, wanted.market),
    )
    return Exchange(venue, accounts, wanted.period.speed if wanted.period else 1.0, end, missing)


def _account(desk: Desk, wanted: Wanted, house: House, name: str, known: Standing | None) -> VenueAccount:
    cash = wanted.cash if wanted.cash is not None else known.deposit if known else DEFAULT_CASH
    return VenueAccount(name, house, desk.market(wanted.market).currency, cash)


def _replay(wanted: Wanted, first: datetime, end: datetime, reached: datetime | None) -> Replay:
    assert wanted.period is not None
    if reached is not None and reached > end:
        raise InputError(
            f"The books '{wanted.books}' stand at {reached:%Y-%m-%d %H:%M} UTC, after the end of this replay.",
            remedy="Name other books, which begin anew, or replay a later period.",
            where="--name",
        )
    return Replay(max(first, reached or first), end, wanted.period.speed, time.monotonic)


def _sessions(desk: Desk, wanted: Wanted, calendar: TradingCalendar) -> tuple[list[date], list[date]]:
    """Sessions of the period with bars, and those without."""
    collect = (
        f"Collect prices first: scizor collect history --market {wanted.market} (or scizor demo, without any data)."
    )
    if not desk.has_lake:
        raise InputError("There are no prices yet to trade on.", remedy=collect, where=str(desk.settings.home))
    with desk.lake.read() as cursor:
        stored = {
            day
            for (day,) in cursor.execute(
                "SELECT DISTINCT session FROM bars WHERE market = ?", [wanted.market]
            ).fetchall()
        }
    if not stored:
        raise InputError(
            f"There are no prices of market '{wanted.market}' yet.", remedy=collect, where=str(desk.settings.home)
        )
    if wanted.period is None:
        return [], []
    period = f"{wanted.period.first}..{wanted.period.last}"
    asked = calendar.sessions(wanted.period.first, wanted.period.last)
    if not asked:
        raise InputError(
            f"{calendar.code} has no session in {period}.", remedy="Name a range with one.", where="--replay"
        )
    found = [day for day in asked if day in stored]
    if not found:
        raise InputError(
            f"Market '{wanted.market}' has no bars in {period}; it has them from {min(stored)} to {max(stored)}.",
            remedy=f"Replay a range of those, or collect this one: scizor collect history --market {wanted.market}.",
            where="--replay",
        )
    return found, [day for day in asked if day not in stored]
