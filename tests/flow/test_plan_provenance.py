"""The snapshot and the code that a plan was made from: sealed with its admission, held against its row ever after."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from scizor_dagster.flow import plans
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import backup_ledger, verify_ledger
from scizor_dagster.flow.maintenance import maintain_lake
from scizor_dagster.flow.plan_provenance import altered_plans
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.replaying import replay_sessions
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.ledger import batches
from scizor_dagster.ledger.batches import admitted_provenance
from scizor_dagster.planning.frames import read_plan
from tests.flow.desks import NOW, SECOND
from tests.flow.test_blend import opened
from tests.flow.traded import SESSIONS, copied
from tests.projects import write_weights

DAY = f"session = DATE '{SECOND}'"
SEALED = "The ledger has sealed what it was when the plan was admitted."


def closed(desk: Desk) -> None:
    desk.lake.close()
    desk.ledger.close()


def test_the_ledger_seals_what_each_admitted_plan_was_made_from(past: Path) -> None:
    desk = opened(past)
    stored = [read_plan(desk.lake, "main", session) for session in SESSIONS]
    with desk.ledger.read() as connection:
        sealed = admitted_provenance(connection)
    assert sealed == {plan.plan_id: plan.provenance for plan in stored if plan is not None}
    assert len(sealed) == len(SESSIONS)
    assert altered_plans(desk) == []
    closed(desk)


def test_an_edit_of_either_is_named_with_what_it_was_by_verify_and_by_replay(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    plan = read_plan(desk.lake, "main", SECOND)
    assert plan is not None
    made = plan.provenance
    assert made is not None
    with desk.lake.write() as cursor:
        cursor.execute(f"UPDATE plans SET lake_snapshot = lake_snapshot - 1, code_version = '9' WHERE {DAY}")
    # Once the earlier states of the lake are gone, nothing in it can tell any more what the row said.
    maintain_lake(Desk(desk.settings, lambda: NOW + timedelta(days=800)), grace=timedelta(0))
    snapshot, version = altered_plans(desk)
    key = f"plans: plan_id {plan.plan_id}:"
    assert snapshot == (f"{key} lake_snapshot is {made.lake_snapshot - 1}, and must be {made.lake_snapshot}. {SEALED}")
    assert version == f"{key} code_version is 9, and must be {made.code_version}. {SEALED}"
    (found,) = replay_sessions(desk, "main", SECOND, SECOND).sessions
    assert not found.agrees
    assert {item.sentence for item in found.differences if item.table == "plans"} >= {snapshot, version}
    assert verify_ledger(desk, None) == [], "the ledger itself is whole, and can be backed up"
    assert backup_ledger(desk, tmp_path / "kept.zip", NOW).seq > 0
    closed(desk)


def test_an_admission_of_before_it_was_sealed_stays_valid_and_is_not_compared(
    past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, third = copied(past, tmp_path), SESSIONS[-1] + timedelta(days=7)
    write_weights(tmp_path / "trend.csv", {third: {"AAPL": 0.3}})
    write_weights(tmp_path / "value.csv", {third: {"1": 0.3}})
    consolidate_session(desk, "main", third)
    plan = plan_session(desk, "main", third).plan
    with monkeypatch.context() as earlier:
        earlier.setattr(batches, "asdict", lambda _: {})
        trade_session(desk, "main", third, "earlier")
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE plans SET code_version = '9' WHERE plan_id = ?", [plan.plan_id])
    with desk.ledger.read() as connection:
        assert plan.plan_id not in admitted_provenance(connection)
        assert connection.execute(sa.text("SELECT count(*) FROM batches")).scalar() == len(SESSIONS) + 1
    assert (verify_ledger(desk, None), altered_plans(desk)) == ([], [])
    closed(desk)


def test_a_plan_that_another_run_has_admitted_meanwhile_keeps_the_snapshot_that_it_was_admitted_with(
    past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, third = copied(past, tmp_path), SESSIONS[-1] + timedelta(days=7)
    write_weights(tmp_path / "trend.csv", {third: {"AAPL": 0.3}})
    write_weights(tmp_path / "value.csv", {third: {"1": 0.3}})
    consolidate_session(desk, "main", third)
    made = plans.draft_plan

    def overtaken(*parts: object) -> object:
        monkeypatch.setattr(plans, "draft_plan", made)
        plan_session(desk, "main", third)
        trade_session(desk, "main", third, "faster")
        return made(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(plans, "draft_plan", overtaken)
    late = plan_session(desk, "main", third)
    assert late.kept
    assert late.plan == read_plan(desk.lake, "main", third)
    assert altered_plans(desk) == []
    closed(desk)


def test_a_lake_that_cannot_be_read_is_said_and_one_that_is_not_there_says_nothing(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    catalog = desk.settings.lake_folder / "catalog.sqlite"
    catalog.write_bytes(b"no catalog")
    (sentence,) = altered_plans(desk)
    assert "the lake cannot be read, so that no plan was compared" in sentence
    catalog.unlink()
    assert altered_plans(desk) == []
    closed(desk)
