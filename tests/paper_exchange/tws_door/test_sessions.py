import socket
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from scizor_dagster.paper_exchange.faults import FaultScript
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue_orders import Duration, OrderKind, Status, Ticket
from tests.paper_exchange.floor import ACCOUNT, DAY1, DAY2, MORNING, Floor
from tests.paper_exchange.tws_door.client import PATIENCE, Client, api, limit, market


def manual_order(reference: str = "") -> Ticket:
    return Ticket(
        "by-hand", "AAA", Side.BUY, OrderKind.LIMIT, Duration.GTC, D(5), limit_price=D(50), reference=reference
    )


def test_a_second_client_with_one_id_is_turned_away_and_the_first_stays(client, tws):
    other = api.IB()
    codes = []
    other.errorEvent += lambda _req_id, code, *_: codes.append(code)
    with pytest.raises(TimeoutError):
        client.run(other.client.connectAsync("127.0.0.1", tws.port, 1, timeout=1))
    client.settle()
    assert codes == [326]
    assert tws.clients() == [1]


def test_a_client_id_is_free_again_after_its_client_has_left(connect, tws):
    connect(5).close()
    assert connect(5).ib.isConnected()


def test_a_client_sees_its_own_open_orders_and_on_request_everybodys(connect):
    one, two = connect(1), connect(2)
    one.place(limit(orderRef="of-one"))
    one.settle()
    assert two.run(two.ib.reqOpenOrdersAsync()) == []
    (trade,) = two.run(two.ib.reqAllOpenOrdersAsync())
    assert (trade.order.orderRef, trade.order.clientId, trade.order.permId) == ("of-one", 1, 100_000_001)


def test_an_order_comes_back_to_its_own_client_after_a_reconnect(connect):
    first = connect(1)
    order_id = first.place(limit(orderRef="mine")).order.orderId
    first.settle()
    first.close()
    (trade,) = connect(1).ib.openTrades()
    assert (trade.order.orderId, trade.order.orderRef, trade.orderStatus.status) == (order_id, "mine", "Submitted")


def test_another_client_may_cancel_by_order_id(connect, venue):
    one, two = connect(1), connect(2)
    trade = one.place(limit(orderId=700))
    one.settle()
    two.run(two.ib.reqAllOpenOrdersAsync())
    two.ib.client.cancelOrder(700)
    two.settle()
    assert 202 in two.codes()
    one.wait(lambda: trade.orderStatus.status == "Cancelled")
    assert venue.orders(ACCOUNT) == []


def test_an_order_placed_by_hand_belongs_to_client_zero_once_it_binds(connect, venue):
    venue.place(ACCOUNT, manual_order("by-hand"))
    other = connect(3)
    (seen,) = other.run(other.ib.reqAllOpenOrdersAsync())
    assert (seen.order.orderId, seen.order.clientId) == (0, 0)
    zero = connect(0)
    (trade,) = zero.ib.openTrades()
    assert trade.order.orderId > 0
    zero.ib.cancelOrder(trade.order)
    zero.wait(lambda: trade.orderStatus.status == "Cancelled")
    assert venue.orders(ACCOUNT) == []


def test_an_order_placed_by_hand_while_client_zero_binds_is_told_to_it(connect, venue):
    zero = connect(0)
    venue.place(ACCOUNT, manual_order("by-hand"))
    zero.wait(lambda: zero.ib.openTrades())
    (trade,) = zero.ib.openTrades()
    assert (trade.order.orderRef, trade.order.orderId > 0, trade.order.clientId) == ("by-hand", True, 0)


def test_completed_orders_are_those_of_the_day_and_carry_their_reference(client, venue):
    client.place(market(orderRef="filled"))
    gone = client.place(limit(orderRef="gone"))
    client.wait(lambda: gone.orderStatus.status == "Submitted")
    client.ib.cancelOrder(gone.order)
    client.wait(lambda: gone.orderStatus.status == "Cancelled")
    rows = {row.order.orderRef: row for row in client.run(client.ib.reqCompletedOrdersAsync(False))}
    assert {name: row.orderStatus.status for name, row in rows.items()} == {"filled": "Filled", "gone": "Cancelled"}
    assert (rows["filled"].order.filledQuantity, rows["filled"].order.totalQuantity) == (10, 0)
    assert rows["gone"].order.totalQuantity == 10
    venue.move_to(venue.calendar.open_at(DAY2))
    assert client.run(client.ib.reqCompletedOrdersAsync(False)) == []


