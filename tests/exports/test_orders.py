"""The log of a session's orders, and what has filled of them."""

from dataclasses import replace
from typing import Any

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.exports.orders import execution_log, exits_of, filled_orders
from scizor_dagster.tabular.model import Table
from tests.exports.books import AT, BUY, SELL, D, facts, fill, history

EXECUTED = {"side": "buy", "price": "10.25", "fee": "0.5", "executed_at": AT.isoformat(), "symbol": "AAPL"}
STORY = history(
    ("intent_ready", "buy", {"from": "held", "to": "ready", "reason": None, "final_qty": "8"}),
    ("verdict", "buy", {"passed": True}),
    ("intent_ready", "buy", {"from": "ready", "to": "ready", "cleared_hash": "hash"}),
    ("intent_sending", "buy", {"from": "ready", "to": "sending", "resend": False}),
    ("intent_working", "buy", {"from": "sending", "to": "working", "broker_order_id": "O1"}),
    ("fill", "buy", {**EXECUTED, "fill_id": "F1", "qty": "3", "client_order_id": "buy"}),
    ("intent_partially_filled", "buy", {"from": "working", "to": "partially_filled", "filled_qty": "3"}),
    ("fill_corrected", "buy", {**EXECUTED, "fill_id": "F1", "qty": "2", "client_order_id": "buy"}),
    ("intent_rejected", "sell", {"from": "ready", "to": "rejected", "reason": "=not shortable"}),
    ("fill", "buy", {**EXECUTED, "fill_id": "F2", "qty": "2", "side": "sell", "client_order_id": "buy-stop"}),
    ("fill_busted", "buy", {**EXECUTED, "fill_id": "F1", "qty": "0", "client_order_id": "buy"}),
)


def rows_of(table: Table | None) -> list[dict[str, Any]]:
    assert table is not None
    return [dict(zip(table.names, row, strict=True)) for row in table.rows]


def test_the_log_tells_each_order_step_by_step_in_the_order_it_happened() -> None:
    rows = rows_of(execution_log(facts(events=STORY)))
    shown = [(row["event"], row["status_before"], row["status"], row["qty"], row["filled_qty"]) for row in rows]
    assert shown == [
        ("intent_ready", "held", "ready", 8, 0),
        ("intent_sending", "ready", "sending", 8, 0),
        ("intent_working", "sending", "working", 8, 0),
        ("fill", "working", "working", 3, 3),
        ("intent_partially_filled", "working", "partially_filled", 8, 3),
        ("fill_corrected", "partially_filled", "partially_filled", 2, 2),
        ("intent_rejected", "ready", "rejected", 10, 0),
        ("fill", "partially_filled", "partially_filled", 2, 2),
        ("fill_busted", "partially_filled", "partially_filled", 0, 0),
    ]
    assert [row["ts"] for row in rows] == sorted(row["ts"] for row in rows)
    assert [row["order_id"] for row in rows[:4]] == [None, None, "O1", "O1"]


def test_an_execution_has_its_own_price_fee_and_time_and_an_order_its_limit() -> None:
    rows = rows_of(execution_log(facts(events=STORY)))
    sent, executed, rejected, left = rows[1], rows[3], rows[6], rows[7]
    assert (sent["price"], sent["notional"], sent["fee"], sent["fill_id"]) == (D("10.5"), D(80), None, None)
    assert (executed["price"], executed["notional"], executed["fee"]) == (D("10.25"), D("30.75"), D("0.5"))
    assert (executed["fill_id"], executed["executed_at"], executed["side"]) == ("F1", AT, "BUY")
    assert (rejected["reason"], rejected["price"], rejected["side"]) == ("=not shortable", None, "SELL")
    assert (left["client_order_id"], left["side"]) == ("buy-stop", "SELL")


def test_what_was_never_admitted_has_no_log_and_an_admitted_plan_without_orders_an_empty_one() -> None:
    assert execution_log(facts(traded=False)) is None
    assert filled_orders(facts(traded=False)) is None
    assert (rows_of(execution_log(facts())), rows_of(filled_orders(facts()))) == ([], [])


def test_an_order_that_filled_in_parts_is_one_row_with_its_average_and_its_cost() -> None:
    fills = {"buy": [fill(BUY, 1, "4", "10.10", "0.4"), fill(BUY, 2, "6", "10.35", "0.6"), fill(BUY, 3, "0", "99")]}
    (row,) = rows_of(filled_orders(facts(fills=fills, currencies={"AAPL": "AUD"})))
    assert (row["qty"], row["average_price"], row["fees"], row["fills"]) == (10, D("10.25"), D(1), 2)
    assert (row["slippage"], row["slippage_bps"]) == (D("2.5"), D(250))
    assert (row["last_fill"] - row["first_fill"]).total_seconds() == 1
    assert (row["status"], row["currency"], row["order_id"], row["exit_of"]) == ("filled", "AUD", "O1", None)


def test_a_sale_below_its_price_is_a_cost_too() -> None:
    (row,) = rows_of(filled_orders(facts(fills={"sell": [fill(SELL, 1, "5", "9.90")]})))
    assert (row["slippage"], row["slippage_bps"], row["planned_qty"]) == (D("0.5"), D(100), 10)


def test_an_order_sized_on_no_price_has_no_slippage() -> None:
    stranger = replace(BUY, price_used=D(0))
    (row,) = rows_of(filled_orders(facts(intents=(stranger,), fills={"buy": [fill(BUY, 1, "5", "9.90")]})))
    assert (row["slippage"], row["slippage_bps"]) == (None, None)


def test_an_exit_of_a_bracket_stands_behind_the_order_that_it_protects() -> None:
    fills = {
        "buy": [fill(BUY, 1, "4", "10")],
        "buy-stop": [fill(BUY, 2, "4", "9", client_order_id="buy-stop", side=Side.SELL)],
        "sell": [fill(SELL, 3, "5", "10")],
    }
    assert exits_of(STORY) == {"buy": ["buy-stop"]}
    rows = rows_of(filled_orders(facts(events=STORY, fills=fills)))
    assert [(row["client_order_id"], row["exit_of"], row["side"]) for row in rows] == [
        ("buy", None, "BUY"), ("buy-stop", "buy", "SELL"), ("sell", None, "SELL"),
    ]  # fmt: skip
    assert {rows[1][name] for name in ("slippage", "slippage_bps", "status", "planned_qty", "order_id")} == {None}
