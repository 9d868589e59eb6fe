"""What `scizor doctor --deep` looks at beyond the quick checks: every file, every row, and the machines around.

What belongs here: looks that take their time, each read-only, each a sentence or an error with what to do. What does
not: the quick checks (`doctor`), and mending. A copy of the ledger is made and brought back in a folder of its own,
which is gone when the check ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import ConfigError, DataError, InputError, LedgerError, ScizorError
from scizor_dagster.marks import BACKUP, left
from scizor_dagster.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from scizor_dagster.cli.dagster_state import DagsterState
    from scizor_dagster.flow.desk import Desk

MAX_SKEW = timedelta(seconds=5)
"""How far the clocks of this machine and of the database's may be apart."""
OLDEST_BACKUP = timedelta(hours=36)
NOTHING = "none yet"
_MOST_NAMED = 3


def versions(desk: Desk) -> str:
    """Every store is of this version."""
    from scizor_dagster.cli.upgrade import upgrade_dagster
    from scizor_dagster.flow.upgrading import upgrade_lake, upgrade_ledger

    found = [
        upgrade_ledger(desk, check=True),
        upgrade_lake(desk, check=True),
        upgrade_dagster(desk.settings, check=True),
    ]
    due = [f"{item.store} ({item.was})" for item in found if item.due]
    if due:
        raise DataError(
            f"Not of this version: {', '.join(due)}.", remedy="Back up, then: scizor upgrade.", where=found[0].place
        )
    return ", ".join(f"{item.store}: {item.was}" for item in found)


def lake_files(desk: Desk) -> str:
    """Every Parquet file that the catalog names is there, has its size, and every row of every table can be read."""
    from scizor_dagster.lake.moving import contents_of

    if not desk.has_lake:
        return NOTHING
    files, total, wrong = 0, 0, list[str]()
    with desk.lake.pinned() as lake:
        for path, size in _listed_files(lake):
            files, total = files + 1, total + size
            if "://" not in path:
                wrong += _amiss(Path(path), size)
        if wrong:
            raise DataError(
                f"{len(wrong)} of {files} file(s) are not as the catalog says: {'; '.join(wrong[:_MOST_NAMED])}.",
                remedy="Bring the lake back from a backup: scizor restore ARCHIVE --only lake; or collect it again.",
                where=desk.lake.location.place,
            )
        rows = contents_of(lake)
    count = sum(number for number, _ in rows.values())
    return f"{files} file(s) with {total / 1024**2:.1f} MiB, {count} rows of {len(rows)} tables read"


def _listed_files(lake: Any) -> Iterator[tuple[str, int]]:
    from scizor_dagster.lake.tables import TABLES

    with lake.read() as cursor:
        for table in sorted(TABLES):
            rows = cursor.execute(
                "SELECT data_file, data_file_size_bytes, delete_file, delete_file_size_bytes "
                "FROM ducklake_list_files('lake', ?)", [table],
            ).fetchall()  # fmt: skip
            for data, size, delete, delete_size in rows:
                yield str(data), int(size)
                if delete is not None:
                    yield str(delete), int(delete_size)


def _amiss(path: Path, size: int) -> list[str]:
    try:
        found = path.stat().st_size
    except OSError as error:
        return [f"{path} ({error.strerror})"]
    return [] if found == size else [f"{path} (has {found} bytes, not {size})"]


def ledger_restorable(desk: Desk) -> str:
    """A backup of the ledger as it is now can be brought back: one is written, verified whole and forgotten."""
    from scizor_dagster.ledger.backup import restore, write_backup
    from scizor_dagster.ledger.store import Ledger

    if not desk.has_ledger:
        return NOTHING
    with TemporaryDirectory(prefix="scizor-doctor-") as folder:
        path = Path(folder) / "ledger.zip"
        manifest = write_backup(desk.ledger, path, now=desk.machine_clock())
        copy = Ledger.open(f"sqlite:///{folder}/ledger.sqlite", synchronous="OFF")
        try:
            restore(copy, path, then=lambda _: None)
        finally:
            copy.close()
        size = path.stat().st_size
    return f"{manifest.seq} entries, written, brought back and verified; {size / 1024**2:.1f} MiB"


