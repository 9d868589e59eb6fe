"""What a client meets for every fault word, with the SDK as it is and with plain HTTP."""

from datetime import timedelta

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from scizor_dagster.paper_exchange.alpaca_door.render_orders import trade_update
from scizor_dagster.paper_exchange.faults import FaultKind
from tests.paper_exchange.alpaca.support import KEY, SECRET, Wire, all_orders

OF_THE_OTHER_WIRE = {"connection_lost", "restart", "code", "late_reply"}
ELSEWHERE = {
    "slow_cancel": "below, and with the adapter",
    "duplicate_event": "test_stream",
    "swapped_events": "test_stream",
    "missed_event": "test_stream",
    "bust": "below",
    "correction": "below",
}
RESTING = {"type": "limit", "limit_price": "50"}


def outcome(reply) -> object:
    try:
        answer = reply()
        kind = answer.headers.get("content-type", "").partition(";")[0]
        return answer.status_code, kind, (answer.json().get("status") if kind.endswith("json") else None)
    except requests.RequestException as error:
        return type(error).__name__


WIRE_FAULTS = {
    "reply_lost_before": ("ConnectionError", 0),
    "reply_lost_after": ("ConnectionError", 1),
    "reset": ("ConnectionError", 0),
    "disconnect": ("ConnectionError", 0),
    "rate_limited": ((429, "application/json", None), 0),
    "server_error": ((503, "application/json", None), 0),
    "gateway_timeout_before": ((504, "text/html", None), 0),
    "gateway_timeout_after": ((504, "text/html", None), 1),
    "html_body": ((200, "text/html", None), 1),
    "hang": ("ReadTimeout", 1),
    "unauthorized": ((401, "application/json", None), 0),
    "truncated": ("ChunkedEncodingError", 1),
    "garbage": ("JSONDecodeError", 1),
    "empty_reply": ("JSONDecodeError", 1),
    "other_reply": ((200, "application/json", "pending_new"), 1),
    "duplicate_reply": ((200, "application/json", "pending_new"), 1),
    "delivered_twice": ((200, "application/json", "pending_new"), 2),
    "unknown_field": ((200, "application/json", "pending_new"), 1),
    "unknown_enum": ((200, "application/json", "held_for_review"), 1),
    "reject_later": ((200, "application/json", "pending_new"), 1),
    "partial_then_cancel": ((200, "application/json", "pending_new"), 1),
    "stuck": ((200, "application/json", "pending_new"), 1),
    "visibility_lag": ((200, "application/json", "pending_new"), 1),
}
READ_FAULTS = {"stale_positions", "empty_positions"}
CANCEL_FAULTS = {"slow_cancel", "fill_during_cancel"}


def test_every_fault_word_is_met_at_this_door_or_at_the_other():
    met = {*WIRE_FAULTS, *READ_FAULTS, *CANCEL_FAULTS, *ELSEWHERE, *OF_THE_OTHER_WIRE}
    assert met == set(FaultKind)


