"""An example with the exchange in its broker's place: the same files, but for an address and a number."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from scizor_dagster.flow.desk import Desk
from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.alpaca_door.render_account import account_number
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.settings import Settings
from tests.docs.blocks import ROOT, Block
from tests.docs.shell import Shell
from tests.paper_exchange.market import FakeData
from tests.paper_exchange.venues import Hall, make_venue

DAY, LAST = date(2025, 3, 3), date(2025, 3, 7)
LATER = datetime(2025, 3, 31, tzinfo=UTC)
KEYS = {"APCA_API_KEY_ID": "PKREADER", "APCA_API_SECRET_KEY": "reader-secret"}
CASH = Decimal(100_000)


class Stage:
    """A copy of an example, its exchange, and a terminal in its folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        shutil.copytree(ROOT / "examples" / name, self.folder)
        places = {"SCIZOR_CONFIG": str(self.folder / "config.yaml"), "SCIZOR_HOME": str(self.folder / "home")}
        self.shell = Shell(self.folder, {"HOME": str(folder), **places, **KEYS})
        self.hall: Hall | None = None
        self.session: dict[str, Any] = {}

    @property
    def config(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        return read

    def configure(self, config: Mapping[str, Any]) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")

    def open_exchange(self, account: VenueAccount) -> Hall:
        """The example's market with bars of the sample provider, early in the morning of `DAY`."""
        self.account = account.name
        ((market, section),) = self.config["markets"].items()
        known = self.folder.parent / "known"
        known.mkdir()
        shutil.copy(self.folder / "universe.csv", known)
        made = self.config | {
            "markets": {market: section | {"provider": {"type": "sample"}}},
            "accounts": {"any": {"broker": "paper", "currency": section["currency"], "initial_cash": 1000.0}},
        }
        made["portfolios"] = {"main": self.config["portfolios"]["main"] | {"account": "any", "capital": {"share": 1.0}}}
        (known / "config.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
        places = {"SCIZOR_CONFIG": str(known / "config.yaml"), "SCIZOR_HOME": str(known / "home")}
        desk = Desk(Settings.from_environment(places), lambda: LATER)
        symbols = list(desk.instruments(market))
        bars: dict[date, dict[str, SessionBar]] = {}
        for frame in desk.provider(market).daily_bars(symbols, section["first_session"], LAST, LATER):
            for row in frame.to_dict("records"):
                prices = (Decimal(repr(row[key])) for key in ("open", "high", "low", "close", "volume"))
                bars.setdefault(row["session"].date(), {})[row["symbol"]] = SessionBar(*prices)
        self.calendar = TradingCalendar(section["calendar"])
        self.hall = make_venue(
            known, start=self.at("07:00"), data=FakeData(sessions=bars, prices={}), accounts=[account],
            instruments=desk.instruments(market), calendar=section["calendar"],
        )  # fmt: skip
        return self.hall

    def at(self, clock: str) -> datetime:
        return datetime.combine(DAY, time.fromisoformat(clock), self.calendar.timezone).astimezone(UTC)

    def follow(self, block: Block) -> None:
        """Type a block's commands, at the time of the exchange that its comment names."""
        _, _, clock = block.says.partition(" at ")
        if clock and self.hall is not None:
            self.hall.clock.move_to(self.at(clock))
            self.hall.venue.run()
        for command in block.commands:
            runs = command.line.startswith("scizor run")
            code, said = self.shell.type(f"{command.line} --json" if runs else command.line)
            assert code == 0, f"{block.place}: {command.line}\n{said}"
            if runs:
                self.session = json.loads(said)


@contextmanager
def at_alpaca(folder: Path) -> Iterator[Stage]:
    """The example for Alpaca, at the exchange's door that speaks as Alpaca."""
    stage = Stage("us-momentum-alpaca", folder)
    hall = stage.open_exchange(VenueAccount("reader", House.ALPACA, "USD", CASH))
    pairs = {KEYS["APCA_API_KEY_ID"]: (KEYS["APCA_API_SECRET_KEY"], "reader")}
    limits = DoorRules(limits=Limits(trading=10**6, data=10**6))
    with serve_alpaca(hall.venue, pairs, rules=limits) as door:
        config = stage.config | {"clock": "alpaca_paper"}
        number = account_number(hall.venue.account("reader"))
        config["accounts"]["alpaca_paper"] |= {"account_id": number, "url": door.url, "requests_per_minute": 10_000}
        config["markets"]["us"]["provider"] |= {"url": door.url, "requests_per_minute": 10_000}
        stage.configure(config)
        yield stage


@contextmanager
def at_tws(folder: Path) -> Iterator[Stage]:
    """The example for Interactive Brokers, at the exchange's door that speaks as a TWS."""
    stage = Stage("asx-weights-ibkr", folder)
    pinned = stage.config["accounts"]["ib_paper"]
    hall = stage.open_exchange(VenueAccount(pinned["account_id"], House.IBKR, "AUD", CASH))
    shown = Switches(time_zone=pinned["time_zone"], market_data="live")
    with serve_tws(hall.venue, [pinned["account_id"]], switches=shown) as tws:
        config = stage.config | {"clock": "ib_paper"}
        config["accounts"]["ib_paper"] |= {"port": tws.port}
        config["markets"]["asx"]["provider"] |= {"port": tws.port}
        stage.configure(config)
        yield stage
