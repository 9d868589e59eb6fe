"""Orders as people write them for the API: algorithms, dates of their own, trailing stops, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.paper_exchange.floor import ACCOUNT, DAY2, NOON
from tests.paper_exchange.tws_door.client import api, limit, market, stock


def order_of(kind: str, **more):
    return api.Order(**({"action": "BUY", "totalQuantity": 10, "orderType": kind, "tif": "DAY"} | more))


def told(connect):
    """Open orders as another client hears of them."""
    other = connect(9)
    return [trade.order for trade in other.run(other.ib.reqAllOpenOrdersAsync())]


def rest(client, order):
    trade = client.place(order)
    client.wait(lambda: trade.orderStatus.status in ("Submitted", "PreSubmitted") and trade.orderStatus.permId)
    return trade


@pytest.mark.parametrize("name", ["Adaptive", "Vwap", "Twap", "ArrivalPx"])
def test_an_order_with_an_algorithm_trades_as_the_order_below_it(client, name):
    trade = client.place(market(algoStrategy=name, algoParams=[api.TagValue("adaptivePriority", "Normal")]))
    client.wait(trade.isDone)
    assert (trade.orderStatus.status, trade.orderStatus.filled) == ("Filled", 10)


def test_an_algorithm_and_what_else_an_order_says_is_told_to_others(client, connect):
    said = {"algoStrategy": "Adaptive", "algoParams": [api.TagValue("adaptivePriority", "Urgent")]}
    rest(client, limit(displaySize=5, hidden=True, ocaType=2, ocaGroup="one", **said))
    other = connect(2)
    (order,) = [trade.order for trade in other.run(other.ib.reqAllOpenOrdersAsync())]
    assert (order.algoStrategy, [(row.tag, row.value) for row in order.algoParams]) == (
        "Adaptive",
        [("adaptivePriority", "Urgent")],
    )
    assert (order.displaySize, order.hidden, order.ocaType, order.ocaGroup) == (5, True, 2, "one")
    client.ib.reqGlobalCancel()
    client.wait(lambda: not client.ib.openTrades())
    (done,) = other.run(other.ib.reqCompletedOrdersAsync(False))
    assert done.order.algoStrategy == "Adaptive"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (market(algoStrategy="Inline"), 439),
        (order_of("STP", auxPrice=90, algoStrategy="Adaptive"), 442),
        (order_of("MIDPRICE"), 387),
        (order_of("TRAIL LIMIT", auxPrice=1, lmtPriceOffset=1), 387),
        (limit(hedgeType="P", hedgeParam="1"), 387),
        (limit(allOrNone=True), 387),
        (limit(conditions=[api.PriceCondition(price=100, conId=1, exch="SMART")]), 402),
        (limit(tif="GTD", goodTillDate="soon"), 391),
        (limit(tif="GTD"), 391),
        (limit(goodAfterTime="16:00"), 391),
    ],
)
def test_what_is_not_simulated_ends_the_order_with_a_code_that_both_clients_understand(client, venue, order, code):
    trade = client.place(order)
    client.wait(trade.isDone)
    assert (trade.orderStatus.status, client.codes()) == ("Cancelled", [code])
    assert venue.orders(ACCOUNT) == []


def test_an_amount_of_money_is_refused_as_one(client):
    client.place(order_of("MKT", totalQuantity=0, cashQty=1000))
    client.wait(client.codes)
    assert client.codes() == [10244]


@pytest.mark.parametrize("text", ["20240305 12:00:00 US/Eastern", "20240305-17:00:00", "20240305 12:00:00"])
def test_an_order_with_a_date_of_its_own_rests_until_then(client, connect, venue, text):
    trade = rest(client, limit(tif="GTD", goodTillDate=text))
    (order,) = told(connect)
    assert (order.tif, order.goodTillDate) == ("GTD", "20240305-17:00:00")
    end = datetime(2024, 3, 5, 17, tzinfo=UTC)
    venue.move_to(end - timedelta(minutes=1))
    client.settle()
    assert trade.isActive()
    venue.move_to(end)
    client.wait(trade.isDone)
    assert trade.orderStatus.status == "Cancelled"


def test_a_date_alone_lasts_to_the_end_of_its_day(client, venue):
    trade = rest(client, limit(tif="GTD", goodTillDate="20240305"))
    venue.trade(DAY2)
    client.settle()
    assert trade.isActive()
    venue.move_to(datetime(2024, 3, 6, 15, tzinfo=UTC))
    client.wait(trade.isDone)
    assert trade.orderStatus.status == "Cancelled"


def test_the_date_of_an_order_can_be_changed(client, venue):
    trade = rest(client, limit(tif="GTD", goodTillDate="20240305-17:00:00"))
    trade.order.goodTillDate = "20240305-18:00:00"
    client.place(trade.order)
    client.settle()
    venue.move_to(datetime(2024, 3, 5, 17, 30, tzinfo=UTC))
    client.settle()
    assert trade.isActive()
    venue.move_to(datetime(2024, 3, 5, 18, tzinfo=UTC))
    client.wait(trade.isDone)


def test_a_date_that_has_passed_is_refused(client):
    trade = client.place(limit(tif="GTD", goodTillDate="20230305-17:00:00"))
    client.wait(lambda: 201 in client.codes())
    assert not trade.orderStatus.filled


@pytest.mark.parametrize("later", [timedelta(hours=1), timedelta(hours=20), timedelta(days=1)])
def test_an_order_that_is_good_only_later_rests_until_then_and_fills(client, venue, later):
    due = NOON + later
    trade = rest(client, market(goodAfterTime=f"{due:%Y%m%d-%H:%M:%S}"))
    assert trade.orderStatus.status == "PreSubmitted"
    venue.move_to(due - timedelta(minutes=1))
    client.settle()
    assert not trade.fills
    venue.move_to(due + timedelta(hours=6))
    client.wait(trade.isDone)
    assert trade.orderStatus.status == "Filled"
    assert trade.fills[0].execution.time >= due


@pytest.mark.parametrize("trail", [{"trailingPercent": 5.0}, {"auxPrice": 5.0}])
def test_a_trailing_stop_may_say_where_it_begins(client, connect, trail):
    """The price is 100: 97 is nearer than what it trails by, and 90 farther."""
    for begins in (97.0, 90.0):
        rest(client, order_of("TRAIL", action="SELL", trailStopPrice=begins, **trail))
    assert [order.trailStopPrice for order in told(connect)] == [97.0, 95.0]


def test_a_trailing_stop_is_moved_by_its_client(client, connect):
    trade = rest(client, order_of("TRAIL", action="SELL", trailStopPrice=97.0, auxPrice=5.0))
    trade.order.trailStopPrice = 98.0
    client.place(trade.order)
    client.settle()
    assert [order.trailStopPrice for order in told(connect)] == [98.0]


def test_a_contract_that_is_no_stock_is_unknown(client):
    for contract in (api.Forex("EURUSD"), api.Future("ES", "202403", "CME"), stock("ZZZ")):
        trade = client.place(market(), contract)
        client.wait(trade.isDone)
        assert trade.orderStatus.status == "Cancelled"
    assert client.codes() == [200, 200, 200]


@pytest.mark.parametrize(
    ("order", "until"),
    [
        (order_of("MOC"), None),
        (limit(tif="OPG"), "20240305 09:30:00 US/Eastern"),
        (market(goodAfterTime="20240304-18:00:00"), "20240304 13:00:00 US/Eastern"),
        (market(goodAfterTime="20240305-08:00:00"), "20240305 09:30:00 US/Eastern"),
    ],
)
def test_an_order_that_waits_says_until_when_and_not_since(client, order, until):
    rest(client, order)
    client.settle()
    warnings = [text for _, code, text in client.errors if code == 399]
    assert [text.endswith(f"until {until}.") for text in warnings] == ([True] if until else [])


@pytest.mark.parametrize(("side", "found"), [("BUY", 1), ("BOT", 1), ("SELL", 0), ("SLD", 0)])
def test_executions_are_found_by_either_word_for_their_side(client, side, found):
    trade = client.place(market())
    client.wait(trade.isDone)
    assert len(client.run(client.ib.reqExecutionsAsync(api.ExecutionFilter(side=side)))) == found
