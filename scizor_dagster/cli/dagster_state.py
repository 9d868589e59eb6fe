"""What Dagster's own databases say of its daemon and its switches, read without Dagster.

What belongs here: reading heartbeats and switches from its storage, in milliseconds and for reading only. What
does not: writing there, and what follows from it (`watchdog`). The layout is that of Dagster 1.13; a test holds the
reading against an instance of the installed version.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import DataError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import psycopg2.extensions

DAEMONS = ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR")
"""Those without which nothing begins by itself."""
RUNS, SCHEDULES = "history/runs.db", "schedules/schedules.db"
SCHEMA = "dagster"
"""Schema of Dagster's storage in a Postgres database."""
_BEATS = "SELECT daemon_type, body FROM daemon_heartbeats"
_SWITCHED = "SELECT status, instigator_body FROM instigators"


@dataclass(frozen=True)
class DagsterState:
    """What was found.

    Attributes:
        heartbeats: When each daemon was heard of last, by its type.
        switches: Whether a schedule or sensor is on, by its name; one that nobody has ever switched is absent, and off.
        daemons: Which process each heartbeat is of, by its type.
    """

    heartbeats: Mapping[str, datetime]
    switches: Mapping[str, bool]
    daemons: Mapping[str, str] = field(default_factory=dict)

    def is_on(self, name: str) -> bool:
        return self.switches.get(name, False)

    def oldest(self) -> datetime | None:
        """The oldest heartbeat of those that are needed; None where one has never been heard of."""
        found = [self.heartbeats.get(name) for name in DAEMONS]
        known = [at for at in found if at is not None]
        return min(known) if len(known) == len(found) else None


def read_dagster(settings: Settings) -> DagsterState | None:
    """The state of Dagster's instance; None where there is none.

    Raises:
        DataError: a database cannot be read.
    """
    found = _on_server(settings) if settings.on_server else _embedded(settings.dagster_home)
    if found is None:
        return None
    beats, switched = found
    try:
        return DagsterState(
            {kind: datetime.fromtimestamp(float(body["timestamp"]), UTC) for kind, body in beats},
            {str(body["origin"]["job_name"]): status == "RUNNING" for status, body in switched},
            {kind: str(body["daemon_id"]) for kind, body in beats},
        )
    except KeyError as error:
        raise DataError(
            f"Dagster's databases are written in a way that is not known here ({error} is missing).",
            remedy="Install the version of Dagster that requirements.lock names.",
            where=place_of_dagster(settings),
        ) from error


def connection_of(settings: Settings) -> psycopg2.extensions.connection:
    """A connection of its own to the server that Dagster's storage lies on; the caller closes it.

    Raises:
        DataError: the server cannot be reached.
    """
    # Imported here because only stores on a server need a driver of their own.
    import psycopg2

    from scizor_dagster.databases import parameters_of, parse, patience_of_host

    try:
        return psycopg2.connect(**{**patience_of_host(), **parameters_of(parse(settings.database_url))})
    except psycopg2.Error as error:
        raise lost(settings, error) from None


def dagster_is_made(settings: Settings) -> bool:
    """Whether Dagster has a storage already; asking creates none.

    Raises:
        DataError: the server cannot be reached.
    """
    if not settings.on_server:
        return (settings.dagster_home / RUNS).is_file()
    with closing(connection_of(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.runs"])
        return (cursor.fetchone() or (None,))[0] is not None


def place_of_dagster(settings: Settings) -> str:
    """Where Dagster's storage is, for errors and reports; never a secret."""
    if not settings.on_server:
        return str(settings.dagster_home)
    from scizor_dagster.databases import parse, place_of

    return f"{place_of(parse(settings.database_url))}, schema {SCHEMA}"


def lost(settings: Settings, cause: BaseException) -> DataError:
    """What is said of a server that does not answer for Dagster."""
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return DataError(
        f"Dagster's record of runs cannot be read or written ({lines[0].rstrip('.')}).",
        remedy="See that the server runs and lets this user in, then run again. Lake and ledger are apart from it.",
        where=place_of_dagster(settings),
    )


_Bodies = list[tuple[str, dict[str, Any]]]


def _on_server(settings: Settings) -> tuple[_Bodies, _Bodies] | None:
    import psycopg2

    try:
        with closing(connection_of(settings)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT to_regclass(%s), to_regclass(%s)", [f"{SCHEMA}.daemon_heartbeats", f"{SCHEMA}.instigators"]
            )
            if None in (cursor.fetchone() or (None,)):
                return None
            answers = []
            for query in (_BEATS, _SWITCHED):
                cursor.execute(f"SET LOCAL search_path = {SCHEMA}")
                cursor.execute(query)
                answers.append([(str(name), json.loads(body)) for name, body in cursor.fetchall()])
    except psycopg2.Error as error:
        raise lost(settings, error) from error
    return answers[0], answers[1]


def _embedded(dagster_home: Path) -> tuple[_Bodies, _Bodies] | None:
    if not (dagster_home / RUNS).is_file():
        return None
    return _bodies(dagster_home / RUNS, _BEATS), _bodies(dagster_home / SCHEDULES, _SWITCHED)


def _bodies(path: Path, query: str) -> _Bodies:
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
            return [(str(name), json.loads(body)) for name, body in connection.execute(query)]
    except (sqlite3.Error, ValueError) as error:
        raise DataError(
            f"Dagster's database cannot be read ({error}).",
            remedy="Look at the daemon. Where the file is damaged, move it away: only the record of runs goes with it.",
            where=str(path),
        ) from error
