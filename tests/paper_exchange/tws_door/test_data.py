import csv
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from tests.paper_exchange.floor import DAY2, Floor, flat, in_a_row
from tests.paper_exchange.tws_door.client import Client, api, market, stock
from tests.paper_exchange.venues import BARE

FIRST = date(2024, 2, 20)
SPREAD = replace(BARE, half_spread_bps=D(1))


@pytest.fixture
def venue(tmp_path) -> Floor:
    from tests.paper_exchange.tws_door.conftest import INSTRUMENTS

    closes = [100, 102, 104, 106, 108, 110, 112, 114, 116]
    return Floor(tmp_path, INSTRUMENTS, history={"AAA": in_a_row(FIRST, closes)}, rules=SPREAD)


def history(client: Client, contract=None, **changes: object):
    asked = {
        "endDateTime": "",
        "durationStr": "10 D",
        "barSizeSetting": "1 day",
        "whatToShow": "TRADES",
        "useRTH": True,
        "timeout": 5,
    } | changes
    return client.run(client.ib.reqHistoricalDataAsync(contract or stock(), **asked))


def qualified(client: Client):
    (contract,) = client.run(client.ib.qualifyContractsAsync(stock()))
    return contract


def refusal(client: Client, work) -> tuple[int, str]:
    with pytest.raises(Exception) as failure:  # noqa: PT011
        client.run(work)
    return failure.value.code, failure.value.message


@pytest.mark.parametrize(
    ("symbol", "currency", "primary", "found"),
    [
        ("AAA", "USD", "", ["ALPHA INC"]),
        ("AAA", "USD", "NASDAQ", ["ALPHA INC"]),
        ("BRK B", "USD", "NYSE", ["BERKSHIRE HATHAWAY-CL B"]),
        ("BHP", "AUD", "ASX", ["BHP GROUP LTD"]),
        ("BHP", "", "", ["BHP GROUP LTD", "BHP GROUP LTD-SPON ADR"]),
    ],
)
def test_a_description_means_one_contract_or_several(client, symbol, currency, primary, found):
    rows = client.run(client.ib.reqContractDetailsAsync(stock(symbol, currency, primary)))
    assert [row.longName for row in rows] == found


@pytest.mark.parametrize(
    "contract",
    [stock("BRK.B"), stock("AAA", "AUD"), stock("AAA", "USD", "NYSE"), api.Future("AAA"), stock("ALPHA")],
)
def test_a_near_miss_is_no_contract(client, contract):
    assert refusal(client, client.ib.reqContractDetailsAsync(contract))[0] == 200


def test_contract_details_say_how_the_instrument_trades(client):
    (us,) = client.run(client.ib.reqContractDetailsAsync(stock("AAA")))
    (au,) = client.run(client.ib.reqContractDetailsAsync(stock("BHP", "AUD", "ASX")))
    assert (us.contract.primaryExchange, us.timeZoneId, us.minTick) == ("NASDAQ", "US/Eastern", 0.01)
    assert us.validExchanges.startswith("SMART,NASDAQ,AMEX,NYSE,")
    assert len(us.marketRuleIds.split(",")) == len(us.validExchanges.split(","))
    assert us.liquidHours.startswith("20240304:0930-20240304:1600;")
    assert us.tradingHours.startswith("20240304:0400-20240304:2000;")
    assert "20240309:CLOSED" in us.liquidHours
    assert (au.minTick, au.timeZoneId) == (0.001, "Australia/NSW")
    assert "OPG" in us.orderTypes.split(",")
    assert not {"OPG", "MOC", "LOC"} & set(au.orderTypes.split(","))
    assert us.contract.conId != au.contract.conId


@pytest.mark.reference_data
def test_asx_hours_have_the_shape_of_a_real_gateways(client, recorded):
    (ours,) = client.run(client.ib.reqContractDetailsAsync(stock("BHP", "AUD", "ASX")))
    rows = list(csv.DictReader((recorded / "asx_contracts.csv").open()))
    assert len(rows) == 14
    spans = {part.split(":", 1)[1][:4] for row in rows for part in row["liquidHours"].split(";")}
    assert {part.split(":", 1)[1][:4] for part in ours.liquidHours.split(";")} <= spans
    for row in rows:
        assert (row["minTick"], row["timeZoneId"]) == (str(ours.minTick), ours.timeZoneId)
        assert (row["primaryExchange"], row["currency"]) == ("ASX", ours.contract.currency)
        assert len(row["tradingHours"].split(";")) == len(ours.tradingHours.split(";"))
        assert {part[-4:] for part in row["tradingHours"].split(";")} == {
            part[-4:] for part in ours.tradingHours.split(";")
        }


