"""Every answer that is known of the real API means one thing; every recorded object is read, exactly."""

import json
from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca import rows
from scizor_dagster.brokers.alpaca.outcomes import Outcome, outcome_of
from scizor_dagster.brokers.alpaca.rows import Unreadable
from scizor_dagster.brokers.alpaca.transport import Reply
from scizor_dagster.brokers.protocol import OrderStatus, Side
from scizor_dagster.sessions import TradingCalendar

CALENDAR = TradingCalendar("XNYS")


@pytest.fixture(scope="session")
def recorded(reference_data: Path) -> Callable[[str], Any]:
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    return lambda name: json.loads((folder / f"{name}.json").read_text())


def meaning(row: dict[str, Any]) -> Outcome:
    body = row["body"]
    return outcome_of(Reply(row["http"], body if isinstance(body, dict) else None, str(body)))


def test_every_recorded_error_means_exactly_one_thing(recorded):
    found: dict[Outcome, list[str]] = {}
    for row in recorded("errors"):
        body = row["body"]
        text = body["message"] if isinstance(body, dict) else body
        found.setdefault(meaning(row), []).append(f"{row['http']} {text}")
    assert found.pop(Outcome.DUPLICATE) == ["422 client_order_id must be unique"] * 2
    assert [text.partition(" ")[0] for text in found.pop(Outcome.ABSENT)] == ["404"] * 5
    assert found.pop(Outcome.UNKNOWN) == [
        "401 unauthorized.",
        "403 forbidden.",
        "403 account is not authorized to trade",
        "403 subscription does not permit querying recent SIP data",
        "429 rate limit exceeded",
        "429 too many requests.",
        "504 (HTML or empty)",
    ]
    rejected = found.pop(Outcome.REJECTED)
    assert found == {}
    assert {text[:3] for text in rejected} == {"403", "422"}
    assert len(rejected) == len(recorded("errors")) - 14


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 404, 408, 500, 502, 503, 504])
def test_an_answer_without_a_body_that_can_be_read_is_unknown(status):
    assert outcome_of(Reply(status, None)) is Outcome.UNKNOWN


def test_a_list_is_no_acknowledgement_of_an_order():
    assert outcome_of(Reply(200, [])) is Outcome.UNKNOWN


def every(value: Any, test: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All objects in a file, however deep, that `test` knows."""
    if isinstance(value, list):
        return [found for row in value for found in every(row, test)]
    if not isinstance(value, dict):
        return []
    own = [value] if test(value) else []
    return own + [found for row in value.values() for found in every(row, test)]


def is_order(row: dict[str, Any]) -> bool:
    return "client_order_id" in row and "submitted_at" in row


def test_every_recorded_order_is_read_with_its_exact_figures(reference_data):
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    found = [row for path in sorted(folder.glob("*.json")) for row in every(json.loads(path.read_text()), is_order)]
    assert len(found) >= 50
    for row in found:
        order = rows.order(row, strict=True)
        assert (order.broker_order_id, order.symbol) == (row["id"], row["symbol"])
        assert rows.exact(order.filled_qty) == row["filled_qty"]
        assert order.qty == D(row["qty"] or row["filled_qty"])
        assert order.status.terminal == (row["status"] in {"filled", "canceled", "replaced"})
        assert order.raw["status"] == row["status"]


def test_every_recorded_fill_is_read_and_belongs_to_its_session(recorded):
    for name in ("activities_fill_2026", "activities_partial_fills_2020_2021"):
        for row in recorded(name):
            fill = rows.fill(row, "ours", CALENDAR)
            assert (fill.fill_id, rows.exact(fill.qty), rows.exact(fill.price)) == (row["id"], row["qty"], row["price"])
            assert fill.session.isoformat() == row["transaction_time"][:10]
            assert fill.side is Side(row["side"])


def test_every_recorded_position_is_read_with_its_sign(recorded):
    short = recorded("position_short_weak_provenance")["position"]
    listed = [*recorded("positions_long_SPY_2026-07-24"), *recorded("positions_long_fractional"), short]
    assert [rows.position(row).qty for row in listed] == [D(1), D("0.557436865"), D(-1)]


def test_a_position_whose_side_contradicts_its_quantity_is_not_read(recorded):
    row = recorded("position_short_weak_provenance")["position"] | {"qty": "1"}
    with pytest.raises(Unreadable, match="short with the quantity 1"):
        rows.position(row)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", None),
        ("filled_qty", "NaN"),
        ("filled_qty", True),
        ("qty", "two"),
        ("side", "hold"),
        ("id", ""),
        ("symbol", 7),
        ("submitted_at", "yesterday"),
        ("updated_at", "2026-10-08T15:10:19"),
    ],
)
def test_a_field_that_is_not_what_it_should_be_makes_the_order_unreadable(recorded, name, value):
    row = recorded("order_buy_whole")["submit"] | {name: value}
    with pytest.raises(Unreadable, match=name if name != "qty" else "qty"):
        rows.order(row)


def test_a_status_that_is_not_known_is_unknown_and_says_so_or_is_refused(recorded):
    row = recorded("order_buy_whole")["submit"] | {"status": "held_for_review"}
    found = rows.order(row)
    assert (found.status, found.status.terminal) == (OrderStatus.UNKNOWN, False)
    assert "held_for_review" in found.reason
    with pytest.raises(Unreadable, match="held_for_review"):
        rows.order(row, strict=True)


def test_an_order_that_was_replaced_has_ended_and_names_its_successor(recorded):
    row = next(row for row in recorded("orders_list_nested_states_2021")["response"] if row["status"] == "replaced")
    found = rows.order(row)
    assert (found.status, found.reason) == (OrderStatus.CANCELED, f"replaced by {row['replaced_by']}")


def test_nine_decimals_of_a_second_are_cut_and_not_rounded():
    at = rows.parse_instant("2026-10-08T15:10:19.061298999Z")
    assert at.microsecond == 61298
    assert rows.parse_instant("2026-10-08T15:10:19.5Z").microsecond == 500_000
