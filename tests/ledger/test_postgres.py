"""What holds for a ledger on a server alone: its schema, its sessions, and what happens when the server goes away."""

import threading
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from scizor_dagster import databases
from scizor_dagster.errors import CommitInDoubt, LedgerError
from scizor_dagster.ledger import postgres as server_side
from scizor_dagster.ledger.backend import BUSY_TIMEOUT_MS
from scizor_dagster.ledger.lease import DEFAULT_TTL, LIVELY
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import account_clocks, metadata
from tests.postgres import Server
from tests.wire_cuts import CUTS, Cut, cutting_wire

DAY = date(2026, 3, 2)


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """An empty database's name."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


def _note(ledger: Ledger, account: str) -> None:
    with ledger.transaction() as connection:
        connection.execute(account_clocks.insert().values(account=account, session=DAY))


def _noted(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return sorted(connection.execute(sa.select(account_clocks.c.account)).scalars())


def test_each_spelling_of_a_url_opens_the_same_ledger(postgres: Server, database: str) -> None:
    url = postgres.url(database)
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        ledger = Ledger.open(url.replace("postgresql", scheme))
        _note(ledger, scheme)
        ledger.close()
    ledger = Ledger.open(url)
    assert _noted(ledger) == ["postgres", "postgresql", "postgresql+psycopg2"]
    ledger.close()


def test_every_table_lies_in_the_schema_ledger_and_nothing_beside_it(postgres: Server, database: str) -> None:
    Ledger.open(postgres.url(database)).close()
    wanted = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    found = postgres.execute(wanted, database=database)
    assert set(found) == {("ledger", name) for name in [*metadata.tables, "alembic_version"]}


def test_what_the_server_has_as_defaults_makes_no_difference(postgres: Server, database: str) -> None:
    for setting in (
        "synchronous_commit = off",
        "default_transaction_isolation = serializable",
        "search_path = public",
        "lock_timeout = 0",
        "timezone = 'Asia/Tokyo'",
    ):
        postgres.execute(f'ALTER DATABASE "{database}" SET {setting}')
    ledger = Ledger.open(postgres.url(database))
    names = ("synchronous_commit", "transaction_isolation", "transaction_read_only", "lock_timeout", "TimeZone")
    seen = []
    for begin in (ledger.transaction, ledger.read):
        with begin() as connection:
            seen.append([connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names])
    ledger.close()
    assert seen == [
        ["on", "read committed", "off", "30s", "UTC"],
        ["on", "repeatable read", "on", "30s", "UTC"],
    ]


def test_a_server_that_may_forget_commits_is_refused(postgres: Server, database: str) -> None:
    postgres.execute("ALTER SYSTEM SET fsync = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        _await_setting(postgres, "fsync", "off")
        with pytest.raises(LedgerError, match="fsync=off"):
            Ledger.open(postgres.url(database))
        assert not Ledger.exists(postgres.url(database))
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")
        _await_setting(postgres, "fsync", "on")


def test_a_server_that_is_too_old_is_refused(postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_side, "OLDEST_SERVER", 990_000)
    with pytest.raises(LedgerError, match="older than Postgres 14"):
        Ledger.open(postgres.url(database))


def test_a_url_does_not_choose_the_name_by_which_others_see_that_somebody_is_at_work(
    postgres: Server, database: str
) -> None:
    ledger = Ledger.open(f"{postgres.url(database)}?application_name=desk_of_ann")
    with ledger.read():
        asked = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = %s"
        assert postgres.execute(asked, database) == [(server_side.APPLICATION,)]
    ledger.close()


def test_a_standby_is_refused(postgres: Server, postgres_url: str) -> None:
    signal = postgres.data / "standby.signal"
    postgres.stop()
    signal.touch()
    postgres.start()
    try:
        with pytest.raises(LedgerError, match="standby") as caught:
            Ledger.open(postgres_url)
        assert "Name its primary" in caught.value.remedy
    finally:
        postgres.stop()
        signal.unlink()
        postgres.start()


def test_a_database_that_was_made_read_only_is_said_in_a_sentence(postgres: Server, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    ledger = Ledger.open(postgres_url)
    with pytest.raises(LedgerError, match="read-only transaction"):
        _note(ledger, "a")
    assert _noted(ledger) == []
    ledger.close()


def test_a_writer_that_stands_still_in_its_transaction_does_not_keep_the_others_waiting_for_good(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_side, "WRITER_STANDS_STILL_MS", 100)
    stopped = Ledger.open(postgres_url)
    monkeypatch.undo()
    other = Ledger.open(postgres_url)

    def stand_still() -> None:
        with stopped.transaction() as connection:
            connection.execute(account_clocks.insert().values(account="stopped", session=DAY))
            _note(other, "other")
            connection.execute(account_clocks.insert().values(account="too late", session=DAY))

    with pytest.raises(LedgerError, match=r"idle-in-transaction timeout|closed the connection"):
        stand_still()
    assert _noted(other) == ["other"]
    for ledger in (stopped, other):
        ledger.close()


def test_a_statement_that_hangs_ends_and_nothing_is_stored(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_side, "STATEMENT_MS", 100)
    ledger = Ledger.open(postgres_url)

    def hang() -> None:
        with ledger.transaction() as connection:
            connection.execute(account_clocks.insert().values(account="a", session=DAY))
            connection.exec_driver_sql("SELECT pg_sleep(60)")

    with pytest.raises(LedgerError, match="statement timeout"):
        hang()
    assert _noted(ledger) == []
    ledger.close()


def test_no_wait_of_a_session_is_without_a_bound_and_a_host_that_has_vanished_holds_nothing_for_long(
    postgres_url: str,
) -> None:
    names = ("idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout", "tcp_user_timeout")
    names += tuple(f"tcp_keepalives_{name}" for name in ("idle", "interval", "count"))
    ledger = Ledger.open(postgres_url)
    seen = {}
    for begin in (ledger.transaction, ledger.read):
        with begin() as connection:
            seen[begin.__name__] = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    with ledger.transaction() as connection:
        ledger.unhurried(connection)
        seen["unhurried"] = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    ledger.close()
    wire = ["60000", "30", "10", "3"]
    assert seen == {
        "transaction": ["20s", "5min", "30s", *wire],
        "read": ["10min", "5min", "30s", *wire],
        "unhurried": ["0", "0", "30s", *wire],
    }


def test_the_bounds_fit_each_other() -> None:
    # Who waits behind a writer whose host has vanished gets its turn.
    assert server_side.WRITER_STANDS_STILL_MS < BUSY_TIMEOUT_MS
    # No holder of an account is taken for dead for a silence that a send does without a look at its lease.
    assert timedelta(seconds=databases.KEEPALIVE["interval"] * databases.KEEPALIVE["count"]) > LIVELY
    # What the lock of a vanished host does not free at once, the lease does.
    assert timedelta(milliseconds=databases.silent_host_ms()) < DEFAULT_TTL


def _await_setting(server: Server, name: str, value: str) -> None:
    """A reload is taken notice of by each new session, once the server's first process has read the file."""
    for _ in range(1_000):
        if server.execute(f"SHOW {name}") == [(value,)]:
            return
    raise TimeoutError(f"{name} did not become {value}")