def last_backup(desk: Desk) -> str:
    """How old the last backup of this home is; that there was never one is a note."""
    at = left(desk.settings.home, BACKUP)
    if at is None:
        return "none was made of this home: scizor backup DEST"
    age = desk.machine_clock() - at
    said = f"made at {at.isoformat(timespec='seconds')}"
    if age > OLDEST_BACKUP:
        raise InputError(
            f"The last backup was {said}, more than {OLDEST_BACKUP.total_seconds() / 3600:.0f} hours ago.",
            remedy="See why the backups ended, then: scizor backup DEST.",
            where=str(desk.settings.home),
        )
    return said


def database(desk: Desk) -> str:
    """The server's clock, time zone and version; nothing where the stores are files."""
    settings = desk.settings
    if not settings.on_server:
        return "none: the stores are files"
    from scizor_dagster.cli.dagster_state import connection_of
    from scizor_dagster.databases import parse, place_of

    place = place_of(parse(settings.database_url))
    with closing(connection_of(settings)) as connection, connection.cursor() as cursor:
        before = datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp(), current_setting('TimeZone'), current_setting('server_version')")
        theirs, zone, version = cursor.fetchone() or (before, "", "")
        after = datetime.now(UTC)
    skew = max(before - theirs, theirs - after, timedelta())
    if skew > MAX_SKEW:
        raise ConfigError(
            f"The server's clock is {skew.total_seconds():.0f} s apart from this machine's.",
            remedy="Set both by NTP.",
            where=place,
        )
    if zone.upper() not in ("UTC", "ETC/UTC", "GMT", "ETC/GMT"):
        raise ConfigError(
            f"The database's time zone is {zone}. Scizor's own connections use UTC; those of other programs do not.",
            remedy="ALTER DATABASE ... SET timezone TO 'UTC'.",
            where=place,
        )
    took = (after - before).total_seconds() * 1000
    return f"{place}: Postgres {version}, {zone}, clocks within {MAX_SKEW.seconds} s, answers in {took:.0f} ms"


def history_and_clock(desk: Desk) -> str:
    """No entry of the ledger lies ahead of this machine's clock, which would then be wrong, or have been."""
    from scizor_dagster.ledger.known import known_portfolios
    from scizor_dagster.ledger.told import last_entry_at

    if not desk.has_ledger:
        return NOTHING
    now = desk.machine_clock()
    with desk.ledger.read() as connection:
        found = {account: last_entry_at(connection, account) for account in known_portfolios(connection)}
    ahead = {account: at for account, at in found.items() if at is not None and at > now + MAX_SKEW}
    if ahead:
        account, at = max(ahead.items(), key=lambda pair: pair[1])
        raise LedgerError(
            f"The ledger's last entry on account '{account}' is of {at.isoformat(timespec='seconds')}, ahead of "
            f"this machine's clock: {now.isoformat(timespec='seconds')}.",
            remedy="Set this machine's clock by NTP.",
            where=desk.ledger.place,
        )
    newest = max((at for at in found.values() if at is not None), default=None)
    return f"last entry at {newest.isoformat(timespec='seconds')}" if newest is not None else "no entry yet"


def permissions(desk: Desk) -> str:
    """Nobody else may write to the stores or read the file of secrets."""
    home = desk.settings.home
    open_to_all = [path for path in _guarded(home) if _mode(path) & (stat.S_IWGRP | stat.S_IWOTH)]
    secrets = [path for path in (PROJECT_ROOT / ".env", desk.config.folder / ".env") if path.is_file()]
    told = [path for path in dict.fromkeys(secrets) if _mode(path) & (stat.S_IRGRP | stat.S_IROTH)]
    if open_to_all or told:
        said = [f"{path} may be written by others" for path in open_to_all]
        said += [f"{path} may be read by others" for path in told]
        commands = [f"chmod go-w {path}" for path in open_to_all] + [f"chmod 600 {path}" for path in told]
        raise ConfigError(f"{'; '.join(said)}.", remedy=f"{'; '.join(commands)}.", where=str(home))
    who = ", as root: use a user of its own" if os.geteuid() == 0 else ""
    return f"nobody else may write to {home}{who}" if home.exists() else f"{NOTHING}{who}"


def _guarded(home: Path) -> list[Path]:
    names = ("", "ledger.sqlite", "lake", "lake/catalog.sqlite", "lake/data", "dagster", "dagster/history")
    return [path for path in (home / name for name in names) if path.exists()]


def _mode(path: Path) -> int:
    return path.stat().st_mode


