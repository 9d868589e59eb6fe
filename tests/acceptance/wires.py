"""A project whose account is at a broker over a socket: the exchange, its two doors, and the configuration of each."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_actions
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.alpaca_door.render_account import account_number
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings
from tests.paper_exchange.market import FakeData
from tests.paper_exchange.venues import Hall, at, make_venue
from tests.projects import SYMBOLS, small_project, write_weights

EVE, DAY = date(2025, 2, 28), date(2025, 3, 3)
LATER = datetime(2025, 3, 31, tzinfo=UTC)
KEY, SECRET = "PKWIRE", "wire-secret-4711"
OTHER_KEY, OTHER_SECRET = "PKOTHER", "other-secret-4712"
WIRES = ("alpaca", "ibkr")
NAMES = {"alpaca": "alpaca-one", "ibkr": "DU1000001"}
"""The account of each house that the configuration pins; each house has a second one."""
OTHERS = {"alpaca": "alpaca-two", "ibkr": "DU1000002"}
LIVE_ACCOUNT = "U7654321"
"""An account of IBKR that says by its id that it has real money."""
WEIGHTS = {"AAPL": 0.3, "MSFT": 0.3, "NVDA": 0.2}
ENVIRONMENT = {
    "APCA_API_KEY_ID": KEY,
    "APCA_API_SECRET_KEY": SECRET,
    "OTHER_KEY_ID": OTHER_KEY,
    "OTHER_SECRET_KEY": OTHER_SECRET,
}
_CASH = Decimal(100_000)
UNLIMITED = DoorRules(limits=Limits(trading=10**6, data=10**6))


@dataclass(frozen=True)
class Wires:
    """An exchange with both doors open.

    Attributes:
        keys: For each wire, a working configuration of the account that is pinned, without its name.
    """

    hall: Hall
    keys: Mapping[str, Mapping[str, Any]]

    def desk(
        self,
        folder: Path,
        account: Mapping[str, Any],
        environment: Mapping[str, str] = ENVIRONMENT,
        now: Clock | None = None,
        **changes: Any,
    ) -> Desk:
        """A desk of a project in `folder` with this account alone, at the exchange's own time or by another clock."""
        portfolio = {"main": {"account": "broker", "capital": {"share": 1.0}}}
        accounts = {"paper": None, "broker": dict(account)}
        project = small_project(folder, accounts=accounts, portfolios=portfolio, **changes)
        write_weights(folder / "weights.csv", {DAY: WEIGHTS})
        settings = Settings.from_environment({**project.environment, **environment})
        return Desk(settings, now or self.hall.venue.now)


@contextmanager
def open_wires(folder: Path, start: datetime | None = None) -> Iterator[Wires]:
    """Both doors over one exchange whose bars are those of the sample market; it opens at 08:00 of `DAY`."""
    accounts = [VenueAccount(names[wire], House(wire), "USD", _CASH) for names in (NAMES, OTHERS) for wire in WIRES]
    accounts.append(VenueAccount(LIVE_ACCOUNT, House.IBKR, "USD", _CASH))
    bars, instruments = sample_market(folder)
    data = FakeData(sessions=bars, prices={})
    hall = make_venue(folder, start=start or at("08:00", DAY), data=data, instruments=instruments, accounts=accounts)
    tradable = {KEY: (SECRET, NAMES["alpaca"]), OTHER_KEY: (OTHER_SECRET, OTHERS["alpaca"])}
    common = {"currency": "USD", "initial_cash": float(_CASH), "environment": "paper", "timeout": 5.0}
    with (
        serve_alpaca(hall.venue, tradable, rules=UNLIMITED) as alpaca,
        serve_tws(hall.venue, [NAMES["ibkr"]]) as tws,
    ):
        number = account_number(hall.venue.account(NAMES["alpaca"]))
        yield Wires(
            hall,
            {
                "alpaca": {
                    "broker": "alpaca",
                    "account_id": number,
                    "url": alpaca.url,
                    "requests_per_minute": 10_000,
                    **common,
                },
                "ibkr": {"broker": "ibkr", "account_id": NAMES["ibkr"], "port": tws.port, "client_id": 7, **common},
            },
        )


def sample_market(folder: Path) -> tuple[dict[date, dict[str, SessionBar]], Mapping[str, Instrument]]:
    """What the sample market will trade at, from the eve on: only the exchange knows it already."""
    place = folder / "known"
    place.mkdir()
    desk = Desk(small_project(place).settings, lambda: LATER)
    bars: dict[date, dict[str, SessionBar]] = {}
    for frame in desk.provider("us").daily_bars(SYMBOLS, EVE, date(2025, 3, 7), LATER):
        for row in frame.to_dict("records"):
            prices = (Decimal(repr(row[name])) for name in ("open", "high", "low", "close", "volume"))
            bars.setdefault(row["session"].date(), {})[row["symbol"]] = SessionBar(*prices)
    return bars, desk.instruments("us")


def collect(desk: Desk) -> Desk:
    """Collect what is known by now."""
    refresh_symbols(desk, "us")
    refresh_actions(desk, "us")
    fill_history(desk, "us", (2025, 2025), None)
    return desk
