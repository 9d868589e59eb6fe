"""What this TWS does not have: no request of the client's is left without an answer."""

import pytest

from tests.paper_exchange.tws_door.client import api, stock

OPTION = api.Option("AAA", "20241220", 100.0, "C", "SMART")
SCAN = api.ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="TOP_PERC_GAIN")
REFUSED = {
    "historical ticks": (
        lambda ib: ib.reqHistoricalTicksAsync(stock(), "", "20240304 12:00:00", 10, "TRADES", True),
        10187,
    ),
    "fundamentals": (lambda ib: ib.reqFundamentalDataAsync(stock(), "ReportSnapshot"), 430),
    "histogram": (lambda ib: ib.reqHistogramDataAsync(stock(), True, "3 days"), 162),
    "scanner": (lambda ib: ib.reqScannerDataAsync(SCAN), 162),
    "historical news": (lambda ib: ib.reqHistoricalNewsAsync(1, "BZ", "", "", 10), 10276),
    "a news article": (lambda ib: ib.reqNewsArticleAsync("BZ", "BZ$1"), 10172),
    "an implied volatility": (lambda ib: ib.calculateImpliedVolatilityAsync(OPTION, 5.0, 100.0), 200),
    "events of a company": (lambda ib: ib.getWshMetaDataAsync(), 10279),
}
EMPTY = {
    "option chains": (lambda ib: ib.reqSecDefOptParamsAsync("AAA", "", "STK", 1), []),
    "news providers": (lambda ib: ib.reqNewsProvidersAsync(), []),
    "exchanges of depth": (lambda ib: ib.reqMktDepthExchangesAsync(), []),
    "components of a quote": (lambda ib: ib.reqSmartComponentsAsync("a9"), []),
    "the user": (lambda ib: ib.reqUserInfoAsync(), []),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_is_refused_with_a_code_to_who_asked(client, name):
    ask, code = REFUSED[name]
    with pytest.raises(api.wrapper.RequestError) as refused:
        client.run(ask(client.ib))
    assert refused.value.code == code


@pytest.mark.parametrize("name", EMPTY)
def test_a_list_of_nothing_is_empty(client, name):
    ask, expected = EMPTY[name]
    assert (client.run(ask(client.ib)) or []) == expected
    assert client.codes() == []


def test_the_scans_that_there_are_come_as_a_document(client):
    assert client.run(client.ib.reqScannerParametersAsync()).startswith("<?xml")


def test_only_an_adviser_has_groups(client):
    client.ib.client.requestFA(1)
    client.settle()
    assert client.errors[-1][:2] == (-1, 321)


def test_what_has_no_answer_of_its_own_is_taken_in_silence(client):
    client.ib.reqNewsBulletins(True)
    client.ib.cancelNewsBulletins()
    client.ib.client.setServerLogLevel(5)
    client.settle()
    assert client.codes() == []


def test_the_depth_of_a_market_needs_a_subscription(client):
    contract = stock()
    client.run(client.ib.qualifyContractsAsync(contract))
    client.ib.reqMktDepth(contract)
    client.settle()
    assert client.codes() == [354]


def test_a_request_that_nobody_knows_is_answered_to_who_asked(client):
    client.ib.client.send(68, 1, 4711, 1)
    client.settle()
    (error,) = [row for row in client.errors if row[0] == 4711]
    assert error[1] == 320


@pytest.mark.parametrize("exchange", ["ISLAND", "ARCA", "NYSE", "IEX", "NASDAQ"])
def test_a_stock_may_be_sent_to_any_exchange_of_its_country(client, exchange):
    contract = api.Stock("AAA", exchange, "USD")
    assert client.run(client.ib.qualifyContractsAsync(contract)) == [contract]
    assert (contract.exchange, contract.primaryExchange) == (exchange, "NASDAQ")


def test_what_a_search_has_found_can_be_asked_for(client):
    (found,) = client.run(client.ib.reqMatchingSymbolsAsync("alpha"))
    assert client.run(client.ib.qualifyContractsAsync(found.contract)) == [found.contract]


def test_the_positions_of_one_account_have_a_list_of_their_own(client):
    ended = []
    client.ib.wrapper.positionMultiEnd = ended.append
    client.ib.client.reqPositionsMulti(4711, client.ib.managedAccounts()[0], "")
    client.settle()
    assert ended == [4711]
