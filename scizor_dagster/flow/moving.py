"""A home whose stores are being taken away or put in place: nobody trades with it meanwhile.

What belongs here: the mark of a move that is not finished, what must be at rest before one, and putting files aside.
What does not: what is moved (`flow.restoring`, `flow.migrating`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scizor_dagster.errors import LedgerError
from scizor_dagster.flow.dagster_rows import RUNS, SCHEMA
from scizor_dagster.lake import catalog_rows
from scizor_dagster.lake.location import lake_location
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from scizor_dagster.settings import Settings

_BUSY = 0.2
_BEATS = f"{SCHEMA}.daemon_heartbeats"
STOP = "Stop whatever runs with this home (scizor dev, scizor serve, schedules, a run), then give the command again."


def mark_of(settings: Settings) -> Path:
    return settings.home / "moving"


def begin_move(settings: Settings, command: str) -> None:
    """Leave the mark: from here on no ledger of this home is opened to trade, until `end_move`."""
    mark = mark_of(settings)
    scratch = mark.with_suffix(".new")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(command + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(mark)


def is_begun(settings: Settings, command: str) -> bool:
    """Whether `command` was begun before, and has not come to its end."""
    mark = mark_of(settings)
    return mark.exists() and mark.read_text(encoding="utf-8").strip() == command


def end_move(settings: Settings) -> None:
    mark_of(settings).unlink(missing_ok=True)


def refuse_unfinished_move(settings: Settings) -> None:
    """Refuse a home of which a part may be an older one than the rest.

    Raises:
        LedgerError: a restore or a migration was begun and did not come to its end.
    """
    mark = mark_of(settings)
    if mark.exists():
        raise LedgerError(
            "The stores of this home were being moved, and that did not come to its end.",
            remedy=f"Give the same command again, which goes on from there: {mark.read_text().strip()}",
            where=str(mark),
        )


def require_rest(settings: Settings, ledger_url: str | None, now: datetime) -> None:
    """Refuse to move anything while somebody works with it.

    Args:
        settings: Of the home.
        ledger_url: The ledger that is looked at; None where there is none.
        now: Aware instant.

    Raises:
        LedgerError: a run holds an account, or another process has the ledger or the lake open.
    """
    if ledger_url is not None and (holder := _holder(ledger_url, now)):
        raise LedgerError(
            f"A run is at {holder}.",
            remedy=f"Nothing was moved. Let it come to its end. {STOP}",
            where=str(settings.home),
        )
    if settings.ledger_file.exists():
        _require_closed(settings.ledger_file)
    _require_no_runs(settings.dagster_home / "processes")
    _require_no_daemon(settings, now)


def put_aside(paths: Iterable[Path], folder: Path) -> None:
    """Move what is there of `paths` into `folder`; what is there already, by an earlier attempt, stays."""
    for path in paths:
        if path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / path.name
            os.replace(path, target if not target.exists() else folder / f"{path.name}.again")


def ledger_files(settings: Settings) -> list[Path]:
    """The embedded ledger, the files of its log first: without the ledger itself they are nothing."""
    file = settings.ledger_file
    return [file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm"), file]


def _holder(url: str, now: datetime) -> str | None:
    """An account that a run is at, with the run; None also where the ledger is damaged, with which nobody trades."""
    try:
        if not Ledger.exists(url):
            return None
        ledger = Ledger.open(url)
    except LedgerError:
        return None
    try:
        with ledger.read() as connection:
            found = connection.execute(
                sa.select(leases.c.account, leases.c.holder).where(
                    leases.c.holder.is_not(None), leases.c.expires_at > now
                )
            ).first()
        return f"account '{found.account}' ({found.holder})" if found is not None else None
    finally:
        ledger.close()


def _require_closed(file: Path) -> None:
    """SQLite lets one connection alone have the file only while no other process has it open."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_BUSY)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"Another process has the ledger open ({error}).",
                remedy=f"Nothing was moved. {STOP}",
                where=str(file),
            ) from error
        except sqlite3.DatabaseError:
            # Damaged: a reason to bring a backup back, and nobody trades with it.
            return


def _require_no_runs(processes: Path) -> None:
    for path in processes.glob("*.lock"):
        try:
            with FileLock(path, timeout=0):
                continue
        except Timeout as error:
            raise LedgerError(
                "A process of Scizor is at work.", remedy=f"Nothing was moved. {STOP}", where=str(path)
            ) from error


def _require_no_daemon(settings: Settings, now: datetime) -> None:
    beat = _beat_on_server(settings) if settings.on_server else _beat_in_file(settings.dagster_home / RUNS)
    if beat is not None and now - beat < timedelta(seconds=60):
        raise LedgerError(
            f"Dagster's daemon was heard of {(now - beat).total_seconds():.0f} s ago.",
            remedy=f"Nothing was moved. {STOP} It is believed to be gone after a minute of silence.",
            where=lake_location(settings).place if settings.on_server else str(settings.dagster_home / RUNS),
        )


def _beat_in_file(runs: Path) -> datetime | None:
    if not runs.is_file():
        return None
    with closing(sqlite3.connect(f"{runs.as_uri()}?mode=ro", uri=True, timeout=_BUSY)) as connection:
        try:
            found = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
        except sqlite3.DatabaseError:
            return None
    return datetime.fromisoformat(found[0]).replace(tzinfo=UTC) if found[0] else None


def _beat_on_server(settings: Settings) -> datetime | None:
    engine = catalog_rows.engine_of(lake_location(settings))
    try:
        with engine.connect() as connection:
            if connection.exec_driver_sql(f"SELECT to_regclass('{_BEATS}')").scalar() is None:
                return None
            found: datetime | None = connection.exec_driver_sql(f"SELECT max(timestamp) FROM {_BEATS}").scalar()
    finally:
        engine.dispose()
    return found.replace(tzinfo=UTC) if found is not None else None
