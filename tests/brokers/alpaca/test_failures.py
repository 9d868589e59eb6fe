"""What goes wrong at Alpaca, over the wire: lost replies, limits, odd bodies, late and missing answers.

Each of the scripted faults is met by the adapter, and what is then at the exchange is looked at.
"""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import OrderRequest, OrderStatus, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from scizor_dagster.paper_exchange.venue_orders import OrderQuery
from tests.paper_exchange.alpaca.support import ACCOUNT, DAY1, all_orders

FAR_AWAY = D(50)


def request(name: str = "a", qty: object = 2, **changes: object) -> OrderRequest:
    base = {
        "client_order_id": name,
        "symbol": "AAA",
        "side": Side.BUY,
        "qty": D(str(qty)),
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "session": DAY1,
        "intent": PositionIntent.BUY_TO_OPEN,
    }
    return OrderRequest(**(base | changes))


def resting(name: str = "a", qty: object = 2) -> OrderRequest:
    return request(name, qty, order_type=OrderType.LIMIT, limit_price=FAR_AWAY)


@pytest.fixture
def connect(doors, brokers):
    """A broker at a door with faults."""

    def make(*faults, **settings):
        return brokers.connect(doors.open(*faults).url, **settings)

    return make


def sent(venue) -> list[str]:
    return [row.ticket.client_order_id for row in venue.orders(ACCOUNT, OrderQuery(state="all", ascending=True))]


AFTER = ["reply_lost_after", "gateway_timeout_after", "html_body"]
BEFORE = ["reply_lost_before", "gateway_timeout_before", "reset", "rate_limited", "server_error"]


@pytest.mark.parametrize("kind", AFTER)
def test_an_order_whose_reply_is_lost_is_unknown_and_is_found_and_is_one_order(connect, venue, kind):
    broker = connect({"call": "submit_order", "nth": 1, "kind": kind})
    with pytest.raises(OutcomeUnknown):
        broker.submit(request())
    assert sent(venue) == ["a"], "sent once, and once only"
    found = broker.find("a")
    assert found is not None
    assert (found.status, found.filled_qty) == (OrderStatus.FILLED, D(2))


@pytest.mark.parametrize("kind", BEFORE)
def test_an_order_that_never_arrived_is_unknown_and_then_proven_absent(connect, venue, brokers, kind):
    broker = connect({"call": "submit_order", "nth": 1, "kind": kind})
    with pytest.raises(OutcomeUnknown):
        broker.submit(request())
    assert sent(venue) == [], "nothing was sent again"
    assert broker.find("a") is None
    assert brokers.time.waited.count(2.5) == 3, "absence takes four looks"
    assert broker.submit(request()).client_order_id == "a"
    assert sent(venue) == ["a"]


def test_a_silent_server_is_left_after_the_timeout_and_the_order_is_unknown(connect, venue):
    broker = connect({"call": "submit_order", "nth": 1, "kind": "hang"}, read_timeout=0.3)
    with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
        broker.submit(request())
    assert sent(venue) == ["a"]


def test_an_order_that_is_seen_late_is_not_called_absent(connect):
    broker = connect(
        {"call": "submit_order", "nth": 1, "kind": "visibility_lag", "detail": {"reads": 3}},
    )
    assert broker.submit(request()).client_order_id == "a"
    found = broker.find("a")
    assert found is not None
    assert found.client_order_id == "a"


def test_a_repeated_order_is_answered_with_the_one_that_exists_open_or_ended(connect, venue):
    broker = connect()
    for order in (resting("open"), request("ended")):
        first = broker.submit(order)
        assert broker.submit(order).broker_order_id == first.broker_order_id
    assert sorted(sent(venue)) == ["ended", "open"]


