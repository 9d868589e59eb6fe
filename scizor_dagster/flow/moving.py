"""A home whose stores are being taken away or put in place: nobody trades with it meanwhile.

What belongs here: the mark of a move that is not finished, what must be at rest before one, and putting files aside.
What does not: what is moved (`flow.restoring`, `flow.migrating`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scizor_dagster.databases import is_postgres, parse, patience_of_host, place_of
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.postgres import APPLICATION, SCHEMA
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from scizor_dagster.settings import Settings

_BUSY = 0.2
_LINGERING_SECONDS = 3.0
_RENAMED = "_replaced_"
_UNREADABLE = ("42", "58", "XX")
"""Classes of Postgres: no such table or column, a file of it is gone, its bytes are damaged."""
_NOT_ALLOWED = "42501"
_OTHERS = sa.text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()"
)
_HAS_DAEMONS = sa.text("SELECT to_regclass('dagster.daemon_heartbeats') IS NOT NULL")
_BEAT = sa.text("SELECT max(timestamp) FROM dagster.daemon_heartbeats")
STOP = "Stop whatever runs with this home (scizor dev, scizor serve, schedules, a run), then give the command again."


def mark_of(settings: Settings) -> Path:
    return settings.home / "moving"


def begin_move(settings: Settings, command: str, ledger_url: str | None, now: datetime) -> None:
    """Leave the mark: from here on no store of this home is opened to trade, until `end_move`.

    First the mark, then the look: whoever comes in between refuses itself, or is seen.

    Raises:
        LedgerError: as `require_rest` says; the mark is as it was.
    """
    earlier = _marked(settings)
    _write_mark(settings, earlier if earlier is not None and begun(settings) == command else command)
    try:
        require_rest(settings, ledger_url, now)
    except BaseException:
        if earlier is None:
            end_move(settings)
        else:
            _write_mark(settings, earlier)
        raise


def _write_mark(settings: Settings, command: str) -> None:
    mark = mark_of(settings)
    scratch = mark.with_suffix(".new")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(command + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(mark)


def begun(settings: Settings) -> str | None:
    """The command that was begun before, and has not come to its end."""
    marked = _marked(settings)
    return marked.partition("\n")[0] if marked is not None else None


def may_be_stored(settings: Settings, place: str) -> None:
    """Keep in the mark that the stores may lie in `place` from now on: no other place is to have them as well."""
    _write_mark(settings, f"{begun(settings)}\n{place}")


def perhaps_stored_in(settings: Settings) -> str | None:
    """What `may_be_stored` has kept; None where nothing was stored."""
    return (_marked(settings) or "").partition("\n")[2] or None


def _marked(settings: Settings) -> str | None:
    try:
        return mark_of(settings).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def end_move(settings: Settings) -> None:
    mark_of(settings).unlink(missing_ok=True)


def refuse_unfinished_move(settings: Settings) -> None:
    """Refuse a home of which a part may be an older one than the rest.

    Raises:
        LedgerError: a restore or a migration was begun and did not come to its end.
    """
    command = begun(settings)
    if command is not None:
        raise LedgerError(
            "The stores of this home are being moved, or were, and that did not come to its end.",
            remedy=f"Where nothing moves them now, give the same command again, which goes on from there: {command}",
            where=str(mark_of(settings)),
        )


def require_rest(settings: Settings, ledger_url: str | None, now: datetime) -> None:
    """Refuse to move anything while somebody works with it.

    Args:
        settings: Of the home.
        ledger_url: The ledger that is looked at; None where there is none.
        now: Aware instant.

    Raises:
        LedgerError: a run holds an account, a daemon is at work, or another process has the ledger open; on a
            server, of any host.
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
    if settings.on_server:
        _require_quiet_server(settings, now)
    else:
        _require_silent(_last_beat(settings.dagster_home / "history" / "runs.db"), now, settings)


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


def renamed(schema: str, now: datetime) -> str:
    """What a schema is called that a restore on a server has put aside."""
    return f"{schema}{_RENAMED}{now:%Y%m%dt%H%M%Sz}"


