"""Embedded stores on a server: all of them or none, the same rows, and nobody who goes on with the files."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scizor_dagster.errors import InputError, LedgerError, ScizorError
from scizor_dagster.flow import archives, migrating, moving, restoring_on_server
from scizor_dagster.flow.backing_up import back_up
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.migrating import migrate_home
from scizor_dagster.flow.restoring import restore_home
from scizor_dagster.flow.watch_notices import remembering_ledger
from scizor_dagster.lake.moving import contents_of as lake_contents
from scizor_dagster.ledger.comparing import contents_of, differences
from scizor_dagster.ledger.verification import verify
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.settings import Settings
from tests.flow.desks import FIRST, NOW, SECOND, left_after_the_first, trade
from tests.postgres import Server
from tests.projects import project_at


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has traded its first session. Work on a copy."""
    return left_after_the_first(tmp_path_factory.mktemp("traded"))


@pytest.fixture
def settings(traded: Path, tmp_path: Path) -> Settings:
    shutil.copytree(traded, tmp_path / "project")
    return project_at(tmp_path / "project").settings


@pytest.fixture
def on_server(settings: Settings, postgres: Server) -> Iterator[Settings]:
    """The same home, with a new, empty database."""
    database = postgres.new_database()
    yield _with(settings, postgres.url(database))
    postgres.drop(database)


def _with(settings: Settings, url: str) -> Settings:
    return replace(settings, environment={**settings.environment, "DATABASE_URL": url})


def _held(settings: Settings) -> tuple[dict[str, str], dict[str, tuple[int, str]], int]:
    desk = Desk(settings, lambda: NOW)
    try:
        with desk.ledger.read() as connection:
            assert verify(connection) == []
            ledger = contents_of(connection)
        return ledger, lake_contents(desk.lake), desk.lake.snapshot()
    finally:
        desk.ledger.close()
        desk.lake.close()


def _migrate(settings: Settings) -> migrating.Migrated:
    return migrate_home(settings, now=NOW, prepare_dagster=None)


def _same(before: tuple[object, ...], after: tuple[object, ...]) -> None:
    ledger, lake, _ = before
    assert isinstance(ledger, dict)
    assert isinstance(after[0], dict)
    assert [line.split()[0] for line in differences(ledger, after[0])] in ([], ["leases"])
    assert after[1] == lake


def test_every_row_is_on_the_server_afterwards_and_the_home_trades_on_there(
    settings: Settings, on_server: Settings
) -> None:
    before = _held(settings)
    done = _migrate(on_server)
    assert sorted(done.parts) == ["lake", "ledger"]
    assert done.found_there == ()
    _same(before, _held(on_server))
    assert done.aside is not None
    assert sorted(path.name for path in done.aside.iterdir()) == ["catalog.sqlite", "ledger.sqlite"]
    with pytest.raises(LedgerError, match="DATABASE_URL is not set"):
        _ = Desk(settings, lambda: NOW).ledger
    desk = Desk(on_server, lambda: NOW)
    assert trade(desk, FIRST).state == trade(desk, FIRST).state
    assert trade(desk, SECOND).orders
    _closed(desk)
    with pytest.raises(InputError, match="Nothing is embedded"):
        _migrate(on_server)


def _closed(desk: Desk) -> None:
    desk.ledger.close()
    desk.lake.close()


class Killed(BaseException):
    """Ends the process, as far as what it leaves behind goes."""


