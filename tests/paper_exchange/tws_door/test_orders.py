import pytest

from scizor_dagster.paper_exchange.venue_orders import Status
from tests.paper_exchange.floor import ACCOUNT
from tests.paper_exchange.tws_door.client import Client, limit, market, stock


def test_a_client_connects_and_knows_its_account(client):
    assert client.ib.client.serverVersion() == 176
    assert client.ib.managedAccounts() == ["DU1000000"]
    assert [code for _, code, _ in client.errors] == [2104, 2106, 2158]


def test_a_market_order_fills_with_its_execution_and_commission(client):
    trade = client.place(market(orderRef="mine"))
    client.wait(lambda: trade.fills and trade.fills[0].commissionReport.execId)
    assert trade.orderStatus.status == "Filled"
    assert (trade.orderStatus.filled, trade.orderStatus.remaining, trade.orderStatus.avgFillPrice) == (10, 0, 100)
    (fill,) = trade.fills
    assert (fill.execution.side, fill.execution.shares, fill.execution.price) == ("BOT", 10, 100)
    assert fill.execution.orderRef == "mine"
    assert (fill.commissionReport.commission, fill.commissionReport.currency) == (1, "USD")
    assert trade.order.permId == 100_000_001
    assert client.codes() == []


def test_a_fill_moves_positions_and_money_without_being_asked(client):
    client.place(market())
    client.wait(lambda: client.ib.portfolio())
    (position,) = client.ib.positions()
    assert (position.contract.symbol, position.position, position.avgCost) == ("AAA", 10, 100)
    assert client.ib.portfolio()[0].marketPrice == 100
    client.settle()
    values = {row.tag: row.value for row in client.ib.accountValues() if row.currency == "USD"}
    assert values["TotalCashValue"] == "98999.00"
    assert values["NetLiquidation"] == "99999.00"


def test_what_was_sold_is_gone_from_positions_and_portfolio(client):
    client.place(market())
    client.wait(lambda: client.ib.portfolio())
    client.place(market("SELL"))
    client.wait(lambda: not client.ib.portfolio() and not client.ib.positions())
    assert client.codes() == []


def test_a_limit_order_rests_and_is_cancelled(client):
    trade = client.place(limit())
    client.wait(lambda: trade.orderStatus.status == "Submitted")
    client.ib.cancelOrder(trade.order)
    client.wait(lambda: trade.orderStatus.status == "Cancelled")
    client.settle()
    assert client.codes() == [202]


def test_what_is_not_to_be_transmitted_waits_in_silence(client, venue):
    order = limit(transmit=False)
    trade = client.place(order)
    client.settle()
    assert trade.orderStatus.status == "PendingSubmit"
    assert venue.orders(ACCOUNT) == []
    order.transmit = True
    client.place(order)
    client.wait(lambda: trade.orderStatus.status == "Submitted")
    assert len(venue.orders(ACCOUNT)) == 1


def test_a_bracket_lives_as_one_family(client, venue):
    parent, profit, stop = client.ib.bracketOrder("BUY", 10, 100, 120, 80)
    trades = [client.place(order) for order in (parent, profit, stop)]
    client.wait(lambda: trades[2].orderStatus.status == "PreSubmitted" and trades[1].orderStatus.status == "Submitted")
    client.settle()
    assert trades[0].orderStatus.status == "Filled"
    assert trades[2].orderStatus.whyHeld == "trigger"
    assert [trade.orderStatus.parentId for trade in trades] == [0, parent.orderId, parent.orderId]
    venue.fill(venue.orders(ACCOUNT)[-1].order_id, price=120)
    client.wait(lambda: trades[2].orderStatus.status == "Cancelled")
    assert trades[1].orderStatus.status == "Filled"
    assert client.ib.openTrades() == []


def test_the_same_order_id_changes_the_order(client, venue):
    order = limit()
    trade = client.place(order)
    client.wait(lambda: trade.orderStatus.status == "Submitted")
    order.lmtPrice, order.totalQuantity = 60.0, 15
    client.place(order)
    client.settle()
    (resting,) = venue.orders(ACCOUNT)
    assert (resting.ticket.limit_price, resting.qty) == (60, 15)
    assert trade.order.permId == 100_000_001


def test_an_order_that_was_filled_cannot_be_changed(client):
    order = market()
    trade = client.place(order)
    client.wait(lambda: trade.orderStatus.status == "Filled")
    client.ib.client.placeOrder(order.orderId, stock(), order)
    client.settle()
    assert client.codes() == [104]


def test_an_old_order_id_is_refused(client, venue):
    client.place(limit(orderId=900))
    client.ib.client.placeOrder(20, stock(), limit())
    client.settle()
    assert client.codes() == [103]
    assert len(venue.orders(ACCOUNT)) == 1


def test_every_client_id_has_order_ids_of_its_own(connect):
    one, two = connect(1), connect(2)
    one.place(limit(orderId=500))
    one.settle()
    two.close()
    assert connect(1 + 2).ib.client.getReqId() < 100
    one.close()
    assert connect(1).ib.client.getReqId() >= 501


def test_a_change_that_is_refused_leaves_the_order_as_it_is(client, venue):
    order = limit()
    trade = client.place(order)
    client.wait(lambda: trade.orderStatus.status == "Submitted")
    heard = []
    client.ib.orderStatusEvent += lambda trade: heard.append(trade.orderStatus.status)
    order.totalQuantity = 1_000_000
    client.place(order)
    client.settle()
    assert client.codes() == [201]
    assert "Inactive" not in heard
    (resting,) = venue.orders(ACCOUNT)
    assert (resting.qty, resting.status) == (10, Status.NEW)
    client.run(client.ib.reqOpenOrdersAsync())
    assert trade.orderStatus.status == "Submitted"


def test_a_status_comes_once_more_so_that_who_was_busy_hears_it(client):
    trade = client.place(limit())
    client.wait(lambda: trade.orderStatus.status == "Submitted")
    again = []
    heard = client.ib.wrapper.orderStatus
    client.ib.wrapper.orderStatus = lambda *fields: (again.append(fields[:2]), heard(*fields))
    client.wait(lambda: again)
    assert again == [(trade.order.orderId, "Submitted")]


def test_a_status_is_not_told_once_more_to_another_connection(connect, caplog):
    first = connect(1)
    first.place(limit())
    first.settle()
    first.close()
    second = Client(first.ib.client.port, 1, readonly=True)
    heard = []
    second.ib.wrapper.orderStatus = lambda *fields: heard.append(fields)
    trade = second.place(limit())
    second.wait(lambda: any(fields[0] == trade.order.orderId for fields in heard[1:]))
    assert {fields[0] for fields in heard} == {trade.order.orderId}
    second.close()


@pytest.mark.parametrize(("kind", "held", "shares"), [("bust", [], 0.0), ("correction", [10.0], 10.0)])
def test_what_is_corrected_is_corrected_in_the_books_too(client, faults, venue, kind, held, shares):
    faults.add("exec_details", kind, price=90)
    trade = client.place(market())
    client.wait(lambda: len(trade.fills) == 2)
    assert [row.execution.shares for row in trade.fills] == [10.0, shares]
    (now,) = client.run(client.ib.reqExecutionsAsync())
    assert (now.execution.shares, now.execution.execId[-2:]) == (shares, "02")
    client.run(client.ib.reqPositionsAsync())
    assert [row.position for row in client.ib.positions()] == held
    assert [float(row.qty) for row in venue.positions(ACCOUNT)] == held
