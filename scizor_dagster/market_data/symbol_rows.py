"""What is kept of symbols: the state of each, who was tracked when, and which company a ticker meant.

What belongs here: value objects, and the names and dates that follow from one of them alone. What does not: SQL
(`symbol_store`), what a provider's answer makes of them (`verification`, `symbol_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from hashlib import sha256

from scizor_dagster.market_data.provider import LookupCalls, SymbolReason

ARCHIVE_MARK = "@"
"""No ticker has it: what stands under `WM@2019-12-31` is the history of the company that WM was until then."""
DOUBT_AGAIN_AFTER = timedelta(hours=12)
ASK_AGAIN_AFTER = timedelta(days=30)
PERMISSION_AGAIN_AFTER = timedelta(days=7)
_SPREAD = 3
"""Due dates of verifications that cost a request each lie in the last third of their time."""
_STILL_COLLECTED = (SymbolReason.DELISTED, SymbolReason.RENAMED)


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """The state of one symbol of a market.

    Attributes:
        verified: Whether the symbol names one certain instrument at the provider.
        last_verified: When it last did.
        provider_id: The provider's id of that instrument; empty where it has none but the ticker.
        reason: Why it is out, or not whole; None is nothing.
        retired_on: First day on which it is not tracked; None while it is.
        next_due: From when on the provider is asked again.
    """

    symbol: str
    instrument_id: str
    mic: str
    name: str
    currency: str
    sector: str
    category: str
    lot: int
    tick: Decimal
    fractionable: bool
    shortable: bool
    tradable: bool
    verified: bool
    last_verified: datetime | None
    note: str
    provider_id: str | None
    reason: SymbolReason | None
    retired_on: date | None
    last_asked: datetime | None
    next_due: datetime | None
    source: str
    fetched_at: datetime

    @property
    def tracked(self) -> bool:
        return self.retired_on is None

    @property
    def collected(self) -> bool:
        """Whether bars are asked for. A source without ids still has the history of what has ended."""
        return self.verified and (self.tracked or self.reason in _STILL_COLLECTED)


@dataclass(frozen=True, slots=True)
class Interval:
    """`symbol` was tracked from `since` on, until the day `until`, which is the first without; None is still."""

    symbol: str
    since: date
    until: date | None
    reason: SymbolReason | None
    note: str
    source: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """From `since` until `until` the ticker `symbol` meant the provider's instrument `provider_id`.

    Attributes:
        bars_from: Earlier bars of the ticker are another company's; None where none are.
        previous_symbol: Name under which the rows of the same company before `since` stand.
    """

    symbol: str
    provider_id: str
    since: date
    until: date | None
    bars_from: date | None
    previous_symbol: str | None
    note: str
    source: str
    fetched_at: datetime


@dataclass
class Book:
    """Everything that is kept of one market's symbols."""

    rows: dict[str, SymbolRow] = field(default_factory=dict)
    history: list[Interval] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)

    def copy(self) -> Book:
        return Book(dict(self.rows), list(self.history), list(self.identities))

    def identity(self, symbol: str) -> Identity | None:
        """The present one of `symbol`."""
        return next((item for item in self.identities if item.symbol == symbol and item.until is None), None)

    def joined_on(self, symbol: str) -> list[date]:
        """Days on which the ticker was taken for another company's, until a person said that it was not."""
        named = {item.symbol for item in self.identities}
        return [
            row.retired_on
            for name, row in self.rows.items()
            if row.reason is SymbolReason.RENAMED and row.retired_on and ticker_of(name) == symbol != name
            if name not in named
        ]


@dataclass(frozen=True, slots=True)
class Ending:
    """A corporate action after which a ticker does not mean what it meant: `rename` or `delisting`."""

    kind: str
    ex_session: date
    new_symbol: str | None


