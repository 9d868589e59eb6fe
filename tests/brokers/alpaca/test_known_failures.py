"""Failures that really happened at Alpaca, by the number of the catalogue, and the test that stands for each.

Those that no other module shows are shown here; `SHOWN` names the rest and is checked to exist.
"""

import ast
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import OrderStatus, PositionIntent, Side
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_orders import Amendment
from scizor_dagster.paper_exchange.venue_views import NonTrade
from tests.brokers.alpaca.test_failures import request, resting
from tests.paper_exchange.alpaca.support import ACCOUNT, DAY1, DAY2, OPEN, all_orders

HERE = "test_known_failures"
SHOWN = {
    "A1": ("test_failures", "test_an_order_whose_reply_is_lost_is_unknown_and_is_found_and_is_one_order"),
    "A2": ("test_failures", "test_a_repeated_order_is_answered_with_the_one_that_exists_open_or_ended"),
    "A3": ("test_pacing", "test_no_minute_brings_more_than_the_limit_wherever_it_begins"),
    "A4": ("test_failures", "test_a_stuck_order_stays_open_through_its_cancel"),
    "A5": (HERE, "test_an_outage_is_an_outage_and_not_an_empty_account"),
    "A6": (HERE, "test_a_trading_side_that_is_down_stops_everything_and_sends_nothing"),
    "A7": (HERE, "test_a_fill_whose_event_never_came_is_found_by_the_next_poll"),
    "A8": (HERE, "test_the_adapter_needs_no_stream_and_leaves_its_one_connection_to_others"),
    "A9": (HERE, "test_fills_before_and_after_a_replacement_are_counted_once_each"),
    "A10": ("test_lists", "test_1200_orders_come_whole_and_once_also_where_many_share_an_instant"),
    "A12": (HERE, "test_a_split_that_is_booked_late_is_told_when_it_is_booked_and_once"),
    "A13": ("test_lists", "test_the_factor_of_a_split_comes_from_the_corporate_actions"),
    "A14": (HERE, "test_what_the_broker_does_not_trade_is_a_refusal_with_its_reason"),
    "A15": (HERE, "test_a_wash_trade_is_a_refusal_with_its_reason"),
    "A16": ("test_failures", "test_a_sale_that_would_open_a_short_is_refused_because_its_intent_goes_with_it"),
    "A17": ("test_failures", "test_a_state_that_is_not_known_in_the_reply_leaves_the_order_unknown_with_its_words"),
}
"""A11, a trade that is taken back, has no form on this wire: the next reconciliation shows it as a break."""


@pytest.mark.parametrize("number", SHOWN)
def test_every_failure_of_the_catalogue_has_its_test(number):
    module, name = SHOWN[number]
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture
def connect(doors, brokers):
    def make(*faults, **settings):
        return brokers.connect(doors.open(*faults).url, **settings)

    return make


def test_an_outage_is_an_outage_and_not_an_empty_account(doors, brokers, venue):
    server = doors.open()
    broker = brokers.connect(server.url)
    broker.submit(request())
    broker.find("a")
    server.close()
    for ask in (broker.positions, broker.account, broker.open_orders, lambda: broker.fills(DAY1, DAY1)):
        with pytest.raises(BrokerUnavailable):
            ask()
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        broker.submit(request("b"))
    assert [row.ticket.client_order_id for row in all_orders(venue)] == ["a"]


def test_a_trading_side_that_is_down_stops_everything_and_sends_nothing(connect, venue):
    broker = connect({"call": "*", "every": 1, "kind": "server_error", "detail": {"status": 500}})
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        broker.submit(request())
    with pytest.raises(BrokerUnavailable):
        broker.identity()
    assert not all_orders(venue)


def test_a_fill_whose_event_never_came_is_found_by_the_next_poll(connect):
    broker = connect({"call": "trade_update", "every": 1, "kind": "missed_event"})
    broker.submit(request())
    assert [(fill.client_order_id, fill.qty) for fill in broker.fills(DAY1, DAY1)] == [("a", D(2))]


def test_the_adapter_needs_no_stream_and_leaves_its_one_connection_to_others(connect, venue):
    broker = connect()
    broker.submit(request())
    assert broker.find("a").status is OrderStatus.FILLED
    assert venue.listeners(ACCOUNT) == []


def test_fills_before_and_after_a_replacement_are_counted_once_each(connect, venue):
    broker = connect()
    broker.submit(resting("old", 4))
    row = venue.orders(ACCOUNT)[0]
    venue.price("AAA", 40, volume=1)
    venue.price("AAA", 100)
    venue.replace(ACCOUNT, row.order_id, Amendment(limit_price=D(100)), "new")
    fills = {fill.client_order_id: fill.qty for fill in broker.fills(DAY1, DAY1)}
    assert fills == {"old": D(1), "new": D(3)}
    states = {order.client_order_id: order.status for order in broker.orders(DAY1)}
    assert states == {"old": OrderStatus.CANCELED, "new": OrderStatus.FILLED}
    assert [row.qty for row in broker.positions()] == [D(4)]


def test_a_split_that_is_booked_late_is_told_when_it_is_booked_and_once(connect, venue):
    broker = connect()
    venue.act(SessionAction("AAA", DAY1, "split", ratio=D(2)))
    venue.move_to(OPEN + timedelta(days=1))
    assert list(broker.activities(DAY1, DAY2)) == []
    venue.booked = [NonTrade("s", "split", DAY2, OPEN, "AAA", D(0), D(10), None, "")]
    assert [(row.session, row.qty_factor) for row in broker.activities(DAY1, DAY2)] == [(DAY2, D(2))]
    assert broker.activities(DAY1, DAY2) == broker.activities(DAY1, DAY2)


def test_what_the_broker_does_not_trade_is_a_refusal_with_its_reason(connect):
    with pytest.raises(OrderRejected, match='asset "NOSUCH" not found') as refusal:
        connect().submit(request(symbol="NOSUCH"))
    assert refusal.value.code == "42210000"


def test_a_wash_trade_is_a_refusal_with_its_reason(connect):
    broker = connect()
    broker.submit(request("long"))
    broker.find("long")
    broker.submit(resting("buy"))
    with pytest.raises(OrderRejected, match="potential wash trade detected") as refusal:
        broker.submit(request("sell", 1, side=Side.SELL, intent=PositionIntent.SELL_TO_CLOSE))
    assert refusal.value.code == "40310000"
