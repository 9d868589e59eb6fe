"""The ledger on a server: schema `ledger` of a Postgres database.

What belongs here: connections, their settings, and locks of the server. What does not: what holds for every database
(`store`).

A write transaction begins with an advisory lock, so that writers take turns as they do on SQLite: the lock is had
before the first statement that reads, and READ COMMITTED lets that one see all that was committed before. A
transaction that reads sees one instant (REPEATABLE READ). What the server or the role has as defaults for durability,
isolation and schema is overruled for each connection.

Sessions matter here (locks, settings): a pooler between client and server must keep a session per client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from scizor_dagster.databases import lock_key, patience_of_host, patience_of_server, place_of
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import backend
from scizor_dagster.ledger.backend import ACCESS, OUTSIDE, READ, UNBOUNDED, Synchronous

SCHEMA = "ledger"
OLDEST_SERVER = 140_000
LOCK_WAIT_MS = 500
"""How long a process lock is waited for: the server needs a moment to notice that a holder has died."""
IDLE_IN_TRANSACTION_MS = 600_000
"""How long a reader may think between two questions of a transaction. It keeps nobody waiting; one whose host has
vanished ends with its connection."""
WRITER_STANDS_STILL_MS = 20_000
"""How long a writer may stand still in its transaction. Shorter than others wait for their turn: who comes after one
whose host has vanished gets it."""
STATEMENT_MS = 300_000
"""How long one statement may take. None takes seconds; one that hangs must end."""
APPLICATION = "scizor"
"""What the server calls sessions of a ledger."""
_CONNECT = {"application_name": APPLICATION, "client_encoding": "utf8"}
_IN_ERROR = 3
"""libpq's PQTRANS_INERROR."""
_LOCK_NOT_AVAILABLE = "55P03"
_BEGIN_READ = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class PostgresBackend:
    """See `backend.Backend`."""

    path = None
    remedy = (
        "Nothing was half-written. See that the server runs, lets this user in and has room, then run again: "
        "a run reads what the ledger holds before it does anything."
    )

    def __init__(self, url: sa.URL, synchronous: Synchronous) -> None:
        self.place = place_of(url)
        self._url = url
        self._synchronous = synchronous

    @property
    def exists(self) -> bool:
        engine = self.create_engine()
        try:
            with engine.connect().execution_options(**{ACCESS: READ}) as connection:
                found = connection.exec_driver_sql(f"SELECT to_regclass('{SCHEMA}.alembic_version')").scalar()
                return found is not None
        finally:
            engine.dispose()

    def create_engine(self) -> sa.Engine:
        wanted: dict[str, Any] = {**_CONNECT, **patience_of_host()}
        # The name is not for a URL to choose: by it others see that somebody is at work.
        asked = {name: wanted[name] for name in wanted if name == "application_name" or name not in self._url.query}
        # A pooled connection that a restart of the server has cut is replaced before a transaction begins on it.
        engine = sa.create_engine(self._url, connect_args=asked, pool_pre_ping=True, max_overflow=UNBOUNDED)

        @sa.event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            settings = self._session_settings()
            if connection.server_version < OLDEST_SERVER:
                # Unknown there; `check` refuses such a server, and is to say so itself.
                del settings["idle_session_timeout"]
            calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {calls}", [text for setting in settings.items() for text in setting])
            connection.autocommit = False

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            access = connection.get_execution_options().get(ACCESS)
            if access == READ:
                connection.exec_driver_sql(_BEGIN_READ)
            elif access != OUTSIDE:
                connection.exec_driver_sql(self._begin_write())

        return engine

    def _begin_write(self) -> str:
        stands_still = f"set_config('idle_in_transaction_session_timeout', '{WRITER_STANDS_STILL_MS}', true)"
        return f"SELECT {stands_still}, pg_advisory_xact_lock({lock_key(SCHEMA, 'write')})"

    def _session_settings(self) -> dict[str, str]:
        return {
            "search_path": SCHEMA,
            "synchronous_commit": "on" if self._synchronous == "FULL" else "off",
            "default_transaction_isolation": "read committed",
            "lock_timeout": str(backend.BUSY_TIMEOUT_MS),
            "timezone": "UTC",
            # A client that was stopped, or cut off, in a transaction must not keep all others waiting for good;
            # one that only waits between transactions, with its process lock, must not be thrown out.
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
            "idle_session_timeout": "0",
            "statement_timeout": str(STATEMENT_MS),
            **{name: str(value) for name, value in patience_of_server().items()},
        }

    @contextmanager
    def migrating(self, engine: sa.Engine) -> Iterator[None]:  # noqa: ARG002
        # The write lock of the transaction that migrates keeps the others out.
        yield

    def prepare(self, connection: sa.Connection) -> None:
        # Asked first: IF NOT EXISTS still wants the right to create where the schema is there.
        if connection.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}')").scalar() is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")

    def unhurried(self, connection: sa.Connection) -> None:
        # One whose host has vanished ends with its connection.
        for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"SELECT set_config('{name}', '0', true)")

    def check(self, connection: sa.Connection) -> None:
        server = connection.exec_driver_sql(
            "SELECT current_setting('server_version_num')::int AS version, current_setting('fsync') AS fsync, "
            "pg_is_in_recovery() AS standby, current_setting('server_encoding') AS encoding"
        ).one()
        problem = None
        if server.version < OLDEST_SERVER:
            problem = ("The server is older than Postgres 14", "Use a newer one.")
        elif server.standby:
            problem = ("The server is a standby and takes no writes", "Name its primary in DATABASE_URL.")
        elif server.encoding != "UTF8":
            problem = (f"The database's encoding is {server.encoding}", "Create it with ENCODING 'UTF8'.")
        elif server.fsync != "on" and self._synchronous == "FULL":
            problem = (
                "The server runs with fsync=off and forgets commits when its machine stops",
                "Set fsync=on on the server: what was sent to a broker must not be forgotten.",
            )
        if problem:
            raise LedgerError(f"{problem[0]}.", remedy=problem[1], where=self.place)

    def before_commit(self, connection: sa.Connection) -> None:
        # The server answers the commit of a transaction with a failed statement by undoing it, and calls that done.
        raw: Any = connection.connection.dbapi_connection
        if raw.info.transaction_status == _IN_ERROR:
            raise LedgerError(
                "A statement of the transaction has failed.", remedy="Nothing was stored.", where=self.place
            )

    @contextmanager
    def process_lock(self, engine: sa.Engine, name: str) -> Iterator[bool]:
        # A session of its own, outside the pool: the lock lives exactly as long as it does.
        session = engine.connect().execution_options(**{ACCESS: OUTSIDE}, isolation_level="AUTOCOMMIT")
        try:
            session.detach()
            yield _try_lock(session, lock_key(SCHEMA, name))
        finally:
            # A session that was lost has no lock any more.
            with suppress(sa.exc.SQLAlchemyError):
                # Now, and not when the server notices that the session is gone.
                session.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            with suppress(sa.exc.SQLAlchemyError):
                session.close()


def _try_lock(session: sa.Connection, key: int) -> bool:
    session.exec_driver_sql(f"SELECT set_config('lock_timeout', '{LOCK_WAIT_MS}', false)")
    try:
        session.exec_driver_sql(f"SELECT pg_advisory_lock({key})")
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
