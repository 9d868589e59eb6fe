"""What was traded stands: file, capital and ledger may change or go, and nothing is sold or bought on it unseen."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from scizor_dagster.errors import ConfigError, DataError, LedgerError, RiskLimitBreached, SignalRefused
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.money import starting_cash
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import KEPT, consolidate_session, take_signals
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.planning.rules import PlanningRules
from tests.flow.desks import FIRST, NOW, SECOND, left_after_the_first
from tests.projects import project_at, write_weights


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return left_after_the_first(tmp_path_factory.mktemp("traded"))


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    return reopened(tmp_path)


def reopened(folder: Path) -> Desk:
    return Desk(project_at(folder).settings, lambda: NOW)


@pytest.mark.parametrize(
    "content", [None, "not a weight file", "trade_date,asset_id,target_weight\n2025-03-10,GOOG,1\n"]
)
def test_an_admitted_session_goes_on_whatever_has_become_of_its_file(
    desk: Desk, tmp_path: Path, content: str | None
) -> None:
    before = stored_rows(desk, "target_weights", portfolio="main", session=FIRST)
    file = tmp_path / "weights.csv"
    file.unlink() if content is None else file.write_text(content)
    taken = take_signals(desk, "main", FIRST, "weekly")
    assert (taken.warnings, list(taken.rows["asset_id"])) == ((KEPT,), ["AAPL", "MSFT", "NVDA"])
    targets = consolidate_session(desk, "main", FIRST)
    assert {row.symbol: str(row.target_weight) for row in targets.rows} == {"AAPL": "0.3", "MSFT": "0.3", "NVDA": "0.2"}
    assert plan_session(desk, "main", FIRST).kept
    assert trade_session(desk, "main", FIRST, "again").state is ExecutionState.DONE
    assert stored_rows(desk, "target_weights", portfolio="main", session=FIRST).equals(before)


def test_a_refused_file_fails_the_run_that_looks_at_it_although_the_session_is_admitted(
    desk: Desk, tmp_path: Path
) -> None:
    assert take_signals(desk, "main", FIRST, "weekly", look=True).warnings == (KEPT,)
    (tmp_path / "weights.csv").write_text("not a weight file")
    with pytest.raises(SignalRefused):
        take_signals(desk, "main", FIRST, "weekly", look=True)


def test_rows_of_another_content_of_the_file_are_stored_beside_those_that_were_traded(
    desk: Desk, tmp_path: Path
) -> None:
    traded = stored_rows(desk, "target_attribution", portfolio="main", session=FIRST)["file_hash"].iloc[0]
    write_weights(tmp_path / "weights.csv", {SECOND: {"GOOG": 0.5}})
    consolidate_session(desk, "main", SECOND)
    hashes = set(stored_rows(desk, "signals", strategy="weekly")["file_hash"])
    assert traded in hashes
    assert len(hashes) == 2


def test_a_plan_whose_weights_changed_after_it_was_made_is_not_sent(desk: Desk, tmp_path: Path) -> None:
    consolidate_session(desk, "main", SECOND)
    plan_session(desk, "main", SECOND)
    write_weights(tmp_path / "weights.csv", {SECOND: {"GOOG": 0.5}})
    consolidate_session(desk, "main", SECOND)
    with pytest.raises(DataError, match="inputs that have changed since"):
        trade_session(desk, "main", SECOND, "late")
    plan_session(desk, "main", SECOND)
    assert {row.symbol for row in trade_session(desk, "main", SECOND, "anew").orders} == {
        "AAPL",
        "MSFT",
        "NVDA",
        "GOOG",
    }


def test_capital_that_was_changed_after_the_first_session_is_refused_and_is_no_profit(
    desk: Desk, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("share: 1.0", "share: 0.5"))
    changed = reopened(tmp_path)
    assert starting_cash(changed, "main") == starting_cash(desk, "main")
    consolidate_session(changed, "main", SECOND)
    with pytest.raises(ConfigError, match="began with"):
        plan_session(changed, "main", SECOND)
    measured = measure_session(changed, "main", FIRST)
    assert measured is not None
    assert abs(float(measured.row["return"].iloc[0])) < 0.05


def test_a_ledger_that_is_gone_is_missed_and_not_replaced(desk: Desk, tmp_path: Path) -> None:
    ledger = desk.settings.home / "ledger.sqlite"
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()
    with pytest.raises(LedgerError, match=r"1 session\(s\) were traded"):
        plan_session(reopened(tmp_path), "main", SECOND)
    assert not ledger.exists()


def test_a_planned_session_that_can_no_longer_be_executed_is_named_in_the_next_plan(desk: Desk, tmp_path: Path) -> None:
    between = date(2025, 3, 7)
    write_weights(tmp_path / "weights.csv", {between: {"AAPL": 0.4}, SECOND: {"GOOG": 0.5}})
    for session in (between, SECOND):
        consolidate_session(desk, "main", session)
        notes = plan_session(desk, "main", session).plan.notes
    assert f"The plan of {between} was never executed; it cannot be any more once this one is." in notes


def test_a_stored_plan_that_does_not_fit_its_own_rules_is_not_sent_by_a_step_that_is_run_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    consolidate_session(desk, "main", SECOND)
    as_text = PlanningRules.as_text
    strict = {"max_total_weight": "0.1"}
    monkeypatch.setattr(PlanningRules, "as_text", lambda rules: json.dumps(json.loads(as_text(rules)) | strict))
    plan_session(desk, "main", SECOND)
    with pytest.raises(RiskLimitBreached, match="max_total_weight"):
        trade_session(desk, "main", SECOND, "alone")
