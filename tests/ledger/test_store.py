"""Opening, migrating and transacting."""

import multiprocessing
import os
import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import store
from scizor_dagster.ledger.approval_tables import signal_approvals
from scizor_dagster.ledger.store import Ledger, migration_config
from scizor_dagster.ledger.tables import account_clocks, batches, metadata
from scizor_dagster.risk.events import risk_events_of


def _open_in_child(url: str) -> str:
    ledger = Ledger.open(url)
    with ledger.read() as connection:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    ledger.close()
    return str(found)


def test_the_migrated_schema_is_the_one_that_the_tables_describe(ledger: Ledger) -> None:
    assert signal_approvals.metadata is metadata
    with ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = {
            (table, constraint["name"], tuple(constraint["column_names"]))
            for table in metadata.tables
            for constraint in sa.inspect(connection).get_unique_constraints(table)
        }
    assert (
        "batches",
        "uq_batches_account_portfolio_session_batch",
        ("account", "portfolio", "session", "batch"),
    ) in found


def test_the_known_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migration_config()).get_current_head() == store.HEAD


def test_downgrading_to_nothing_leaves_no_table_of_ours(tmp_path: Path) -> None:
    from alembic import command

    ledger = Ledger.open(f"sqlite:///{tmp_path / 'l.sqlite'}", synchronous="OFF")
    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with ledger.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    ledger.close()


def test_a_ledger_of_the_first_schema_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    from alembic import command

    url = f"sqlite:///{tmp_path / 'l.sqlite'}"
    ledger = Ledger.open(url, synchronous="OFF")
    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO risk_events "
            "(event_id, at, account, portfolio, session, limit_name, value, threshold, verdict) VALUES "
            "('e', '2026-03-02 14:00:00', 'paper', 'main', '2026-03-02', 'limit', '2', '1', 'stopped')"
        )
    ledger.close()
    ledger = Ledger.open(url, synchronous="OFF")
    with ledger.read() as connection:
        (event,) = risk_events_of(connection, "paper", date(2026, 3, 2))
    ledger.close()
    assert (event.limit, event.verdict, event.checked) == ("limit", "stopped", {})


def test_a_commit_is_fsynced_unless_a_test_asks_otherwise(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'deep' / 'folder' / 'l.sqlite'}")
    with ledger.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    ledger.close()


def test_four_processes_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'l.sqlite'}"
    # An executor says that a child died, where a pool would wait for it for good.
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_open_in_child, [url] * 4)) == [store.HEAD] * 4


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    def fail_half_way() -> None:
        with ledger.transaction() as connection:
            connection.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    with ledger.read() as connection:
        assert connection.execute(sa.select(account_clocks)).all() == []


def test_a_reader_is_not_blocked_by_a_writer_and_sees_only_what_is_committed(ledger: Ledger) -> None:
    with ledger.transaction() as writer:
        writer.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
        with ledger.read() as reader:
            assert reader.execute(sa.select(account_clocks)).all() == []


def test_writers_take_turns_from_their_first_statement(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        connection.execute(account_clocks.insert().values(account="a", session=date(2020, 1, 1)))

    def advance() -> None:
        for _ in range(20):
            with ledger.transaction() as connection:
                current = connection.execute(sa.select(account_clocks.c.session)).scalar_one()
                connection.execute(account_clocks.update().values(session=date.fromordinal(current.toordinal() + 1)))

    threads = [threading.Thread(target=advance) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as connection:
        last = connection.execute(sa.select(account_clocks.c.session)).scalar_one()
    assert last.toordinal() - date(2020, 1, 1).toordinal() == 80


def test_a_forked_child_uses_connections_of_its_own(ledger: Ledger) -> None:
    with ledger.read() as connection:
        connection.execute(sa.select(account_clocks)).all()
    before = ledger.engine.pool
    child = os.fork()
    if child == 0:
        fresh = ledger.engine.pool is not before
        with ledger.transaction() as connection:
            connection.execute(sa.select(batches)).all()
        os._exit(0 if fresh else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert ledger.engine.pool is before


def test_a_locked_database_is_said_in_a_sentence(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    path = tmp_path / "l.sqlite"
    shutil.copy(template, path)
    monkeypatch.setattr(store, "BUSY_TIMEOUT_MS", 20)
    ledger = Ledger.open(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="database is locked"), ledger.transaction():
        raise AssertionError("the transaction must not begin")
    other.close()
    ledger.close()


@pytest.mark.parametrize("url", ["postgresql://h/db", "sqlite://", "sqlite:///:memory:", "no url at all"])
def test_what_is_no_file_is_refused_as_a_ledger(url: str) -> None:
    with pytest.raises(LedgerError):
        Ledger.open(url)


def test_a_ledger_of_a_newer_version_is_refused(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="does not know"):
        Ledger.open(f"sqlite:///{ledger.path}")


def test_a_second_migrator_waits_and_says_so_when_it_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(store, "_MIGRATION_LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / "l.sqlite.migrate.lock"), pytest.raises(LedgerError, match="migrating"):
        Ledger.open(f"sqlite:///{tmp_path / 'l.sqlite'}")