def daemon(desk: Desk) -> str:
    """One daemon, and alive where anything is switched on."""
    from scizor_dagster.cli.dagster_state import DAEMONS, read_dagster

    state = read_dagster(desk.settings)
    if state is None:
        return "there is no Dagster instance: nothing runs by itself"
    oldest = timedelta(minutes=desk.config.watchdog.heartbeat_minutes)
    now = desk.machine_clock()
    recent = {name: at for name, at in state.heartbeats.items() if now - at <= oldest}
    several = {state.daemons[name] for name in recent if name in DAEMONS and name in state.daemons}
    if len(several) > 1:
        raise ConfigError(
            f"{len(several)} daemons of Dagster have been at work within {oldest.seconds // 60} minutes: schedules may "
            "fire twice.",
            remedy="Leave one running. After a restart this passes by itself.",
            where=str(desk.settings.dagster_home),
        )
    return _alive(state, now, oldest)


def _alive(state: DagsterState, now: datetime, oldest: timedelta) -> str:
    on, heard = sum(state.switches.values()), state.oldest()
    if heard is not None and now - heard <= oldest:
        return f"alive, last heard of at {heard.isoformat(timespec='seconds')}; {on} schedule(s) and sensor(s) are on"
    since = heard.isoformat(timespec="seconds") if heard is not None else "never"
    if on:
        raise ConfigError(
            f"{on} schedule(s) and sensor(s) are on, and no daemon runs (last heard of: {since}).",
            remedy="Start it: scizor dev, or your own service.",
        )
    return f"none runs (last heard of: {since}), and nothing is switched on"


def schedules(desk: Desk) -> str:
    """The definitions load, and of the schedules that the configuration makes all are on, or none."""
    from scizor_dagster.cli.dagster_state import read_dagster
    from scizor_dagster.definitions import build_defs

    made = sorted(item.name for item in build_defs(desk.settings).schedules or ())
    state = read_dagster(desk.settings)
    on = [name for name in made if state is not None and state.is_on(name)]
    left_off = [name for name in made if name not in on]
    if on and left_off:
        raise ConfigError(
            f"{len(on)} schedule(s) are on, and these are off: {', '.join(left_off)}.",
            remedy="Switch them on in Dagster's UI, page Automation, or all off.",
        )
    gone = sorted(name for name, running in (state.switches if state is not None else {}).items() if running)
    known = {*made, *(item.name for item in build_defs(desk.settings).sensors or ())}
    idle = [name for name in gone if name not in known]
    if idle:
        raise ConfigError(
            f"Switched on, and not in the configuration any more: {', '.join(idle)}.",
            remedy="Switch them off in Dagster's UI, page Automation.",
        )
    return f"all {len(on)} on" if on else f"all {len(made)} off: nothing begins by itself"


def sessions(desk: Desk) -> str:
    """What the watchdog would say: the last session of each portfolio, traded, ended, reconciled."""
    from scizor_dagster.cli.dagster_state import read_dagster
    from scizor_dagster.cli.watchdog import look_at
    from scizor_dagster.flow.watch import Watch, WatchingDesk

    watch, looking = Watch(), WatchingDesk(desk.settings, desk.machine_clock)
    names = list(desk.config.portfolios)
    try:
        look_at(looking, names, read_dagster(desk.settings), desk.clock(), watch)
    finally:
        looking.disconnect()
    if watch.findings:
        first = watch.findings[0]
        raise ScizorError(
            f"{len(watch.findings)} finding(s) of the watchdog, the first: {first.problem}",
            remedy=f"{first.remedy} See all: scizor watchdog.",
        )
    return " ".join(watch.notes) or f"nothing is amiss with {', '.join(names)}"


def metrics(desk: Desk) -> str:
    """Every part of the figures at /metrics can be read."""
    from scizor_dagster.cli.dagster_figures import dagster_figures
    from scizor_dagster.monitoring.exposition import parts_of

    parts = parts_of(lambda: desk, partial(dagster_figures, desk.settings, desk.machine_clock))
    counts = {name: sum(map(len, read().rows.values())) for name, read in parts.items()}
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


DEEP_CHECKS: dict[str, Callable[[Desk], str]] = {
    "versions": versions,
    "lake files": lake_files,
    "ledger restorable": ledger_restorable,
    "last backup": last_backup,
    "database": database,
    "history and clock": history_and_clock,
    "permissions": permissions,
    "daemon": daemon,
    "schedules": schedules,
    "sessions": sessions,
    "metrics": metrics,
}