def renamed_ledgers(url: str) -> list[str]:
    """The ledgers that were put aside in a database, the oldest first."""
    asked = sa.text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :begin) ORDER BY nspname")
    with _connected(url) as connection:
        return list(connection.execute(asked, {"begin": f"{SCHEMA}{_RENAMED}"}).scalars())


def _holder(url: str, now: datetime) -> str | None:
    """An account that a run is at, with the run; None also where a ledger is damaged, with which nobody trades."""
    if is_postgres(url):
        return _holder_on_server(url, now)
    try:
        if not Ledger.exists(url):
            return None
        ledger = Ledger.open(url)
    except LedgerError:
        return None
    try:
        with ledger.read() as connection:
            return _first_holder(connection, now)
    finally:
        ledger.close()


def _holder_on_server(url: str, now: datetime) -> str | None:
    """Asked without opening the ledger: it may be damaged or of another version, and is not to be migrated."""
    with _connected(url) as connection:
        try:
            return _first_holder(connection.execution_options(schema_translate_map={None: SCHEMA}), now)
        except sa.exc.DBAPIError as error:
            # Where it is only not shown to this user, others may trade with it.
            if unreadable(error) and getattr(error.orig, "pgcode", None) != _NOT_ALLOWED:
                return None
            raise


def _first_holder(connection: sa.Connection, now: datetime) -> str | None:
    asked = sa.select(leases.c.account, leases.c.holder).where(leases.c.holder.is_not(None), leases.c.expires_at > now)
    found = connection.execute(asked).first()
    return f"account '{found.account}' ({found.holder})" if found is not None else None


def unreadable(error: BaseException | None) -> bool:
    """Whether a server has answered that what was asked for is missing, of another shape, damaged, or not shown."""
    code = getattr(error.orig, "pgcode", None) if isinstance(error, sa.exc.DBAPIError) else None
    return str(code or "")[:2] in _UNREADABLE


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


def _require_quiet_server(settings: Settings, now: datetime) -> None:
    """Of all hosts: no process has the ledger open, and no daemon was heard of."""
    with _connected(settings.database_url) as connection:
        deadline = monotonic() + _LINGERING_SECONDS
        while others := connection.execute(_OTHERS, {"name": APPLICATION}).scalar():
            # A session of this process that has just been closed is listed for a moment yet.
            if monotonic() > deadline:
                raise LedgerError(
                    f"{others} session(s) of other processes have the ledger open, on this host or another.",
                    remedy=f"Nothing was moved. {STOP}",
                    where=place_of(parse(settings.database_url)),
                )
            sleep(_BUSY)
        beat = connection.execute(_BEAT).scalar() if connection.execute(_HAS_DAEMONS).scalar() else None
    _require_silent(beat, now, settings)


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    parsed = parse(url)
    engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool, connect_args=patience_of_host())
    try:
        with engine.connect() as connection, connection.execution_options(isolation_level="AUTOCOMMIT"):
            yield connection
    except sa.exc.DBAPIError as error:
        raise LedgerError(
            f"The server cannot be asked ({(str(error.orig).strip().splitlines() or ['no words'])[0]}).",
            remedy="Nothing was written. See that it runs and lets this user in, then run again.",
            where=place_of(parsed),
        ) from error


def _last_beat(runs: Path) -> datetime | None:
    if not runs.is_file():
        return None
    with closing(sqlite3.connect(f"{runs.as_uri()}?mode=ro", uri=True, timeout=_BUSY)) as connection:
        try:
            found = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
        except sqlite3.DatabaseError:
            return None
    return datetime.fromisoformat(found[0]) if found[0] else None


def _require_silent(beat: datetime | None, now: datetime, settings: Settings) -> None:
    """`beat` is when a daemon was heard of last, in UTC, as Dagster writes it: without saying so."""
    if beat is None:
        return
    silence = now - beat.replace(tzinfo=UTC)
    if silence < timedelta(seconds=60):
        raise LedgerError(
            f"Dagster's daemon was heard of {silence.total_seconds():.0f} s ago.",
            remedy=f"Nothing was moved. {STOP} It is believed to be gone after a minute of silence.",
            where=str(settings.dagster_home),
        )
