"""What a TWS does to its clients, one test each: the adapter over a real socket, on the exchange as a TWS."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.protocol import OrderRequest, OrderStatus, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown, WrongAccount
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.holdings import cash_flow, fills_of, owned
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue_orders import Amendment, OrderQuery
from scizor_dagster.reconciliation.fills import fill_breaks
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.orders import order_breaks
from tests.brokers.ibkr.conftest import INSTRUMENTS
from tests.execution.conftest import empty_ledger, ledger  # noqa: F401 - fixtures
from tests.execution.scenario import order as planned
from tests.execution.scenario import plan_of, resume, run
from tests.paper_exchange.floor import ACCOUNT, DAY1, DAY2, NOON, Floor, listing
from tests.paper_exchange.tws_door.client import Client, limit

TODAY = (NOON - timedelta(days=1), NOON + timedelta(days=1))
SHORT = 1.0
"""Seconds of a time limit that the test means to reach."""


def order(name: str = "one", side: str = "buy", **changes: object) -> OrderRequest:
    intent = PositionIntent.BUY_TO_OPEN if side == "buy" else PositionIntent.SELL_TO_CLOSE
    base = OrderRequest(name, "AAA", Side(side), D(10), OrderType.MARKET, TimeInForce.DAY, DAY1, intent)
    return replace(base, **changes)


def resting(name: str = "one", **changes: object) -> OrderRequest:
    return order(name, order_type=OrderType.LIMIT, limit_price=D(50), **changes)


def placed(market: Floor) -> list[str]:
    return [row.ticket.reference for row in market.orders(ACCOUNT, OrderQuery(state="all", ascending=True))]


def settle(broker: IbkrBroker) -> None:
    """Let the broker hear everything that TWS has said before now."""

    async def ask() -> None:
        await broker._connection.ib.reqCurrentTimeAsync()

    broker._connection.call(ask, "current time")


def hear_the_end(broker: IbkrBroker) -> None:
    """Let the broker hear that its connection has been ended."""
    gone = threading.Event()
    wire = broker._connection.ib.client.conn
    wire.disconnected += lambda _: gone.set()
    assert not wire.isConnected() or gone.wait(5)


def test_an_order_goes_from_its_acknowledgement_to_its_fill_and_position(broker, market):
    broker.submit(order())
    found = broker.find("one")
    assert (found.status, found.filled_qty, found.average_price) == (OrderStatus.FILLED, D(10), D(100))
    (fill,) = broker.fills(DAY1, DAY1)
    assert (fill.client_order_id, fill.qty, fill.price, fill.fee) == ("one", D(10), D(100), D(1))
    assert [(row.symbol, row.qty, row.market_price) for row in broker.positions()] == [("AAA", D(10), D(100))]
    assert broker.account().cash == D(98_999)
    assert placed(market) == ["one"]


def test_a_rejection_that_leaves_the_order_inactive_does_not_hang(broker):
    with pytest.raises(OrderRejected, match="insufficient buying power") as refusal:
        broker.submit(order(qty=D(100_000)))
    assert refusal.value.code == "201"
    assert broker.find("one") is None


def test_an_order_that_is_rejected_after_it_was_taken_ends_as_rejected(broker, faults):
    faults.add("place_order", "reject_later")
    with suppress(OrderRejected):
        # The refusal may come with the acknowledgement or after it: both are true.
        broker.submit(order())
    assert broker.find("one").status is OrderStatus.REJECTED


def test_an_order_that_was_taken_before_the_connection_dropped_is_found_and_not_sent_again(broker, faults, market):
    faults.add("place_order", "reply_lost_after")
    with pytest.raises(OutcomeUnknown, match="connection was lost"):
        broker.submit(resting())
    assert broker.find("one").status is OrderStatus.ACCEPTED
    assert broker.submit(resting()).client_order_id == "one"
    assert placed(market) == ["one"]


@pytest.mark.parametrize("fault", ["reply_lost_before", "reset"])
def test_an_order_that_was_lost_with_the_connection_is_absent_and_goes_out_once(broker, faults, market, fault):
    faults.add("place_order", fault)
    with pytest.raises(OutcomeUnknown):
        broker.submit(resting())
    assert broker.find("one") is None
    broker.submit(resting())
    assert placed(market) == ["one"]


def test_a_fill_while_nobody_was_connected_is_found_in_the_executions(connect, market):
    connect().submit(resting())
    reconnected = connect()
    market.fill(market.orders(ACCOUNT)[0].order_id, price=50)
    assert reconnected.find("one").status is OrderStatus.FILLED
    assert [fill.price for fill in reconnected.fills(DAY1, DAY1)] == [D(50)]


@pytest.mark.parametrize("code", [10349, 399, 404, 2109])
def test_a_code_that_the_library_takes_for_an_end_leaves_the_order_alive(broker, faults, market, code):
    faults.add("place_order", "code", code=code, text="Order TIF was set to DAY based on order preset.")
    assert not broker.submit(resting()).status.terminal
    assert broker.find("one").status is OrderStatus.ACCEPTED
    market.fill(market.orders(ACCOUNT)[0].order_id, price=50)
    assert broker.find("one").status is OrderStatus.FILLED


def test_an_order_before_the_open_is_alive_with_its_warning(tws, broker, market):
    market.move_to(market.calendar.close_at(DAY1))
    assert broker.submit(order(session=DAY2)).status is OrderStatus.ACCEPTED
    assert broker.find("one").status is OrderStatus.ACCEPTED
    market.trade(DAY2)
    assert broker.find("one").status is OrderStatus.FILLED


def test_a_client_id_in_use_is_named(tws, connect):
    other = Client(tws.port, 7)
    with pytest.raises(BrokerUnavailable, match="client id 7 is in use") as clash:
        connect(timeout=SHORT).account()
    assert "client id of its own" in str(clash.value)
    other.close()


def test_nothing_is_sent_and_nothing_is_called_absent_while_the_servers_are_gone(tws, broker, market):
    broker.account()
    tws.lose_connectivity()
    settle(broker)
    with pytest.raises(OutcomeUnknown, match="1100"):
        broker.submit(order())
    for read in (lambda: broker.find("one"), broker.account, broker.positions, broker.open_orders):
        with pytest.raises(BrokerUnavailable, match="1100"):
            read()
    assert placed(market) == []


@pytest.mark.parametrize("data_lost", [True, False])
def test_after_the_servers_are_back_orders_go_out_again(tws, broker, market, data_lost):
    broker.account()
    tws.lose_connectivity()
    tws.restore_connectivity(data_lost=data_lost)
    settle(broker)
    broker.submit(order())
    assert placed(market) == ["one"]


def test_servers_that_are_lost_right_after_a_send_leave_it_unknown(broker, faults, market, tws):
    faults.add("place_order", "connection_lost")
    with pytest.raises(OutcomeUnknown):
        broker.submit(resting())
    with pytest.raises(BrokerUnavailable):
        broker.find("one")
    tws.restore_connectivity()
    settle(broker)
    assert broker.find("one").status is OrderStatus.ACCEPTED
    assert placed(market) == ["one"]


class TestWithoutAnEndOfExecutions:
    @pytest.fixture
    def switches(self) -> Switches:
        return Switches(omit_executions_end=True, execution_days=7)

    def test_the_connection_stands_and_orders_go_out(self, connect, market):
        broker = connect(timeout=SHORT)
        broker.submit(order())
        assert placed(market) == ["one"]

    def test_no_execution_is_taken_for_none_when_asking_again_agrees(self, connect):
        assert connect(timeout=SHORT).fills(DAY1, DAY1) == []

    def test_nothing_is_proven_absent(self, connect):
        with pytest.raises(BrokerUnavailable, match="without an end"):
            connect(timeout=SHORT).find("one")


def test_a_partial_fill_that_is_cancelled_keeps_what_it_has(broker, market):
    broker.submit(resting())
    market.fill(market.orders(ACCOUNT)[0].order_id, qty=4, price=50)
    assert broker.find("one").status is OrderStatus.PARTIALLY_FILLED
    broker.cancel("one")
    found = broker.find("one")
    assert (found.status, found.qty, found.filled_qty) == (OrderStatus.CANCELED, D(10), D(4))
    assert [row.qty for row in broker.positions()] == [D(4)]


def test_a_bracket_is_three_orders_of_one_family(broker, market):
    bracket = order(order_type=OrderType.BRACKET, take_profit=D(120), stop_loss=D(80))
    broker.submit(bracket)
    rows = {row.client_order_id: row for row in broker.orders(DAY1)}
    assert set(rows) == {"one", "one.tp", "one.sl"}
    assert rows["one"].status is OrderStatus.FILLED
    assert {rows[name].parent_client_order_id for name in ("one.tp", "one.sl")} == {"one"}
    market.fill(market.orders(ACCOUNT)[-1].order_id, price=120)
    legs = {row.client_order_id: row.status for row in broker.orders(DAY1)}
    assert legs == {"one": OrderStatus.FILLED, "one.tp": OrderStatus.FILLED, "one.sl": OrderStatus.CANCELED}
    assert broker.positions() == []


def test_a_bracket_is_refused_whole(broker, market):
    bracket = order(order_type=OrderType.BRACKET, take_profit=D(120), stop_loss=D(80), qty=D(100_000))
    with pytest.raises(OrderRejected, match="insufficient"):
        broker.submit(bracket)
    assert placed(market) == []


def test_an_order_of_another_client_is_found_by_its_reference_and_not_cancelled_from_here(tws, broker):
    other = Client(tws.port, 3)
    other.place(limit(orderRef="one"))
    other.settle()
    assert broker.find("one").raw["clientId"] == 3
    with pytest.raises(BrokerUnavailable, match="belongs to client id 3"):
        broker.cancel("one")
    other.close()


def test_two_orders_with_one_reference_are_said_to_be_two(tws, broker):
    other = Client(tws.port, 3)
    broker.submit(resting())
    other.place(limit(orderRef="one"))
    other.settle()
    with pytest.raises(BrokerUnavailable, match="2 orders carry the reference one: permanent ids 100000001, 100000002"):
        broker.find("one")
    other.close()


class TestReadOnly:
    @pytest.fixture
    def switches(self) -> Switches:
        return Switches(read_only=True, execution_days=7)

    def test_an_order_is_refused_and_reading_goes_on(self, broker):
        with pytest.raises(OrderRejected, match="Read-Only") as refusal:
            broker.submit(order())
        assert refusal.value.code == "321"
        assert broker.account().cash == D(100_000)


CONFIGURED = ("DU1000000", "U1000000", "DU7", "F1000000", "du1000000", "DU1000000 ", "")
LOGGED_IN = (
    ("U1000000",),
    ("DU1000000", "U1000000"),
    ("U1000000", "DU1000000"),
    ("F1000000",),
    ("DU2",),
    ("DU2", "DU3"),
)


@pytest.mark.parametrize("configured", CONFIGURED)
@pytest.mark.parametrize("logged_in", LOGGED_IN, ids="+".join)
def test_another_login_than_to_the_paper_account_that_is_pinned_gets_no_order(
    connect, monkeypatch, tmp_path, configured, logged_in
):
    venue = Floor(tmp_path, list(INSTRUMENTS.values()), accounts=logged_in)
    known = venue.account
    monkeypatch.setattr(venue, "account", lambda name: replace(known(name), account_id=name))
    with serve_tws(venue) as other:
        broker = connect(port=other.port, account=configured)
        for call in (broker.identity, broker.account, broker.positions, lambda: broker.find("one")):
            with pytest.raises(WrongAccount, match=r"is configured|with real money"):
                call()
        with pytest.raises(OutcomeUnknown, match=r"is configured|with real money"):
            broker.submit(order())
    assert all(venue.orders(name, OrderQuery(state="all")) == [] for name in logged_in)


@pytest.mark.parametrize("configured", [name for name in CONFIGURED if name != "DU1000000"])
def test_another_account_than_that_of_the_login_gets_no_order(connect, market, configured):
    broker = connect(account=configured)
    with pytest.raises(OutcomeUnknown, match=f"TWS is logged in to DU1000000, and account {configured} is configured"):
        broker.submit(order())
    assert placed(market) == []


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silence", "http"])
def test_a_port_where_something_else_answers_is_no_tws(connect, words):
    with socket.create_server(("127.0.0.1", 0)) as other:
        broker = connect(port=other.getsockname()[1], timeout=SHORT)

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.sendall(words)
                while peer.recv(100):
                    pass

        speaker = threading.Thread(target=answer)
        speaker.start()
        with pytest.raises(BrokerUnavailable, match="takes the connection and does not answer"):
            broker.identity()
        speaker.join(5)


def test_a_port_where_nobody_listens_is_named(connect, tws):
    tws.stop_listening()
    with pytest.raises(BrokerUnavailable, match=f"TWS at 127.0.0.1:{tws.port}, client id 7: .*no connection"):
        connect().identity()


def test_a_price_off_the_tick_is_refused(broker, market):
    with pytest.raises(OrderRejected) as refusal:
        broker.submit(replace(resting(), limit_price=D("50.001")))
    assert refusal.value.code == "110"
    assert placed(market) == []


@pytest.mark.parametrize("fault", ["missed_event", "duplicate_event", "swapped_events"])
def test_statuses_that_are_missing_doubled_or_late_change_nothing(broker, faults, market, fault):
    faults.add("order_status", fault, times=3)
    broker.submit(resting())
    market.fill(market.orders(ACCOUNT)[0].order_id, qty=4, price=50)
    market.fill(market.orders(ACCOUNT)[0].order_id, qty=6, price=50)
    assert broker.find("one").status is OrderStatus.FILLED
    assert sum(fill.qty for fill in broker.fills(DAY1, DAY1)) == 10


def test_what_tws_pushes_ends_a_wait_and_a_connection_that_is_gone_only_lasts_it_out(broker, market, tws):
    broker.submit(resting())
    order_id = market.orders(ACCOUNT)[0].order_id
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(broker.wait_for_news, 30)
        for _ in range(10):
            # The wait may begin after one of these; another one ends it.
            market.fill(order_id, qty=1, price=50)
            settle(broker)
        waiting.result(timeout=10)
    tws.stop_listening()
    broker.close()
    broker.wait_for_news(0.01)


def test_a_correction_takes_the_place_of_what_it_corrects(broker, faults):
    faults.add("exec_details", "correction", price="99.5")
    broker.submit(order())
    (fill,) = broker.fills(DAY1, DAY1)
    assert (fill.fill_id.count("."), fill.price, fill.qty, fill.revision) == (0, D("99.5"), D(10), 2)
    assert broker.find("one").average_price == D("99.5")


def test_a_bust_is_a_fill_of_nothing(broker, faults):
    faults.add("exec_details", "bust")
    broker.submit(order())
    found = broker.find("one")
    assert (found.status, found.filled_qty, found.shows_no_more_than_filled) == (OrderStatus.FILLED, 0, True)
    assert [(fill.qty, fill.fee, fill.revision) for fill in broker.fills(DAY1, DAY1)] == [(0, 1, 2)]


@pytest.mark.parametrize(("kind", "qty"), [("correction", 10), ("bust", 0)])
def test_what_tws_restates_supersedes_what_the_ledger_had_recorded(broker, market, ledger, kind, qty):  # noqa: F811
    account = {"expected_broker": "ibkr", "expected_account_id": "DU1000000", "starting_cash": D(100_000)}
    plan = replace(plan_of([planned("one", "AAA", Side.BUY, "10")]), session=DAY1, priced_on=date(2024, 3, 1))
    assert run(ledger, broker, plan, **account).counts == {"filled": 1}
    (fill,) = market.executions(ACCOUNT, *TODAY)
    market.correct(ACCOUNT, fill.execution_id, D(qty), D("99.5"))
    result = resume(ledger, broker, DAY1, **account)
    assert result.counts == ({"filled": 1} if qty else {"canceled": 1})
    with ledger.read() as connection:
        assert [(row.qty, row.version) for row in fills_of(connection, "paper")] == [(qty, 2)]
        assert owned(connection, "paper", "main") == ({"AAA": D(10)} if qty else {})
        assert D(100_000) + cash_flow(connection, "paper", "main") == broker.account().cash
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=DAY1)
    assert not [*fill_breaks(ours, theirs, "main"), *order_breaks(ours, theirs, session_over=True)]


class TestAnAccountInAnotherCurrency:
    @pytest.fixture
    def market(self, tmp_path) -> Floor:
        return Floor(tmp_path, list(INSTRUMENTS.values()), currency="AUD")

    def test_its_money_is_read_in_its_own_currency(self, connect):
        account = connect(currency="AUD").account()
        assert (account.cash, account.currency) == (D(100_000), "AUD")

    def test_money_in_another_currency_is_not_taken_for_ours(self, connect):
        with pytest.raises(BrokerUnavailable, match="ExchangeRate of the account: none in USD, only in AUD, BASE"):
            connect(currency="USD").account()


def test_positions_that_vanish_are_not_a_flat_account(broker, faults):
    broker.submit(order())
    faults.add("req_positions", "empty_positions", times=2)
    with pytest.raises(BrokerUnavailable, match="portfolio differ"):
        broker.positions()


@pytest.mark.parametrize("call", ["req_all_open_orders", "req_completed_orders", "req_executions"])
def test_absence_is_not_proven_where_one_answer_has_no_end(connect, faults, call):
    broker = connect(timeout=SHORT)
    broker.account()
    faults.add(call, "gateway_timeout_before", times=2)
    with pytest.raises(BrokerUnavailable):
        broker.find("one")


def test_an_order_that_open_orders_do_not_show_yet_is_found_by_its_execution(broker, faults):
    broker.submit(order())
    faults.add("req_completed_orders", "visibility_lag")
    assert broker.find("one").status is OrderStatus.FILLED


def test_an_order_that_nobody_answers_is_unknown(connect, faults, market):
    broker = connect(timeout=SHORT)
    faults.add("place_order", "gateway_timeout_before")
    with pytest.raises(OutcomeUnknown, match="no acknowledgement within 1 s"):
        broker.submit(order())
    assert broker.find("one") is None
    assert placed(market) == []


def test_a_code_that_nobody_knows_leaves_the_order_unknown_with_its_text(broker, faults):
    faults.add("place_order", "code", instead=True, code=4711, text="Something new.")
    with pytest.raises(OutcomeUnknown, match="4711: Something new"):
        broker.submit(order())


def test_a_fill_while_a_cancel_is_pending_wins(connect, faults, market):
    broker = connect(timeout=SHORT)
    broker.submit(resting())
    faults.add("cancel_order", "slow_cancel")
    broker.cancel("one")
    market.fill(market.orders(ACCOUNT)[0].order_id, price=50)
    assert broker.find("one").status is OrderStatus.FILLED


def test_a_fill_during_a_cancel_is_a_fill(broker, faults):
    broker.submit(resting())
    faults.add("cancel_order", "fill_during_cancel")
    broker.cancel("one")
    assert broker.find("one").status is OrderStatus.FILLED


def test_a_cancel_that_takes_its_time_is_no_cancel_until_it_is_one(connect, faults):
    broker = connect(timeout=SHORT)
    broker.submit(resting())
    faults.add("cancel_order", "slow_cancel", reads=2)
    broker.cancel("one")
    assert broker.find("one").status is OrderStatus.ACCEPTED
    assert broker.find("one").status is OrderStatus.CANCELED


def test_a_cancel_may_take_its_time_by_the_clock(connect, faults, market):
    broker = connect(timeout=SHORT)
    broker.submit(resting())
    faults.add("cancel_order", "slow_cancel", seconds=60)
    broker.cancel("one")
    assert broker.find("one").status is OrderStatus.ACCEPTED
    market.move_to(market.now() + timedelta(seconds=61))
    assert broker.find("one").status is OrderStatus.CANCELED


def test_an_order_that_is_filled_in_part_and_then_cancelled_keeps_its_part(broker, faults):
    faults.add("place_order", "partial_then_cancel")
    broker.submit(resting())
    found = broker.find("one")
    assert (found.status, found.filled_qty, found.qty) == (OrderStatus.CANCELED, D(5), D(10))


def test_a_status_that_nobody_knows_is_unknown_and_kept_as_it_was_said(broker, faults):
    faults.add("order_status", "unknown_enum", value="HeldForReview", times=9)
    found = broker.submit(resting())
    assert (found.status, found.status.terminal) == (OrderStatus.UNKNOWN, False)
    assert (found.raw["status"], "'HeldForReview' is not known" in found.reason) == ("HeldForReview", True)
    assert broker.find("one").status is OrderStatus.ACCEPTED


def test_positions_of_before_the_newest_order_are_not_believed(broker, faults):
    broker.submit(order())
    broker.submit(order("two"))
    faults.add("req_positions", "stale_positions", times=2)
    with pytest.raises(BrokerUnavailable, match="portfolio differ"):
        broker.positions()
    assert [row.qty for row in broker.positions()] == [D(20)]


def test_a_restart_between_two_questions_goes_unnoticed(broker, faults):
    broker.submit(resting())
    faults.add("req_all_open_orders", "restart")
    broker.open_orders()
    hear_the_end(broker)
    assert [row.client_order_id for row in broker.open_orders()] == ["one"]


@pytest.mark.parametrize("fault", ["disconnect", "html_body", "server_error"])
def test_a_question_that_is_answered_with_rubbish_is_not_answered(connect, faults, fault):
    broker = connect(timeout=SHORT)
    broker.submit(resting())
    faults.add("req_all_open_orders", fault)
    with pytest.raises(BrokerUnavailable):
        broker.open_orders()
    assert [row.client_order_id for row in broker.open_orders()] == ["one"]


def test_too_many_messages_are_no_refusal(broker, faults, market):
    faults.add("place_order", "rate_limited")
    with pytest.raises(OutcomeUnknown, match="100: Max rate of messages"):
        broker.submit(order())
    assert broker.find("one") is None
    assert placed(market) == []


def test_servers_that_are_lost_come_back_by_themselves(tws, connect, faults):
    client = Client(tws.port, 3)
    faults.add("req_current_time", "connection_lost", after=1, requests=2)
    client.settle()
    client.ib.client.reqCurrentTime()
    client.settle()
    client.settle()
    assert client.codes() == [1100, 1101]
    client.close()


def test_an_order_that_is_stuck_stays_open_and_is_not_ended_by_its_silence(broker, faults):
    faults.add("place_order", "stuck")
    assert broker.submit(resting()).status is OrderStatus.ACCEPTED
    assert [row.client_order_id for row in broker.open_orders()] == ["one"]


def test_a_connection_that_is_lost_within_a_batch_loses_no_order_and_doubles_none(broker, faults, market):
    faults.add("place_order", "reply_lost_after", after=2)
    names = [f"order-{number}" for number in range(5)]
    unknown = []
    for name in names:
        try:
            broker.submit(resting(name))
        except OutcomeUnknown:
            unknown.append(name)
    assert unknown == ["order-2"]
    assert placed(market) == names
    assert broker.find("order-2").status is OrderStatus.ACCEPTED


def test_orders_that_are_sent_at_once_all_arrive_once(broker, market):
    names = [f"order-{number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: broker.submit(resting(name)), names))
    assert [row.client_order_id for row in answers] == names
    assert sorted(placed(market)) == sorted(names)
    assert len({row.broker_order_id for row in answers}) == 20


def test_steps_of_the_australian_exchange_are_kept(connect, market):
    broker = connect()
    for price, taken in (("1.005", True), ("1.003", False), ("2.01", True), ("2.005", False)):
        request = resting(f"at-{price}", symbol="BHP")
        if taken:
            assert broker.submit(replace(request, limit_price=D(price))).symbol == "BHP"
            continue
        with pytest.raises(OrderRejected) as refusal:
            broker.submit(replace(request, limit_price=D(price)))
        assert refusal.value.code == "110"


def test_a_nightly_restart_that_forgets_ids_gives_two_orders_one_id_and_each_its_own_reference(tws, broker, market):
    broker.submit(resting("before"))
    tws.stop_listening()
    with pytest.raises(BrokerUnavailable, match="connection"):
        broker.account()
    tws.listen_again(forget_ids=True)
    broker.submit(resting("after"))
    assert placed(market) == ["before", "after"]
    assert {broker.find(name).client_order_id for name in ("before", "after")} == {"before", "after"}


def test_an_id_of_an_earlier_session_is_never_called_absent(broker, market):
    market.move_to(market.calendar.open_at(DAY2) + timedelta(hours=1))
    with pytest.raises(BrokerUnavailable, match="of session 2024-03-04, and TWS shows orders that ended since"):
        broker.find("SCZ_20240304_1_AAA_B_0123456789ab")
    assert broker.find("SCZ_20240305_1_AAA_B_0123456789ab") is None


def test_executions_that_tws_no_longer_shows_are_not_called_none(connect):
    with pytest.raises(BrokerUnavailable, match="executions of 2024-03-01 are asked for"):
        connect(execution_days=1).fills(date(2024, 3, 1), DAY1)


@pytest.mark.parametrize(
    ("hours", "days", "fills", "orders"), [(3, 1, DAY1, DAY1), (14, 1, DAY2, DAY2), (14, 2, DAY1, DAY2)]
)
def test_from_which_session_on_everything_is_shown_is_told(connect, market, hours, days, fills, orders):
    broker = connect(execution_days=days)
    market.clock.move_to(NOON + timedelta(hours=hours))
    told = broker.capabilities
    assert (told.fills_from, told.orders_from) == (fills, orders)
    assert broker.fills(told.fills_from, DAY2) == []


class TestASessionThatTwsSplitsAtItsMidnight:
    """Sydney trades from 18:00 to midnight in New York: there, a session begins on the day before it ends."""

    @pytest.fixture
    def market(self, tmp_path) -> Floor:
        after_midnight = datetime(2024, 3, 5, 5, 30, tzinfo=UTC)
        return Floor(tmp_path, list(INSTRUMENTS.values()), calendar="XASX", now=after_midnight)

    def test_its_executions_are_not_complete(self, connect):
        with pytest.raises(BrokerUnavailable, match="TWS shows those since 2024-03-05 00:00:00-05:00"):
            connect(execution_days=1).fills(DAY2, DAY2)
        assert connect(execution_days=2).fills(DAY2, DAY2) == []

    def test_its_orders_are_not_proven_absent(self, connect):
        with pytest.raises(BrokerUnavailable, match="TWS shows orders that ended since 2024-03-05"):
            connect().find("SCZ_20240305_1_BHP_B_0123456789ab")

    def test_in_its_own_zone_it_is_whole(self, connect):
        broker = connect(time_zone="Australia/Sydney", execution_days=1)
        assert broker.fills(DAY2, DAY2) == []
        assert broker.find("SCZ_20240305_1_BHP_B_0123456789ab") is None


@pytest.mark.parametrize("end", ["hang", "gateway_timeout_before", "gateway_timeout_after"])
def test_a_question_that_stays_open_is_no_answer_and_the_connection_is_asked_whether_it_lives(connect, faults, end):
    broker = connect(timeout=SHORT)
    assert broker.open_orders() == []
    faults.add("req_all_open_orders", end)
    with pytest.raises(BrokerUnavailable, match="no answer within 1 s: open orders"):
        broker.open_orders()
    assert broker.open_orders() == []


def test_a_connection_that_is_dead_without_a_word_is_given_up_and_made_anew(connect, faults, tws):
    broker = connect(timeout=SHORT)
    broker.open_orders()
    first = broker._connection.ib.client.conn.transport
    faults.add("req_all_open_orders", "gateway_timeout_before")
    faults.add("req_positions", "gateway_timeout_before")
    with pytest.raises(BrokerUnavailable):
        broker.open_orders()
    assert broker.open_orders() == []
    assert broker._connection.ib.client.conn.transport is not first
    assert tws.clients() == [7]


@pytest.mark.parametrize("fault", ["reply_lost_before", "reset", "gateway_timeout_before"])
def test_a_tws_that_fails_while_it_is_connected_to_is_unavailable_and_may_be_tried_again(connect, faults, fault):
    faults.add("connect", fault)
    broker = connect(timeout=SHORT)
    with pytest.raises(BrokerUnavailable):
        broker.account()
    assert broker.account().cash == D(100_000)


def test_servers_that_are_gone_when_it_connects_are_gone_for_us(connect, tws):
    tws.lose_connectivity()
    with pytest.raises(BrokerUnavailable, match="1100"):
        connect().account()


@pytest.mark.parametrize("fault", ["missed_event", "swapped_events"])
def test_an_execution_that_was_not_told_or_came_after_its_status_counts_once(broker, faults, fault):
    faults.add("exec_details", fault)
    broker.submit(order())
    found = broker.find("one")
    assert (found.status, found.filled_qty) == (OrderStatus.FILLED, D(10))
    assert [fill.qty for fill in broker.fills(DAY1, DAY1)] == [D(10)]


def test_an_exchange_that_fails_leaves_the_order_unknown(broker, market, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    broker.account()
    monkeypatch.setattr(market, "place", fail)
    with pytest.raises(OutcomeUnknown, match=r"320: .*disk full"):
        broker.submit(order())


def test_an_ambiguous_symbol_is_refused(connect, market):
    adr = Instrument("AAA", "XNYS", "USD", fractionable=False)
    with serve_tws(market, switches=Switches(foreign_listings=(listing(adr),))) as other:
        plain = connect(port=other.port)
        unlisted = IbkrBroker(plain._settings, market.calendar, {}, market.now, plain._connection)
        with pytest.raises(OrderRejected, match="AAA names 2 contracts"):
            unlisted.submit(order())
        plain.submit(order())
    assert placed(market) == ["one"]


def test_a_class_of_shares_is_spelled_with_a_dot_here_and_a_space_there(broker, market):
    broker.submit(order(symbol="BRK.B"))
    assert [row.symbol for row in broker.positions()] == ["BRK.B"]
    assert broker.find("one").symbol == "BRK.B"
    assert {fill.symbol for fill in broker.fills(DAY1, DAY1)} == {"BRK.B"}


def test_a_changed_order_is_seen_with_its_new_terms(broker, market):
    broker.submit(resting())
    market.amend(ACCOUNT, market.orders(ACCOUNT)[0].order_id, Amendment(limit_price=D(60)))
    assert broker.find("one").raw["lmtPrice"] == "60.0"


def test_the_morning_of_a_session_is_ahead_and_its_evening_is_over(broker, market):
    from scizor_dagster.brokers.protocol import VenuePhase

    assert broker.phase(DAY1) is VenuePhase.OPEN
    assert broker.phase(DAY2) is VenuePhase.AHEAD
    market.trade(DAY1)
    assert broker.phase(DAY1) is VenuePhase.OVER
