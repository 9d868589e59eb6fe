"""What Dagster's own databases say of runs and ticks, counted without Dagster.

What belongs here: counts, for reading only. What does not: heartbeats and switches (`dagster_state`), and what follows
from them. The layout is that of Dagster 1.13; a test holds the reading against an instance of the installed version.
The queries are the same wherever the tables lie; where that is says the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.cli.dagster_state import RUNS, SCHEDULES, SCHEMA, connection_of, lost
from scizor_dagster.errors import DataError
from scizor_dagster.settings import Settings

UNDER_WAY = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "SUSPENDED", "CANCELING")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
LOOKED_BACK = timedelta(hours=24)
_RUNS = sa.table("runs", sa.column("status", sa.String), sa.column("end_time", sa.Float))
_TICKS = sa.table("job_ticks", sa.column("status", sa.String), sa.column("timestamp", sa.DateTime))


@dataclass(frozen=True)
class RunCounts:
    """Runs that have not ended, runs that ended lately, and ticks that failed lately."""

    under_way: Mapping[str, int]
    ended: Mapping[str, int]
    failed_ticks: int


def count_runs(settings: Settings, now: datetime) -> RunCounts | None:
    """The counts of Dagster's instance; None where there is none.

    Raises:
        DataError: a database cannot be read.
    """
    if settings.on_server:
        return _on_server(settings, now)
    home = settings.dagster_home
    if not (home / RUNS).is_file():
        return None
    try:
        with _opened(home / RUNS) as connection:
            under_way, ended = runs_in(connection, now)
        if not (home / SCHEDULES).is_file():
            return RunCounts(under_way, ended, 0)
        with _opened(home / SCHEDULES) as connection:
            return RunCounts(under_way, ended, failed_ticks_in(connection, now))
    except sa.exc.SQLAlchemyError as error:
        raise DataError(
            f"Dagster's record of runs cannot be read ({error.__cause__ or type(error).__name__}).",
            remedy="Look at the daemon. Where the file is damaged, move it away: only the record of runs goes with it.",
            where=str(home),
        ) from error


def _on_server(settings: Settings, now: datetime) -> RunCounts | None:
    engine = sa.create_engine("postgresql+psycopg2://", creator=lambda: connection_of(settings), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
            tables = "SELECT to_regclass('runs'), to_regclass('job_ticks')"
            if None in tuple(connection.exec_driver_sql(tables).one()):
                return None
            return RunCounts(*runs_in(connection, now), failed_ticks_in(connection, now))
    except sa.exc.SQLAlchemyError as error:
        raise lost(settings, error) from error
    finally:
        engine.dispose()


def runs_in(connection: sa.Connection, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """Runs by status: those under way, and those that ended within `LOOKED_BACK`."""
    status, count = _RUNS.c.status, sa.func.count()
    going = sa.select(status, count).where(status.in_(UNDER_WAY)).group_by(status)
    since = (now - LOOKED_BACK).timestamp()
    gone = sa.select(status, count).where(status.in_(ENDED), _RUNS.c.end_time >= since).group_by(status)
    return (
        dict.fromkeys(UNDER_WAY, 0) | {str(name): int(found) for name, found in connection.execute(going)},
        dict.fromkeys(ENDED, 0) | {str(name): int(found) for name, found in connection.execute(gone)},
    )


def failed_ticks_in(connection: sa.Connection, now: datetime) -> int:
    """Ticks of schedules and sensors that failed within `LOOKED_BACK`. Their time is kept in UTC, without a zone."""
    since = (now - LOOKED_BACK).astimezone(UTC).replace(tzinfo=None)
    failed = sa.select(sa.func.count()).where(_TICKS.c.status == "FAILURE", _TICKS.c.timestamp >= since)
    return int(connection.execute(failed).scalar_one())


@contextmanager
def _opened(path: Path) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=sa.NullPool, connect_args={"timeout": 5.0}
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
