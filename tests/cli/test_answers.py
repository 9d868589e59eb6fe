"""Answers as JSON that no other test of the command line asks for; the fixture `scizor` holds each against its help."""

import sqlite3
from datetime import UTC, datetime

from scizor_dagster.flow.desk import Desk
from tests.cli.conftest import Scizor
from tests.cli.stored import store_empty_backtest
from tests.projects import STRATEGY, Project

WHY = ("--reason", "a look at it", "--by", "ann", "--json")


def test_a_record_of_a_strategy_is_answered_for_as_it_is_made_and_taken_away(scizor: Scizor, fresh: Project) -> None:
    made = scizor("strategy", "create", "fast", "--function", "momentum", *WHY)
    gone = scizor("strategy", "delete", "fast", *WHY)
    assert [answer.json["record"]["action"] for answer in (made, gone)] == ["created", "deleted"]


def test_a_strategy_answers_for_each_of_its_states(scizor: Scizor, fresh: Project) -> None:
    for action, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped"), ("start", "running")):
        (changed,) = scizor("strategy", action, STRATEGY, *WHY).json["changed"]
        assert (changed["state"], changed["actor"]) == (state, "ann")


def test_a_portfolio_that_trades_again_is_answered_for(scizor: Scizor, fresh: Project) -> None:
    assert scizor("halt", "--portfolio", "main", *WHY).json["state"] == "halted"
    assert scizor("resume", "--portfolio", "main", *WHY).json["state"] == "active"


def test_a_lock_and_a_break_are_answered_for_as_they_are_lifted(scizor: Scizor, fresh: Project) -> None:
    _ = Desk(fresh.settings, lambda: datetime.now(UTC)).ledger
    instant, found = "2025-02-03 00:00:00.000000", "break_id, account, session"
    lock = "lock_id, account, portfolio, kind, reason"
    with sqlite3.connect(fresh.settings.ledger_file) as ledger:
        ledger.execute(
            f"INSERT INTO risk_locks ({lock}, from_session, until_session, created_at) "
            f"VALUES ('1f0c22ab', 'paper', 'main', 'stoploss', 'x', '2025-02-03', '2099-02-07', '{instant}')"
        )
        ledger.execute(
            f"INSERT INTO breaks ({found}, found_in, stage, kind, break_class, locks, cause, opened_at) "
            f"VALUES ('3f0c', 'paper', '2025-02-03', 'first', 'positions', 'x', 'x', 'x', 'x', '{instant}')"
        )
    assert scizor("risk", "unlock", "1f0c22ab", *WHY).json == {"lock_id": "1f0c22ab", "lifted_by": "ann"}
    assert scizor("risk", "accept-break", "3f0c", *WHY).json["accepted_by"] == "ann"


def test_a_backup_says_what_is_in_it(scizor: Scizor, fresh: Project) -> None:
    _ = Desk(fresh.settings, lambda: datetime.now(UTC)).ledger
    answer = scizor("backup", "--json")
    assert answer.json["rows"]["ledger"]["events"] == 0


def test_a_deleted_backtest_is_named(scizor: Scizor, fresh: Project) -> None:
    lake = Desk(fresh.settings, lambda: datetime.now(UTC)).lake
    store_empty_backtest(lake, "e" * 64)
    assert scizor("backtest", "delete", "eee", "--yes", "--json").json == {"deleted": "e" * 64}


def test_symbols_answer_for_their_verification_and_for_what_a_correction_would_do(
    scizor: Scizor, collected: Project
) -> None:
    assert scizor("symbols", "validate", "--json").json["verified"] == 6
    assert scizor("symbols", "part", "AAPL", "--on", "2025-01-10", "--json").json["made"] is False