@pytest.mark.parametrize(
    "changes",
    [{"qty": D(3)}, {"symbol": "BBB"}, {"order_type": OrderType.LIMIT, "limit_price": FAR_AWAY}],
)
def test_a_repeated_id_with_other_terms_is_unknown_and_says_what_differs(connect, changes):
    broker = connect()
    broker.submit(request())
    with pytest.raises(OutcomeUnknown, match="exists, and its"):
        broker.submit(request(**changes))


def test_a_bracket_with_another_stop_is_not_the_same_order(connect):
    bracket = {"order_type": OrderType.BRACKET, "take_profit": D(150)}
    broker = connect()
    broker.submit(request(stop_loss=D(50), **bracket))
    with pytest.raises(OutcomeUnknown, match="stop_loss is 50, not 60"):
        broker.submit(request(stop_loss=D(60), **bracket))


def test_a_state_that_is_not_known_in_the_reply_leaves_the_order_unknown_with_its_words(connect):
    broker = connect({"call": "submit_order", "nth": 1, "kind": "unknown_enum"})
    with pytest.raises(OutcomeUnknown, match="held_for_review"):
        broker.submit(request())
    assert broker.find("a") is not None


def test_a_state_that_is_not_known_in_a_look_up_is_no_answer(connect):
    broker = connect({"call": "get_order_by_client_id", "nth": 1, "kind": "unknown_enum"})
    broker.submit(resting())
    with pytest.raises(BrokerUnavailable, match="held_for_review"):
        broker.find("a")


def test_a_state_that_is_not_known_in_a_list_keeps_that_order_open_and_the_list_whole(connect):
    broker = connect({"call": "list_orders", "nth": 1, "kind": "unknown_enum"})
    broker.submit(request("a"))
    broker.submit(request("b"))
    found = broker.orders(DAY1)
    assert [row.client_order_id for row in found] == ["a", "b"]
    assert not any(row.status.terminal for row in found)


def test_an_order_that_is_rejected_after_it_was_taken_ends_as_rejected(connect):
    broker = connect({"call": "submit_order", "nth": 1, "kind": "reject_later"})
    assert broker.submit(request()).status is OrderStatus.ACCEPTED
    found = broker.find("a")
    assert found is not None
    assert (found.status, found.filled_qty) == (OrderStatus.REJECTED, D(0))


def test_what_filled_before_a_cancel_is_not_lost(connect):
    broker = connect({"call": "submit_order", "nth": 1, "kind": "partial_then_cancel"})
    broker.submit(request(qty=4))
    found = broker.find("a")
    assert found is not None
    assert (found.status, found.filled_qty) == (OrderStatus.CANCELED, D(2))
    assert [(fill.client_order_id, fill.qty) for fill in broker.fills(DAY1, DAY1)] == [("a", D(2))]


def test_a_slow_cancel_is_open_until_a_later_look_says_otherwise(connect):
    broker = connect({"call": "cancel_order", "nth": 1, "kind": "slow_cancel", "detail": {"reads": 2}})
    broker.submit(resting())
    broker.cancel("a")
    states = [broker.find("a").status for _ in range(3)]
    assert states == [OrderStatus.ACCEPTED, OrderStatus.ACCEPTED, OrderStatus.CANCELED]


def test_a_fill_that_wins_against_a_cancel_is_a_fill(connect):
    broker = connect({"call": "cancel_order", "nth": 1, "kind": "fill_during_cancel"})
    broker.submit(resting())
    broker.cancel("a")
    found = broker.find("a")
    assert found is not None
    assert (found.status, found.filled_qty) == (OrderStatus.FILLED, D(2))


def test_a_cancel_whose_reply_is_lost_is_not_called_done_and_not_called_refused(connect):
    broker = connect({"call": "cancel_order", "nth": 1, "kind": "reply_lost_after"})
    broker.submit(resting())
    with pytest.raises(BrokerUnavailable, match="is not known"):
        broker.cancel("a")
    broker.cancel("a")
    assert broker.find("a").status is OrderStatus.CANCELED