@dataclass(frozen=True)
class Move:
    """All rows of `symbol` become those of `name`.

    Attributes:
        cut: First day that is not the old company's.
        certain: Whether rows from `cut` on are known to be the new company's: they stay. Else they belong to
            nobody, and bars among them are quarantined under `name`.
    """

    symbol: str
    name: str
    cut: date
    certain: bool


@dataclass(frozen=True)
class Carry:
    """The rows of `old` before the day `before` are also those of `new`: one company under its next ticker."""

    old: str
    new: str
    before: date


@dataclass(frozen=True, slots=True)
class Span:
    """How many bars, and the sessions of the first and the last of them."""

    bars: int
    first: date | None
    last: date | None


NO_BARS = Span(0, None, None)


@dataclass(frozen=True)
class Facts:
    """What a decision about symbols goes by beside the answers.

    Attributes:
        market: For the commands that a remedy names.
        endings: Renames and delistings up to `today`, by ticker.
        spans: First and last stored session, by ticker, of those that have an ending or come from one.
        first_bar: First stored session of a symbol; None where there is none.
        traded: Symbols with a bar in the last days.
        zone: Of the exchange, for the date of an instant.
    """

    market: str
    now: datetime
    today: date
    source: str
    calls: LookupCalls
    verify_after: timedelta
    endings: Mapping[str, tuple[Ending, ...]]
    spans: Mapping[str, tuple[date, date]]
    first_bar: Callable[[str], date | None]
    traded: Callable[[], frozenset[str]] = frozenset
    zone: tzinfo = UTC

    @classmethod
    def without_a_lake(
        cls, market: str, source: str, calls: LookupCalls, now: datetime, zone: tzinfo, verify_after: timedelta
    ) -> Facts:
        """Where nothing was ever stored."""
        today = now.astimezone(zone).date()
        return cls(market, now, today, source, calls, verify_after, {}, {}, lambda _: None, zone=zone)

    def day(self, moment: datetime) -> date:
        """The date of an instant at the exchange."""
        return moment.astimezone(self.zone).date()

    def same_ids(self, source: str) -> bool:
        """Whether ids of `source` can be compared with this provider's."""
        return source.partition(":")[0] == self.source.partition(":")[0]

    def next_due(self, symbol: str, reason: SymbolReason | None) -> datetime:
        """When the provider is asked again; symbols verified on one day do not all fall due on one."""
        if reason is SymbolReason.PENDING:
            return self.now
        if reason is SymbolReason.DOUBTED:
            return self.now + DOUBT_AGAIN_AFTER
        if reason is SymbolReason.NO_PERMISSION:
            return self.now + min(PERMISSION_AGAIN_AFTER, self.verify_after)
        if reason not in (None, SymbolReason.NOT_TRADABLE):
            return self.now + min(ASK_AGAIN_AFTER, self.verify_after)
        days = self.verify_after // timedelta(days=1) // _SPREAD
        if self.calls != "each" or days == 0:
            return self.now + self.verify_after
        early = int.from_bytes(sha256(symbol.encode()).digest()[:4], "big") % (days + 1)
        return self.now + self.verify_after - timedelta(days=early)


@dataclass
class Outcome:
    """The book as it is next, and what happens to stored rows on the way, in this order: moves, then carries."""

    book: Book
    moves: list[Move] = field(default_factory=list)
    carries: list[Carry] = field(default_factory=list)


def is_archived(symbol: str) -> bool:
    """Whether the name is that of a company that has lost its ticker to another."""
    return ARCHIVE_MARK in symbol


def ticker_of(name: str) -> str:
    """The ticker itself, or that which an archived company had."""
    return name.partition(ARCHIVE_MARK)[0]


def archive_name(symbol: str, cut: date, taken: Mapping[str, SymbolRow]) -> str:
    """Name for the history of what `symbol` was until `cut`: `WM@2019-12-31`, its last day."""
    base = name = f"{symbol}{ARCHIVE_MARK}{cut - timedelta(days=1)}"
    number = 1
    while name in taken:
        number += 1
        name = f"{base}.{number}"
    return name