def test_a_market_rule_gives_the_steps_of_the_exchange(client):
    (details,) = client.run(client.ib.reqContractDetailsAsync(stock("BHP", "AUD", "ASX")))
    rule = client.run(client.ib.reqMarketRuleAsync(int(details.marketRuleIds.split(",")[0])))
    assert [(row.lowEdge, row.increment) for row in rule] == [(0, 0.001), (0.1, 0.005), (2, 0.01)]


def test_symbols_are_searched_by_their_beginning_and_by_name(client):
    def found(pattern):
        return [row.contract.symbol for row in client.run(client.ib.reqMatchingSymbolsAsync(pattern))]

    assert found("BR") == ["BRK B"]
    assert found("alpha") == ["AAA"]
    assert found("BHP") == ["BHP", "BHP"]
    assert found("ZZZ") == []


def test_daily_bars_are_dates_with_prices_and_shares(client):
    rows = history(client)
    assert [row.date for row in rows][:2] == [date(2024, 2, 20), date(2024, 2, 21)]
    assert (rows[0].open, rows[0].high, rows[0].low, rows[0].close, rows[0].volume) == (100, 101, 99, 100, 100_000)


def test_bars_end_where_the_request_ends(client):
    end = datetime(2024, 2, 23, 23, 0, tzinfo=UTC)
    rows = history(client, endDateTime=end, durationStr="2 D")
    assert [row.date.day for row in rows] == [22, 23]


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"durationStr": "366 D"}, 321, "must be made in years"),
        ({"durationStr": "53 W"}, 321, "must be made in years"),
        ({"durationStr": "13 M"}, 321, "must be made in years"),
        ({"durationStr": "ages"}, 321, "duration"),
        ({"whatToShow": "ADJUSTED_LAST", "endDateTime": "20240301-00:00:00"}, 321, "End date not supported"),
        ({"endDateTime": "yesterday"}, 10314, "time-zone entered is invalid"),
        ({"endDateTime": "20240301 00:00:00 Mars/Olympus"}, 10314, "time-zone entered is invalid"),
        ({"barSizeSetting": "7 mins"}, 321, "Legal ones are: 1 secs"),
        ({"barSizeSetting": "1 secs", "durationStr": "1 M"}, 162, "Time length exceed max"),
        ({"whatToShow": "HISTORICAL_VOLATILITY"}, 162, "HMDS query returned no data"),
        ({"endDateTime": "20200301-00:00:00"}, 162, "HMDS query returned no data: AAA@SMART Trades"),
    ],
)
def test_a_request_for_bars_is_refused_as_a_tws_refuses_it(client, changes, code, text):
    asked = {"endDateTime": "", "durationStr": "10 D", "barSizeSetting": "1 day", "whatToShow": "TRADES"} | changes
    client.ib.client.reqHistoricalData(5000, stock(), *asked.values(), True, 1, False, [])
    client.settle()
    (message,) = [(found, said) for req_id, found, said in client.errors if req_id == 5000]
    assert (message[0], text in message[1]) == (code, True)


def test_years_are_taken(client):
    assert len(history(client, durationStr="20 Y")) == 10


def test_a_split_is_taken_out_of_both_series_and_a_dividend_of_one(client, venue):
    venue.market_data.events += [
        SessionAction("AAA", date(2024, 2, 23), "split", ratio=D(2)),
        SessionAction("AAA", date(2024, 2, 27), "dividend", amount=D("5.4")),
    ]
    trades, adjusted = history(client), history(client, whatToShow="ADJUSTED_LAST")
    assert [row.close for row in trades] == [50, 51, 52, 106, 108, 110, 112, 114, 116, 100]
    assert trades[0].volume == 200_000
    assert adjusted[4].close == pytest.approx(102.6)
    assert adjusted[0].close == pytest.approx(47.5)
    assert adjusted[5].close == 110


def test_the_first_date_is_the_open_of_the_first_bar(client):
    found = client.run(client.ib.reqHeadTimeStampAsync(stock(), "TRADES", True, 1))
    assert found.replace(tzinfo=UTC) == datetime(2024, 2, 20, 14, 30, tzinfo=UTC)
    assert refusal(client, client.ib.reqHeadTimeStampAsync(stock("BRK B"), "FEE_RATE", True, 1))[0] == 162


def test_more_than_fifty_open_requests_are_refused(client, faults):
    faults.add("req_historical_data", "gateway_timeout_before", times=50)
    for number in range(1000, 1050):
        client.ib.client.reqHistoricalData(number, stock(), "", "5 D", "1 day", "TRADES", True, 1, False, [])
    assert refusal(client, client.ib.reqHistoricalDataAsync(stock(), "", "5 D", "1 day", "TRADES", True))[0] == 322
    client.ib.client.cancelHistoricalData(1000)
    client.ib.client.cancelHistoricalData(1)
    client.settle()
    assert [code for _, code, _ in client.errors[-2:]] == [162, 366]
    assert "query cancelled" in client.errors[-2][2]