def test_a_stuck_order_stays_open_through_its_cancel(connect):
    broker = connect({"call": "submit_order", "nth": 1, "kind": "stuck"})
    broker.submit(request())
    broker.cancel("a")
    assert [row.client_order_id for row in broker.open_orders()] == ["a"]
    assert broker.find("a").filled_qty == 0


def test_an_empty_list_of_positions_is_not_flat_while_the_account_holds_value(connect):
    broker = connect({"call": "list_positions", "nth": 1, "kind": "empty_positions"})
    broker.submit(request())
    with pytest.raises(BrokerUnavailable, match="the list is empty, and the account holds 200 in positions"):
        broker.positions()
    assert [row.qty for row in broker.positions()] == [D(2)]


def test_positions_may_lag_behind_fills_and_fills_do_not(connect):
    broker = connect({"call": "list_positions", "nth": 1, "kind": "stale_positions"})
    broker.submit(request("a"))
    broker.find("a")
    broker.submit(request("b"))
    assert [row.qty for row in broker.positions()] == [D(2)]
    assert sum(fill.qty for fill in broker.fills(DAY1, DAY1)) == 4


@pytest.mark.parametrize("kind", ["server_error", "gateway_timeout_before", "reply_lost_before", "html_body", "reset"])
def test_a_read_is_tried_again_and_then_answers(connect, kind):
    broker = connect({"call": "list_positions", "nth": 1, "kind": kind})
    assert list(broker.positions()) == []


def test_a_limit_makes_reads_wait_and_then_answer(connect, brokers):
    broker = connect({"call": "get_account", "nth": 1, "kind": "rate_limited"})
    assert broker.account().cash == 100_000
    assert sum(brokers.time.waited) >= 15


def test_a_broker_that_does_not_answer_is_out_of_reach_and_never_flat(connect):
    broker = connect({"call": "list_positions", "every": 1, "kind": "server_error", "detail": {"status": 500}})
    with pytest.raises(BrokerUnavailable, match="HTTP 500: internal server error"):
        broker.positions()


def test_a_balance_that_is_missing_is_not_zero(connect, monkeypatch):
    from scizor_dagster.paper_exchange.alpaca_door import render_account

    whole = render_account.account
    monkeypatch.setattr(render_account, "account", lambda *a: {**whole(*a), "cash": None})
    with pytest.raises(BrokerUnavailable, match="cash is None"):
        connect().account()


def test_a_refusal_keeps_the_brokers_code_and_words(connect):
    with pytest.raises(OrderRejected, match="insufficient buying power") as refusal:
        connect().submit(request(qty=100_000))
    assert refusal.value.code == "40310000"


def test_wrong_keys_are_no_refusal_of_an_order_and_nothing_is_tried_again(connect, brokers):
    broker = connect(secret_key="wrong")
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        broker.submit(request())
    with pytest.raises(BrokerUnavailable, match="401: unauthorized"):
        broker.positions()
    assert brokers.time.waited == []


def test_an_order_for_another_session_than_the_broker_trades_is_refused_before_it_is_sent(connect, venue):
    broker = connect()
    with pytest.raises(OrderRejected, match="trades in 2024-03-04; nothing was sent"):
        broker.submit(request(session=DAY1 + timedelta(days=1)))
    assert sent(venue) == []


def test_a_clock_that_contradicts_the_calendar_stops_orders_before_they_are_sent(connect, venue, monkeypatch):
    from scizor_dagster.paper_exchange.alpaca_door import render_account

    whole = render_account.clock
    early = {"next_close": "2024-03-04T13:00:00-05:00"}
    monkeypatch.setattr(render_account, "clock", lambda *a: whole(*a) | early)
    broker = connect()
    with pytest.raises(OutcomeUnknown, match="nothing was sent: Alpaca's clock"):
        broker.submit(request())
    with pytest.raises(BrokerUnavailable, match="18:00:00"):
        broker.phase(DAY1)
    assert sent(venue) == []