def test_executions_are_those_since_midnight_unless_more_days_are_set(client, venue, tws):
    client.place(market())
    client.settle()
    assert len(client.run(client.ib.reqExecutionsAsync())) == 1
    venue.move_to(venue.calendar.open_at(DAY2))
    assert client.run(client.ib.reqExecutionsAsync()) == []
    with serve_tws(venue, switches=Switches(execution_days=7)) as week:
        other = Client(week.port, 1)
        assert len(other.run(other.ib.reqExecutionsAsync())) == 1
        other.close()


def test_executions_can_be_asked_for_by_client_symbol_and_side(connect):
    one, two = connect(1), connect(2)
    one.place(market())
    one.settle()
    for chosen, count in (
        ({"clientId": 1}, 1),
        ({"clientId": 2}, 0),
        ({"symbol": "AAA"}, 1),
        ({"symbol": "ZZZ"}, 0),
        ({"side": "SELL"}, 0),
        ({"secType": "STK", "exchange": "SMART"}, 1),
        ({"exchange": "NASDAQ"}, 1),
        ({"exchange": "ARCA"}, 0),
        ({"secType": "OPT"}, 0),
        ({"time": "20240304 12:00:00"}, 1),
        ({"time": "20240304-17:00:01"}, 0),
        ({"time": "20240304 12:00:01 US/Eastern"}, 0),
        ({"acctCode": "DU1000000"}, 1),
        ({"acctCode": "DU2"}, 0),
    ):
        assert len(two.run(two.ib.reqExecutionsAsync(api.ExecutionFilter(**chosen)))) == count, chosen


def test_an_instant_of_an_execution_filter_that_is_none_is_refused(client):
    client.ib.client.reqExecutions(900, api.ExecutionFilter(time="yesterday"))
    client.settle()
    assert [row[:2] for row in client.errors if row[0] == 900] == [(900, 321)]
    assert "Invalid execution filter time" in client.errors[-1][2]


def test_everything_open_is_cancelled_at_once(connect, venue):
    one, two = connect(1), connect(2)
    trade = one.place(limit())
    one.settle()
    two.ib.reqGlobalCancel()
    one.wait(lambda: trade.orderStatus.status == "Cancelled")
    assert venue.orders(ACCOUNT) == []


def test_a_what_if_shows_the_margin_and_places_nothing(client, venue):
    state = client.run(client.ib.whatIfOrderAsync(_stock(), market()))
    assert (float(state.initMarginBefore), float(state.initMarginChange), float(state.initMarginAfter)) == (0, 250, 250)
    assert (state.commission, state.commissionCurrency) == (1, "USD")
    assert venue.orders(ACCOUNT) == []


@pytest.mark.parametrize(("side", "price"), [("BUY", 50), ("SELL", 150)])
def test_a_what_if_far_from_the_price_still_costs_its_commission(client, side, price):
    state = client.run(client.ib.whatIfOrderAsync(_stock(), limit(side, 500, price)))
    assert state.commission == 2.5


def test_a_what_if_that_would_be_refused_says_why(client):
    with pytest.raises(Exception, match="insufficient buying power"):
        client.run(client.ib.whatIfOrderAsync(_stock(), market(qty=100_000)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orderType": "FEELINGS"}, 321),
        ({"tif": "FOREVER"}, 321),
        ({"totalQuantity": 1.5}, 10243),
        ({"totalQuantity": 0}, 434),
        ({"cashQty": 100.0}, 10244),
        ({"action": "HOLD"}, 321),
        ({"orderType": "STP"}, 321),
        ({"account": "DU999"}, 321),
        ({"lmtPrice": 50.001, "orderType": "LMT"}, 110),
        ({"totalQuantity": 1_000_000}, 201),
        ({"parentId": 4_000}, 321),
    ],
)
def test_an_order_that_a_tws_does_not_take_is_answered_with_its_code(client, venue, changes, code):
    order = market()
    for name, value in changes.items():
        setattr(order, name, value)
    trade = client.place(order)
    client.settle()
    assert client.codes() == [code]
    assert venue.orders(ACCOUNT) == []
    assert (trade.orderStatus.status == "Inactive") == (code == 201)


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (api.Stock("NOSUCH", "SMART", "USD"), 200),
        (api.Stock("BHP", "SMART", ""), 200),
        (api.Stock("BHP", "SMART", "USD"), 460),
    ],
)
def test_an_order_for_no_contract_or_several_is_refused(client, contract, code):
    client.place(market(), contract)
    client.settle()
    assert client.codes() == [code]


def test_cancelling_what_is_not_there_or_has_ended_is_refused(client):
    trade = client.place(market())
    client.wait(lambda: trade.orderStatus.status == "Filled")
    client.ib.client.cancelOrder(trade.order.orderId)
    client.ib.client.cancelOrder(99_999)
    client.settle()
    assert client.codes() == [10148, 10147]


