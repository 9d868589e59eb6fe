"""The shipped universes, verified at a TWS and at Alpaca over a quarter of daily runs, with every call counted."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.config import Market, SampleProvider
from scizor_dagster.market_data.alpaca import AlpacaMarket
from scizor_dagster.market_data.ibkr import IbkrMarket
from scizor_dagster.market_data.symbol_reading import contract_ids
from scizor_dagster.market_data.symbols import collect_symbols
from scizor_dagster.market_data.universe import UniverseEntry, read_universe
from scizor_dagster.market_data.verification import Asking
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue_views import VenueListing
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.alpaca.conftest import Time
from tests.paper_exchange.alpaca.floor import Floor as AlpacaFloor
from tests.paper_exchange.alpaca.support import KEY, OPEN, SECRET, UNLIMITED
from tests.paper_exchange.floor import Floor, listing

BEGIN = datetime(2024, 3, 4, 23, 0, tzinfo=UTC)
UNKNOWN = {"XASX": ("360", "4DX", "A2M"), "XNYS": ("AAPL", "ABNB")}
TWICE, ABROAD, INACTIVE = "BHP", "CBA", ("ADBE", "ADI")


class Counting:
    """Counts the calls that a door has seen; lets all of them pass."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def next(self, door: str, call: str) -> None:
        self.calls[call] += 1


def _entries(project_root, *names: str) -> tuple[UniverseEntry, ...]:
    return read_universe([project_root / "config" / "universes" / f"{name}.csv" for name in names], "m")


def _market(calendar: str, currency: str) -> Market:
    return Market(
        calendar=calendar, currency=currency, first_session=date(2024, 1, 2), universes=("unused.csv",),
        provider=SampleProvider(type="sample"),
    )  # fmt: skip


def _a_quarter(lake, name: str, market: Market, entries, provider, door: Counting, call: str):
    """Calls of the first run, of all runs of a quarter, of one that asks for all, and the first report."""
    calendar = TradingCalendar(market.calendar)
    days = [BEGIN + timedelta(days=n) for n in range(91) if calendar.is_session((BEGIN + timedelta(days=n)).date())]
    first = collect_symbols(lake, name, market, entries, provider, days[0])
    at_first = door.calls[call]
    for now in days[1:]:
        assert collect_symbols(lake, name, market, entries, provider, now).verified == first.verified
    in_all = door.calls[call]
    collect_symbols(lake, name, market, entries, provider, days[-1], Asking(force_revalidate=True))
    return at_first, in_all, (door.calls[call] - in_all) * len(days), first


@pytest.fixture
def tws(project_root, tmp_path, monkeypatch):
    entries = _entries(project_root, "asx200")
    instruments = {entry.instrument.symbol: entry.instrument for entry in entries}
    there = [row for symbol, row in instruments.items() if symbol not in (*UNKNOWN["XASX"], ABROAD)]
    twin = replace(listing(instruments[TWICE]), contract_id=4036812)
    abroad = listing(replace(instruments[ABROAD], mic="XNYS", currency="USD"))
    venue = Floor(tmp_path, there, calendar="XASX", currency="AUD")
    door = Counting()

    def matches(contracts: Contracts, request: Request) -> list[VenueListing]:
        door.next("tws", "contract_details")
        return find(contracts, request)

    find = Contracts.matches
    monkeypatch.setattr(Contracts, "matches", matches)
    server = serve_tws(venue, switches=Switches(foreign_listings=(twin, abroad)))
    settings = IbkrSettings("127.0.0.1", server.port, 5, "DU1000000", currency="AUD", timeout=30.0)
    connection = IbkrConnection(settings)
    yield entries, IbkrMarket(settings, venue.calendar, instruments, lambda _: None, connection), door, venue
    connection.close()
    server.close()


def test_two_hundred_symbols_of_the_asx_at_a_tws(lake, tws):
    entries, provider, door, venue = tws
    at_first, in_all, always, report = _a_quarter(
        lake, "asx", _market("XASX", "AUD"), entries, provider, door, "contract_details"
    )
    assert (report.symbols, report.verified) == (200, 195)
    assert {item.symbol: item.reason for item in report.unverified} == {
        **dict.fromkeys(UNKNOWN["XASX"], "unknown"),
        TWICE: "ambiguous",
        ABROAD: "other_currency",
    }
    ids = contract_ids(lake, "asx")
    assert len(ids) == 195
    assert ids["CSL"] == venue.listing("CSL").contract_id
    assert at_first == 204
    assert in_all <= 0.1 * always


def test_the_us_universe_at_alpaca(lake, project_root, tmp_path):
    entries = _entries(project_root, "nasdaq105", "etf52")
    listed = {
        entry.instrument.symbol: replace(entry.instrument, tradable=entry.instrument.symbol not in INACTIVE)
        for entry in entries
        if entry.instrument.symbol not in UNKNOWN["XNYS"]
    }
    door, time = Counting(), Time()
    with serve_alpaca(
        AlpacaFloor(tmp_path, OPEN, instruments=listed), {KEY: (SECRET, "main")}, faults=door, rules=UNLIMITED
    ) as server:
        settings = AlpacaSettings(KEY, SECRET, server.url)
        provider = AlpacaMarket(settings, TradingCalendar("XNYS"), monotonic=time.clock, wait=time.wait)
        at_first, in_all, always, report = _a_quarter(
            lake, "us", _market("XNYS", "USD"), entries, provider, door, "list_assets"
        )
        provider.close()
    assert (report.symbols, report.verified) == (157, 153)
    assert {item.symbol: item.reason for item in report.unverified} == {
        **dict.fromkeys(UNKNOWN["XNYS"], "unknown"),
        **dict.fromkeys(INACTIVE, "inactive"),
    }
    assert at_first == 1
    assert in_all <= 0.1 * always
    assert set(door.calls) == {"list_assets"}