def test_a_pacing_violation_strikes_once(client, faults):
    faults.add("req_historical_data", "code", instead=True, code=162, text="pacing violation")
    assert refusal(client, client.ib.reqHistoricalDataAsync(stock(), "", "5 D", "1 day", "TRADES", True)) == (
        162,
        "pacing violation",
    )
    assert len(history(client)) == 10


def test_quotes_come_delayed_to_who_asks_for_delayed_ones(client):
    client.ib.reqMarketDataType(3)
    (ticker,) = client.run(client.ib.reqTickersAsync(qualified(client)))
    assert (ticker.bid, ticker.ask, ticker.last, ticker.close) == (99.99, 100.01, 100, 116)
    assert (ticker.bidSize, ticker.askSize, ticker.marketDataType) == (1000, 1000, 3)


def test_live_quotes_need_a_subscription(client, venue):
    assert refusal(client, client.ib.reqTickersAsync(qualified(client)))[0] == 354
    with serve_tws(venue, switches=Switches(market_data="live")) as live:
        other = Client(live.port)
        (ticker,) = other.run(other.ib.reqTickersAsync(qualified(other)))
        assert (ticker.bid, ticker.marketDataType) == (99.99, 1)
        other.close()


def test_a_stream_of_ticks_follows_trades_until_it_is_cancelled(client, venue):
    client.ib.reqMarketDataType(3)
    contract = qualified(client)
    ticker = client.ib.reqMktData(contract, "", False, False)
    client.wait(lambda: ticker.bid == 99.99)
    venue.market_data.sessions[DAY2] = {"AAA": flat(110)}
    venue.move_to(venue.calendar.open_at(DAY2))
    client.place(market())
    client.wait(lambda: ticker.bid == 109.98)
    client.ib.cancelMktData(contract)
    client.settle()
    assert client.codes() == []


def test_the_clock_is_the_exchanges(client, venue):
    assert client.run(client.ib.reqCurrentTimeAsync()) == venue.now()


@pytest.mark.reference_data
def test_an_account_download_has_the_tags_of_a_real_one(client, recorded):
    with (recorded / "account_values_aud.csv").open() as file:
        real = list(csv.DictReader(file))
    assert len(real) == 108
    kinds = {"": "none", "BASE": "base", "AUD": "own", "EUR": "other", "USD": "other"}
    wanted = {(row["tag"], kinds[row["currency"]]) for row in real} - {(row["tag"], "other") for row in real}
    ours = {
        (row.tag, {"": "none", "BASE": "base"}.get(row.currency, "own"))
        for row in client.ib.accountValues()
        if row.modelCode == ""
    }
    assert wanted <= ours


def test_an_account_summary_has_what_was_asked_for(client):
    values = {(row.tag, row.currency): row.value for row in client.run(client.ib.accountSummaryAsync())}
    assert values[("NetLiquidation", "USD")] == "100000.00"
    assert values[("CashBalance", "BASE")] == "100000.00"


def test_only_two_summaries_may_be_open(client):
    for number in (900, 901, 902):
        client.ib.client.reqAccountSummary(number, "All", "NetLiquidation")
    client.ib.client.cancelAccountSummary(900)
    client.ib.client.reqAccountSummary(903, "All", "NetLiquidation")
    client.settle()
    assert [(req_id, code) for req_id, code, _ in client.errors if code == 322] == [(902, 322)]


def test_profit_and_loss_of_the_account_and_of_a_position_follow_the_fills(client, venue):
    contract = qualified(client)
    whole = client.ib.reqPnL("DU1000000")
    single = client.ib.reqPnLSingle("DU1000000", "", contract.conId)
    client.wait(lambda: whole.dailyPnL == 0)
    client.place(market(), contract)
    client.wait(lambda: single.position == 10)
    # One dollar of commission, and a cent of spread on each share.
    assert (whole.dailyPnL, whole.unrealizedPnL, whole.realizedPnL) == pytest.approx((-1.1, -0.1, -1))
    assert (single.dailyPnL, single.unrealizedPnL, single.value) == pytest.approx((-1.1, -0.1, 1000))
    client.ib.cancelPnL("DU1000000")
    client.ib.cancelPnLSingle("DU1000000", "", contract.conId)
    client.place(market("SELL"), contract)
    client.settle()
    assert whole.realizedPnL == -1
    assert client.codes() == []


def test_bars_that_are_kept_up_to_date_are_ended_as_a_tws_ends_them(client):
    bars = client.run(client.ib.reqHistoricalDataAsync(stock(), "", "5 D", "1 day", "TRADES", True, keepUpToDate=True))
    client.ib.cancelHistoricalData(bars)
    client.settle()
    assert client.codes() == [162]
