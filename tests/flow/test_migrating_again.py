"""A migration that died when it may have been stored, given again: to its own place, and to no other one."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scizor_dagster.errors import LedgerError
from scizor_dagster.flow import migrating, moving
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.migrating import migrate_home
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from scizor_dagster.settings import Settings
from tests.flow.desks import NOW, SECOND, left_after_the_first, trade
from tests.postgres import Server
from tests.projects import project_at


class Killed(BaseException):
    """Ends the process, as far as what it leaves behind goes."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "project").mkdir()
    left_after_the_first(tmp_path / "project")
    return project_at(tmp_path / "project").settings


@pytest.fixture
def databases(postgres: Server) -> Iterator[list[str]]:
    made = [postgres.new_database(), postgres.new_database()]
    yield [postgres.url(name) for name in made]
    for name in made:
        postgres.drop(name)


def _with(settings: Settings, url: str) -> Settings:
    return replace(settings, environment={**settings.environment, "DATABASE_URL": url})


def _killed_after_the_commit(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "note_server", die)
        with pytest.raises(Killed):
            migrate_home(settings, now=NOW, prepare_dagster=None)


def test_what_may_be_stored_in_one_place_is_taken_to_no_other_one(
    settings: Settings, databases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = (_with(settings, url) for url in databases)
    _killed_after_the_commit(first, monkeypatch)
    with pytest.raises(LedgerError, match=r"were being taken to .* and may lie there") as caught:
        migrate_home(other, now=NOW, prepare_dagster=None)
    assert "Set DATABASE_URL as it was set then" in caught.value.remedy
    assert not Ledger.holds_anything(other.ledger_url)
    done = migrate_home(first, now=NOW, prepare_dagster=None)
    assert sorted(done.found_there) == ["lake", "ledger"]
    assert not moving.mark_of(settings).exists()


def test_where_another_host_has_traded_on_since_the_commit_the_command_still_comes_to_its_end(
    settings: Settings, databases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _with(settings, databases[0])
    _killed_after_the_commit(here, monkeypatch)
    # Another host, with a home of its own and the same files of the lake.
    shutil.copytree(tmp_path / "project", tmp_path / "elsewhere", ignore=shutil.ignore_patterns("home"))
    there = _with(project_at(tmp_path / "elsewhere").settings, databases[0])
    data = {"SCIZOR_LAKE_DATA": here.lake_data}
    desk = Desk(replace(there, environment={**there.environment, **data}), lambda: NOW)
    assert trade(desk, SECOND).orders
    with desk.ledger.read() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM events").scalar()
    desk.ledger.close()
    desk.lake.close()
    done = migrate_home(here, now=NOW, prepare_dagster=None)
    assert sorted(done.found_there) == ["lake", "ledger"]
    desk = Desk(here, lambda: NOW)
    with desk.ledger.read() as connection:
        assert verify(connection) == []
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == count
    assert not settings.ledger_file.exists()
    desk.ledger.close()
