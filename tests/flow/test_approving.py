"""A portfolio with `approval: manual` trades exactly the plan that a person has released, and nothing before."""

import itertools
import shutil
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from scizor_dagster.errors import DataError, InputError, LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow import approving
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import change_state
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.summary import session_summary, went_well
from scizor_dagster.flow.trades import continue_session, trade_session
from scizor_dagster.flow.unfinished import look_for_unfinished
from scizor_dagster.ledger.plan_approvals import PlanApproval, approvals_of_plans
from scizor_dagster.ledger.rows import batch_of, batches_of
from scizor_dagster.planning.comparison import TargetChange, compare
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan
from tests.flow.desks import FIRST, NOW, SECOND, WEIGHTS, collected, trade
from tests.projects import STRATEGY, project_at, write_weights


@pytest.fixture(scope="module")
def _collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected")
    collected(folder).lake.close()
    return folder


@pytest.fixture
def automatic(_collected: Path, tmp_path: Path) -> Desk:
    """A copy of a collected project, and a clock that goes on by a second with every look."""
    shutil.copytree(_collected, tmp_path / "project")
    seconds = itertools.count()
    return Desk(project_at(tmp_path / "project").settings, lambda: NOW + timedelta(seconds=next(seconds)))


@pytest.fixture
def desk(automatic: Desk) -> Desk:
    """The project asks for an approval of every plan."""
    path = automatic.settings.config_path
    config = yaml.safe_load(path.read_text())
    config["portfolios"]["main"]["approval"] = "manual"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return automatic


def planned(desk: Desk, session: date = FIRST) -> Plan:
    consolidate_session(desk, "main", session)
    return plan_session(desk, "main", session).plan


def release(desk: Desk, plan: Plan) -> None:
    approving.approve(desk, plan, actor="jo", reason="seen")


def admitted(desk: Desk) -> list[date]:
    with desk.ledger.read() as connection:
        return [batch.session for batch in batches_of(connection, "paper", "main")]


def test_a_plan_that_nobody_has_approved_waits_and_says_what_to_type(desk: Desk) -> None:
    plan = planned(desk)
    result = trade_session(desk, "main", FIRST, "run")
    assert admitted(desk) == []
    assert result.state is ExecutionState.AWAITING_APPROVAL
    assert f"scizor approve {plan.plan_id[:12]}" in " ".join(result.notes)
    summary = session_summary(desk, "main", FIRST)
    assert (summary["state"], summary["awaiting_approval"]) == ("awaiting_approval", plan.plan_id)
    assert summary["refused"] == 0
    assert not went_well(summary)


def test_following_a_session_leaves_its_unapproved_plan_alone(desk: Desk) -> None:
    planned(desk)
    assert continue_session(desk, "main", FIRST, "run").state is ExecutionState.NO_PLAN
    assert admitted(desk) == []


def test_the_approved_plan_is_carried_out_as_it_was_although_weights_changed_since(desk: Desk) -> None:
    plan = planned(desk)
    release(desk, plan)
    write_weights(desk.settings.config_path.parent / "weights.csv", {FIRST: {"META": 0.5}})
    assert planned(desk) == plan
    assert approving.waits_to_be_carried_out(desk, "main", FIRST)
    result = continue_session(desk, "main", FIRST, "run")
    assert result.state is ExecutionState.DONE
    assert {row.symbol for row in result.orders} == set(WEIGHTS[FIRST])
    assert [words.split(" at ")[0] for words in result.permitted] == ["approved by jo"]
    with desk.ledger.read() as connection:
        batch = batch_of(connection, "paper", "main", FIRST)
    assert batch is not None
    assert (batch.plan_id, batch.approved_by) == (plan.plan_id, "jo")
    assert not approving.waits_to_be_carried_out(desk, "main", FIRST)
    assert session_summary(desk, "main", FIRST)["permitted"] == result.permitted[0]


