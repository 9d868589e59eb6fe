"""The door's own habits: who may ask, how figures are spelt, which rows a list has, how positions are closed."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.paper_exchange.alpaca_door import formats
from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import AFTER_CLOSE, BEFORE_OPEN, KEY, OPEN, SECRET, UNLIMITED, Wire, all_orders

RESTING = {"type": "limit", "limit_price": "50"}


def ids(reply: requests.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [row["client_order_id"] for row in reply.json()]


@given(st.decimals(min_value=D("-1e12"), max_value=D("1e12"), places=9))
def test_a_figure_survives_the_wire_exactly_and_without_padding(value):
    text = formats.number(value)
    assert formats.read_number(text) == value
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))


@given(st.integers(0, 3 * 10**15))
def test_an_instant_survives_the_wire(microseconds):
    value = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    text = formats.instant(value)
    assert formats.read_instant(text) == value
    assert text.endswith("Z")


@pytest.mark.parametrize("value", [True, None, "1,5", "NaN", "Infinity", [], "one"])
def test_what_is_no_number_is_none(value):
    assert formats.read_number(value) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-04T15:00:00.123456789Z", OPEN.replace(microsecond=123456)),
        ("2024-03-04T10:00:00-05:00", OPEN),
        ("2024-03-04T15:00:00 00:00", OPEN),
        ("2024-03-04", OPEN.replace(hour=0)),
        ("yesterday", None),
    ],
)
def test_instants_are_read_in_every_spelling_that_clients_send(text, expected):
    assert formats.read_instant(text) == expected


def test_keys_open_their_own_account_and_no_other(tmp_path):
    venue = Floor(tmp_path, OPEN, accounts=("one", "two"))
    with serve_alpaca(venue, {"PK1": ("s1", "one"), "PK2": ("s2", "two")}, rules=UNLIMITED) as server:
        wires = []
        for key, secret in (("PK1", "s1"), ("PK2", "s2")):
            wire = Wire(server.url)
            wire.session.headers.update({"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret})
            wires.append(wire)
        assert wires[0].order(client_order_id="mine").status_code == 200
        assert wires[1].order(client_order_id="mine").status_code == 200, "ids are unique within an account"
        assert len({wire("GET", "/v2/account").json()["id"] for wire in wires}) == 2
        wires[0].session.headers["APCA-API-SECRET-KEY"] = "s2"
        assert wires[0]("GET", "/v2/account").status_code == 401
        for wire in wires:
            wire.session.close()


@pytest.mark.parametrize(("pair", "status"), [(f"{KEY}:{SECRET}", 200), (f"{KEY}:no", 401), ("", 401)])
def test_basic_authorization_is_taken_as_well(doors, pair, status):
    headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    reply = requests.get(f"{doors.open().url}/v2/stocks/quotes/latest?symbols=AAA", headers=headers, timeout=10)
    assert reply.status_code == status


def test_one_accounts_limit_is_not_anothers(tmp_path):
    venue = Floor(tmp_path, OPEN, accounts=("one", "two"))
    keys = {"PK1": ("s", "one"), "PK2": ("s", "two")}
    with serve_alpaca(venue, keys, rules=DoorRules(limits=Limits(trading=1)), wall_clock=lambda: 0.0) as server:
        statuses = []
        for key in ("PK1", "PK1", "PK2"):
            headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": "s"}
            statuses.append(requests.get(server.url + "/v2/clock", headers=headers, timeout=10).status_code)
    assert statuses == [200, 429, 200]


@pytest.mark.parametrize(
    ("sent", "shown"), [("1", "1"), (1, "1"), (1.5, "1.5"), ("0.557436865", "0.557436865"), ("2.500", "2.5")]
)
def test_a_quantity_is_taken_as_text_or_as_a_number(wire, sent, shown):
    assert wire.order(qty=sent).json()["qty"] == shown


def test_a_price_with_the_noise_of_a_float_is_refused_and_not_rounded(wire):
    reply = wire.order(type="limit", limit_price=0.1 + 0.2)
    assert (reply.status_code, "0.30000000000000004" in reply.json()["message"]) == (422, True)


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_malformed(wire, body):
    reply = wire("POST", "/v2/orders", data=body)
    assert (reply.status_code, reply.json()["code"]) == (422, 40010001)


@pytest.mark.parametrize(
    "body",
    [
        {"client_order_id": 7},
        {"symbol": ""},
        {"position_intent": "maybe"},
        {"order_class": "mleg"},
        {"type": "limit", "limit_price": "cheap"},
        {"qty": "NaN"},
        {"order_class": "oto"},
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_refused_and_nothing_is_placed(wire, venue, body):
    assert wire.order(**body).status_code == 422
    assert not all_orders(venue)


@pytest.mark.parametrize("name", ["a/b:c d", "ümläut", "x" * 128, "100%&=?#+"])
def test_an_order_is_found_by_whatever_id_its_client_gave_it(wire, name):
    wire.order(client_order_id=name)
    reply = wire("GET", "/v2/orders:by_client_order_id", params={"client_order_id": name})
    assert (reply.status_code, reply.json()["client_order_id"]) == (200, name)


@pytest.fixture
def listed(wire, venue):
    """Five orders a second apart: three that rest, two of BBB of which one is filled."""
    for second, (symbol, body) in enumerate(
        [("AAA", RESTING), ("BBB", RESTING), ("AAA", RESTING), ("BBB", {}), ("AAA", RESTING)]
    ):
        venue.at = OPEN + timedelta(seconds=second)
        assert wire.order(symbol=symbol, client_order_id=f"o{second}", **body).status_code == 200
    return wire


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["o4", "o2", "o1", "o0"]),
        ({"status": "closed"}, ["o3"]),
        ({"status": "all", "direction": "asc"}, ["o0", "o1", "o2", "o3", "o4"]),
        ({"status": "all", "limit": "2"}, ["o4", "o3"]),
        ({"status": "all", "symbols": "BBB"}, ["o3", "o1"]),
        ({"status": "all", "symbols": "BBB,AAA", "limit": "1"}, ["o4"]),
        ({"side": "sell"}, []),
        ({"status": "all", "after": "2024-03-04T15:00:02.5+00:00"}, ["o4", "o3"]),
        ({"status": "all", "until": "2024-03-04T15:00:00.5Z"}, ["o0"]),
    ],
)
def test_a_list_has_the_orders_that_were_asked_for(listed, query, expected):
    assert ids(listed("GET", "/v2/orders", params=query)) == expected


@pytest.mark.parametrize(("name", "expected"), [("after_order_id", ["o4", "o3"]), ("before_order_id", ["o1", "o0"])])
def test_a_list_goes_on_from_an_order_that_is_not_in_it(listed, name, expected):
    edge = listed("GET", "/v2/orders:by_client_order_id?client_order_id=o2").json()["id"]
    assert ids(listed("GET", "/v2/orders", params={"status": "all", name: edge})) == expected


def test_a_list_has_fifty_orders_unless_more_are_asked_for_and_never_more_than_500(wire, venue):
    for number in range(60):
        wire.order(client_order_id=f"o{number}", **RESTING)
    assert len(ids(wire("GET", "/v2/orders"))) == 50
    assert len(ids(wire("GET", "/v2/orders?limit=500"))) == 60
    assert wire("GET", "/v2/orders?limit=501").status_code == 422


@pytest.mark.parametrize("query", ["status=some", "direction=up", "side=both", "after=yesterday", "limit=none"])
def test_a_list_that_cannot_be_meant_is_refused(wire, query):
    assert wire("GET", f"/v2/orders?{query}").status_code == 422


def test_legs_are_rows_of_their_own_unless_they_are_nested(wire):
    wire.order(order_class="bracket", take_profit={"limit_price": "150"}, stop_loss={"stop_price": "50"})
    flat = wire("GET", "/v2/orders?status=all").json()
    nested = wire("GET", "/v2/orders?status=all&nested=True").json()
    assert (len(flat), len(nested), len(nested[0]["legs"])) == (3, 1, 2)
    assert all(row["legs"] is None for row in flat)


def test_an_order_outside_the_session_rests_as_accepted_until_the_open(venue, wire):
    venue.at = BEFORE_OPEN
    order = wire.order().json()
    assert (order["status"], order["expires_at"]) == ("accepted", "2024-03-04T21:00:00Z")
    venue.move_to(OPEN)
    assert wire("GET", f"/v2/orders/{order['id']}").json()["status"] == "filled"


def test_a_day_order_expires_at_the_close_and_one_until_canceled_does_not(venue, wire):
    day, gtc = (wire.order(time_in_force=word, **RESTING).json()["id"] for word in ("day", "gtc"))
    venue.move_to(AFTER_CLOSE)
    states = [wire("GET", f"/v2/orders/{name}").json() for name in (day, gtc)]
    assert [row["status"] for row in states] == ["expired", "new"]
    assert states[0]["expired_at"] is not None


@pytest.mark.parametrize(("refused", "status"), [(True, 422), (False, 204)])
def test_whether_a_canceled_order_can_be_canceled_again_is_a_rule_of_the_door(doors, refused, status):
    wire = Wire(doors.open(rules=DoorRules(limits=UNLIMITED.limits, repeated_cancel_refused=refused)).url)
    path = f"/v2/orders/{wire.order(**RESTING).json()['id']}"
    assert [wire("DELETE", path).status_code for _ in range(2)] == [204, status]
    wire.session.close()


@pytest.mark.parametrize(
    ("query", "left"),
    [("", "0"), ("?qty=1.5", "0.5"), ("?percentage=50", "1"), ("?percentage=33.3333333", "1.333333334")],
)
def test_a_position_is_closed_whole_or_by_a_part(wire, query, left):
    wire.order(qty="2")
    reply = wire("DELETE", f"/v2/positions/AAA{query}")
    assert (reply.status_code, reply.json()["side"], reply.json()["position_intent"]) == (200, "sell", "sell_to_close")
    rows = wire("GET", "/v2/positions").json()
    assert (rows[0]["qty"] if rows else "0") == left


@pytest.mark.parametrize("query", ["qty=0", "percentage=0", "percentage=101", "qty=1&percentage=1", "qty=x"])
def test_a_part_that_cannot_be_meant_closes_nothing(wire, query):
    wire.order()
    assert wire("DELETE", f"/v2/positions/AAA?{query}").status_code == 422
    assert len(wire("GET", "/v2/positions").json()) == 1


def test_a_short_position_is_closed_by_buying(wire):
    wire.order(side="sell")
    reply = wire("DELETE", "/v2/positions?cancel_orders=true")
    assert [(row["status"], row["body"]["side"]) for row in reply.json()] == [(200, "buy")]
    assert wire("GET", "/v2/positions").json() == []


def test_a_position_and_an_asset_are_found_by_the_assets_id_too(wire, venue):
    wire.order()
    name = venue.listing("AAA").asset_id
    assert wire("GET", f"/v2/positions/{name}").json()["symbol"] == "AAA"
    assert wire("GET", f"/v2/assets/{name}").json()["symbol"] == "AAA"


@pytest.mark.parametrize(
    ("query", "count"), [("", 5), ("?exchange=NYSE", 3), ("?status=inactive", 0), ("?asset_class=crypto", 0)]
)
def test_assets_are_listed_by_what_they_are(wire, query, count):
    assert len(wire("GET", f"/v2/assets{query}").json()) == count


def test_settings_change_one_by_one_and_unknown_ones_are_refused(wire):
    path = "/v2/account/configurations"
    changed = wire("PATCH", path, json={"max_margin_multiplier": "1", "trade_confirm_email": "none"}).json()
    assert (changed["max_margin_multiplier"], changed["trade_confirm_email"]) == ("1", "none")
    assert wire("GET", path).json() == changed
    assert wire("GET", "/v2/account").json()["buying_power"] == "100000"
    sent_back = changed | {"dtbp_check": None, "pdt_check": None, "no_shorting": True}
    assert wire("PATCH", path, json=sent_back).json() == changed | {"no_shorting": True}
    for body in ({"max_margin_multiplier": "3"}, {"suspend_trade": "yes"}, {"turbo": True}):
        assert wire("PATCH", path, json=body).status_code == 422


def fills(wire: Wire, **query: object) -> list[dict[str, str]]:
    reply = wire("GET", "/v2/account/activities/FILL", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("step", [0, 7, 700])
def test_activities_come_in_pages_that_lose_and_double_nothing(wire, venue, step, direction):
    for _ in range(9):
        wire.order()
        venue.move_to(venue.at + timedelta(microseconds=step))
    whole = [row["id"] for row in fills(wire, direction="asc")]
    paged: list[str] = []
    while page := fills(wire, direction=direction, page_size=2, **({"page_token": paged[-1]} if paged else {})):
        paged += [row["id"] for row in page]
    assert paged == (whole if direction == "asc" else whole[::-1])
    assert [row["id"] for row in fills(wire)] == whole[::-1]
    assert len(set(whole)) == 9


def test_activities_are_of_the_category_that_was_asked_for(wire):
    wire.order()
    for category, found in (("trade_activity", 1), ("non_trade_activity", 0)):
        assert len(wire("GET", f"/v2/account/activities?category={category}").json()) == found
    for query in ("category=none", "direction=up"):
        assert wire("GET", f"/v2/account/activities?{query}").status_code == 422


def test_activities_are_of_the_time_that_was_asked_for(wire):
    wire.order()
    at = fills(wire)[0]["transaction_time"]
    assert fills(wire, after=at) == []
    assert len(fills(wire, until=at)) == len(fills(wire, date="2024-03-04")) == 1
    assert fills(wire, date="2024-03-05") == []
    assert wire("GET", "/v2/account/activities?activity_types=DIV,FEE").json() == []
    for query in ("page_token=none", "after=never", "date=never"):
        assert wire("GET", f"/v2/account/activities?{query}").status_code == 422


def test_orders_from_many_threads_are_all_taken_once(doors):
    url = doors.open().url

    def send(number: int) -> int:
        wire = Wire(url)
        status = wire.order(client_order_id=f"o{number % 20}").status_code
        wire.session.close()
        return status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, range(40)))
    assert (statuses.count(200), statuses.count(422)) == (20, 20)
    assert len(all_orders(doors.venue)) == 20


def test_a_port_that_is_taken_is_an_error_at_once(venue, doors):
    port = int(doors.open().url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        serve_alpaca(venue, {}, port=port)
