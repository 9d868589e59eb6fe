"""Weights that are held for a person, from the file to the ledger's approval and back, on a small desk."""

import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.errors import InputError, LedgerError, SignalHeld, SignalRefused
from scizor_dagster.flow.approvals import approve_weights
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.guards import approvals_for, check_weights
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session, take_signals
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.flow.weight_files import missing_files, weight_files_state
from tests.flow.desks import FIRST, NOW, SECOND, add_action, collected, trade
from tests.projects import project_at, write_weights

ALL_OTHERS = {SECOND: {"GOOG": 0.5, "META": 0.46}}
HELD = {FIRST: {"AAPL": 0.5, "MSFT": 0.46}, **ALL_OTHERS}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first session is traded, with weights of AAPL and MSFT."""
    folder = tmp_path_factory.mktemp("traded")
    desk = collected(folder)
    write_weights(folder / "weights.csv", {FIRST: HELD[FIRST]})
    trade(desk, FIRST)
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    return Desk(project_at(tmp_path).settings, lambda: NOW)


def check(desk: Desk, session: date) -> tuple[str, list[str]]:
    report = check_weights(desk, "main", desk.manifest.strategy("weekly"), session)
    return report.status, [item.rule for item in report.violations]


def approve(desk: Desk, session: date = SECOND, **changes: str) -> str:
    given = {"portfolio": "main", "strategy": "weekly"} | changes
    _, made = approve_weights(desk, **given, session=session, actor="ann", reason="the yearly rotation")
    return made.file_hash


def test_held_weights_store_nothing_until_exactly_they_are_approved_and_then_trade(desk: Desk, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    assert check(desk, SECOND) == ("held", ["turnover_jump"])
    for stage in (take_signals, lambda *given: consolidate_session(*given[:3])):
        with pytest.raises(SignalHeld, match=r"turnover_jump.*traded in 2025-03-03"):
            stage(desk, "main", SECOND, "weekly")
    assert stored_rows(desk, "signals", session=SECOND).empty
    approve(desk)
    assert check(desk, SECOND) == ("accepted", [])
    write_weights(file, {SECOND: {"GOOG": 0.5, "META": 0.459}})
    assert check(desk, SECOND) == ("held", ["turnover_jump"])
    write_weights(file, ALL_OTHERS)
    taken = take_signals(desk, "main", SECOND, "weekly")
    assert "approved by ann at 2025-03-31 22:00 UTC: the yearly rotation" in taken.approval
    assert any("turnover_jump" in text for text in taken.warnings)
    trade(desk, SECOND)
    file.unlink()
    assert take_signals(desk, "main", SECOND, "weekly").approval == taken.approval


def test_an_approval_holds_only_for_what_the_rows_meant_to_the_person(desk: Desk, tmp_path: Path) -> None:
    table = {"weekly": "asset_id,symbol\nX,GOOG\nY,META\n", "other": "asset_id,symbol\nX,META\nY,GOOG\n"}
    manifest = tmp_path / "strategy_manifest.yaml"
    body = yaml.safe_load(manifest.read_text())
    body["strategies"][0]["mapping"] = {"file": "ids.csv"}
    manifest.write_text(yaml.safe_dump(body))
    write_weights(tmp_path / "weights.csv", {SECOND: {"X": 0.5, "Y": 0.46}})
    (tmp_path / "ids.csv").write_text(table["weekly"])
    mapped = Desk(desk.settings, desk.clock)
    approve(mapped)
    assert check(mapped, SECOND) == ("accepted", [])
    (tmp_path / "ids.csv").write_text(table["other"])
    assert check(mapped, SECOND) == ("held", ["turnover_jump"])
    with pytest.raises(SignalHeld):
        take_signals(mapped, "main", SECOND, "weekly")
    approve(mapped)
    assert check(mapped, SECOND) == ("accepted", [])
    assert len({row.rows_hash for row in approvals_for(mapped, "main", "weekly")}) == 2
    (tmp_path / "ids.csv").write_text(table["weekly"])
    assert check(mapped, SECOND) == ("accepted", [])


def test_the_weights_before_are_compared_by_instrument_and_not_by_id(desk: Desk, tmp_path: Path) -> None:
    manifest = tmp_path / "strategy_manifest.yaml"
    body = yaml.safe_load(manifest.read_text())
    body["strategies"][0]["mapping"] = {"file": "ids.csv"}
    manifest.write_text(yaml.safe_dump(body))
    (tmp_path / "ids.csv").write_text("asset_id,symbol\n1,AAPL\n2,MSFT\n3,GOOG\n4,META\n")
    write_weights(tmp_path / "weights.csv", {SECOND: {"1": 0.5, "2": 0.46}})
    mapped = Desk(desk.settings, desk.clock)
    assert check(mapped, SECOND) == ("accepted", [])
    write_weights(tmp_path / "weights.csv", {SECOND: {"3": 0.5, "4": 0.46}})
    assert check(mapped, SECOND) == ("held", ["turnover_jump"])


def test_weights_that_were_taken_in_and_never_traded_are_not_what_the_next_are_compared_with(
    desk: Desk, tmp_path: Path
) -> None:
    between = date(2025, 3, 5)
    write_weights(tmp_path / "weights.csv", {between: {"AAPL": 0.04, "MSFT": 0.04, "GOOG": 0.4, "META": 0.4}})
    assert take_signals(desk, "main", between, "weekly").rows["asset_id"].tolist()[-1] == "META"
    write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    assert check(desk, SECOND) == ("held", ["turnover_jump"])


def test_an_approval_is_a_row_and_an_entry_of_the_ledger_s_history(desk: Desk, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    file_hash = approve(desk)
    (row,) = approvals_for(desk, "main", "weekly")
    assert (row.session, row.file_hash, row.rules) == (SECOND, file_hash, ("turnover_jump",))
    assert (row.actor, row.reason, row.at) == ("ann", "the yearly rotation", NOW)
    assert approvals_for(desk, "other") == approvals_for(desk, strategy="other") == []
    with desk.ledger.read() as connection:
        kind, payload = connection.exec_driver_sql("SELECT kind, payload FROM events ORDER BY seq DESC LIMIT 1").one()
    assert kind == "signals_approved"
    assert file_hash in payload


@pytest.mark.parametrize(
    ("weights", "changes", "error", "words"),
    [
        ({SECOND: {"AAPL": 0.5, "MSFT": 0.4}}, {}, InputError, "are not held"),
        ({SECOND: {"AAPL": float("nan")}}, {}, SignalRefused, "was refused"),
        ({FIRST: {"AAPL": 0.5}}, {}, SignalRefused, "no_rows_for_session"),
        (ALL_OTHERS, {"strategy": "other"}, InputError, "does not follow strategy 'other'"),
    ],
)
def test_what_is_not_held_cannot_be_approved(
    desk: Desk, tmp_path: Path, weights: dict[date, dict[str, float]], changes: dict[str, str], error: type, words: str
) -> None:
    write_weights(tmp_path / "weights.csv", weights)
    with pytest.raises(error, match=words):
        approve(desk, **changes)
    assert approvals_for(desk) == []


def test_a_session_under_way_and_the_same_content_twice_cannot_be_approved(desk: Desk, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.csv", {FIRST: {"AAPL": 0.0, "MSFT": 0.0}})
    with pytest.raises(InputError, match="The plan of 2025-03-03 is admitted"):
        approve(desk, FIRST)
    write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    approve(desk)
    with pytest.raises(InputError, match="not held"):
        approve(desk)


def test_the_ledger_takes_an_approval_once_and_with_a_reason(desk: Desk, tmp_path: Path) -> None:
    from scizor_dagster.ledger import approvals

    key = ("paper", "main", "weekly", SECOND, "a" * 64)
    said: dict[str, Any] = {"rows_hash": "b" * 64, "actor": "ann", "reason": "why", "now": NOW}
    with desk.ledger.transaction() as connection:
        approvals.approve(connection, *key, rules={"one_name", "all_zero"}, **said)
        with pytest.raises(LedgerError, match="approved before: all_zero, one_name"):
            approvals.approve(connection, *key, rules={"one_name"}, **said)
        approvals.approve(connection, *key, rules={"turnover_jump"}, **said | {"actor": "bob"})
        approvals.approve(connection, *key, rules={"one_name"}, **said | {"rows_hash": "c" * 64})
        with pytest.raises(LedgerError, match="needs a reason"):
            approvals.approve(connection, *key, rules={"name_jump"}, **said | {"reason": " "})
    found = {(row.actor, row.rules, row.rows_hash[:1]) for row in approvals_for(desk)}
    assert found == {
        ("ann", ("all_zero", "one_name"), "b"), ("bob", ("turnover_jump",), "b"), ("ann", ("one_name",), "c"),
    }  # fmt: skip


def test_the_same_content_is_stale_for_a_session_that_it_does_not_name(desk: Desk) -> None:
    assert check(desk, SECOND) == ("refused", ["stale"])
    with pytest.raises(SignalRefused, match="the same content as taken for 2025-03-03"):
        consolidate_session(desk, "main", SECOND)


def test_a_ticker_renamed_since_the_session_before_holds_the_weights(desk: Desk, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.csv", {SECOND: HELD[FIRST]})
    assert check(desk, SECOND) == ("accepted", [])
    add_action(desk, "MSFT", date(2025, 3, 5), "delisting")
    assert check(desk, SECOND) == ("held", ["ticker_changed_owner"])


def test_weights_before_are_those_of_the_content_that_the_portfolio_followed(desk: Desk, tmp_path: Path) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(
            "INSERT INTO signals SELECT * REPLACE ('f' AS file_hash, 'GOOG' AS asset_id, now() AS fetched_at) "
            "FROM signals WHERE asset_id = 'AAPL'"
        )
    write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    assert check(desk, SECOND) == ("held", ["turnover_jump"])


def test_a_pipe_in_place_of_a_file_does_not_hang_the_sensor(desk: Desk, tmp_path: Path) -> None:
    assert len(weight_files_state(desk, "main") or "") == 64
    (tmp_path / "weights.csv").unlink()
    os.mkfifo(tmp_path / "weights.csv")
    assert weight_files_state(desk, "main") is None
    assert missing_files(desk, "main") == ("weekly",)


def test_a_strategy_that_declares_it_trades_a_jump_without_a_person(desk: Desk, tmp_path: Path) -> None:
    manifest = tmp_path / "strategy_manifest.yaml"
    body = yaml.safe_load(manifest.read_text())
    body["strategies"][0]["guards"] = {"max_turnover": "unlimited"}
    manifest.write_text(yaml.safe_dump(body))
    write_weights(tmp_path / "weights.csv", ALL_OTHERS)
    consolidate_session(desk, "main", SECOND)
    plan_session(desk, "main", SECOND)
    assert {order.symbol for order in trade_session(desk, "main", SECOND, "run").orders} == {
        "AAPL", "MSFT", "GOOG", "META",
    }  # fmt: skip


def test_a_strategy_of_one_file_per_day_trades_and_its_rows_lead_to_their_files(desk: Desk, tmp_path: Path) -> None:
    manifest = tmp_path / "strategy_manifest.yaml"
    manifest.write_text(manifest.read_text().replace("path: weights.csv", "path: weights*.csv"))
    daily = Desk(desk.settings, desk.clock)
    write_weights(tmp_path / "weights_2.csv", {SECOND: {"AAPL": 0.4, "MSFT": 0.4}})
    trade(daily, SECOND)
    stored = stored_rows(daily, "signals", strategy="weekly", session=SECOND)
    assert set(stored["path"]) == {str(tmp_path / "weights_2.csv")}
    assert set(stored["source"]) == {"file:weights_2.csv"}
    parts = stored_rows(daily, "target_attribution", portfolio="main", session=SECOND)
    assert set(parts["file_hash"]) == set(stored["file_hash"]) == {weight_files_state(daily, "main")}
    taken = take_signals(daily, "main", SECOND, "weekly")
    assert taken.path == str(tmp_path / "weights_2.csv")
    third = date(2025, 3, 11)
    with pytest.raises(SignalRefused, match="the same content as taken for 2025-03-10"):
        take_signals(daily, "main", third, "weekly")
