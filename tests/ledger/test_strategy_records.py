"""Named strategies: nothing of them is lost, every change has a reason, and each version's weights are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategy_records import (
    ComputedRow,
    RecordAction,
    RecordRow,
    VersionRow,
    change_record,
    computed_of,
    live_records,
    note_computed,
    note_version,
    record_history,
    version_of,
)
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
VERSION = VersionRow("v" * 64, "momentum", "def weights(): ...", '{"top":3}', "weekly", NOW)
COMPUTED = ComputedRow("fast", date(2026, 3, 5), "f" * 64, "v" * 64, date(2026, 3, 4), 7, "/w/2026-03-05.csv", NOW)


def _change(ledger: Ledger, action: RecordAction, version: str = "v", **changes: Any) -> RecordRow:
    told = {"description": "", "actor": "ann", "reason": "a try", "now": NOW} | changes
    with ledger.transaction() as connection:
        return change_record(connection, "fast", action, version * 64, **told)


def test_a_record_is_what_its_last_change_made_it_and_all_changes_are_kept(ledger: Ledger) -> None:
    made = _change(ledger, RecordAction.CREATED)
    later = _change(ledger, RecordAction.UPDATED, "w")
    with ledger.read() as connection:
        assert live_records(connection) == {"fast": later}
    gone = _change(ledger, RecordAction.DELETED, "w", reason="no edge")
    with ledger.read() as connection:
        assert live_records(connection) == {}
        assert record_history(connection, "fast") == record_history(connection) == [made, later, gone]
        assert record_history(connection, "slow") == []
        assert verify(connection) == []
    assert [row.number for row in (made, later, gone)] == [1, 2, 3]


def test_a_record_that_was_deleted_may_be_created_again(ledger: Ledger) -> None:
    _change(ledger, RecordAction.CREATED)
    _change(ledger, RecordAction.DELETED)
    again = _change(ledger, RecordAction.CREATED, "w")
    with ledger.read() as connection:
        assert live_records(connection) == {"fast": again}


@pytest.mark.parametrize("action", [RecordAction.UPDATED, RecordAction.DELETED])
def test_what_is_not_there_is_neither_updated_nor_deleted(ledger: Ledger, action: RecordAction) -> None:
    with pytest.raises(LedgerError, match="There is no record 'fast'"):
        _change(ledger, action)


def test_what_is_there_is_not_created_and_not_updated_to_what_it_is(ledger: Ledger) -> None:
    _change(ledger, RecordAction.CREATED)
    with pytest.raises(LedgerError, match="There is a record 'fast'"):
        _change(ledger, RecordAction.CREATED, "w")
    with pytest.raises(LedgerError, match="this version already, vvvvvvvvvvvv"):
        _change(ledger, RecordAction.UPDATED)
    assert _change(ledger, RecordAction.UPDATED, description="other words").number == 2


def test_a_change_needs_a_reason(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="needs a reason"):
        _change(ledger, RecordAction.CREATED, reason=" ")


def test_a_version_stays_as_it_was_first_seen(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert version_of(connection, VERSION.version) is None
        note_version(connection, "paper", VERSION)
        note_version(connection, "paper", replace(VERSION, first_seen=NOW + timedelta(days=1)))
        assert version_of(connection, VERSION.version) == VERSION


def test_which_versions_made_a_content_is_known_newest_first(ledger: Ledger) -> None:
    other = replace(COMPUTED, version="w" * 64, made_at=NOW + timedelta(hours=1))
    with ledger.transaction() as connection:
        note_computed(connection, "paper", COMPUTED)
        note_computed(connection, "paper", replace(COMPUTED, made_at=NOW + timedelta(days=1)))
        note_computed(connection, "paper", other)
        assert computed_of(connection, "fast", "f" * 64) == [other, COMPUTED]
        assert computed_of(connection, "fast", "e" * 64) == []
    with ledger.read() as connection:
        assert verify(connection) == []