@pytest.mark.parametrize("kind", WIRE_FAULTS)
def test_an_order_meets_its_fault_and_the_next_one_does_not(doors, venue, kind):
    wire = Wire(doors.open({"call": "submit_order", "nth": 1, "kind": kind}).url)
    expected, taken = WIRE_FAULTS[kind]
    body = {"symbol": "AAA", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
    url = wire.url + "/v2/orders"
    assert outcome(lambda: wire.session.post(url, json=body, timeout=1.0 if kind == "hang" else 15)) == expected
    assert len(all_orders(venue)) == taken
    # A fault may end the connection, and a client that has not seen that yet would send on it.
    wire.session.close()
    assert outcome(lambda: wire.order(symbol="BBB")) == (200, "application/json", "pending_new")
    wire.session.close()


def test_a_repeated_delivery_is_refused_for_its_id_although_the_order_exists(doors, venue):
    wire = Wire(doors.open({"call": "submit_order", "nth": 1, "kind": "delivered_twice"}).url)
    refusal = wire.order(client_order_id="a", **RESTING)
    assert (refusal.status_code, refusal.json()["message"]) == (422, "client_order_id must be unique")
    assert [row.ticket.client_order_id for row in all_orders(venue)] == ["a"]
    wire.session.close()


def test_a_reply_may_be_that_of_the_order_before(doors, venue):
    wire = Wire(doors.open({"call": "submit_order", "nth": 2, "kind": "other_reply"}).url)
    replies = [wire.order(client_order_id=name, **RESTING).json()["client_order_id"] for name in "abc"]
    assert replies == ["a", "a", "c"]
    assert [row.ticket.client_order_id for row in all_orders(venue)] == ["a", "b", "c"]
    wire.session.close()


def test_the_sdk_left_to_itself_makes_four_orders_of_one_when_its_reply_times_out(doors, venue):
    client = TradingClient(
        KEY, SECRET, url_override=doors.open({"call": "submit_order", "every": 1, "kind": "gateway_timeout_after"}).url
    )
    client._retry_wait = 0
    wanted = MarketOrderRequest(symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    with pytest.raises(APIError):
        client.submit_order(wanted)
    assert len(all_orders(venue)) == 4, "this is why the adapter switches the retry off"


def test_the_sdk_left_to_itself_sees_a_refusal_where_its_order_exists(doors, venue):
    url = doors.open({"call": "submit_order", "nth": 1, "kind": "gateway_timeout_after"}).url
    client = TradingClient(KEY, SECRET, url_override=url)
    client._retry_wait = 0
    wanted = MarketOrderRequest(
        symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id="a"
    )
    with pytest.raises(APIError) as refusal:
        client.submit_order(wanted)
    assert (refusal.value.status_code, refusal.value.message) == (422, "client_order_id must be unique")
    assert [row.ticket.client_order_id for row in all_orders(venue)] == ["a"]


def test_a_hidden_order_is_found_by_no_way_until_its_looks_are_over(doors):
    wire = Wire(doors.open({"call": "submit_order", "nth": 1, "kind": "visibility_lag", "detail": {"reads": 3}}).url)
    order = wire.order(client_order_id="a", **RESTING).json()
    by_name = "/v2/orders:by_client_order_id?client_order_id=a"
    assert wire("GET", by_name).status_code == 404
    assert wire("GET", f"/v2/orders/{order['id']}").status_code == 404
    assert wire("GET", "/v2/orders").json() == []
    assert wire("GET", by_name).status_code == 200
    wire.session.close()


def test_a_slow_cancel_is_pending_and_loses_to_a_fill_that_comes_first(doors, venue):
    wire = Wire(doors.open({"call": "cancel_order", "every": 1, "kind": "slow_cancel", "detail": {"reads": 2}}).url)
    path = f"/v2/orders/{wire.order(**RESTING).json()['id']}"
    assert wire("DELETE", path).status_code == 204
    assert wire("GET", path).json()["status"] == "pending_cancel"
    venue.price("AAA", 49)
    assert wire("GET", path).json()["status"] == "filled"
    wire.session.close()


def test_positions_are_as_before_the_newest_order_or_none_at_all(doors):
    faults = [{"call": "list_positions", "nth": 1, "kind": "stale_positions"}]
    faults += [{"call": "list_positions", "nth": 2, "kind": "empty_positions"}]
    wire = Wire(doors.open(*faults).url)
    for _ in range(2):
        wire.order()
        wire("GET", "/v2/orders")
    found = [[row["qty"] for row in wire("GET", "/v2/positions").json()] for _ in range(3)]
    assert found == [["1"], [], ["2"]]
    wire.session.close()


def test_a_fill_is_taken_back_or_corrected_in_books_lists_and_stream(doors, venue):
    faults = [{"call": "submit_order", "nth": 1, "kind": "bust"}]
    faults += [{"call": "submit_order", "nth": 2, "kind": "correction", "detail": {"price": 99.5}}]
    wire = Wire(doors.open(*faults).url)
    cash = wire("GET", "/v2/account").json()["cash"]
    heard = []
    stop = venue.subscribe("main", lambda event: heard.append(trade_update(event, {}, venue.calendar)["data"]["event"]))
    gone = wire.order(qty="4").json()["id"]
    assert wire("GET", f"/v2/orders/{gone}").json()["filled_qty"] == "0"
    assert wire("GET", "/v2/positions").json() == []
    assert wire("GET", "/v2/account/activities/FILL").json() == []
    assert wire("GET", "/v2/account").json()["cash"] == cash
    wire.order(qty="4")
    stop()
    (fill,) = wire("GET", "/v2/account/activities/FILL").json()
    assert (fill["qty"], fill["price"]) == ("4", "99.5")
    assert wire("GET", "/v2/positions").json()[0]["avg_entry_price"] == "99.5"
    assert float(wire("GET", "/v2/account").json()["cash"]) == float(cash) - 398
    assert [name for name in heard if name.startswith("trade_")] == ["trade_bust", "trade_correct"]
    wire.session.close()


def test_a_door_can_be_closed_while_a_client_hangs(doors, venue):
    server = doors.open({"call": "get_account", "nth": 1, "kind": "hang"})
    wire = Wire(server.url)
    with pytest.raises(requests.exceptions.ReadTimeout):
        wire.session.get(server.url + "/v2/account", timeout=0.5)
    server.close()
    with pytest.raises(requests.exceptions.ConnectionError):
        wire("GET", "/v2/account")
    wire.session.close()


def test_a_slow_cancel_may_take_seconds_of_the_exchanges_clock(doors, venue):
    slow = {"call": "cancel_order", "every": 1, "kind": "slow_cancel", "detail": {"seconds": 60}}
    wire = Wire(doors.open(slow).url)
    path = f"/v2/orders/{wire.order(**RESTING).json()['id']}"
    assert wire("DELETE", path).status_code == 204
    assert {wire("GET", path).json()["status"] for _ in range(5)} == {"pending_cancel"}
    venue.at += timedelta(seconds=60)
    assert wire("GET", path).json()["status"] == "canceled"
    wire.session.close()
