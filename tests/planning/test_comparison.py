"""A plan beside the one before it: which targets change, and what is traded for it."""

from dataclasses import replace
from decimal import Decimal

from scizor_dagster.planning.comparison import TargetChange, compare
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, CLOSED, inputs_of
from tests.planning.examples import plan_of

D = Decimal


def test_targets_that_differ_are_named_with_the_largest_change_first_and_equal_changes_by_symbol():
    prices = dict.fromkeys(("A", "B", "C", "D", "E"), 10)
    before = plan_of({"A": "0.2", "B": "0.1", "C": "0.1", "E": "0.1"}, prices)
    now = plan_of({"A": "0.2", "B": "0.15", "C": "0.05", "D": "0.3"}, prices)
    assert compare(now, before).changes == (
        TargetChange("D", D(0), D("0.3")),
        TargetChange("E", D("0.1"), D(0)),
        TargetChange("B", D("0.1"), D("0.15")),
        TargetChange("C", D("0.1"), D("0.05")),
    )


def test_two_spellings_of_one_weight_are_no_change():
    before, now = plan_of({"A": "0.20"}, {"A": 10}), plan_of({"A": "0.2"}, {"A": 10})
    assert compare(now, before).changes == ()


def test_what_a_plan_trades_is_summed_by_side_and_set_against_its_equity():
    plan = plan_of({"A": "0.3", "B": "0.1"}, {"A": 10, "B": 20, "C": 5}, {"B": 1500, "C": 1000})
    found = compare(plan, None)
    assert (found.orders, found.buys, found.sales) == (3, D(30_000), D(25_000))
    assert (found.notional, found.turnover) == (D(55_000), D("0.55"))


def test_the_session_of_the_plan_before_is_named_and_none_where_there_is_none():
    plan = plan_of({"A": "0.3"}, {"A": 10})
    earlier = make_plan(replace(inputs_of({}, {}), session=CLOSED), PlanningRules(), ALPACA_LIKE)
    assert compare(plan, earlier).before == CLOSED
    first = compare(plan, None)
    assert (first.before, first.changes) == (None, (TargetChange("A", D(0), D("0.3")),))


def test_what_a_person_must_know_of_a_plan_are_its_notes_and_those_of_its_lines():
    plan = plan_of({"A": "0.3", "B": "0.1"}, {"A": 10}, notes=("A note.",), frozen_symbols={"A": "Frozen."})
    assert compare(plan, None).warnings == (*plan.notes, "A: Frozen.")
    assert plan.notes[0] == "A note."


def test_a_plan_that_orders_nothing_has_no_turnover():
    found = compare(plan_of({"A": "0.3"}, {}), None)
    assert (found.orders, found.notional, found.turnover) == (0, 0, 0)