def test_an_order_before_the_open_warns_that_it_waits(tmp_path):
    venue = Floor(tmp_path, _instruments(), now=MORNING)
    with serve_tws(venue) as tws:
        client = Client(tws.port)
        trade = client.place(market())
        client.wait(lambda: 399 in client.codes())
        assert venue.orders(ACCOUNT)[0].status is Status.ACCEPTED
        assert "until 20240304 09:30:00 US/Eastern" in client.errors[-1][2]
        venue.move_to(venue.calendar.open_at(DAY1))
        client.wait(lambda: trade.orderStatus.status == "Filled")
        client.close()


def test_a_message_of_the_system_reaches_every_client(connect, tws):
    one, two = connect(1), connect(2)
    tws.push(2103, "Market data farm connection is broken:usfarm")
    for client in (one, two):
        client.wait(lambda client=client: (-1, 2103, "Market data farm connection is broken:usfarm") in client.errors)
        assert client.ib.isConnected()


@pytest.mark.parametrize(("data_lost", "code"), [(False, 1102), (True, 1101)])
def test_lost_and_restored_servers_are_told(client, tws, data_lost, code):
    tws.lose_connectivity()
    tws.restore_connectivity(data_lost=data_lost)
    client.wait(lambda: client.codes()[:2] == [1100, code])
    assert client.ib.isConnected()


def test_a_restart_ends_every_connection_refuses_and_takes_them_again(connect, tws):
    client = connect(1)
    trade = client.place(limit(orderRef="kept"))
    client.settle()
    tws.stop_listening()
    client.wait(lambda: not client.ib.isConnected())
    with pytest.raises(ConnectionRefusedError):
        Client(tws.port, 1)
    tws.listen_again()
    again = connect(1)
    assert again.ib.openTrades()[0].order.permId == trade.order.permId
    assert again.ib.client.getReqId() > trade.order.orderId


def test_ids_that_were_forgotten_come_again_and_old_orders_keep_their_own(connect, tws, venue):
    client = connect(1)
    first = client.place(limit(orderId=40))
    client.settle()
    client.close()
    tws.stop_listening()
    tws.listen_again(forget_ids=True)
    assert connect(2).ib.client.getReqId() < 40
    assert venue.order_by_client_id(ACCOUNT, "tws-1-40-1").number == 1
    assert first.order.permId == 100_000_001


def test_a_script_of_faults_strikes_the_calls_that_it_names(venue):
    script = FaultScript.of(
        {"door": "tws", "call": "place_order", "nth": 2, "kind": "code", "detail": {"code": 10349, "text": "TIF"}},
        {"door": "alpaca", "call": "*", "every": 1, "kind": "reset"},
    )
    with serve_tws(venue, faults=script) as tws:
        client = Client(tws.port)
        for _ in range(3):
            client.place(limit())
            client.settle()
        assert client.codes() == [10349]
        assert len(venue.orders(ACCOUNT)) == 3
        client.close()


def test_who_does_not_speak_the_protocol_is_shown_the_door(tws):
    with socket.create_connection(("127.0.0.1", tws.port), timeout=PATIENCE) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert raw.recv(1) == b""
    with socket.create_connection(("127.0.0.1", tws.port), timeout=PATIENCE) as raw:
        raw.sendall(b"API\0\0\0\0\x09v100..150")
        assert raw.recv(1) == b""


def test_an_account_that_the_exchange_does_not_have_is_refused(venue, tmp_path):
    with pytest.raises(InputError, match="Account 'nobody' is not an IBKR account"):
        serve_tws(venue, ["nobody"])
    with pytest.raises(InputError, match="There is no IBKR account"):
        serve_tws(Floor(tmp_path, accounts=()))


def test_a_port_in_use_is_said_to_be(venue, tws):
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{tws.port}"):
        serve_tws(venue, port=tws.port)


def test_two_accounts_are_listed_and_kept_apart(tmp_path):
    venue = Floor(tmp_path, _instruments(), accounts=("DU1000000", "DU1000001"))
    with serve_tws(venue) as tws:
        client = Client(tws.port)
        assert client.ib.managedAccounts() == ["DU1000000", "DU1000001"]
        client.place(market(account="DU1000001"))
        client.wait(lambda: client.ib.positions())
        assert [row.account for row in client.ib.positions()] == ["DU1000001"]
        client.place(market())
        client.settle()
        assert client.codes() == [321]
        client.close()


def _stock():
    return api.Stock("AAA", "SMART", "USD")


def _instruments():
    from tests.paper_exchange.tws_door.conftest import INSTRUMENTS

    return INSTRUMENTS
