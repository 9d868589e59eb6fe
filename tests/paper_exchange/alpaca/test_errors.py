"""Every refusal that is known of the real API comes from the door, for a request that earns it.

`PROVOKED` pairs rows of the recorded list of errors with requests; rows that cannot occur here are in
`ELSEWHERE` with the reason. Together they are the whole list.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.alpaca_door.errors import wire_error
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.venue_orders import Refused
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import OPEN, Doors, Wire

Provoke = Callable[[Wire, Floor], requests.Response]
RESTING = {"type": "limit", "limit_price": "50"}
FAR = {"take_profit": {"limit_price": "150"}, "stop_loss": {"stop_price": "50"}}
STOP_ABOVE = {"stop_loss": {"stop_price": "150"}}


def order(**body: Any) -> Provoke:
    return lambda wire, venue: wire.order(**body)


def second(first: dict[str, Any], then: dict[str, Any], *, settle: bool = True) -> Provoke:
    def provoke(wire: Wire, venue: Floor) -> requests.Response:
        assert wire.order(**first).status_code == 200
        if settle:
            wire("GET", "/v2/orders")
        return wire.order(**then)

    return provoke


def at(hour: int, minute: int, **body: Any) -> Provoke:
    def provoke(wire: Wire, venue: Floor) -> requests.Response:
        venue.move_to(OPEN.replace(hour=hour, minute=minute))
        return wire.order(**body)

    return provoke


def settings(changes: dict[str, Any], **body: Any) -> Provoke:
    def provoke(wire: Wire, venue: Floor) -> requests.Response:
        assert wire("PATCH", "/v2/account/configurations", json=changes).status_code == 200
        return wire.order(**body)

    return provoke


def get(path: str, method: str = "GET", **arguments: Any) -> Provoke:
    return lambda wire, venue: wire(method, path, **arguments)


def patch(first: dict[str, Any], changes: dict[str, Any], *, settle: bool = True, then: str | None = None) -> Provoke:
    """Change an order; `then` happens to it before: `DELETE`, or another PATCH."""

    def provoke(wire: Wire, venue: Floor) -> requests.Response:
        wire.order(symbol="BBB", qty="5")
        row = wire.order(**first).json()
        if settle:
            wire("GET", "/v2/orders")
        path = f"/v2/orders/{row['id']}"
        if then is not None:
            assert wire(then, path, json={"limit_price": "60"} if then == "PATCH" else None).ok
        return wire("PATCH", path, json=changes)

    return provoke


def patch_leg(wire: Wire, venue: Floor) -> requests.Response:
    row = wire.order(order_class="bracket", **FAR).json()
    wire("GET", "/v2/orders")
    return wire("PATCH", f"/v2/orders/{row['legs'][0]['id']}", json={"qty": "2"})


def patch_partly_filled(wire: Wire, venue: Floor) -> requests.Response:
    row = wire.order(qty="4", **RESTING).json()
    wire("GET", "/v2/orders")
    venue.price("AAA", 40, volume=2)
    return wire("PATCH", f"/v2/orders/{row['id']}", json={"qty": "2"})


def delete(first: dict[str, Any], *, twice: bool = False) -> Provoke:
    def provoke(wire: Wire, venue: Floor) -> requests.Response:
        path = f"/v2/orders/{wire.order(**first).json()['id']}"
        if twice:
            assert wire("DELETE", path).status_code == 204
        return wire("DELETE", path)

    return provoke


def hard_to_borrow(wire: Wire, venue: Floor) -> requests.Response:
    return wire.order(symbol="SCARCE", side="sell", time_in_force="gtc", **{**RESTING, "limit_price": "150"})


def closing_of_what_is_held(wire: Wire, venue: Floor) -> requests.Response:
    wire.order(order_class="bracket", **FAR)
    wire("GET", "/v2/orders")
    return wire("DELETE", "/v2/positions/AAA")


def without_headers(wire: Wire, venue: Floor) -> requests.Response:
    return requests.get(wire.url + "/v2/account", timeout=10)


def live_keys(wire: Wire, venue: Floor) -> requests.Response:
    return wire("GET", "/v2/account", headers={"APCA-API-KEY-ID": "AKLIVE"})


PROVOKED: dict[tuple[int, int | None, str], Provoke] = {
    (401, None, "unauthorized."): without_headers,
    (403, None, "forbidden."): live_keys,
    (403, 40310000, "insufficient buying power"): order(qty="100000"),
    (403, 40310000, "insufficient qty available for order (requested: 1.057436865, available: 0.557436865)"): second(
        {"qty": "0.557436865"}, {"qty": "1.057436865", "side": "sell"}
    ),
    (403, 40310000, "insufficient qty available for order (requested: 1, available: 0)"): closing_of_what_is_held,
    (403, 40310000, 'asset "OCGN" is not fractionable'): order(symbol="WHOLE", qty="0.5"),
    (403, 40310000, "potential wash trade detected. use complex orders"): second(
        {"type": "stop", "stop_price": "150"}, {"side": "sell"}
    ),
    (403, 40310000, "account is not allowed to short"): settings({"no_shorting": True}, side="sell"),
    (403, 40310000, "cannot open a long buy while a short sell order is open"): second(
        {"side": "sell", "type": "limit", "limit_price": "150"}, RESTING
    ),
    (403, 40310000, "cannot open a short sell while a long buy order is open"): second(
        RESTING, {"side": "sell", "type": "limit", "limit_price": "150"}
    ),
    (403, 40310000, "new orders are rejected by user request"): settings({"suspend_trade": True}),
    (403, 40310000, "opg orders must be submitted after 7:00pm and before 9:28am"): at(15, 1, time_in_force="opg"),
    (403, 40310000, "cls orders must be submitted after 7:00pm and before 3:55pm"): at(20, 51, time_in_force="cls"),
    (403, 40310000, "cost basis must be >= minimal amount of order 1"): order(qty="0.001"),
    (403, 40310000, "fractional trading is disabled for this account"): settings(
        {"fractional_trading": False}, qty="0.5"
    ),
    (403, None, "subscription does not permit querying recent SIP data"): get(
        "/v2/stocks/bars?symbols=AAA&timeframe=1Day&feed=sip&end=2024-03-04T15:00:00Z"
    ),
    (404, 40410000, "asset not found for BLAH"): get("/v2/assets/BLAH"),
    (404, 40410000, "position does not exist"): get("/v2/positions/AAA", "DELETE"),
    (404, 40410000, "order not found for probe1346-1789474509-c"): get(
        "/v2/orders:by_client_order_id?client_order_id=probe1346-1789474509-c"
    ),
    (404, 40410000, "endpoint not found"): get("/v2/nowhere"),
    (422, 40010001, "client_order_id must be unique"): second({"client_order_id": "a"}, {"client_order_id": "a"}),
    (422, 42210000, "client_order_id must be unique"): second(
        {"client_order_id": "a", **RESTING}, {"client_order_id": "a"}
    ),
    (422, 40010001, "client_order_id must be no more than 128 characters"): order(client_order_id="x" * 129),
    (422, 40010001, "only one of qty or notional is accepted"): order(notional="5"),
    (422, 40010001, "qty must be > 0"): order(qty="0"),
    (422, 40010001, "limit orders require a limit price"): order(type="limit"),
    (422, 40010001, "stop orders require a stop price"): order(type="stop"),
    (422, 40010001, "trailing stop orders must specify one of trail_price or trail_percent"): order(
        type="trailing_stop"
    ),
    (422, 40010001, "order_id is missing"): get("/v2/orders/no-uuid"),
    (422, 40010001, "stop limit orders require both stop and limit price"): order(type="stop_limit", stop_price="99"),
    (422, 40010001, "limit price must be > 0"): order(type="limit", limit_price="0"),
    (422, 40010001, "trail_percent must be greater than or equal to 0.1"): order(
        type="trailing_stop", trail_percent="0.05"
    ),
    (422, 40010001, "qty or notional is required"): order(qty=None),
    (422, 40010001, "invalid order type"): order(type="peg"),
    (422, 40010001, "invalid side"): order(side="hold"),
    (422, 40010001, "invalid time_in_force"): order(time_in_force="week"),
    (422, 40010001, "market orders require no stop or limit price"): order(limit_price="5"),
    (422, 40010001, "notional must be >= 1.00"): order(qty=None, notional="0.5"),
    (422, 42210000, 'asset "ZZZZNOTREAL" not found'): order(symbol="ZZZZNOTREAL"),
    (422, 42210000, "fractional orders cannot be sold short"): order(side="sell", qty="0.5"),
    (422, 42210000, "fractional orders must be DAY orders"): order(qty="0.5", time_in_force="gtc"),
    (422, 42210000, "fractional orders must be simple orders"): order(qty="0.5", order_class="bracket", **FAR),
    (422, 42210000, "notional value must be limited to 2 decimal places"): order(qty=None, notional="5.001"),
    (
        422,
        42210000,
        "invalid limit_price 41.085. sub-penny increment does not fulfill minimum pricing criteria",
    ): order(type="limit", limit_price="41.085"),
    (422, 42210000, 'asset "LQD" cannot be sold short'): order(symbol="HARD", side="sell"),
    (422, 42210000, 'only day orders are allowed for hard-to-borrow asset "GVH"'): hard_to_borrow,
    (422, 42210000, "bracket orders must be entry orders"): second(
        {"qty": "2"}, {"side": "sell", "order_class": "bracket", "take_profit": {"limit_price": "40"}, **STOP_ABOVE}
    ),
    (422, 42210000, "bracket orders require take_profit.limit_price"): order(
        order_class="bracket", stop_loss={"stop_price": "50"}
    ),
    (422, 42210000, "oco orders must be exit orders"): order(side="sell", type="limit", order_class="oco", **FAR),
    (422, 42210000, "take_profit.limit_price must be > stop_loss.stop_price"): order(
        order_class="bracket", take_profit={"limit_price": "40"}, stop_loss={"stop_price": "50"}
    ),
    (422, 42210000, "take_profit.limit_price must be < stop_loss.stop_price"): order(
        side="sell", order_class="bracket", **FAR
    ),
    (422, 42210000, "stop_loss.stop_price must be <= base_price - 0.01"): order(
        order_class="bracket", take_profit={"limit_price": "150"}, stop_loss={"stop_price": "100"}
    ),
    (422, 42210000, "stop price must be less than current price"): second(
        {"qty": "2"}, {"side": "sell", "type": "stop", "stop_price": "101"}
    ),
    (422, 42210000, "extended hours order must be DAY or GTC limit orders"): order(extended_hours=True),
    (422, 42210000, "position intent mismatch, inferred: {inferred}, specified: {specified}"): order(
        side="sell", position_intent="sell_to_close"
    ),
    (422, 42210000, 'order is already in "filled" state'): delete({}),
    (422, 42210000, 'order is already in "canceled" state'): delete(RESTING, twice=True),
    (422, 42210000, "cannot replace order in accepted status"): at(14, 5),
    (422, 42210000, "order already replaced"): patch(RESTING, {"limit_price": "61"}, then="PATCH"),
    (422, 42210000, "order parameters are not changed"): patch(RESTING, {}),
    (422, 42210000, "qty must be > filled_qty"): patch_partly_filled,
    (422, 42210000, "unable to replace order, order is not open"): patch(RESTING, {"qty": "2"}, then="DELETE"),
    (422, 42210000, "qty cannot be changed for advanced orders"): patch_leg,
}
ELSEWHERE = {
    "account is not authorized to trade": "every account of the exchange is active",
    "trade denied due to pattern day trading protection": "the rule ended on 2026-06-04",
    "symbol not found: {symbol}": "of endpoints that the exchange does not have",
    "us_equity orders not allowed for account": "every account may trade equities",
    "order chain not fully replaced": "a successor stands before the answer is given",
    "rate limit exceeded": "test_too_many_requests_are_refused_on_either_side",
    "too many requests.": "test_too_many_requests_are_refused_on_either_side",
    "(HTML or empty)": "of the gateway: a fault of the script, tested with the others",
}


def rows(reference_data: Any) -> list[dict[str, Any]]:
    return json.loads((reference_data.parent / "reference" / "alpaca-recorded" / "errors.json").read_text())


def message(row: dict[str, Any]) -> str:
    return row["body"]["message"] if isinstance(row["body"], dict) else row["body"]


def test_every_recorded_error_is_provoked_or_named_with_a_reason(reference_data):
    known = {key[2] for key in PROVOKED} | set(ELSEWHERE)
    assert {message(row) for row in rows(reference_data)} == known


def pattern(text: str) -> str:
    """The recorded sentence with its names, figures and placeholders open."""
    text = re.escape(text).replace("\\ ", " ")
    text = re.sub(r'asset "[^"]+"', 'asset "[^"]+"', text)
    text = re.sub(r"\\\{\w+\\\}", r"\\w+", text)
    return re.sub(r"for (BLAH|probe\S+)", r"for \\S+", text)


@pytest.mark.parametrize("key", PROVOKED, ids=lambda key: f"{key[0]}-{key[2][:50]}")
def test_a_request_that_earns_it_gets_the_recorded_error(key, wire, venue, reference_data):
    http, code, text = key
    venue.at = venue.at if text != "cannot replace order in accepted status" else OPEN.replace(hour=14)
    reply = PROVOKED[key](wire, venue)
    if text == "cannot replace order in accepted status":
        reply = wire("PATCH", f"/v2/orders/{reply.json()['id']}", json={"qty": "2"})
    body = reply.json()
    assert (reply.status_code, body.get("code")) == (http, code), body
    assert re.fullmatch(pattern(text), body["message"])
    recorded = [
        row["body"]
        for row in rows(reference_data)
        if (row["http"], row["body"].get("code") if isinstance(row["body"], dict) else 0, message(row)) == key
    ]
    assert any({n: type(v) for n, v in row.items()} == {n: type(v) for n, v in body.items()} for row in recorded), body


def test_too_many_requests_are_refused_on_either_side_with_their_headers(venue):
    doors = Doors(venue)
    rules = DoorRules(limits=Limits(trading=2, data=1))
    wire = Wire(doors.open(rules=rules, wall_clock=lambda: 1_000_000_010.0).url)
    allowed = [wire("GET", "/v2/clock") for _ in range(3)]
    assert [reply.status_code for reply in allowed] == [200, 200, 429]
    assert allowed[2].json() == {"code": 42910000, "message": "rate limit exceeded"}
    names = [f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")]
    assert [[reply.headers[name] for name in names] for reply in allowed] == [
        ["2", "1", "1000000020"],
        ["2", "0", "1000000020"],
        ["2", "0", "1000000020"],
    ]
    data = [wire("GET", "/v2/stocks/quotes/latest?symbols=AAA") for _ in range(2)]
    assert [(reply.status_code, reply.text[:18]) for reply in data][1] == (429, "too many requests.")
    wire.session.close()
    doors.close()


def test_a_new_minute_allows_again(venue):
    now = [60.0]
    doors = Doors(venue)
    wire = Wire(doors.open(rules=DoorRules(limits=Limits(trading=1)), wall_clock=lambda: now[0]).url)
    assert [wire("GET", "/v2/clock").status_code for _ in range(2)] == [200, 429]
    now[0] = 120.0
    assert wire("GET", "/v2/clock").status_code == 200
    wire.session.close()
    doors.close()


def test_a_refusal_that_the_table_does_not_know_keeps_the_venues_sentence():
    error = wire_error(Refused("something_new", "this is not done here"))
    assert (error.http, error.body) == (422, {"code": 42210000, "message": "this is not done here"})


def test_a_refusal_without_its_figures_keeps_the_venues_sentence():
    error = wire_error(Refused("insufficient_qty", "insufficient qty available for order"))
    assert (error.http, error.message) == (403, "insufficient qty available for order")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/orders?after=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59-12:00",
        "/v2/account/activities?date=0001-01-01",
        "/v2/account/portfolio/history?start=0001-01-01&end=9999-12-31",
        "/v2/calendar?start=9999-12-31&end=9999-12-31",
        "/v1/corporate-actions?start=0001-01-01&end=9999-12-31",
        "/v2/corporate_actions/announcements?ca_types=split&since=9999-12-01&until=9999-12-31",
        "/v2/stocks/bars?symbols=AAA&timeframe=1Month&start=0001-01-01&end=9999-12-31",
        "/v2/stocks/trades?symbols=AAA&start=0001-01-01&end=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_bounds_at_the_ends_of_the_calendar_mean_all_that_there_is(wire, path):
    reply = wire("GET", path)
    assert reply.status_code == 200, reply.text
