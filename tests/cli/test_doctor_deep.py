"""`scizor doctor --deep`: what only a long look finds, each named with what to do, and nothing changed by looking."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scizor_dagster.cli import dates, doctor_deep
from scizor_dagster.cli.doctor_deep import DEEP_CHECKS, OLDEST_BACKUP
from scizor_dagster.errors import ConfigError, DataError, InputError, LedgerError, ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.marks import BACKUP, leave
from scizor_dagster.settings import Settings
from tests.cli.conftest import Scizor
from tests.cli.test_doctor import _details
from tests.postgres import Server
from tests.projects import Project

NOW = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)


def desk_of(project: Project, now: datetime = NOW) -> Desk:
    return Desk(project.settings, lambda: now)


def files(project: Project) -> dict[str, bytes]:
    """The home's files, but for what SQLite keeps beside a database that is read."""
    kept = (path for path in sorted(project.home.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in kept if not path.name.endswith(("-shm", "-wal", ".lock"))}


def parquet(project: Project) -> list[Path]:
    return sorted((project.home / "lake" / "data").rglob("*.parquet"))


def test_a_home_that_has_traded_is_looked_at_to_the_last_row_and_left_as_it_is(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The watchdog and the prices go by the time: the home's own.
    monkeypatch.setattr(dates, "now", lambda: datetime(2025, 2, 15, 12, 0, tzinfo=UTC))
    before = files(collected)
    answer = scizor("doctor", "--deep", "--json")
    details = _details(answer)
    assert list(details)[-len(DEEP_CHECKS) :] == list(DEEP_CHECKS)
    assert details["versions"] == (True, "ledger: this version, lake: this version, dagster: this version")
    assert "rows of" in details["lake files"][1]
    assert "brought back and verified" in details["ledger restorable"][1]
    assert details["last backup"] == (True, "none was made of this home: scizor backup DEST")
    assert details["database"] == (True, "none: the stores are files")
    assert details["schedules"][1].endswith("off: nothing begins by itself")
    assert "nothing is switched on" in details["daemon"][1]
    assert "trading: " in details["metrics"][1]
    well = {name for name, (ok, _) in details.items() if ok}
    # What was traded lies years before the ledger's entries: its clock says so, and the watchdog names what came after.
    assert set(DEEP_CHECKS) - well <= {"history and clock", "sessions"}, details
    assert files(collected) == before


def test_a_home_without_stores_gets_none(scizor: Scizor, fresh: Project) -> None:
    details = _details(scizor("doctor", "--deep", "--json"))
    assert details["lake files"] == details["ledger restorable"] == (True, "none yet")
    assert details["versions"] == (True, "ledger: none yet, lake: none yet, dagster: none yet")
    assert not fresh.home.exists()


def _gone(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(("spoil", "said"), [(_gone, "No such file"), (_cut, "bytes, not")])
def test_a_file_of_the_lake_that_is_not_as_the_catalog_says_is_named(
    collected: Project, spoil: Callable[[Path], None], said: str
) -> None:
    path = parquet(collected)[0]
    spoil(path)
    with pytest.raises(DataError, match=said) as raised:
        doctor_deep.lake_files(desk_of(collected))
    assert path.name in str(raised.value)
    assert "scizor restore" in str(raised.value)


def test_a_file_of_the_lake_whose_rows_cannot_be_read_is_a_problem(scizor: Scizor, collected: Project) -> None:
    path = max(parquet(collected), key=lambda item: item.stat().st_size)
    text = bytearray(path.read_bytes())
    text[: len(text) // 2] = bytes(len(text) // 2)
    path.write_bytes(bytes(text))
    ok, detail = _details(scizor("doctor", "--deep", "--json"))["lake files"]
    assert not ok
    assert detail


def test_a_ledger_that_no_backup_could_bring_back_is_a_problem(collected: Project) -> None:
    with closing(sqlite3.connect(collected.home / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE orders SET planned_qty = '1' WHERE position = 1")
    with pytest.raises(LedgerError, match="not what its history says"):
        doctor_deep.ledger_restorable(desk_of(collected))


def test_a_backup_that_has_become_old_is_a_problem_and_one_that_is_new_is_none(fresh: Project) -> None:
    leave(fresh.home, BACKUP, NOW - OLDEST_BACKUP)
    assert "made at" in doctor_deep.last_backup(desk_of(fresh))
    with pytest.raises(InputError, match="more than 36 hours ago"):
        doctor_deep.last_backup(desk_of(fresh, NOW + timedelta(seconds=1)))


def test_an_entry_of_the_ledger_from_the_future_means_that_a_clock_is_wrong(collected: Project) -> None:
    assert "last entry at" in doctor_deep.history_and_clock(desk_of(collected))
    with pytest.raises(LedgerError, match="ahead of this machine's clock"):
        doctor_deep.history_and_clock(desk_of(collected, datetime(2025, 1, 1, tzinfo=UTC)))


def test_stores_that_others_may_write_and_secrets_that_others_may_read_are_named_with_the_command(
    fresh: Project,
) -> None:
    fresh.home.mkdir(mode=0o755)
    assert "nobody else may write" in doctor_deep.permissions(desk_of(fresh))
    (fresh.home / "ledger.sqlite").touch()
    (fresh.home / "ledger.sqlite").chmod(0o664)
    (fresh.folder / ".env").touch(mode=0o644)
    with pytest.raises(ConfigError) as raised:
        doctor_deep.permissions(desk_of(fresh))
    assert f"chmod go-w {fresh.home / 'ledger.sqlite'}" in str(raised.value)
    assert f"chmod 600 {fresh.folder / '.env'}" in str(raised.value)


_SWITCH = (
    "INSERT INTO instigators (selector_id, repository_selector_id, status, instigator_type, instigator_body, "
    "create_timestamp, update_timestamp) VALUES (?, 'r', 'RUNNING', 'SCHEDULE', ?, '2030-01-01', '2030-01-01')"
)


def switch(project: Project, *names: str) -> None:
    with closing(sqlite3.connect(project.home / "dagster/schedules/schedules.db")) as storage, storage:
        for name in names:
            storage.execute(_SWITCH, [name, json.dumps({"origin": {"job_name": name}})])


def beat(project: Project, **daemons: tuple[str, datetime]) -> None:
    with closing(sqlite3.connect(project.home / "dagster/history/runs.db")) as storage, storage:
        for kind, (daemon, at) in daemons.items():
            body = json.dumps({"timestamp": at.timestamp(), "daemon_type": kind, "daemon_id": daemon, "errors": []})
            storage.execute(
                "INSERT INTO daemon_heartbeats (daemon_type, daemon_id, timestamp, body) VALUES (?, ?, ?, ?)",
                [kind, daemon, at.replace(tzinfo=None), body],
            )


def test_schedules_of_which_some_are_off_are_named(collected: Project) -> None:
    switch(collected, "rebalance_before_open")
    with pytest.raises(ConfigError, match=r"1 schedule\(s\) are on, and these are off: .*collect_daily_after_close"):
        doctor_deep.schedules(desk_of(collected))
    made = ("close_day_before_open", "collect_daily_after_close", "follow_orders_after_collection", "maintain_weekly")
    switch(collected, *made)
    assert doctor_deep.schedules(desk_of(collected)) == "all 5 on"
    switch(collected, "rebalance_gone_before_open")
    with pytest.raises(ConfigError, match="not in the configuration any more: rebalance_gone_before_open"):
        doctor_deep.schedules(desk_of(collected))


def test_a_daemon_that_is_silent_where_something_is_on_and_a_second_one_are_problems(collected: Project) -> None:
    desk = desk_of(collected)
    assert doctor_deep.daemon(desk) == "none runs (last heard of: never), and nothing is switched on"
    switch(collected, "rebalance_before_open")
    with pytest.raises(ConfigError, match="no daemon runs"):
        doctor_deep.daemon(desk)
    beat(collected, SCHEDULER=("a", NOW), SENSOR=("a", NOW), QUEUED_RUN_COORDINATOR=("a", NOW))
    assert doctor_deep.daemon(desk).startswith("alive, last heard of at 2030-01-02T12:00:00")
    with closing(sqlite3.connect(collected.home / "dagster/history/runs.db")) as storage, storage:
        body = json.dumps({"timestamp": NOW.timestamp(), "daemon_type": "SENSOR", "daemon_id": "b", "errors": []})
        storage.execute("UPDATE daemon_heartbeats SET body = ? WHERE daemon_type = 'SENSOR'", [body])
    with pytest.raises(ConfigError, match="2 daemons of Dagster"):
        doctor_deep.daemon(desk)


def test_what_the_watchdog_finds_is_told_with_its_remedy(collected: Project) -> None:
    with pytest.raises(ScizorError, match=r"finding\(s\) of the watchdog") as raised:
        doctor_deep.sessions(desk_of(collected))
    assert "scizor collect daily" in str(raised.value)


def test_a_server_of_another_time_zone_is_a_problem_and_its_password_is_not_told(
    fresh: Project, postgres: Server
) -> None:
    name = postgres.new_database()
    try:
        url = postgres.url(name).replace("scizor@", "scizor:hush-hush@")
        settings = Settings.from_environment({**fresh.environment, "DATABASE_URL": url})
        desk = Desk(settings, lambda: NOW)
        postgres.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'UTC'")
        said = doctor_deep.database(desk)
        assert "Postgres" in said
        postgres.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'Australia/Sydney'")
        with pytest.raises(ConfigError, match="time zone is Australia/Sydney") as raised:
            doctor_deep.database(desk)
        assert "hush-hush" not in said + str(raised.value)
    finally:
        postgres.drop(name)
