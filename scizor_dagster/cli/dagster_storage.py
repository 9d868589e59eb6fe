"""Dagster's storage in schema `dagster` of the database that `DATABASE_URL` names.

What belongs here: the class that a server's `dagster.yaml` names. What does not: what Dagster keeps there.

That file holds no secret and may lie anywhere: every process that opens it (webserver, daemon, code location, run
worker, command) reads `DATABASE_URL` itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Self

import psycopg2
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from scizor_dagster.cli.dagster_state import SCHEMA, connection_of, place_of_dagster
from scizor_dagster.databases import lock_key, parse
from scizor_dagster.errors import DataError
from scizor_dagster.settings import Settings

OPENING_SECONDS = 120
_SESSION = f"-c search_path={SCHEMA} -c timezone=UTC"
_TABLES = ("runs", "daemon_heartbeats", "instance_info", "event_logs", "asset_keys", "jobs", "job_ticks", "instigators")
"""Of each of Dagster's three storages the first table that it makes, and those that commands read."""


class ServerStorage(DagsterPostgresStorage):
    """See the module. The first of several processes that open an empty database makes the tables."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        settings = Settings.from_environment(os.environ)
        url = parse(settings.database_url)
        asked = str(url.query.get("options", ""))
        url = url.update_query_dict({"options": f"{asked} {_SESSION}".strip(), "application_name": "scizor dagster"})
        with _made_by_one(settings):
            super().__init__(url.render_as_string(hide_password=False), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:  # noqa: ARG003
        return cls(inst_data)


@contextmanager
def _made_by_one(settings: Settings) -> Iterator[None]:
    with closing(connection_of(settings)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if _is_made(cursor):
                yield
                return
            take_turn(connection)
            try:
                # Asked first: IF NOT EXISTS still wants the right to create where the schema is there.
                cursor.execute("SELECT to_regnamespace(%s)", [SCHEMA])
                if (cursor.fetchone() or (None,))[0] is None:
                    cursor.execute(f"CREATE SCHEMA {SCHEMA}")
            except psycopg2.Error as error:
                raise DataError(
                    f"Dagster's storage cannot be made ({str(error).strip().splitlines()[0]}).",
                    remedy=f"Let this user create schemas in the database, or create schema {SCHEMA} for it.",
                    where=place_of_dagster(settings),
                ) from None
            yield


def take_turn(connection: psycopg2.extensions.connection) -> None:
    """Wait until nobody else makes or upgrades the storage; the turn ends with the connection.

    Raises:
        DataError: somebody has been at it for too long.
    """
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{OPENING_SECONDS}s'")
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [lock_key(SCHEMA, "open")])
        except psycopg2.errors.LockNotAvailable:
            raise DataError(
                f"Another process has been making Dagster's storage for more than {OPENING_SECONDS} s.",
                remedy="Wait for it, or end it; its turn goes with the process.",
            ) from None


def _is_made(cursor: Any) -> bool:
    cursor.execute("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s) AS name", [_named(_TABLES)])
    return bool(cursor.fetchone()[0])


def _named(tables: tuple[str, ...]) -> list[str]:
    return [f"{SCHEMA}.{name}" for name in tables]
