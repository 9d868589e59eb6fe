"""Prices and positions of a session: exact, with no number that nobody knows."""

from datetime import date
from decimal import Decimal

from scizor_dagster.exports.positions import current_positions, positions_eod, real_prices
from scizor_dagster.exports.values import as_decimal, as_instant, as_text
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.exports.books import AT, SESSION, D, close, facts, reconciled
from tests.exports.test_orders import rows_of
from tests.planning.books import ALPACA_LIKE, inputs_of


def test_prices_are_those_of_the_plan_and_what_has_none_has_no_row() -> None:
    plan = make_plan(inputs_of({"A": "0.3", "B": "0.3"}, {"A": "10.50"}), PlanningRules(), ALPACA_LIKE)
    line = next(row for row in plan.lines if row.symbol == "A")
    assert line.price_session is not None
    rows = rows_of(real_prices(facts(plan=plan, currencies={"A": "AUD"}, price_ages={line.price_session: 2})))
    assert [tuple(row.values()) for row in rows] == [
        ("A", D("10.50"), line.price_session, line.price_source, "AUD", plan.adjustment, 2)
    ]
    assert real_prices(facts()) is None


def test_positions_have_their_value_and_their_share_of_the_equity() -> None:
    held = {"MSFT": D(-5), "AAPL": D(10)}
    rows = rows_of(
        current_positions(facts(holdings=held, cash=D(50), closes={"AAPL": close("10"), "MSFT": close("20")}))
    )
    assert [tuple(row.values()) for row in rows] == [
        ("AAPL", 10, 100, 10, SESSION, 2, "USD"), ("MSFT", -5, -100, 20, SESSION, -2, "USD"),
    ]  # fmt: skip


def test_a_holding_without_a_price_leaves_every_share_of_the_equity_unknown() -> None:
    held = {"AAPL": D(10), "MSFT": D(5)}
    rows = rows_of(current_positions(facts(holdings=held, cash=D(50), closes={"AAPL": close("10")})))
    assert [(row["symbol"], row["market_value"], row["weight"]) for row in rows] == [
        ("AAPL", 100, None), ("MSFT", None, None),
    ]  # fmt: skip


def test_without_equity_or_cash_there_is_no_share_of_it() -> None:
    for cash in (None, D(-100), D(-200)):
        (row,) = rows_of(current_positions(facts(holdings={"AAPL": D(10)}, cash=cash, closes={"AAPL": close("10")})))
        assert (row["market_value"], row["weight"]) == (100, None)


def test_holding_nothing_is_a_file_and_not_knowing_what_is_held_is_none() -> None:
    assert rows_of(current_positions(facts(holdings={}, cash=D(1)))) == []
    assert current_positions(facts()) is None


def test_the_end_of_day_is_that_of_the_newest_reconciliation() -> None:
    row = {
        "symbol": "AAPL", "qty": "10", "broker_qty": "9", "target_qty": None, "price": 10.1,
        "price_session": SESSION, "market_value": float("nan"),
    }  # fmt: skip
    newest = reconciled(positions=[row | {"symbol": "B"}, row])
    found = rows_of(positions_eod(facts(reconciled=[reconciled(), newest])))
    assert [tuple(row.values()) for row in found] == [
        ("AAPL", 10, None, D("10.1"), SESSION, 9, None, "USD"), ("B", 10, None, D("10.1"), SESSION, 9, None, "USD"),
    ]  # fmt: skip
    assert positions_eod(facts()) is None


def test_values_of_the_lake_become_exact_numbers_words_and_instants() -> None:
    assert [as_decimal(value) for value in (None, "", float("nan"), 0.1, "0.10", 3)] == [
        None, None, None, Decimal("0.1"), Decimal("0.10"), 3,
    ]  # fmt: skip
    assert [as_text(value) for value in (None, "", True, "x", date(2025, 1, 2))] == [
        None,
        None,
        "true",
        "x",
        "2025-01-02",
    ]
    assert [as_instant(value) for value in (None, AT, AT.isoformat(), AT.replace(tzinfo=None))] == [None, AT, AT, AT]
