"""Every recorded reply of the real API has its like from the door: the same names, the same JSON types.

Recordings of 2026 must have exactly our fields. Those of 2021 lack what was added since, and have what
has gone: there each recorded field that still exists must be ours, of its type.
"""

import json
from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_views import DailyBar, NonTrade
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import AFTER_CLOSE, DAY1, DAY2, KEY, OPEN, SECRET, Doors, Wire

GONE = {"daytrade_count", "pattern_day_trader", "daytrading_buying_power", "dtbp_check", "pdt_check"}
"""Fields of the account and its configuration that the API has dropped since 2021."""


@pytest.fixture(scope="session")
def recorded(reference_data: Path) -> Callable[[str], Any]:
    folder = reference_data.parent / "reference" / "alpaca-recorded"

    def read(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_text())

    return read


def kind(value: object) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def differences(theirs: Any, ours: Any, *, exact: bool, path: str = "$") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        expected = set(theirs) - GONE
        found = [f"{path}.{name} is missing" for name in sorted(expected - set(ours))]
        if exact:
            found += [f"{path}.{name} is not recorded" for name in sorted(set(ours) - set(theirs))]
        for name in sorted(expected & set(ours)):
            found += differences(theirs[name], ours[name], exact=exact, path=f"{path}.{name}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        if bool(theirs) != bool(ours):
            return [f"{path}: {len(theirs)} recorded, {len(ours)} here"]
        pairs = zip(theirs, ours, strict=False)
        return [text for i, (a, b) in enumerate(pairs) for text in differences(a, b, exact=exact, path=f"{path}[{i}]")]
    return [] if kind(theirs) == kind(ours) else [f"{path}: {kind(theirs)} recorded, {kind(ours)} here"]


def same(theirs: Any, ours: Any, *, exact: bool = True) -> None:
    assert differences(theirs, ours, exact=exact) == []


def test_the_comparison_sees_a_missing_field_an_added_one_and_another_type():
    assert differences({"a": 1}, {"b": 1}, exact=True) == ["$.a is missing", "$.b is not recorded"]
    assert differences([{"a": "1"}], [{"a": 1}], exact=False) == ["$[0].a: string recorded, number here"]
    assert differences({"a": None}, {"a": "x"}, exact=False) == ["$.a: null recorded, string here"]


def test_a_fresh_account_is_shown_as_recorded_to_the_last_figure(wire, recorded):
    theirs, ours = recorded("account_fresh_paper_2026-07-24"), wire("GET", "/v2/account").json()
    same(theirs, ours)
    figures = [name for name, value in theirs.items() if str(value).isdigit()]
    assert {name: ours[name] for name in figures} == {name: theirs[name] for name in figures}


@pytest.mark.parametrize("name", ["account_paper_2026-10-08_before", "account_paper_2026-10-08_after"])
def test_an_account_that_has_traded_has_the_same_fields(wire, recorded, name):
    wire.order()
    same(recorded(name), wire("GET", "/v2/account").json())


def test_an_account_with_positions_adds_up_as_the_recorded_one(wire, recorded):
    wire.order(qty="30")
    theirs, ours = recorded("account_2021_with_positions")["response"], wire("GET", "/v2/account").json()
    same(theirs, ours, exact=False)
    for row in (theirs, ours):
        value = {name: D(row[name]) for name in ("equity", "cash", "long_market_value", "initial_margin")}
        assert value["equity"] == value["cash"] + value["long_market_value"]
        assert D(row["regt_buying_power"]) == 2 * (value["equity"] - value["initial_margin"])


def test_configurations_have_the_recorded_fields(wire, recorded):
    ours = wire("GET", "/v2/account/configurations").json()
    same(recorded("account_configurations_2021")["response"], ours, exact=False)


ORDERS = {
    "order_buy_notional_fractional": {"qty": None, "notional": "5"},
    "order_buy_whole": {"qty": "1"},
    "order_buy_non_fractionable": {"symbol": "WHOLE"},
    "order_sell_fractional": {"qty": "0.5", "side": "sell"},
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_market_order_is_acknowledged_and_filled_in_the_recorded_shape(wire, recorded, name):
    wire.order(qty="1.5")
    theirs, submitted = recorded(name), wire.order(**ORDERS[name]).json()
    same(theirs["submit"], submitted)
    assert submitted["status"] == theirs["submit"]["status"] == "pending_new"
    filled = wire("GET", f"/v2/orders/{submitted['id']}").json()
    same(theirs["polls"][-1], filled)
    assert filled["status"] == theirs["polls"][-1]["status"] == "filled"


def test_a_limit_order_rests_and_is_canceled_in_the_recorded_shape(wire, recorded):
    theirs = recorded("order_limit_resting_then_canceled")
    submitted = wire.order(type="limit", limit_price="78.19").json()
    same(theirs["submit"], submitted)
    path = f"/v2/orders/{submitted['id']}"
    same(theirs["polls"][0], wire("GET", path).json())
    assert wire("DELETE", path).status_code == 204
    canceled = wire("GET", path).json()
    same(theirs["after_cancel"][0], canceled)
    assert canceled["status"] == "canceled"


def test_the_orders_of_a_flatten_have_the_recorded_shape(wire, recorded):
    wire.order(qty="1.5")
    wire.order(symbol="WHOLE")
    for theirs, symbol in zip(recorded("orders_flatten"), ("AAA", "WHOLE"), strict=True):
        submitted = wire("DELETE", f"/v2/positions/{symbol}").json()
        same(theirs["submit"], submitted)
        same(theirs["polls"][-1], wire("GET", f"/v2/orders/{submitted['id']}").json())
    assert wire("GET", "/v2/positions").json() == []


BRACKET = {"take_profit": {"limit_price": "150"}, "stop_loss": {"stop_price": "50", "limit_price": "49"}}
CLASSES = {
    "order_bracket_submit_2021": {"qty": "2", "order_class": "bracket", **BRACKET},
    "order_oco_submit_2021": {
        "side": "sell",
        "type": "limit",
        "order_class": "oco",
        "take_profit": {"limit_price": "150"},
        "stop_loss": {"stop_price": "50"},
    },
    "order_oto_submit_2021": {"order_class": "oto", "stop_loss": {"stop_price": "50"}},
    "order_stop_sell_2021": {"qty": "2", "side": "sell", "type": "stop", "stop_price": "50"},
    "order_trailing_stop_2021": {"side": "sell", "type": "trailing_stop", "trail_price": "10"},
    "order_trailing_stop_opening_short_2021": {
        "symbol": "BBB",
        "side": "sell",
        "type": "trailing_stop",
        "trail_price": "5",
    },
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_recorded_kind_of_order_is_acknowledged_in_its_shape(wire, recorded, name):
    wire.order(qty="5")
    theirs, ours = recorded(name)["response"], wire.order(**CLASSES[name])
    assert ours.status_code == 200, ours.text
    same(theirs, ours.json(), exact=False)
    assert [leg["status"] for leg in ours.json()["legs"] or ()] == [leg["status"] for leg in theirs["legs"] or ()]
    assert (ours.json()["order_class"], ours.json()["type"]) == (theirs["order_class"], theirs["type"])


def test_a_replaced_order_has_the_recorded_shape_and_keeps_its_birth(wire, recorded):
    wire.order(qty="5")
    old = wire.order(qty="2", side="sell", type="stop", stop_price="50").json()
    wire("GET", "/v2/orders")
    ours = wire("PATCH", f"/v2/orders/{old['id']}", json={"qty": "1", "stop_price": "40"})
    assert ours.status_code == 200, ours.text
    same(recorded("order_replace_patch_2021")["response"], ours.json(), exact=False)
    assert (ours.json()["replaces"], ours.json()["created_at"]) == (old["id"], old["created_at"])


def test_a_cancel_is_answered_with_nothing(wire, recorded):
    theirs = recorded("order_cancel_204_2021")
    order = wire.order(type="limit", limit_price="50").json()
    ours = wire("DELETE", f"/v2/orders/{order['id']}")
    assert (ours.status_code, ours.content) == (theirs["status"], b"")


def test_cancel_all_answers_in_rows_of_the_recorded_shape(wire, recorded):
    theirs = recorded("orders_cancel_all_207_2021")
    wire.order(symbol="BBB", order_class="oto", stop_loss={"stop_price": "50"})
    wire.order(side="sell", type="trailing_stop", trail_price="10")
    ours = wire("DELETE", "/v2/orders")
    assert ours.status_code == theirs["status"]
    same(theirs["response"][:2], ours.json(), exact=False)
    assert ours.json()[0]["body"]["legs"][0]["id"] == ours.json()[0]["id"], "the row of a leg shows its parent"


def test_a_list_of_nested_orders_has_the_recorded_shape_in_every_state(wire, recorded, venue):
    wire.order(qty="9")
    wire("GET", "/v2/orders")
    oco = CLASSES["order_oco_submit_2021"] | {"time_in_force": "gtc"}
    wire("DELETE", f"/v2/orders/{wire.order(**oco).json()['id']}")
    stop = wire.order(qty="2", side="sell", type="stop", stop_price="50").json()
    wire("GET", "/v2/orders")
    successor = wire("PATCH", f"/v2/orders/{stop['id']}", json={"stop_price": "40"}).json()
    wire("DELETE", f"/v2/orders/{successor['id']}")
    wire.order(qty="1", side="sell", type="stop", stop_price="90")
    venue.price("AAA", 80)
    ours = wire("GET", "/v2/orders", params={"status": "all", "nested": "TRUE"}).json()
    shape = {_state(row): row for row in ours}
    theirs = recorded("orders_list_nested_states_2021")["response"]
    states = {_state(row) for row in theirs} - {("filled", "stop", "", True)}
    assert states <= set(shape)
    for row in theirs:
        if _state(row) in shape:
            same(row, shape[_state(row)], exact=False)


def _state(row: dict[str, Any]) -> tuple[str, str, str, bool]:
    return row["status"], row["type"], row["order_class"], row["replaces"] is not None


def test_a_list_of_orders_has_the_recorded_shape(wire, recorded):
    wire.order()
    same(recorded("orders_list_filled_2026-07-24"), wire("GET", "/v2/orders", params={"status": "all"}).json())


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("positions_long_SPY_2026-07-24", {"qty": "1"}),
        ("positions_long_fractional", {"qty": "0.557436865"}),
        ("position_short_weak_provenance", {"side": "sell", "qty": "1"}),
    ],
)
def test_a_position_has_the_recorded_shape(wire, recorded, name, body):
    wire.order(**body)
    theirs, ours = recorded(name), wire("GET", "/v2/positions").json()
    theirs = [theirs["position"]] if "position" in theirs else theirs
    same(theirs, ours)
    for figure in ("qty", "qty_available", "market_value", "cost_basis"):
        assert theirs[0][figure].startswith("-") == ours[0][figure].startswith("-")
    assert theirs[0]["side"] == ours[0]["side"]


def test_closing_a_position_answers_with_an_order_of_the_recorded_shape(wire, recorded):
    wire.order()
    same(recorded("position_close_200_2021")["response"], wire("DELETE", "/v2/positions/AAA").json(), exact=False)


def test_closing_all_can_leave_a_position_open_as_it_was_recorded(doors, recorded):
    theirs = recorded("positions_close_all_207_2021")
    wire = Wire(doors.open({"call": "close_positions", "nth": 1, "kind": "slow_cancel"}).url)
    wire.order(order_class="bracket", **BRACKET)
    ours = wire("DELETE", "/v2/positions?cancel_orders=True")
    wire.session.close()
    assert ours.status_code == theirs["status"] == 207
    same(theirs["response"][0], ours.json()[0], exact=False)
    same(theirs["response"][-1], ours.json()[-1])
    assert ours.json()[-1]["status"] == 403
    assert ours.json()[0]["symbol"] == ours.json()[0]["body"]["legs"][0]["id"], "an order's id stands as the symbol"


def test_a_closed_position_that_does_not_exist_is_refused_as_recorded(wire, recorded):
    theirs, ours = recorded("error_position_not_found_2021"), wire("DELETE", "/v2/positions/AAA")
    assert (ours.status_code, ours.json()) == (theirs["status"], theirs["response"])


def test_an_unknown_asset_is_refused_as_recorded(wire, recorded):
    theirs, ours = recorded("error_asset_not_found_2021"), wire("GET", "/v2/assets/BLAH")
    assert (ours.status_code, ours.json()) == (theirs["status"], theirs["response"])


@pytest.mark.parametrize("name", ["assets_2026", "assets_not_tradable_2026-07-24"])
def test_assets_have_the_recorded_shape(wire, recorded, name):
    ours = wire("GET", "/v2/assets").json()
    for theirs in recorded(name):
        same(theirs | {"attributes": []}, ours[0] | {"attributes": []})


def test_one_asset_has_the_recorded_shape(wire, recorded):
    same(recorded("asset_2021_TSLA")["response"], wire("GET", "/v2/assets/AAA").json(), exact=False)


def test_the_clock_has_the_recorded_shape_open_and_closed(wire, recorded, venue):
    same(recorded("clock_open_2026-07-24"), wire("GET", "/v2/clock").json())
    venue.move_to(AFTER_CLOSE)
    ours = wire("GET", "/v2/clock").json()
    same(recorded("clock_closed_2021")["response"], ours)
    assert (ours["is_open"], ours["next_open"][:10]) == (False, DAY2.isoformat())


def test_early_closes_are_in_the_calendar_as_recorded(wire, recorded):
    ours = wire("GET", "/v2/calendar?start=2020-11-02&end=2020-12-25").json()
    theirs = recorded("calendar_early_closes_2021")["response"]
    same(theirs, ours, exact=False)
    times = {row["date"]: (row["open"], row["close"]) for row in ours}
    assert {row["date"]: (row["open"], row["close"]) for row in theirs}.items() <= times.items()
    assert "2020-11-26" not in times


def test_fills_are_activities_of_the_recorded_shape(wire, recorded):
    wire.order()
    same(recorded("activities_fill_2026")[:1], wire("GET", "/v2/account/activities/FILL").json())


def test_partial_fills_are_activities_of_the_recorded_shape(doors, recorded):
    wire = Wire(doors.open({"call": "submit_order", "nth": 1, "kind": "partial_then_cancel"}).url)
    wire.order(qty="4", type="limit", limit_price="100")
    ours = wire("GET", "/v2/account/activities/FILL").json()
    wire.session.close()
    theirs = [row for row in recorded("activities_partial_fills_2020_2021") if row["type"] == "partial_fill"]
    same(theirs[:1], ours)
    assert (ours[0]["type"], ours[0]["order_status"]) == (theirs[0]["type"], theirs[0]["order_status"])


def test_a_deposit_is_an_activity_of_the_recorded_shape(wire, venue, recorded):
    venue.booked = [NonTrade("a", "deposit", DAY1, OPEN, None, D(100_000), D(0), None, "")]
    ours = wire("GET", "/v2/account/activities").json()
    same(recorded("activities_jnlc_2026"), ours)
    assert ours[0]["activity_type"] == "JNLC"


@pytest.fixture
def history(venue: Floor) -> list[DailyBar]:
    figures = [D("508.57"), D("509.94"), D("495.33"), D("500.04"), D(40425833)]
    rows = [DailyBar("AAA", session, *figures) for session in (DAY1, DAY2)]
    venue.store(*rows)
    venue.move_to(AFTER_CLOSE.replace(day=5))
    return rows


def bars(wire: Wire, path: str = "/v2/stocks/bars?symbols=AAA&", **query: Any) -> Any:
    return wire("GET", path + "timeframe=1Day&start=2024-03-01&end=2024-03-05", params=query).json()


@pytest.mark.parametrize("name", ["bars_daily_iex_raw_excerpt", "bars_daily_sip_raw_excerpt"])
def test_daily_bars_have_the_recorded_shape(wire, recorded, history, name):
    same(recorded(name)["bars"]["AAPL"], bars(wire)["bars"]["AAA"])


def test_a_page_of_bars_has_the_official_shape_and_token(wire, recorded, history):
    theirs, ours = recorded("official_example_bars_page")["bars"], bars(wire, limit=1)
    same(theirs | {"bars": theirs["bars"]["AAPL"]}, ours | {"bars": ours["bars"]["AAA"]})


@pytest.mark.parametrize(
    ("name", "query"), [("bars_single_symbol_daily_2021", {}), ("bars_single_symbol_paged_2021", {"limit": 1})]
)
def test_bars_of_one_symbol_have_the_recorded_shape(wire, recorded, history, name, query):
    same(recorded(name)["response"], bars(wire, "/v2/stocks/AAA/bars?", **query), exact=False)


def test_snapshots_have_the_recorded_and_the_official_shape(wire, recorded, history):
    ours = wire("GET", "/v2/stocks/snapshots?symbols=AAA").json()["AAA"]
    same(recorded("snapshots_2021")["response"]["SPOT"], ours, exact=False)
    same(recorded("official_example_snapshots")["snapshots"]["AAPL"], ours)


def test_corporate_actions_have_the_recorded_shape(wire, venue, recorded, history):
    venue.act(
        SessionAction("AAA", DAY1, "dividend", amount=D("0.82")),
        SessionAction("AAA", DAY2, "split", ratio=D(4)),
    )
    ours = wire("GET", "/v1/corporate-actions?symbols=AAA&start=2024-03-01&end=2024-03-31").json()
    same({"corporate_actions": recorded("corporate_actions"), "next_page_token": None}, ours)
    split, theirs = (rows["forward_splits"][0] for rows in (ours["corporate_actions"], recorded("corporate_actions")))
    assert (split["new_rate"], split["old_rate"]) == (theirs["new_rate"], theirs["old_rate"])


def test_the_stream_tells_the_recorded_messages_in_their_order_and_shape(doors: Doors, recorded):
    server = doors.open()
    wire = Wire(server.url)
    with connect(server.stream_url) as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": KEY, "secret_key": SECRET}}))
        ours = [json.loads(socket.recv(10))]
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        ours.append(json.loads(socket.recv(10)))
        wire.order()
        wire("GET", "/v2/orders")
        ours += [json.loads(socket.recv(10)) for _ in range(3)]
    wire.session.close()
    theirs = recorded("stream_trade_updates_2026-07-24")
    same(theirs, ours)
    assert ours[:2] == theirs[:2]
    assert [row["data"]["event"] for row in ours[2:]] == [row["data"]["event"] for row in theirs[2:]]


def test_no_recorded_file_is_left_out(reference_data):
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    here = Path(__file__).read_text()
    missing = [path.stem for path in folder.glob("*.json") if path.stem not in here and path.stem != "errors"]
    assert missing == []