def test_figures_go_out_exactly_as_they_are_and_a_fraction_is_for_the_day(connect, venue):
    broker = connect()
    broker.submit(request("fraction", qty="0.557436865", time_in_force=TimeInForce.CLS))
    broker.submit(request("limit", qty=5, order_type=OrderType.LIMIT, limit_price=D("0.3")))
    tickets = {row.ticket.client_order_id: row.ticket for row in all_orders(venue)}
    assert (tickets["fraction"].qty, tickets["fraction"].duration) == (D("0.557436865"), "day")
    assert str(tickets["limit"].limit_price) == "0.3"
    assert {ticket.intent for ticket in tickets.values()} == {PositionIntent.BUY_TO_OPEN}


def test_a_sale_that_would_open_a_short_is_refused_because_its_intent_goes_with_it(connect, venue):
    with pytest.raises(OrderRejected, match="position intent mismatch"):
        connect().submit(request(side=Side.SELL, intent=PositionIntent.SELL_TO_CLOSE))
    assert sent(venue) == []


@pytest.mark.parametrize("method", ["submit", "cancel"])
def test_a_redirect_is_no_answer(connect, monkeypatch, method):
    from starlette.responses import Response

    from scizor_dagster.paper_exchange.alpaca_door import app

    broker = connect()
    broker.submit(resting())
    broker.phase(DAY1)
    whole = app._response

    def moved(reply, headers):
        if reply.status == 204 or (reply.body or {}).get("client_order_id") == "b":
            return Response(b"", 302, {"location": "https://elsewhere.example"})
        return whole(reply, headers)

    monkeypatch.setattr(app, "_response", moved)
    if method == "submit":
        with pytest.raises(OutcomeUnknown, match="302"):
            broker.submit(request("b"))
    else:
        with pytest.raises(BrokerUnavailable, match="302"):
            broker.cancel("a")


@pytest.mark.parametrize(
    ("field", "value"),
    [("trading_blocked", True), ("account_blocked", True), ("trade_suspended_by_user", True), ("status", "INACTIVE")],
)
def test_an_account_that_may_not_trade_is_read_and_sent_nothing(connect, venue, monkeypatch, field, value):
    from scizor_dagster.paper_exchange.alpaca_door import render_account

    whole = render_account.account
    monkeypatch.setattr(render_account, "account", lambda *a: {**whole(*a), field: value})
    broker = connect()
    with pytest.raises(OrderRejected, match="nothing was sent") as refusal:
        broker.submit(request())
    assert refusal.value.code == "account_blocked"
    assert broker.account().cash == 100_000
    assert sent(venue) == []


def test_a_close_between_the_clocks_reading_and_an_order_is_noticed(connect, brokers, venue):
    venue.at = venue.calendar.close_at(DAY1) - timedelta(seconds=5)
    broker = connect(clock_max_age=timedelta(seconds=30))
    broker.submit(resting())
    venue.at += timedelta(seconds=10)
    brokers.time.at += 10
    with pytest.raises(OrderRejected, match="trades in 2024-03-05"):
        broker.submit(request("b"))


@pytest.mark.parametrize("set_to", [16 * 3600.0, -3600.0], ids=["slept until the morning", "set back"])
def test_a_machine_that_was_suspended_does_not_take_the_session_of_before_for_that_of_now(
    connect, brokers, venue, set_to
):
    """Seconds that only grow stand still meanwhile."""
    venue.at = venue.calendar.close_at(DAY1) - timedelta(minutes=5)
    broker = connect(clock_max_age=timedelta(seconds=30))
    broker.submit(resting())
    venue.at = venue.calendar.open_at(venue.calendar.next_session(DAY1)) - timedelta(minutes=30)
    brokers.time.asleep = set_to
    with pytest.raises(OrderRejected, match="trades in 2024-03-05"):
        broker.submit(request("b"))
    assert len(sent(venue)) == 1