def test_a_plan_that_is_made_anew_needs_an_approval_of_its_own(desk: Desk) -> None:
    first = planned(desk)
    write_weights(desk.settings.config_path.parent / "weights.csv", {FIRST: {"META": 0.5}})
    second = planned(desk)
    assert second.plan_id != first.plan_id
    with pytest.raises(InputError, match=f"was replaced by {second.plan_id[:12]}"):
        release(desk, first)
    assert trade_session(desk, "main", FIRST, "run").state is ExecutionState.AWAITING_APPROVAL
    release(desk, second)
    with pytest.raises(LedgerError, match="approved by jo"):
        release(desk, second)
    assert {row.symbol for row in trade_session(desk, "main", FIRST, "run").orders} == {"META"}


def test_an_approval_that_is_taken_back_releases_nothing_and_both_decisions_stay(desk: Desk) -> None:
    plan = planned(desk)
    release(desk, plan)
    approving.withdraw(desk, plan, actor="kim", reason="second thoughts")
    assert trade_session(desk, "main", FIRST, "run").state is ExecutionState.AWAITING_APPROVAL
    with pytest.raises(InputError, match="is not approved"):
        approving.withdraw(desk, plan, actor="kim", reason="")
    with desk.ledger.read() as connection:
        found = [(row.approved, row.actor) for row in approvals_of_plans(connection, "paper", "main")]
    assert found == [(True, "jo"), (False, "kim")]


def test_what_is_carried_out_is_neither_approved_again_nor_taken_back(desk: Desk) -> None:
    plan = planned(desk)
    release(desk, plan)
    trade_session(desk, "main", FIRST, "run")
    for act in (approving.approve, approving.withdraw):
        with pytest.raises(InputError, match="is carried out already"):
            act(desk, plan, actor="jo", reason="")


def test_an_approved_plan_is_not_carried_out_once_a_strategy_of_it_rests(desk: Desk) -> None:
    plan = planned(desk)
    release(desk, plan)
    change_state(desk, ["main"], STRATEGY, "pause", liquidate=False, actor="kim", reason="its data looks wrong")
    before_open = datetime.combine(FIRST, time(9), desk.calendar(desk.portfolio("main").market).timezone)
    for act in (
        lambda: trade_session(desk, "main", FIRST, "run"),
        lambda: continue_session(desk, "main", FIRST, "run"),
        lambda: look_for_unfinished(desk, "main", FIRST, before_open),
    ):
        with pytest.raises(DataError, match=rf"paused.* since .*scizor approve {plan.plan_id[:12]} --withdraw"):
            act()
    assert admitted(desk) == []
    approving.withdraw(desk, plan, actor="kim", reason="")
    with pytest.raises(DataError, match=r"paused.* since .*Run the whole session"):
        release(desk, plan)
    change_state(desk, ["main"], STRATEGY, "resume", liquidate=False, actor="kim", reason="it was right")
    release(desk, plan)
    assert trade_session(desk, "main", FIRST, "run").state is ExecutionState.DONE


