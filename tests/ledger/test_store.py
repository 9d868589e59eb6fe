"""Opening, migrating and transacting."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import backend
from scizor_dagster.ledger import store as ledger_store
from scizor_dagster.ledger.approval_tables import signal_approvals
from scizor_dagster.ledger.postgres import PostgresBackend
from scizor_dagster.ledger.rows import fills_of
from scizor_dagster.ledger.sqlite import SqliteBackend
from scizor_dagster.ledger.store import Ledger, migration_config
from scizor_dagster.ledger.tables import account_clocks, batches, metadata
from scizor_dagster.risk.events import risk_events_of
from tests.ledgers import another, url_of


@pytest.fixture
def nothing(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a place where no ledger is yet."""
    if store == "sqlite":
        yield f"sqlite:///{tmp_path / 'deep' / 'folder' / 'l.sqlite'}"
        return
    server = request.getfixturevalue("postgres")
    name = server.new_database()
    yield server.url(name)
    server.drop(name)


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
    assert ScriptDirectory.from_config(migration_config()).get_current_head() == ledger_store.HEAD


def test_downgrading_to_nothing_leaves_no_table_of_ours(ledger: Ledger) -> None:
    from alembic import command

    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with ledger.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}


def test_a_ledger_of_the_first_schema_is_migrated_and_keeps_its_rows(ledger: Ledger) -> None:
    from alembic import command

    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO risk_events "
            "(event_id, at, account, portfolio, session, limit_name, value, threshold, verdict) VALUES "
            "('e', '2026-03-02 14:00:00', 'paper', 'main', '2026-03-02', 'limit', '2', '1', 'stopped')"
        )
    migrated = another(ledger)
    with migrated.read() as connection:
        (event,) = risk_events_of(connection, "paper", date(2026, 3, 2))
    migrated.close()
    assert (event.limit, event.verdict, event.checked) == ("limit", "stopped", {})


def test_an_older_ledger_on_a_server_is_brought_up_to_date_only_when_asked_for(ledger: Ledger, store: str) -> None:
    from alembic import command

    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    assert Ledger.version(url_of(ledger)) == "0006"
    if store == "postgres":
        with pytest.raises(LedgerError, match="of version 0006") as caught:
            Ledger.open(url_of(ledger))
        assert "scizor upgrade" in caught.value.remedy
        assert Ledger.version(url_of(ledger)) == "0006"
        Ledger.open(url_of(ledger), upgrading=True).close()
    else:
        Ledger.open(url_of(ledger)).close()
    assert Ledger.version(url_of(ledger)) == ledger_store.HEAD


def test_where_there_is_no_ledger_there_is_no_version_of_one(nothing: str) -> None:
    assert Ledger.version(nothing) is None
    assert not Ledger.exists(nothing)


def test_executions_of_an_older_ledger_are_their_own_first_versions_and_an_older_schema_gets_what_counts(
    tmp_path: Path,
) -> None:
    from alembic import command

    url = f"sqlite:///{tmp_path / 'l.sqlite'}"
    ledger = Ledger.open(url, synchronous="OFF")
    config = migration_config()
    insert = (
        "INSERT INTO trades (account, fill_id, client_order_id, symbol, side, qty, price, fee, session, executed_at, "
        "recorded_at{0}) VALUES ('paper', 'f1', 'b', 'CCC', 'buy', '{1}', '20', '0.1', '2026-03-02', "
        "'2026-03-02 17:00:00', '2026-03-02 17:00:01'{2})"
    )
    with ledger.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        connection.exec_driver_sql(insert.format("", "10", ""))
    ledger.close()
    ledger = Ledger.open(url, synchronous="OFF")
    with ledger.transaction() as connection:
        assert [(row.qty, row.version, row.revision) for row in fills_of(connection, "paper")] == [(10, 1, 1)]
        connection.exec_driver_sql(insert.format(", version, revision", "6", ", 2, 2"))
        assert [(row.qty, row.version) for row in fills_of(connection, "paper")] == [(6, 2)]
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        assert connection.exec_driver_sql("SELECT qty FROM trades").scalars().all() == ["6"]
    ledger.close()


def test_four_processes_may_open_a_new_ledger_at_once(nothing: str) -> None:
    # An executor says that a child died, where a pool would wait for it for good.
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_open_in_child, [nothing] * 4)) == [ledger_store.HEAD] * 4


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


