"""The lake's catalog on a server: schema `lake` of a Postgres database, many machines at once.

What belongs here: attaching it, whose turn it is to write, and what is said when the server is lost. What does not: the
catalog in a file (`catalogs`), transactions and cursors (`connection`).

Writers of all machines take turns by an advisory lock, which a connection of its own holds: it goes with the process,
whatever ends it. Readers never wait. Sessions matter: a pooler in between must keep one for each client.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import duckdb
import psycopg2

from scizor_dagster.databases import lock_key
from scizor_dagster.errors import DataError
from scizor_dagster.lake.catalogs import DROPPED, StillHeld, execute_attach, quoted, too_long
from scizor_dagster.lake.data_folder import require_one_folder
from scizor_dagster.lake.location import SCHEMA, LakeLocation, lake_exists, unreachable

_CATALOG = "scizor_catalog"
_OBJECTS = "scizor_objects"
_LOST = (
    "server closed the connection",
    "terminating connection",
    "no connection to the server",
    "connection to server",
    "connection has been closed",
    "could not receive data from server",
    "could not send data to server",
    "Unable to connect to Postgres",
    'Failed to execute query "ROLLBACK"',
    "Connection timed out",
    "the database system is",
    "Current transaction is aborted",
)
"""Parts of what libpq says of a connection that is no more: DuckDB hands it on as text, under several classes."""


class ServerCatalog:
    """See `catalogs.Catalog`. A forked child has sessions of its own, and leaves those of its parent alone."""

    def __init__(self, location: LakeLocation) -> None:
        self._location = location
        self._guard = Lock()
        self._owner = os.getpid()
        self._idle: list[Any] = []
        # Sessions of the parent of a fork: closing them here would end them there.
        self._abandoned: list[Any] = []

    @property
    def extensions(self) -> Sequence[str]:
        objects = ("httpfs",) if self._location.in_object_store else ()
        return ("ducklake", "postgres_scanner", *objects)

    def attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str], lock_timeout: float) -> None:
        self._tell_secrets(connection)
        if lake_exists(self._location):
            self._attach(connection, options)
            return
        with self.writing(lock_timeout):
            self._attach(connection, options)

    def _attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str]) -> None:
        known = [f"METADATA_SCHEMA '{SCHEMA}'", f"META_SECRET '{_CATALOG}'"]
        with self.translated():
            try:
                execute_attach(connection, self._location, [*known, *options])
            except duckdb.Error as error:
                if "does not match existing data path" in str(error):
                    raise self._other_data(error) from error
                if "ERROR:" in str(error):
                    raise self._refused(error) from error
                raise
        if not self._location.in_object_store:
            require_one_folder(self._location)

    def _other_data(self, error: duckdb.Error) -> DataError:
        kept = str(error).partition("in the catalog ")[2].split("\n")[0].strip('".') or "another one"
        return DataError(
            f"The lake's catalog has its data in {kept}, and here it is looked for in {self._location.data_path}.",
            remedy="Set SCIZOR_LAKE_DATA on every host to the place that the catalog names.",
            where=self._location.place,
        )

    def _refused(self, error: duckdb.Error) -> DataError:
        said = str(error).rpartition("ERROR:")[2].strip().splitlines()[0]
        return DataError(
            f"The lake's catalog cannot be opened ({said}).",
            remedy=f"Let this user use schema {SCHEMA} of the database, and create it where it is not there yet.",
            where=self._location.place,
        )

    def _tell_secrets(self, connection: duckdb.DuckDBPyConnection) -> None:
        given = {"PASSWORD": self._location.connection.get("password", "")}
        _create_secret(connection, _CATALOG, "postgres", given)
        if self._location.in_object_store:
            _create_secret(connection, _OBJECTS, "s3", _object_secret(self._location))

    @contextmanager
    def writing(self, timeout: float) -> Iterator[StillHeld]:
        session = self._session()
        try:
            self._take(session, timeout)
            yield lambda: self._require_held(session)
        finally:
            self._give_back(session)

    def _take(self, session: Any, timeout: float) -> None:
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{max(1, round(timeout * 1000))}ms"])
                cursor.execute("SELECT pg_advisory_lock(%s)", [lock_key(SCHEMA, "write")])
        except psycopg2.errors.LockNotAvailable as error:
            raise too_long(timeout, self._location.place) from error
        except psycopg2.Error as error:
            raise unreachable(self._location, error) from error

    def _require_held(self, session: Any) -> None:
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error as error:
            raise self._lost() from error

    def _session(self) -> Any:
        with self._guard:
            if self._owner != os.getpid():
                self._abandoned += self._idle
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                session = self._idle.pop()
                if _answers(session):
                    return session
        try:
            session = psycopg2.connect(**{**self._location.connection, "application_name": "scizor lake writer"})
        except psycopg2.Error as error:
            raise unreachable(self._location, error) from None
        session.autocommit = True
        return session

    def _give_back(self, session: Any) -> None:
        with suppress(psycopg2.Error):
            with session.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
            with self._guard:
                if self._owner == os.getpid() and not self._idle:
                    self._idle.append(session)
                    return
        with suppress(psycopg2.Error):
            session.close()

    @contextmanager
    def translated(self, *, committing: bool = False) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            if DROPPED.search(str(error)) or not any(part in str(error) for part in _LOST):
                raise
            raise (self._in_doubt() if committing else self._lost()) from error

    def _lost(self) -> DataError:
        return DataError(
            "The connection to the lake's catalog was lost in the middle.",
            remedy="Nothing of this was stored. See that the server runs and lets this user in, then run again.",
            where=self._location.place,
        )

    def _in_doubt(self) -> DataError:
        return DataError(
            "The connection to the lake's catalog was lost while it was told to store.",
            remedy="It may have been stored, whole, or not at all. See that the server runs, then run again: what is "
            "written twice stands there once.",
            where=self._location.place,
        )

    def close(self) -> None:
        with self._guard:
            if self._owner == os.getpid():
                for session in self._idle:
                    session.close()
                self._idle = []


def _answers(session: Any) -> bool:
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def _create_secret(connection: duckdb.DuckDBPyConnection, name: str, kind: str, values: dict[str, str]) -> None:
    given = ", ".join([f"TYPE {kind}", *(f"{key} '{quoted(value)}'" for key, value in values.items())])
    connection.execute(f"CREATE SECRET {name} ({given})")


def _object_secret(location: LakeLocation) -> dict[str, str]:
    known = location.object_store
    secret = {"KEY_ID": known["AWS_ACCESS_KEY_ID"], "SECRET": known["AWS_SECRET_ACCESS_KEY"]}
    secret["REGION"] = known.get("AWS_REGION") or known.get("AWS_DEFAULT_REGION") or "us-east-1"
    if "AWS_SESSION_TOKEN" in known:
        secret["SESSION_TOKEN"] = known["AWS_SESSION_TOKEN"]
    if endpoint := known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL"):
        scheme, _, rest = endpoint.rpartition("://")
        secret |= {"ENDPOINT": rest.rstrip("/"), "URL_STYLE": "path", "USE_SSL": str(scheme != "http").lower()}
    return secret
