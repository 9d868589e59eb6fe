"""Prices from Interactive Brokers, over a real socket, on the exchange as a TWS."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data import ibkr
from scizor_dagster.market_data.ibkr import WAITS, IbkrMarket
from scizor_dagster.market_data.provider import ACTION_COLUMNS, BAR_COLUMNS, FailureReason, Listing, SymbolFailure
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from tests.paper_exchange.floor import DAY1, DAY2, NOON, Floor, ScriptedFaults, in_a_row, listing

FIRST = date(2024, 2, 20)
INSTRUMENTS = {
    row.symbol: row
    for row in (
        Instrument("AAA", "XNAS", "USD", "ALPHA INC"),
        Instrument("BRK.B", "XNYS", "USD", "BERKSHIRE"),
        Instrument("BHP", "XASX", "AUD", "BHP GROUP LTD"),
    )
}
ADR = listing(Instrument("BHP", "XNYS", "USD", "BHP ADR"))


class Desk:
    """A market with its venue, its faults, and the pauses that it has made."""

    def __init__(self, folder: Path, switches: Switches, timeout: float = 5.0) -> None:
        closes = [100, 102, 104, 106, 108, 110, 112, 114, 116, 118]
        self.venue = Floor(folder, list(INSTRUMENTS.values()), history={"AAA": in_a_row(FIRST, closes)})
        self.faults = ScriptedFaults()
        self.tws = serve_tws(self.venue, faults=self.faults, switches=switches)
        self.pauses: list[float] = []
        self.connection = IbkrConnection(IbkrSettings("127.0.0.1", self.tws.port, 5, "DU1000000", timeout=timeout))
        self.market = self.market_for(INSTRUMENTS)

    def market_for(self, instruments) -> IbkrMarket:
        settings = self.connection.settings
        return IbkrMarket(settings, self.venue.calendar, instruments, self.pauses.append, self.connection)

    def bars(self, *symbols: str, first: date = FIRST, last: date = DAY1, now: datetime | None = None):
        frames = list(self.market.daily_bars(symbols or ("AAA",), first, last, now or self.venue.now()))
        return pd.concat(frames) if frames else None

    def close(self) -> None:
        self.connection.close()
        self.tws.close()


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    made = Desk(tmp_path, Switches(foreign_listings=(ADR,)))
    yield made
    made.close()


@pytest.fixture
def hasty(tmp_path) -> Iterator[Desk]:
    made = Desk(tmp_path, Switches(), timeout=0.5)
    yield made
    made.close()


def test_a_symbol_names_none_one_or_many_listings(desk):
    found = desk.market_for({}).lookup(["AAA", "BRK.B", "NOSUCH"])
    assert [len(rows) for rows in found.values()] == [1, 1, 0]
    (row,) = found["AAA"]
    assert (row.mic, row.currency, row.name) == ("XNAS", "USD", "ALPHA INC")
    assert row.provider_id == str(desk.venue.listing("AAA").contract_id)
    assert [row.mic for row in desk.market.lookup(["BHP"])["BHP"]] == ["XASX"]


def test_bars_are_those_of_closed_sessions_in_the_range(desk):
    frame = desk.bars(first=date(2024, 2, 22))
    assert tuple(frame.columns) == BAR_COLUMNS
    assert frame["session"].dt.date.iloc[0] == date(2024, 2, 22)
    assert list(frame["session"].dt.date)[-1] == date(2024, 3, 1)
    assert list(frame["close"])[:2] == [104, 106]
    assert set(frame["symbol"]) == {"AAA"}
    assert frame["volume"].iloc[0] == 100_000


def test_a_session_counts_once_its_prices_are_final(desk):
    desk.venue.settle(DAY1)
    assert list(desk.bars()["session"].dt.date)[-1] == DAY1


def test_a_long_history_is_asked_for_in_years(desk):
    assert len(desk.bars(first=date(2004, 1, 1))) == 9


def test_a_year_of_days_is_asked_for_in_days_also_in_the_evening_when_it_is_tomorrow_in_greenwich(desk, monkeypatch):
    desk.venue.move_to(datetime(2024, 3, 5, 1, 0, tzinfo=UTC))
    desk.market.lookup(["AAA"])
    asked = []
    request = desk.connection.ib.reqHistoricalDataAsync

    def recorded(*arguments, **named):
        asked.append((named["endDateTime"], named["durationStr"]))
        return request(*arguments, **named)

    monkeypatch.setattr(desk.connection.ib, "reqHistoricalDataAsync", recorded)
    assert list(desk.bars(first=DAY1 - timedelta(days=364))["session"].dt.date)[-1] == DAY1
    assert asked == [("", "365 D")]


def test_more_years_than_one_request_takes_are_asked_for_from_the_newest_until_there_are_none(desk, monkeypatch):
    whole = desk.bars(first=date(1990, 1, 2))
    assert (len(whole), desk.market.calls_made) == (9, 2)
    monkeypatch.setattr(ibkr, "LONGEST", timedelta(days=4))
    pieces = desk.bars(first=date(2024, 2, 22))
    assert list(pieces["session"]) == [day for day in whole["session"] if day.date() >= date(2024, 2, 22)]
    assert desk.market.calls_made > 4


def test_a_range_that_ends_in_the_past_has_no_later_bar(desk):
    frame = desk.bars(last=date(2024, 2, 23))
    assert list(frame["session"].dt.date)[-1] == date(2024, 2, 23)


def test_bars_carry_splits_and_not_dividends_and_say_so(desk):
    desk.venue.market_data.events += [
        SessionAction("AAA", date(2024, 2, 23), "split", ratio=D(2)),
        SessionAction("AAA", date(2024, 2, 27), "dividend", amount=D(5)),
    ]
    assert list(desk.bars()["close"])[:4] == [50, 51, 52, 106]
    assert (desk.market.adjustment, desk.market.synthetic, desk.market.name) == ("split", False, "ibkr")


def test_a_symbol_without_bars_or_without_a_contract_is_absent(desk):
    assert desk.bars("BRK.B", "NOSUCH") is None
    assert set(desk.bars("NOSUCH", "AAA")["symbol"]) == {"AAA"}


def test_a_symbol_with_several_contracts_fails_alone_and_says_what_to_do(tmp_path):
    twin = listing(Instrument("AAA", "XNYS", "USD", "ANOTHER"))
    other = Desk(tmp_path, Switches(foreign_listings=(twin,)))
    market = other.market_for({})
    assert list(market.daily_bars(["AAA", "BRK.B"], FIRST, DAY1, other.venue.now())) == []
    (failure,) = market.failed.items()
    assert (failure[0], failure[1].reason) == ("AAA", FailureReason.AMBIGUOUS)
    assert "AAA names 2 contracts" in failure[1].words
    assert "scizor symbols validate" in failure[1].words
    assert len(other.bars()) == 9
    other.close()


def test_an_answer_that_does_not_come_is_a_failure_of_that_symbol_and_not_an_empty_history(hasty):
    hasty.bars("AAA", "BRK.B")
    hasty.faults.add("req_historical_data", "gateway_timeout_before")
    assert set(hasty.bars("BRK.B", "AAA")["symbol"]) == {"AAA"}
    assert hasty.market.failed["BRK.B"].reason is FailureReason.NO_ANSWER
    assert "no answer in time: bars of BRK.B" in hasty.market.failed["BRK.B"].words
    assert len(hasty.bars("AAA", "BRK.B")) == 9
    assert hasty.market.failed == {}


def test_a_contract_that_does_not_come_in_time_is_a_failure_of_that_symbol(hasty):
    hasty.bars()
    hasty.faults.add("req_contract_details", "gateway_timeout_before")
    assert set(hasty.bars("BRK.B", "AAA")["symbol"]) == {"AAA"}
    assert {symbol: item.reason for symbol, item in hasty.market.failed.items()} == {"BRK.B": FailureReason.NO_ANSWER}


def test_many_symbols_in_a_row_that_fail_alike_are_a_fault_of_the_source(desk):
    symbols = [f"A{number}" for number in range(5)]
    desk.faults.add("req_contract_details", "code", instead=True, code=420, text="Invalid query", times=5)
    with pytest.raises(BrokerUnavailable, match=r"5 symbols in a row, of 5; of A4 it says: 420: Invalid query"):
        desk.bars(*symbols)
    desk.faults.add("req_contract_details", "code", instead=True, code=420, text="Invalid query", times=4)
    assert len(desk.bars(*symbols[:4], "AAA")) == 9
    assert set(desk.market.failed) & {*symbols[:4], "AAA"} == set(symbols[:4])


def test_a_pacing_violation_waits_and_asks_again(desk):
    desk.faults.add("req_historical_data", "code", instead=True, code=162, text="Service: pacing violation")
    assert len(desk.bars()) == 9
    assert desk.pauses == [WAITS[0]]


def test_a_text_in_another_language_is_asked_again_and_never_taken_for_no_data(desk):
    desk.faults.add("req_historical_data", "code", instead=True, code=162, text="Servicio: algo va mal", times=9)
    assert desk.bars() is None
    assert desk.market.failed["AAA"].words == "162: Servicio: algo va mal"
    assert desk.pauses == list(WAITS)


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (162, "HMDS query returned cancelled", FailureReason.CANCELLED),
        (203, "not available for this account", FailureReason.REFUSED_QUESTION),
        (420, "Invalid real-time query", FailureReason.REFUSED_QUESTION),
        (4711, "something new", FailureReason.REFUSED_QUESTION),
    ],
)
def test_an_error_is_no_empty_history_and_leaves_the_other_symbols_be(desk, code, text, reason):
    desk.faults.add("req_historical_data", "code", instead=True, code=code, text=text)
    assert set(desk.bars("BRK.B", "AAA")["symbol"]) == {"AAA"}
    assert desk.market.failed == {"BRK.B": SymbolFailure(reason, f"{code}: {text}")}
    assert desk.market.refused == {}


def test_an_error_that_a_library_takes_for_a_warning_is_a_failure_of_that_symbol_all_the_same(hasty):
    hasty.faults.add("req_historical_data", "code", instead=True, code=321, text="Error validating request")
    assert set(hasty.bars("BRK.B", "AAA")["symbol"]) == {"AAA"}
    assert set(hasty.market.failed) == {"BRK.B"}
    assert "321: Error validating request" in hasty.market.failed["BRK.B"].words


@pytest.mark.parametrize(
    ("code", "text"),
    [(10197, "competing live session"), (322, "Only 50 simultaneous requests")],
)
def test_a_fault_of_the_system_ends_the_question(desk, code, text):
    desk.faults.add("req_historical_data", "code", instead=True, code=code, text=text, times=8)
    with pytest.raises(BrokerUnavailable, match=f"{code}: {text}"):
        desk.bars("AAA", "BRK.B")


def test_the_last_close_of_a_symbol_that_failed_is_an_error_and_not_a_symbol_without_a_price(desk):
    desk.faults.add("req_historical_data", "code", instead=True, code=420, text="Invalid query")
    with pytest.raises(BrokerUnavailable, match="last close of AAA: 420"):
        desk.market.latest_prices(["AAA"], datetime(2024, 3, 2, 3, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (354, "not subscribed"),
        (10089, "requires additional subscription"),
        (162, "Historical Market Data Service error message:No market data permissions for NASDAQ STK"),
    ],
)
def test_bars_that_the_account_may_not_see_are_refused_for_that_symbol_alone(desk, code, text):
    desk.faults.add("req_historical_data", "code", instead=True, code=code, text=text)
    assert desk.bars() is None
    assert desk.market.refused == {"AAA": f"{code}: {text}"}
    assert len(desk.bars()) == 9
    assert desk.market.refused == {}


def test_a_contract_of_a_known_id_is_not_looked_up_unless_the_id_is_stale(desk):
    right = desk.venue.listing("AAA").contract_id
    parts = (desk.connection.settings, desk.venue.calendar, INSTRUMENTS, desk.pauses.append, desk.connection)
    stale, known = (IbkrMarket(*parts, contract_ids={"AAA": found}) for found in (right + 999_999, right))
    (frame,) = stale.daily_bars(["AAA"], FIRST, DAY1, desk.venue.now())
    assert len(frame) == 9
    desk.faults.add("req_contract_details", "code", instead=True, code=321, text="nobody should ask")
    (frame,) = known.daily_bars(["AAA"], FIRST, DAY1, desk.venue.now())
    assert len(frame) == 9
    assert desk.faults.next("tws", "req_contract_details") is not None


def test_a_restart_in_the_middle_of_a_history_fails_and_the_next_run_has_it_whole(desk):
    desk.bars()
    desk.faults.add("req_historical_data", "reply_lost_before")
    with pytest.raises(BrokerUnavailable, match="connection was lost"):
        desk.bars()
    frame = desk.bars()
    assert len(frame) == 9
    assert not frame["session"].duplicated().any()


def test_servers_that_are_lost_during_a_history_end_in_an_error_and_come_back(hasty):
    hasty.bars()
    hasty.faults.add("req_historical_data", "connection_lost")
    with pytest.raises(BrokerUnavailable, match="1100"):
        hasty.bars()
    hasty.tws.restore_connectivity()
    assert len(hasty.bars()) == 9


def test_the_middle_of_a_delayed_quote_is_as_old_as_it_may_be(desk):
    quote = desk.venue.quote("AAA")
    (price,) = desk.market.latest_prices(["AAA"], NOON)
    assert (price.price, price.source) == ((quote.bid + quote.ask) / 2, "ibkr quote")
    assert price.at == NOON - timedelta(minutes=20)


def test_while_the_exchange_is_closed_the_last_close_stands_with_its_own_time(desk):
    desk.venue.settle(DAY1)
    now = datetime(2024, 3, 5, 3, 0, tzinfo=UTC)
    prices = desk.market.latest_prices(["AAA", "BRK.B", "NOSUCH"], now)
    assert [(row.symbol, row.price, row.source) for row in prices] == [
        ("AAA", D(118), "ibkr close"),
        ("BRK.B", D(100), "ibkr close"),
    ]
    assert {row.at for row in prices} == {desk.venue.calendar.close_at(DAY1)}


def test_without_rights_to_quotes_the_last_close_stands(tmp_path):
    desk = Desk(tmp_path, Switches(market_data="none"))
    (price,) = desk.market.latest_prices(["AAA"], NOON)
    assert (price.price, price.at) == (D(116), desk.venue.calendar.close_at(date(2024, 3, 1)))
    desk.close()


def test_there_are_no_corporate_actions_to_be_had(desk):
    frame = desk.market.corporate_actions(["AAA"], FIRST, DAY2)
    assert (tuple(frame.columns), len(frame)) == (ACTION_COLUMNS, 0)
    assert frame["ex_session"].dtype == "datetime64[s]"


def test_bars_by_id_are_those_of_that_contract_whatever_contract_the_symbol_had_before(desk):
    settings, calendar = desk.connection.settings, desk.venue.calendar
    known = {"AAA": desk.venue.listing("BRK.B").contract_id}
    market = IbkrMarket(settings, calendar, INSTRUMENTS, desk.pauses.append, desk.connection, contract_ids=known)
    assert list(market.daily_bars(["AAA"], FIRST, DAY1, desk.venue.now())) == []
    new = Listing("AAA", str(desk.venue.listing("AAA").contract_id))
    found = market.bars_of(new, FIRST, DAY1, desk.venue.now())
    assert found["close"].tolist() == desk.bars()["close"].tolist()
    assert market.bars_of(Listing("BRK.B", str(known["AAA"])), FIRST, DAY1, desk.venue.now()).empty


@pytest.mark.parametrize("code", [420, 354], ids=["failed", "refused"])
def test_bars_by_id_that_could_not_be_had_are_an_error_because_none_would_say_another_company(desk, code):
    desk.faults.add("req_historical_data", "code", instead=True, code=code, text="not now")
    listing = Listing("AAA", str(desk.venue.listing("AAA").contract_id))
    with pytest.raises(BrokerUnavailable, match=f"bars of AAA: {code}: not now"):
        desk.market.bars_of(listing, FIRST, DAY1, desk.venue.now())
