"""What holds for the embedded ledger alone."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from filelock import FileLock

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import sqlite
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import account_clocks, risk_limits
from scizor_dagster.risk.trading_state import TradingState, set_state, standing
from tests.ledgers import another, sqlite_ledger


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
    path = tmp_path / "l.sqlite"
    with FileLock(f"{path}.migrate.lock"), pytest.raises(LedgerError, match="migrating") as late:
        Ledger.open(f"sqlite:///{path}")
    assert late.value.where == str(path)


def test_a_commit_that_the_database_refuses_undoes_its_whole_transaction(tmp_path: Path) -> None:
    ledger = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")

    def refer_to_nothing() -> None:
        with ledger.transaction() as connection:
            # A rule that is checked when the transaction ends.
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            connection.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
            row = {"batch_id": "none", "limit_name": "x", "value": "1", "limits_hash": "h"}
            connection.execute(risk_limits.insert().values(**row))

    with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"):
        refer_to_nothing()
    with ledger.read() as connection:
        assert connection.execute(sa.select(account_clocks)).all() == []
    for writer in (ledger, another(ledger)):
        with writer.transaction() as connection:
            connection.execute(account_clocks.insert().values(account=str(id(writer)), session=date(2026, 3, 2)))
        writer.close()


@pytest.mark.parametrize("looks", [0, 2], ids=["unnoticed", "noticed"])
def test_a_process_that_goes_on_while_the_file_is_brought_back_reads_the_one_that_is_there(
    tmp_path: Path, looks: int
) -> None:
    url, now = f"sqlite:///{tmp_path / 'l.sqlite'}", datetime(2026, 11, 20, tzinfo=UTC)
    running = Ledger.open(url)
    with running.read() as connection:
        assert standing(connection, "paper", "main", now).state is TradingState.ACTIVE
    for file in tmp_path.glob("l.sqlite*"):
        file.rename(tmp_path / f"old-{file.name}")
    for _ in range(looks):
        with pytest.raises(LedgerError, match="is gone"), running.transaction():
            pytest.fail("written to a file that was moved away")
    assert not (tmp_path / "l.sqlite").exists()
    restored = Ledger.open(url)
    with restored.transaction() as connection:
        set_state(connection, "paper", None, TradingState.HALTED, reason="restored", actor="ann", now=now)
    with running.read() as connection:
        assert standing(connection, "paper", "main", now).state is TradingState.HALTED
    running.close()
    restored.close()