def test_a_database_that_cannot_hold_every_character_is_refused(postgres: Server) -> None:
    postgres.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(LedgerError, match="encoding is SQL_ASCII"):
        Ledger.open(postgres.url("ascii"))
    postgres.drop("ascii")


def test_a_user_who_may_not_create_the_schema_is_told_so(postgres: Server, database: str) -> None:
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'hush-hush'")
    url = postgres.url(database).replace("scizor@", "guest:hush-hush@")
    with pytest.raises(LedgerError, match="permission denied for database") as caught:
        Ledger.open(url)
    assert "hush" not in _everything(caught.value)
    postgres.execute("DROP ROLE guest")


def test_a_server_that_is_not_there_is_said_with_its_place_and_without_the_password(postgres: Server) -> None:
    url = f"postgresql://scizor:hush-hush@127.0.0.1:1/{postgres.folder.name}"
    with pytest.raises(LedgerError, match="Connection refused") as caught:
        Ledger.open(url)
    assert f"127.0.0.1:1/{postgres.folder.name}" in str(caught.value)
    assert "hush" not in _everything(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://scizor:hush/hush@h:5432/db",
        "postgresql://scizor:hu@sh/hush@h:5432/db",
        "postgresql://scizor:hush@h:hush/db",
        "postgresql://scizor:hush@h",
        "postgresql+asyncpg://scizor:hush@h/db",
        "mysql://scizor:hush@h/db",
    ],
)
def test_no_part_of_a_password_is_quoted_when_a_url_cannot_be_used(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    assert "hush" not in _everything(caught.value)


def _everything(error: BaseException) -> str:
    """What a traceback would show of the error and of its causes."""
    import traceback

    shown = [line for line in traceback.format_exception(error) if not line.startswith("  File")]
    return "".join(shown) + repr(error)


def test_neither_a_ledger_nor_its_engine_shows_the_password(postgres: Server, database: str) -> None:
    ledger = Ledger.open(postgres.url(database).replace("scizor@", "scizor:hush@"))
    with ledger.read() as connection:
        shown = f"{ledger!r} {ledger} {ledger.place} {ledger.engine!r} {connection.connection.dbapi_connection!r}"
    assert "hush" not in shown
    assert database in ledger.place
    ledger.close()


def _backend(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def test_a_connection_lost_in_a_transaction_stores_nothing_and_the_next_one_works(
    postgres: Server, postgres_url: str
) -> None:
    ledger = Ledger.open(postgres_url)

    def lose() -> None:
        with ledger.transaction() as connection:
            connection.execute(account_clocks.insert().values(account="lost", session=DAY))
            postgres.execute("SELECT pg_terminate_backend(%s, 10000)", _backend(connection))
            connection.execute(account_clocks.insert().values(account="never", session=DAY))

    with pytest.raises(LedgerError, match=r"terminating connection|closed the connection") as caught:
        lose()
    assert not isinstance(caught.value, CommitInDoubt)
    assert caught.value.where == ledger.place
    _note(ledger, "after")
    assert _noted(ledger) == ["after"]
    ledger.close()


@pytest.mark.parametrize("cut", CUTS)
def test_a_commit_whose_connection_is_cut_is_in_doubt_and_whole_or_not_at_all(
    postgres: Server, postgres_url: str, cut: Cut
) -> None:
    with cutting_wire(postgres, 1, cut) as wire:
        ledger = Ledger.open(wire.url(postgres_url))

        def commit() -> None:
            with ledger.transaction() as connection:
                for account in ("a", "b"):
                    connection.execute(account_clocks.insert().values(account=account, session=DAY))

        with pytest.raises(CommitInDoubt, match="during a commit"):
            commit()
        # A writer's first statement waits for the one before to have ended, so that the answer is final.
        _note(ledger, "c")
        stored = _noted(ledger)
        ledger.close()
    assert stored == (["c"] if cut == "unread" else ["a", "b", "c"])


def test_a_transaction_that_went_on_after_a_failed_statement_is_not_taken_for_stored(postgres_url: str) -> None:
    ledger = Ledger.open(postgres_url)
    _note(ledger, "a")

    def go_on() -> None:
        with ledger.transaction() as connection:
            connection.execute(account_clocks.insert().values(account="b", session=DAY))
            with pytest.raises(sa.exc.IntegrityError):
                connection.execute(account_clocks.insert().values(account="a", session=DAY))

    with pytest.raises(LedgerError, match="has failed"):
        go_on()
    assert _noted(ledger) == ["a"]
    ledger.close()


def test_what_was_committed_survives_a_crash_of_the_server_and_pooled_connections_are_replaced(
    postgres: Server, postgres_url: str
) -> None:
    ledger = Ledger.open(postgres_url)
    for number in range(20):
        _note(ledger, f"a{number:02}")
    postgres.crash()
    with pytest.raises(LedgerError, match="cannot be used"):
        _note(ledger, "while it is down")
    postgres.start()
    _note(ledger, "after")
    assert _noted(ledger) == [*(f"a{number:02}" for number in range(20)), "after"]
    ledger.close()


def test_a_process_lock_dies_with_its_session_and_its_holder_is_not_disturbed(
    postgres: Server, postgres_url: str
) -> None:
    holder, other = Ledger.open(postgres_url), Ledger.open(postgres_url)
    with holder.process_lock("lease-paper") as held:
        assert held
        locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
        ((backend,),) = postgres.execute(locks, database=postgres_url.rpartition("/")[2])
        postgres.execute("SELECT pg_terminate_backend(%s, 10000)", backend)
        with other.process_lock("lease-paper") as taken:
            assert taken
    for ledger in (holder, other):
        ledger.close()


def test_a_session_that_is_cut_while_it_waits_for_a_process_lock_is_a_failure_and_not_a_lock_that_another_has(
    postgres: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_side, "LOCK_WAIT_MS", 30_000)
    holder, other = Ledger.open(postgres_url), Ledger.open(postgres_url)
    failures: list[LedgerError] = []

    def wait() -> None:
        with pytest.raises(LedgerError, match=r"terminating connection|closed the connection") as caught:
            other.process_lock("lease-paper").__enter__()
        failures.append(caught.value)

    waiter = threading.Thread(target=wait)
    with holder.process_lock("lease-paper") as held:
        assert held
        waiter.start()
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        backends: list[tuple[object, ...]] = []
        while not backends and waiter.is_alive():
            backends = postgres.execute(waiting, database=postgres_url.rpartition("/")[2])
        postgres.execute("SELECT pg_terminate_backend(%s, 10000)", backends[0][0])
        waiter.join()
    assert [failure.where for failure in failures] == [other.place]
    for ledger in (holder, other):
        ledger.close()
