"""The stream of prices: what the SDK hears as the clock moves, what JSON hears, and who is turned away."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgpack
import pytest
from alpaca.data.live import StockDataStream
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from scizor_dagster.paper_exchange.alpaca_door import price_stream
from scizor_dagster.paper_exchange.alpaca_door.packing import pack, unpack
from scizor_dagster.paper_exchange.venue_views import DailyBar
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import DAY1, KEY, SECRET, Doors

OPENS = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_stream, "BEAT", 0.01)


@pytest.fixture
def venue(tmp_path: Path) -> Floor:
    floor = Floor(tmp_path, OPENS)
    floor.store(*[DailyBar(name, DAY1, D(100), D(110), D(90), D(105), D(39_000)) for name in ("AAA", "BBB")])
    return floor


class Listener:
    """Plain JSON against the stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self) -> list[dict[str, Any]]:
        found = json.loads(self.socket.recv(timeout=20))
        assert isinstance(found, list)
        return found

    def until(self, kind: str, count: int) -> list[dict[str, Any]]:
        """The first messages of a kind; what else comes is passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += [message for message in self.hear() if message["T"] == kind]
        return found

    def subscribe(self, **channels: list[str]) -> dict[str, Any]:
        self.send(action="subscribe", **channels)
        return self.until("subscription", 1)[0]


@pytest.fixture
def listener(doors: Doors) -> Iterator[Listener]:
    with connect(doors.open().url.replace("http", "ws") + "/v2/iex") as socket:
        found = Listener(socket)
        assert found.hear() == [{"T": "success", "msg": "connected"}]
        found.send(action="auth", key=KEY, secret=SECRET)
        assert found.hear() == [{"T": "success", "msg": "authenticated"}]
        yield found


def test_the_sdk_hears_trades_quotes_and_bars_as_the_clock_moves(doors, venue):
    stream = StockDataStream(KEY, SECRET, url_override=doors.open().url.replace("http", "ws") + "/v2/iex")
    heard: dict[str, Any] = {}
    complete = threading.Event()

    async def hear(row: Any) -> None:
        heard[type(row).__name__] = row
        if len(heard) == 3:
            complete.set()

    stream.subscribe_trades(hear, "AAA")
    stream.subscribe_quotes(hear, "AAA")
    stream.subscribe_bars(hear, "*")
    thread = threading.Thread(target=lambda: asyncio.run(stream._run_forever()), daemon=True)
    thread.start()
    while not complete.wait(0.05):
        venue.move_to(venue.at + timedelta(seconds=30))
    stream._loop.call_soon_threadsafe(stream._stop_stream_event.set)
    asyncio.run_coroutine_threadsafe(stream.stop_ws(), stream._loop)
    thread.join(20)
    trade, quote, bar = heard["Trade"], heard["Quote"], heard["Bar"]
    assert quote.bid_price <= trade.price <= quote.ask_price
    assert trade.timestamp >= OPENS
    assert bar.volume == 100
    assert bar.timestamp.second == 0


def test_a_minutes_bar_goes_out_once_it_has_ended_and_is_the_one_of_the_past(listener, venue, wire):
    listener.subscribe(bars=["AAA"], dailyBars=["BBB"])
    venue.move_to(OPENS + timedelta(minutes=3, seconds=30))
    bars = listener.until("b", 3)
    assert [row["t"][11:16] for row in bars] == ["14:30", "14:31", "14:32"]
    past = wire("GET", "/v2/stocks/AAA/bars?timeframe=1Min").json()["bars"]
    assert [{name: row[name] for name in past[0]} for row in bars] == past[:3]
    venue.move_to(OPENS + timedelta(minutes=4))
    (day,) = listener.until("d", 1)
    assert (day["S"], day["o"]) == ("BBB", 100)


def test_subscriptions_add_up_and_are_taken_back(listener):
    assert listener.subscribe(trades=["BBB"])["trades"] == ["BBB"]
    assert listener.subscribe(trades=["AAA"], quotes=["AAA"])["trades"] == ["AAA", "BBB"]
    listener.send(action="unsubscribe", trades=["BBB"])
    (left,) = listener.until("subscription", 1)
    assert (left["trades"], left["quotes"], left["bars"]) == (["AAA"], ["AAA"], [])


def test_only_what_was_asked_for_is_heard(listener, venue):
    listener.subscribe(trades=["AAA", "NOPE"], quotes=["BBB"])
    venue.move_to(OPENS + timedelta(seconds=1))
    heard = listener.until("t", 1)
    assert {row["S"] for row in heard} == {"AAA"}


def test_what_is_no_request_is_answered_with_an_error(listener):
    for text in ("{", "[]", '{"action": "dance"}'):
        listener.socket.send(text)
        assert listener.hear() == [{"T": "error", "code": 400, "msg": "invalid syntax"}]


@pytest.mark.parametrize("secret", ["wrong", None])
def test_wrong_keys_are_told_so(doors, secret):
    with connect(doors.open().url.replace("http", "ws") + "/v2/sip") as socket:
        found = Listener(socket)
        found.hear()
        found.send(action="auth", key=KEY, secret=secret)
        assert found.hear() == [{"T": "error", "code": 402, "msg": "auth failed"}]


@pytest.mark.parametrize(("path", "headers"), [("/v2/news", {}), ("/stream", {"Content-Type": "application/msgpack"})])
def test_a_stream_that_there_is_not_is_refused_at_once(doors, path, headers):
    with pytest.raises(InvalidStatus, match="403"):
        connect(doors.open().url.replace("http", "ws") + path, additional_headers=headers)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


@given(VALUES)
def test_the_sdks_reader_reads_what_is_written(value):
    assert msgpack.unpackb(pack(value), timestamp=3) == value


@given(
    st.dictionaries(
        st.text(),
        st.lists(st.text(max_size=40), max_size=40) | st.integers(-(2**63), 2**63 - 1) | st.floats(),
        max_size=20,
    )
)
def test_what_the_sdks_writer_writes_is_read(value):
    assert repr(unpack(msgpack.packb(value))) == repr(value)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_message_are_an_error_of_value(data):
    try:
        unpack(data)
    except ValueError:
        return
