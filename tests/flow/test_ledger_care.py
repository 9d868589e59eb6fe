"""A ledger that is brought back trades nothing before a person has looked, and no real money before it is armed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import restore_ledger
from scizor_dagster.ledger.api_keys import ApiKey, Scope, add_key, keys_of, revoke_key
from scizor_dagster.ledger.arming import arm, armed_for, arming_of
from scizor_dagster.ledger.backup import write_backup
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.plan_approvals import approval_in_force, approve_plan
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategy_code import CodeRow, is_approved, judge_code, note_code
from scizor_dagster.ledger.verification import verify
from scizor_dagster.risk.trading_state import TradingState, standing
from tests.execution.scenario import plan_of
from tests.flow.desks import FIRST, NOW, SECOND
from tests.ledgers import sqlite_ledger
from tests.projects import small_project

REAL = BrokerIdentity("alpaca", "live", "123456789")


def test_a_permission_that_may_have_been_taken_back_after_the_backup_is_not_brought_back(tmp_path: Path) -> None:
    lost = Ledger.open(sqlite_ledger(tmp_path / "lost"))
    with lost.transaction() as connection:
        arm(
            connection,
            "paper",
            "main",
            REAL,
            until=NOW + timedelta(days=1),
            max_notional=Decimal(1000),
            currency="USD",
            actor="jo",
            reason="a day",
            now=NOW,
        )
        for session in (FIRST, SECOND):
            approve_plan(connection, "paper", "main", session, "p", actor="jo", reason="", now=NOW)
        plan = replace(plan_of([], session=FIRST), plan_id="p")
        admit(connection, plan, starting_cash=Decimal(0), now=NOW)
    backup = tmp_path / "backup.zip"
    write_backup(lost, backup, now=NOW)
    lost.close()
    (tmp_path / "project").mkdir()
    desk = Desk(small_project(tmp_path / "project").settings, lambda: NOW)
    _, halted = restore_ledger(desk, desk.ledger, backup, actor="ann", now=NOW, name="backup")
    assert halted == ["paper"]
    with desk.ledger.read() as connection:
        assert arming_of(connection, "paper", "main") is None
        assert armed_for(connection, "paper", "main", REAL, NOW) == (None, "disarmed by ann")
        assert approval_in_force(connection, "paper", "main", FIRST) is not None
        assert approval_in_force(connection, "paper", "main", SECOND) is None
        assert standing(connection, "paper", "main", NOW).state is TradingState.HALTED
        assert verify(connection) == []


def test_keys_of_the_services_and_approved_code_may_have_been_taken_back_since_and_are_not_brought_back(
    tmp_path: Path,
) -> None:
    lost = Ledger.open(sqlite_ledger(tmp_path / "lost"))
    later = NOW + timedelta(days=30)
    with lost.transaction() as connection:
        for key_id in ("0a1b2c3d4e5f", "1a1b2c3d4e5f"):
            scopes = frozenset({Scope.TRADE})
            add_key(connection, ApiKey(key_id, key_id * 5, "desk", scopes, None, NOW, "jo", expires_at=later))
        revoke_key(connection, "1a1b2c3d4e5f", actor="jo", reason="left", now=NOW)
        for code in ("a" * 64, "b" * 64):
            note_code(connection, CodeRow(code, "trend", "def weights(prices): ...", "desk", "a try", NOW))
        judge_code(connection, "a" * 64, approved=True, actor="jo", reason="read it", now=NOW)
    backup = tmp_path / "backup.zip"
    write_backup(lost, backup, now=NOW)
    lost.close()
    (tmp_path / "project").mkdir()
    desk = Desk(small_project(tmp_path / "project").settings, lambda: NOW)
    restore_ledger(desk, desk.ledger, backup, actor="ann", now=NOW, name="backup")
    with desk.ledger.read() as connection:
        assert {key.key_id[0]: (key.revoked_by, key.refusal(NOW)) for key in keys_of(connection)} == {
            "0": ("ann", "key revoked"),
            "1": ("jo", "key revoked"),
        }
        assert not is_approved(connection, "a" * 64)
        assert verify(connection) == []
