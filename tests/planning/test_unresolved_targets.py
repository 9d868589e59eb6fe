"""Targets that cannot be traded, as an id that means several symbols: a line each, and what is held is kept."""

from decimal import Decimal

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.planning.inputs import Target
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import PlanningRules
from tests.planning import examples
from tests.planning.books import ALPACA_LIKE, line_of


def plan_of(weights, prices, holdings=(), **others):
    return examples.plan_of(weights, prices, holdings, PlanningRules(), ALPACA_LIKE, **others)


def test_a_target_of_an_unknown_status_is_refused_with_those_that_there_are():
    odd = Target(("9",), "A", "A.XNYS", Decimal("0.1"), "paused")
    with pytest.raises(InputError, match=r"target of A has the status 'paused'.*unknown_id.*strategy_idle"):
        plan_of({}, {"A": 1}, targets=(odd,))


def test_a_target_that_may_be_traded_and_has_no_symbol_is_refused_by_its_ids():
    odd = Target(("8", "9"), "", "", Decimal("0.1"))
    with pytest.raises(InputError, match="target of 8, 9 has no symbol"):
        plan_of({}, {}, targets=(odd,))


@pytest.mark.parametrize("status", ["ambiguous_id", "unknown_id", "quarantined"])
def test_a_holding_that_an_unresolved_id_may_mean_is_never_liquidated(status):
    target = Target(("160329",), "", "", Decimal("0.1"), status, candidates=("GOOG", "GOOGL"))
    plan = plan_of({"A": "0.5"}, {"A": 10, "GOOGL": 200}, {"GOOGL": 3}, targets=(target,))
    assert line_of(plan, "GOOGL").reason.value == status
    assert [order.symbol for order in plan.orders] == ["A"]


def test_where_several_candidates_are_held_each_is_kept_and_the_weight_stands_once():
    target = Target(("160329",), "", "", Decimal("0.1"), "ambiguous_id", candidates=("GOOGL", "GOOG"))
    plan = plan_of({}, {"GOOG": 200, "GOOGL": 200}, {"GOOG": 2, "GOOGL": 3}, targets=(target,))
    lines = {line.symbol: (line.reason, line.target_weight, line.current_qty) for line in plan.lines}
    assert lines == {
        "GOOG": (Reason.AMBIGUOUS_ID, Decimal("0.1"), 2),
        "GOOGL": (Reason.AMBIGUOUS_ID, 0, 3),
    }
    assert plan.orders == ()
    assert "Its weight stands on the line of GOOG." in line_of(plan, "GOOGL").note
    assert "weight stands" not in line_of(plan, "GOOG").note


def test_two_ids_that_may_mean_the_same_symbols_have_a_line_each():
    twice = tuple(
        Target((name,), "", "", Decimal("0.1"), "ambiguous_id", candidates=("GOOG", "GOOGL")) for name in ("8", "9")
    )
    plan = plan_of({}, {}, targets=twice)
    assert [(line.symbol, line.asset_ids) for line in plan.lines] == [("GOOG|GOOGL", ("8",)), ("GOOG|GOOGL?", ("9",))]


def test_an_unresolved_target_beside_one_of_the_same_symbol_does_not_keep_that_one_from_trading():
    idle = Target(("9",), "A", "A.XNYS", Decimal("0.1"), "strategy_idle")
    plan = plan_of({"A": "0.5"}, {"A": 10}, {"A": 5}, equity=1000, targets=(idle,))
    assert [(line.symbol, line.reason) for line in plan.lines] == [
        ("A", Reason.REBALANCE),
        ("A?", Reason.STRATEGY_IDLE),
    ]
    assert [order.qty for order in plan.orders] == [45]


def test_an_unresolved_id_without_a_holding_has_a_line_that_names_its_candidates():
    target = Target(("160329",), "", "", Decimal("0.1"), "ambiguous_id", candidates=("GOOG", "GOOGL"))
    line = line_of(plan_of({"A": "0.5"}, {"A": 10}, targets=(target,)), "GOOG|GOOGL")
    assert (line.reason, line.asset_ids) == (Reason.AMBIGUOUS_ID, ("160329",))