def test_a_run_that_carries_a_plan_out_while_its_approval_is_taken_back_is_not_denied(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(desk)
    release(desk, plan)
    found = approving._approval(desk, "main", FIRST)

    def carried_out_meanwhile(*_: object) -> PlanApproval | None:
        monkeypatch.undo()
        trade_session(desk, "main", FIRST, "run")
        return found

    monkeypatch.setattr(approving, "_approval", carried_out_meanwhile)
    with pytest.raises(InputError, match="is carried out already"):
        approving.withdraw(desk, plan, actor="kim", reason="second thoughts")
    with desk.ledger.read() as connection:
        assert [row.approved for row in approvals_of_plans(connection, "paper", "main")] == [True]


def test_an_approval_of_a_session_that_is_over_is_refused_and_its_plan_never_sent(desk: Desk) -> None:
    early = planned(desk)
    later = planned(desk, SECOND)
    release(desk, later)
    assert trade_session(desk, "main", SECOND, "run").state is ExecutionState.DONE
    with pytest.raises(InputError, match="2025-03-03, is over"):
        release(desk, early)
    result = trade_session(desk, "main", FIRST, "run")
    assert result.state is ExecutionState.NO_PLAN
    assert "was not approved, and its session is over" in " ".join(result.notes)
    assert admitted(desk) == [SECOND]


def test_a_portfolio_that_asks_for_no_approval_refuses_one(automatic: Desk) -> None:
    with pytest.raises(InputError, match=r"asks for no approval.*approval: manual"):
        release(automatic, planned(automatic))


def test_a_plan_without_orders_waits_for_nobody(desk: Desk) -> None:
    write_weights(desk.settings.config_path.parent / "weights.csv", {FIRST: {"AAPL": 0.0}})
    config = yaml.safe_load((desk.settings.config_path.parent / "strategy_manifest.yaml").read_text())
    config["strategies"][0]["guards"] = {"all_zero": "accept"}
    (desk.settings.config_path.parent / "strategy_manifest.yaml").write_text(yaml.safe_dump(config))
    plan = planned(Desk(desk.settings, lambda: NOW))
    assert plan.orders == ()
    assert trade_session(desk, "main", FIRST, "run").state is ExecutionState.NOTHING_TO_DO


def test_a_plan_is_named_by_its_portfolio_or_by_the_beginning_of_its_id(desk: Desk) -> None:
    plan = planned(desk)
    assert approving.find_plan(desk, "main", FIRST) == plan
    assert approving.find_plan(desk, plan.plan_id[:8], SECOND) == plan
    for wrong, words in (
        (plan.plan_id[:7], "neither a portfolio"),
        ("nope", "neither a portfolio"),
        ("0" * 64, "No plan has this id"),
    ):
        with pytest.raises(InputError, match=words):
            approving.find_plan(desk, wrong, FIRST)
    with pytest.raises(InputError, match="no plan of portfolio 'main' for 2025-03-10"):
        approving.find_plan(desk, "main", SECOND)


def test_the_difference_names_the_targets_that_changed_and_sums_what_is_ordered(automatic: Desk) -> None:
    made = automatic
    trade(made, FIRST)
    consolidate_session(made, "main", SECOND)
    plan = plan_session(made, "main", SECOND).plan
    found = approving.difference_of(made, plan)
    assert found.before == FIRST
    changes = {item.symbol: (float(item.before), float(item.after)) for item in found.changes}
    assert changes == {"GOOG": (0.0, 0.4), "MSFT": (0.3, 0.0), "AAPL": (0.3, 0.2)}
    assert found.changes[0] == TargetChange("GOOG", Decimal(0), Decimal("0.4"))
    assert found.orders == len(plan.orders)
    assert found.notional == sum(order.notional for order in plan.orders)
    assert found.turnover == found.notional / plan.equity
    stored = read_plan(made.lake, "main", FIRST)
    assert compare(replace(plan, orders=()), stored).notional == 0
    assert compare(plan, None).before is None


def test_the_sensor_has_an_approved_plan_carried_out_also_before_the_open_and_not_after_the_close(desk: Desk) -> None:
    plan = planned(desk)
    zone = desk.calendar(desk.portfolio("main").market).timezone
    before, after = (datetime.combine(FIRST, time(hour, 15), zone) for hour in (9, 16))
    assert look_for_unfinished(desk, "main", FIRST, before).occasion == ""
    release(desk, plan)
    look = look_for_unfinished(desk, "main", FIRST, before)
    assert (bool(look.occasion), look.reason) == (True, f"The plan of {FIRST} is approved, and not carried out yet.")
    assert look_for_unfinished(desk, "main", FIRST, after).occasion == ""
    continue_session(desk, "main", FIRST, "run")
    assert "approved" not in look_for_unfinished(desk, "main", FIRST, before).reason
