"""The stream of trade updates: who may listen, in which frames, and what goes wrong with events."""

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from tests.paper_exchange.alpaca.support import ACCOUNT, KEY, SECRET, UNLIMITED, Wire

KEYS = {"key_id": KEY, "secret_key": SECRET}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
RESTING = {"type": "limit", "limit_price": "50"}


def say(socket: ClientConnection, message: dict[str, Any], *, binary: bool = False) -> Any:
    text = json.dumps(message)
    socket.send(text.encode() if binary else text)
    return json.loads(socket.recv(10))


def listening(url: str) -> ClientConnection:
    socket = connect(url)
    assert say(socket, {"action": "authenticate", "data": KEYS})["data"]["status"] == "authorized"
    assert say(socket, LISTEN)["data"]["streams"] == ["trade_updates"]
    return socket


def events(socket: ClientConnection, count: int) -> list[tuple[str, str]]:
    found = [json.loads(socket.recv(10))["data"] for _ in range(count)]
    return [(row["event"], row["order"]["client_order_id"]) for row in found]


@pytest.mark.parametrize("data", [{**KEYS, "secret_key": "no"}, {"key_id": "PKNO", "secret_key": SECRET}, {}])
def test_wrong_keys_are_told_so_and_shut_out(doors, data):
    with connect(doors.open().stream_url) as socket:
        answer = say(socket, {"action": "authenticate", "data": data})
        assert answer == {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
        with pytest.raises(ConnectionClosed):
            socket.recv(10)


def test_listening_before_the_keys_were_shown_is_unauthorized(doors):
    with connect(doors.open().stream_url) as socket:
        assert say(socket, LISTEN)["data"]["status"] == "unauthorized"


@pytest.mark.parametrize("binary", [True, False])
def test_both_kinds_of_frame_are_understood_and_the_door_chooses_its_own(doors, binary):
    server = doors.open(rules=DoorRules(limits=UNLIMITED.limits, binary_stream=binary))
    with connect(server.stream_url) as socket:
        socket.send("no json")
        assert isinstance(socket.recv(10), bytes) == binary
    with connect(server.stream_url) as socket:
        assert say(socket, {"action": "authenticate", "data": KEYS}, binary=binary)["data"]["status"] == "authorized"
        assert say(socket, LISTEN, binary=not binary)["data"]["streams"] == ["trade_updates"]


def test_streams_that_do_not_exist_are_not_listened_to(doors):
    with connect(doors.open().stream_url) as socket:
        say(socket, {"action": "authenticate", "data": KEYS})
        answer = say(socket, {"action": "listen", "data": {"streams": ["account_updates"]}})
        assert answer["data"]["streams"] == []


def test_what_happened_before_nobody_listened_is_never_told(doors):
    server = doors.open()
    wire = Wire(server.url)
    wire.order(client_order_id="before", **RESTING)
    wire("GET", "/v2/orders")
    with listening(server.stream_url) as socket:
        wire.order(client_order_id="after", **RESTING)
        assert events(socket, 1) == [("pending_new", "after")]
    wire.session.close()


def test_everyone_who_listens_is_told_in_the_same_order(doors):
    server = doors.open()
    wire = Wire(server.url)
    with listening(server.stream_url) as one, listening(server.stream_url) as two:
        order = wire.order(client_order_id="a", **RESTING).json()
        wire("DELETE", f"/v2/orders/{order['id']}")
        expected = [("pending_new", "a"), ("new", "a"), ("canceled", "a")]
        assert events(one, 3) == events(two, 3) == expected
    wire.session.close()


def test_a_second_connection_can_be_turned_away_until_the_first_has_left(doors):
    server = doors.open(rules=DoorRules(limits=UNLIMITED.limits, one_stream=True))
    with listening(server.stream_url), connect(server.stream_url) as second:
        assert say(second, {"action": "authenticate", "data": KEYS})["data"]["status"] == "unauthorized"


def test_a_client_that_has_left_is_no_longer_told(doors, venue):
    server = doors.open()
    with listening(server.stream_url):
        assert len(venue.listeners(ACCOUNT)) == 1
    with connect(server.stream_url) as socket:
        # The same thread of the server has ended the conversation before it answers another one.
        say(socket, {"action": "authenticate", "data": KEYS})
    server.close()
    assert venue.listeners(ACCOUNT) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missed_event", ["pending_new", "canceled"]),
        ("duplicate_event", ["pending_new", "new", "new", "canceled"]),
        ("swapped_events", ["pending_new", "canceled", "new"]),
    ],
)
def test_events_are_lost_doubled_and_swapped_on_demand(doors, kind, expected):
    server = doors.open({"call": "trade_update", "nth": 2, "kind": kind})
    wire = Wire(server.url)
    with listening(server.stream_url) as socket:
        order = wire.order(client_order_id="a", **RESTING).json()
        wire("DELETE", f"/v2/orders/{order['id']}")
        assert [event for event, _ in events(socket, len(expected))] == expected
    wire.session.close()


def test_a_fill_carries_the_position_after_it_and_ids_grow(doors):
    server = doors.open()
    wire = Wire(server.url)
    with listening(server.stream_url) as socket:
        for _ in range(2):
            wire.order(side="sell", symbol="BBB")
        wire("GET", "/v2/orders")
        told = [json.loads(socket.recv(10))["data"] for _ in range(6)]
    assert [row["position_qty"] for row in told if row["event"] == "fill"] == ["-1", "-2"]
    assert [row["event_id"] for row in told] == sorted(row["event_id"] for row in told)
    wire.session.close()
