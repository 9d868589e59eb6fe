"""What holds for the embedded ledger alone."""

from pathlib import Path

import pytest
from filelock import FileLock

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import sqlite
from scizor_dagster.ledger.store import Ledger


def test_a_commit_is_fsynced_unless_a_test_asks_otherwise(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'deep' / 'folder' / 'l.sqlite'}")
    with ledger.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    ledger.close()


def test_a_second_migrator_waits_and_says_so_when_it_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MIGRATION_LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / "l.sqlite.migrate.lock"), pytest.raises(LedgerError, match="migrating"):
        Ledger.open(f"sqlite:///{tmp_path / 'l.sqlite'}")