def test_as_many_read_at_once_as_ask_and_none_waits_for_the_connection_of_another(ledger: Ledger) -> None:
    with ExitStack() as held:
        connections = [held.enter_context(ledger.read()) for _ in range(30)]
        assert [connection.execute(sa.select(1)).scalar() for connection in connections] == [1] * 30
        with ledger.transaction() as connection:
            connection.execute(sa.select(1))


def test_a_reader_sees_one_instant_whatever_is_committed_while_it_reads(ledger: Ledger) -> None:
    with ledger.read() as reader:
        assert reader.execute(sa.select(account_clocks)).all() == []
        with ledger.transaction() as writer:
            writer.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
        assert reader.execute(sa.select(account_clocks)).all() == []
    with ledger.read() as reader:
        assert len(reader.execute(sa.select(account_clocks)).all()) == 1


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


def test_a_writer_that_waits_too_long_is_told_so_in_a_sentence(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT_MS", 20)
    other = another(ledger)
    with ledger.transaction(), pytest.raises(LedgerError, match=r"locked|lock timeout") as caught, other.transaction():
        raise AssertionError("the transaction must not begin")
    assert caught.value.where == ledger.place
    other.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no url at all", "mysql://h/db", "postgresql://h"])
def test_what_keeps_no_ledger_is_refused_as_one(url: str) -> None:
    with pytest.raises(LedgerError):
        Ledger.open(url)


def test_a_ledger_exists_once_it_was_opened_and_asking_creates_none(nothing: str) -> None:
    assert not Ledger.exists(nothing)
    assert not Ledger.exists(nothing)
    Ledger.open(nothing).close()
    assert Ledger.exists(nothing)


def test_a_ledger_of_a_newer_version_is_refused(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="does not know"):
        another(ledger)


def test_a_file_that_is_no_database_is_a_damaged_ledger_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(LedgerError, match="damaged, or is none: file is not a database"):
        Ledger.open(f"sqlite:///{path}")


def test_a_ledger_that_was_opened_to_read_takes_no_write(ledger: Ledger) -> None:
    reading = Ledger.open_to_read(url_of(ledger))
    with reading.read() as connection:
        assert connection.execute(sa.select(account_clocks)).all() == []
    with pytest.raises(LedgerError, match="opened to read"), reading.transaction():
        raise AssertionError("the transaction must not begin")
    reading.close()


def test_a_ledger_that_is_not_there_is_not_opened_to_read_and_asking_creates_none(nothing: str) -> None:
    with pytest.raises(LedgerError, match=r"There is no ledger\."):
        Ledger.open_to_read(nothing)
    assert not Ledger.exists(nothing)


@pytest.mark.parametrize("version", ["0008", "9999"])
def test_a_ledger_of_another_version_is_not_opened_to_read_and_stays_as_it_is(ledger: Ledger, version: str) -> None:
    with ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    with pytest.raises(LedgerError, match=f"of version {version}, and this program reads version") as refused:
        Ledger.open_to_read(url_of(ledger))
    assert refused.value.where == ledger.place
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == version


def test_a_ledger_that_is_not_there_or_was_only_made_holds_nothing_and_a_single_row_is_something(nothing: str) -> None:
    assert not Ledger.holds_anything(nothing)
    assert not Ledger.exists(nothing)
    ledger = Ledger.open(nothing)
    assert not Ledger.holds_anything(nothing)
    with ledger.transaction() as connection:
        connection.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
        # Whatever its version: an older one is what a first opening would carry over.
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    ledger.close()
    assert Ledger.holds_anything(nothing)


def test_who_waited_to_migrate_finds_it_done_and_migrates_nothing(
    nothing: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = SqliteBackend if store == "sqlite" else PostgresBackend
    migrating = kind.migrating
    overtaken: list[Ledger] = []

    @contextmanager
    def overtake(self: Any, engine: sa.Engine) -> Iterator[None]:
        monkeypatch.undo()
        overtaken.append(Ledger.open(nothing))
        with overtaken[0].transaction() as connection:
            connection.execute(account_clocks.insert().values(account="a", session=date(2026, 3, 2)))
        with migrating(self, engine):
            yield

    monkeypatch.setattr(kind, "migrating", overtake)
    ledger = Ledger.open(nothing)
    with ledger.read() as connection:
        assert connection.execute(sa.select(account_clocks.c.account)).scalars().all() == ["a"]
    for opened in (ledger, *overtaken):
        opened.close()


def test_a_damaged_file_that_was_to_be_read_is_not_kept_open(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(LedgerError, match="damaged, or is none"):
        Ledger.open_to_read(f"sqlite:///{path}")
    held = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert str(path) not in held
