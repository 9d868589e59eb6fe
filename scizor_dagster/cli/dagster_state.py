"""What Dagster's own databases say of its daemon and its switches, read without Dagster.

What belongs here: reading heartbeats and switches from the embedded storage, in milliseconds and for reading only. What
does not: writing there, and what follows from it (`watchdog`). The layout is that of Dagster 1.13; a test holds the
reading against an instance of the installed version.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scizor_dagster.errors import DataError

DAEMONS = ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR")
"""Those without which nothing begins by itself."""
RUNS, SCHEDULES = "history/runs.db", "schedules/schedules.db"


@dataclass(frozen=True)
class DagsterState:
    """What was found.

    Attributes:
        heartbeats: When each daemon was heard of last, by its type.
        switches: Whether a schedule or sensor is on, by its name; one that nobody has ever switched is absent, and off.
    """

    heartbeats: Mapping[str, datetime]
    switches: Mapping[str, bool]

    def is_on(self, name: str) -> bool:
        return self.switches.get(name, False)

    def oldest(self) -> datetime | None:
        """The oldest heartbeat of those that are needed; None where one has never been heard of."""
        found = [self.heartbeats.get(name) for name in DAEMONS]
        known = [at for at in found if at is not None]
        return min(known) if len(known) == len(found) else None


def read_dagster(dagster_home: Path) -> DagsterState | None:
    """The state of the instance in `dagster_home`; None where there is none.

    Raises:
        DataError: a database cannot be read.
    """
    if not (dagster_home / RUNS).is_file():
        return None
    beats = _bodies(dagster_home / RUNS, "SELECT daemon_type, body FROM daemon_heartbeats")
    found = _bodies(dagster_home / SCHEDULES, "SELECT status, instigator_body FROM instigators")
    try:
        return DagsterState(
            {kind: datetime.fromtimestamp(float(body["timestamp"]), UTC) for kind, body in beats},
            {str(body["origin"]["job_name"]): status == "RUNNING" for status, body in found},
        )
    except KeyError as error:
        raise DataError(
            f"Dagster's databases are written in a way that is not known here ({error} is missing).",
            remedy="Install the version of Dagster that requirements.lock names.",
            where=str(dagster_home),
        ) from error


def _bodies(path: Path, query: str) -> list[tuple[str, dict[str, Any]]]:
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