MOMENTS: dict[str, tuple[object, str]] = {
    "before anything": (migrating._Copying, "_take_lake"),
    "with the lake's files copied": (migrating, "write_backup"),
    "with the ledger filled": (migrating.catalog_rows, "fill_server"),
    "with the lake filled": (migrating._Copying, "_store_lake"),
    "after the commit": (migrating, "note_server"),
    "while the files are put aside": (migrating.moving, "put_aside"),
    "at the end": (migrating.moving, "end_move"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_migration_that_is_killed_anywhere_leaves_all_or_nothing_and_is_ended_by_giving_it_again(
    settings: Settings, on_server: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = _held(settings)
    owner, name = MOMENTS[moment]
    whole: Callable[..., object] = getattr(owner, name)

    def dying(*given: object, **named: object) -> object:
        if moment == "with the lake filled":
            whole(*given, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        # A process that is killed clears nothing up.
        if moment != "at the end":
            patch.setattr(migrating.moving, "end_move", lambda _: None)
        with pytest.raises(Killed):
            _migrate(on_server)
    for known in (settings, on_server):
        with pytest.raises(LedgerError, match="did not come to its end"):
            _ = Desk(known, lambda: NOW).ledger
    _migrate(on_server)
    assert not moving.mark_of(settings).exists()
    _same(before, _held(on_server))


def test_a_failure_before_the_commit_leaves_the_home_as_it_was(
    settings: Settings, on_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _held(settings)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(migrating.catalog_rows, "fill_server", fail)
        with pytest.raises(OSError, match="no room"):
            _migrate(on_server)
    assert _held(settings)[:2] == before[:2]
    _migrate(on_server)
    _same(before, _held(on_server))


def test_an_interrupt_at_the_commit_leaves_no_home_that_trades_with_either_store(
    settings: Settings, on_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _held(settings)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "note_server", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _migrate(on_server)
    for known in (settings, on_server):
        desk = Desk(known, lambda: NOW)
        for ask in (lambda desk=desk: desk.ledger, lambda desk=desk: desk.lake):
            with pytest.raises(LedgerError, match="did not come to its end"):
                ask()
        assert remembering_ledger(known) is None, "a watch writes to neither"
    _migrate(on_server)
    _same(before, _held(on_server))


def test_a_move_that_was_begun_is_ended_by_its_own_command_alone(
    settings: Settings, on_server: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = Desk(settings, lambda: NOW)
    made = back_up(desk, tmp_path / "kept", now=NOW)
    _closed(desk)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "note_server", die)
        with pytest.raises(Killed):
            _migrate(on_server)
    for only in (None, "ledger"):
        with pytest.raises(LedgerError, match="did not come to its end") as caught:
            restore_home(Desk(settings, lambda: NOW), made.folder, actor="ann", now=NOW, only=only, replace=True)
        assert "scizor migrate" in caught.value.remedy
    _migrate(on_server)
    other = project_at(tmp_path / "project").settings
    with monkeypatch.context() as patch:
        patch.setattr(restoring_on_server, "_store", die)
        with pytest.raises(Killed):
            restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, replace=True)
    with pytest.raises(LedgerError, match="did not come to its end") as caught:
        _migrate(on_server)
    assert f"scizor restore {made.folder} --replace" in caught.value.remedy
    with pytest.raises(LedgerError, match="did not come to its end"):
        restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, only="lake")
    # What was read once is still the same, and can be read again.
    assert restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW).parts == ("ledger", "lake")
    archives.check_files(made.folder, made.manifest)
    assert not moving.mark_of(other).exists()


def test_a_server_that_holds_another_ledger_is_refused_and_nothing_of_the_home_is_touched(
    settings: Settings, on_server: Settings, tmp_path: Path
) -> None:
    shutil.copytree(settings.config_path.parent, tmp_path / "other", ignore=shutil.ignore_patterns("home"))
    other = Desk(_with(project_at(tmp_path / "other").settings, on_server.environment["DATABASE_URL"]), lambda: NOW)
    with other.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.HALTED, reason="mine", actor="ann", now=NOW)
    other.ledger.close()
    before = _held(settings)
    with pytest.raises(LedgerError, match="is another one than the embedded one"):
        _migrate(on_server)
    assert _held(settings)[:2] == before[:2]


def test_a_home_whose_ledger_is_on_the_server_already_has_the_rest_taken_there(
    settings: Settings, on_server: Settings
) -> None:
    before = _held(settings)
    desk = Desk(settings, lambda: NOW)
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    _closed(desk)
    restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, only="ledger")
    moving.put_aside(moving.ledger_files(settings), settings.home / "earlier")
    done = _migrate(on_server)
    assert sorted(done.parts) == ["lake"]
    assert _held(on_server)[1] == before[1]


def test_a_home_that_a_run_is_at_is_not_migrated(settings: Settings, on_server: Settings) -> None:
    desk = Desk(settings, lambda: NOW)
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE leases SET holder = 'host:1:run', expires_at = ?", ((NOW + timedelta(minutes=1)).isoformat(" "),)
        )
    _closed(desk)
    with pytest.raises(ScizorError, match="A run is at account 'paper'"):
        _migrate(on_server)
    assert not moving.mark_of(settings).exists()


def test_a_home_on_a_server_is_backed_up_and_comes_back_on_another_one_and_in_files(
    settings: Settings, on_server: Settings, postgres: Server, tmp_path: Path
) -> None:
    _migrate(on_server)
    before = _held(on_server)
    desk = Desk(on_server, lambda: NOW)
    made = back_up(desk, tmp_path / "kept", now=NOW)
    _closed(desk)
    assert made.manifest.stores == {"ledger": "postgres", "lake": "postgres"}
    with pytest.raises(InputError, match="There is something already"):
        restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW)
    back = restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, replace=True)
    assert (back.halted, "ledger_replaced_" in str(back.aside)) == (("paper",), True)
    assert _held(on_server)[1:] == before[1:]
    database = postgres.new_database()
    elsewhere = project_at(tmp_path / "elsewhere").settings
    shutil.copytree(settings.config_path.parent, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("home"))
    for target in (_with(elsewhere, postgres.url(database)), replace(elsewhere, home=tmp_path / "files")):
        restore_home(Desk(target, lambda: NOW), made.folder, actor="ann", now=NOW)
        assert _held(target)[1] == before[1]
    postgres.drop(database)


@pytest.mark.parametrize("lost", ["ducklake_data_file", "ducklake_snapshot"])
def test_a_lake_on_a_server_that_cannot_be_read_is_something_and_is_replaced_by_its_backup(
    settings: Settings, on_server: Settings, postgres: Server, tmp_path: Path, lost: str
) -> None:
    _migrate(on_server)
    before = _held(on_server)
    desk = Desk(on_server, lambda: NOW)
    made = back_up(desk, tmp_path / "kept", now=NOW)
    _closed(desk)
    postgres.execute(f"DROP TABLE lake.{lost} CASCADE", database=on_server.database_url.rpartition("/")[2])
    with pytest.raises(InputError, match="There is something already: schema lake on"):
        restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, only="lake")
    restore_home(Desk(on_server, lambda: NOW), made.folder, actor="ann", now=NOW, only="lake", replace=True)
    assert _held(on_server)[1:] == before[1:]
