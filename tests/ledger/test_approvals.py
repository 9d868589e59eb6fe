"""What people approve, of weights that are held and of plans: once, for exactly one thing, and with a reason."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger.approvals import SignalApproval, approvals_of, approve
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.plan_approvals import (
    PlanApproval,
    approval_in_force,
    approvals_of_plans,
    approve_plan,
    withdraw_approval,
    withdraw_unused,
)
from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import order, plan_of

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)
FILE, ROWS, PLAN, OTHER = "f" * 64, "r" * 64, "p" * 64, "q" * 64


def _approve(ledger: Ledger, *key: Any, **changes: Any) -> SignalApproval:
    portfolio, strategy, session = key or ("main", "momentum", MONDAY)
    values = {"rows_hash": ROWS, "rules": ["turnover", "jump"], "actor": "ann", "reason": "meant", "now": NOW} | changes
    with ledger.transaction() as connection:
        return approve(connection, "paper", portfolio, strategy, session, FILE, **values)


def test_an_approval_is_read_back_as_it_was_made_with_its_rules_in_order(ledger: Ledger) -> None:
    made = _approve(ledger)
    with ledger.read() as connection:
        assert approvals_of(connection, "main", "momentum") == [made]
    assert (made.rules, made.rows_hash) == (("jump", "turnover"), ROWS)


def test_approvals_are_listed_of_all_of_a_portfolio_or_of_a_strategy(ledger: Ledger) -> None:
    for key in (("main", "momentum", MONDAY), ("main", "value", MONDAY), ("other", "momentum", MONDAY)):
        _approve(ledger, *key)
    with ledger.read() as connection:
        listed = {
            scope: [(row.portfolio, row.strategy) for row in approvals_of(connection, *scope)]
            for scope in ((None, None), ("main", None), (None, "momentum"))
        }
    assert sorted(listed[None, None]) == [("main", "momentum"), ("main", "value"), ("other", "momentum")]
    assert listed["main", None] == [("main", "momentum"), ("main", "value")]
    assert sorted(listed[None, "momentum"]) == [("main", "momentum"), ("other", "momentum")]


def test_weights_are_not_approved_without_a_reason(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="needs a reason"):
        _approve(ledger, reason="  ")
    with ledger.read() as connection:
        assert approvals_of(connection) == []


def test_what_was_approved_is_not_approved_again_and_the_refusal_says_by_whom(ledger: Ledger) -> None:
    _approve(ledger)
    words = "jump, turnover of ffffffffffff approved by ann at 2026-03-04 21:00 UTC: meant"
    for rules in (["jump"], ["jump", "turnover"]):
        with pytest.raises(LedgerError, match=words):
            _approve(ledger, rules=rules)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        (("main", "momentum", TUESDAY), {}),
        ((), {"rows_hash": "s" * 64}),
        ((), {"rules": ["jump", "concentration"]}),
    ],
    ids=["another session", "another meaning", "another rule"],
)
def test_an_approval_says_nothing_of_anything_else(
    ledger: Ledger, key: tuple[object, ...], changes: dict[str, object]
) -> None:
    first, second = _approve(ledger), _approve(ledger, *key, **changes)
    with ledger.read() as connection:
        assert set(approvals_of(connection)) == {first, second}


def _approve_plan(ledger: Ledger, plan_id: str, session: date = MONDAY) -> PlanApproval:
    with ledger.transaction() as connection:
        return approve_plan(connection, "paper", "main", session, plan_id, actor="ann", reason="seen", now=NOW)


def test_a_plan_that_is_approved_is_not_approved_again(ledger: Ledger) -> None:
    made = _approve_plan(ledger, PLAN)
    with pytest.raises(LedgerError, match="plan pppppppppppp approved by ann at 2026-03-04T21:00:00") as refused:
        _approve_plan(ledger, PLAN)
    assert refused.value.remedy == "There is nothing more to approve: run the session."
    with ledger.read() as connection:
        assert approvals_of_plans(connection, "paper", "main") == [made]


def test_another_plan_of_the_session_is_approved_only_once_the_first_approval_was_taken_back(ledger: Ledger) -> None:
    first = _approve_plan(ledger, PLAN)
    with pytest.raises(LedgerError, match="for session 2026-03-02") as refused:
        _approve_plan(ledger, OTHER)
    assert "scizor approve pppppppppppp --withdraw" in refused.value.remedy
    with ledger.transaction() as connection:
        withdraw_approval(connection, first, actor="kim", reason="old prices", now=NOW)
    second = _approve_plan(ledger, OTHER)
    with ledger.read() as connection:
        assert approval_in_force(connection, "paper", "main", MONDAY) == second
        assert approval_in_force(connection, "paper", "main", MONDAY, PLAN) is None


def test_decisions_on_plans_are_listed_by_session_or_all_of_them_oldest_first(ledger: Ledger) -> None:
    monday, tuesday = _approve_plan(ledger, PLAN), _approve_plan(ledger, OTHER, TUESDAY)
    with ledger.read() as connection:
        assert approvals_of_plans(connection, "paper", "main") == [monday, tuesday]
        assert approvals_of_plans(connection, "paper", "main", TUESDAY) == [tuesday]


def _carried_out(ledger: Ledger) -> PlanApproval:
    plan = replace(plan_of([order("a", "AAA", Side.BUY, "1")]), session=MONDAY)
    made = _approve_plan(ledger, plan.plan_id)
    with ledger.transaction() as connection:
        admit(connection, plan, starting_cash=Decimal(0), now=NOW)
    return made


def test_an_approval_is_not_taken_back_once_its_plan_is_carried_out(ledger: Ledger) -> None:
    made = _carried_out(ledger)
    with pytest.raises(InputError, match="is carried out already") as refused, ledger.transaction() as connection:
        withdraw_approval(connection, made, actor="kim", reason="too late", now=NOW)
    assert "scizor halt --portfolio main --cancel-open" in refused.value.remedy
    with ledger.read() as connection:
        assert approval_in_force(connection, "paper", "main", MONDAY) == made


def test_of_all_approvals_those_whose_session_has_a_batch_and_those_that_were_taken_back_stay_as_they_are(
    ledger: Ledger,
) -> None:
    carried_out = _carried_out(ledger)
    unused, taken_back = _approve_plan(ledger, PLAN, TUESDAY), _approve_plan(ledger, OTHER, WEDNESDAY)
    with ledger.transaction() as connection:
        before = withdraw_approval(connection, taken_back, actor="ann", reason="no", now=NOW)
        withdraw_unused(connection, "paper", "main", actor="kim", reason="restored", now=NOW)
    with ledger.read() as connection:
        listed = approvals_of_plans(connection, "paper", "main")
    assert [(row.session, row.actor) for row in listed if not row.approved] == [(WEDNESDAY, "ann"), (TUESDAY, "kim")]
    assert {carried_out, unused, before} <= set(listed)
