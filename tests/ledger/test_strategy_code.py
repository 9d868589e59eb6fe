"""Code from outside: kept as it came, and allowed to run only while somebody's last word says so."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategy_code import (
    CodeRow,
    code_named,
    codes_of,
    is_approved,
    judge_code,
    note_code,
    verdicts_of,
)
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
SOURCE = "def weights(prices): return {}"
HASH = hashlib.sha256(SOURCE.encode()).hexdigest()
ROW = CodeRow(HASH, "flat", SOURCE, "ada", "a try", NOW)


def _judge(ledger: Ledger, *, approved: bool, code: str = HASH[:12], reason: str = "it was read") -> None:
    with ledger.transaction() as connection:
        judge_code(connection, code, approved=approved, actor="operator", reason=reason, now=NOW)


@pytest.fixture
def kept(ledger: Ledger) -> Ledger:
    with ledger.transaction() as connection:
        note_code(connection, ROW)
    return ledger


def test_a_code_that_comes_again_stays_as_it_first_came(kept: Ledger) -> None:
    with kept.transaction() as connection:
        assert note_code(connection, CodeRow(HASH, "other", SOURCE, "eve", "", NOW)) == ROW
        assert codes_of(connection) == [ROW]
        assert code_named(connection, HASH[:12].upper()) == ROW


def test_a_code_may_run_only_from_its_approval_to_its_withdrawal(kept: Ledger) -> None:
    with kept.read() as connection:
        assert not is_approved(connection, HASH)
    _judge(kept, approved=True)
    with kept.read() as connection:
        assert is_approved(connection, HASH)
    _judge(kept, approved=False, reason="it is not used")
    with kept.read() as connection:
        assert not is_approved(connection, HASH)
        assert [(row.number, row.approved, row.reason) for row in verdicts_of(connection, HASH)] == [
            (2, False, "it is not used"),
            (1, True, "it was read"),
        ]
        assert verify(connection) == []


def test_a_verdict_needs_a_code_a_reason_and_something_to_change(kept: Ledger) -> None:
    for code in ("f" * 64, HASH[:11]):
        with pytest.raises(InputError, match="no strategy code"):
            _judge(kept, approved=True, code=code)
    with pytest.raises(LedgerError, match="needs a reason"):
        _judge(kept, approved=True, reason=" ")
    with pytest.raises(LedgerError, match="is not approved"):
        _judge(kept, approved=False)
    _judge(kept, approved=True)
    with pytest.raises(LedgerError, match="approved already"):
        _judge(kept, approved=True)
