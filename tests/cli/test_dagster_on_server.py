"""Dagster on a server: one file without a secret for every machine, made by one of many, read without Dagster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat

from scizor_dagster.cli.dagster_home import SHIPPED, dagster_yaml
from scizor_dagster.cli.dagster_state import read_dagster
from scizor_dagster.cli.instance import opened_instance, prepare_home
from scizor_dagster.errors import DataError, LedgerError
from scizor_dagster.flow.moving import require_rest
from scizor_dagster.settings import Settings
from tests.postgres import Server
from tests.projects import Project, small_project

PASSWORD = "hush-hush"


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    name = postgres.new_database()
    yield postgres.url(name).replace("scizor@", f"scizor:{PASSWORD}@").replace("postgresql://", "postgres://")
    postgres.drop(name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("DAGSTER_HOME", "SCIZOR_HOME", "SCIZOR_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    return small_project(tmp_path)


@pytest.fixture
def settings(project: Project, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", url)
    return Settings.from_environment({**project.environment, "DATABASE_URL": url})


def test_the_file_of_a_server_holds_no_secret_and_differs_from_the_shipped_one_only_where_it_must() -> None:
    shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    rendered = yaml.safe_load(dagster_yaml(on_server=True))
    assert dagster_yaml(on_server=False) == SHIPPED.read_bytes()
    for key in ("telemetry", "run_retries", "run_launcher", "run_monitoring", "retention", "nux"):
        assert rendered[key] == shipped[key]
    assert (
        rendered["concurrency"]["pools"]
        == shipped["concurrency"]["pools"]
        == {
            "default_limit": 1,
            "granularity": "op",
        }
    )
    assert rendered["concurrency"]["runs"]["max_concurrent_runs"] > 1
    assert rendered["storage"]["custom"]["config"] == {}


def test_a_prepared_home_keeps_its_record_on_the_server_and_the_password_in_no_file(settings: Settings) -> None:
    prepare_home(settings)
    with opened_instance(settings) as instance:
        assert storage_of(instance) == "ServerStorage"
        assert instance.get_runs_count() == 0
        # What a run worker is handed opens the same storage, and holds no secret either.
        handed = instance.get_ref().to_dict()
        assert PASSWORD not in str(handed)
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
            assert again.get_runs_count() == 0
            assert storage_of(again) == "ServerStorage"
    assert not (settings.dagster_home / "history" / "runs.db").exists()
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


def storage_of(instance: dg.DagsterInstance) -> str:
    data = instance.get_ref().storage_data
    assert data is not None
    return str(data.class_name)


def _open_in_child(home: str, config: str) -> int:
    os.environ |= {"SCIZOR_HOME": home, "SCIZOR_CONFIG": config}
    settings = Settings.from_environment(os.environ)
    prepare_home(settings)
    with opened_instance(settings) as instance:
        return instance.get_runs_count()


def test_of_those_who_open_an_empty_server_at_once_one_makes_it_and_none_fails(
    settings: Settings, tmp_path: Path
) -> None:
    homes = [str(tmp_path / f"host{number}") for number in range(3)]
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(_open_in_child, home, str(settings.config_path)) for home in homes]
        assert [item.result(timeout=240) for item in found] == [0] * 3
    written = {(Path(home) / "dagster" / "dagster.yaml").read_bytes() for home in homes}
    assert len(written) == 1, "one file for every machine"


def test_heartbeats_are_read_from_the_server_whatever_its_time_zone(settings: Settings, postgres: Server) -> None:
    assert read_dagster(settings) is None
    database = settings.database_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET timezone = 'Australia/Sydney'")
    prepare_home(settings)
    at = datetime(2025, 2, 4, 13, tzinfo=UTC)
    with opened_instance(settings) as instance:
        for kind in ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"):
            instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), kind, "me", []))
    state = read_dagster(settings)
    assert state is not None
    assert state.oldest() == at
    assert not state.is_on("rebalance_before_open")


def test_nothing_is_moved_on_a_server_while_a_daemon_is_alive(settings: Settings, postgres: Server) -> None:
    now = datetime(2025, 2, 4, 13, tzinfo=UTC)
    require_rest(settings, None, now)
    database = settings.database_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET timezone = 'Australia/Sydney'")
    prepare_home(settings)
    require_rest(settings, None, now)
    with opened_instance(settings) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp(), "SCHEDULER", "me", []))
    with pytest.raises(LedgerError, match="daemon was heard of 20 s ago") as caught:
        require_rest(settings, None, now + timedelta(seconds=20))
    assert PASSWORD not in str(caught.value)
    require_rest(settings, None, now + timedelta(minutes=2))


def test_a_server_that_is_not_there_is_one_sentence_without_the_password(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:1/db"
    monkeypatch.setenv("DATABASE_URL", url)
    settings = Settings.from_environment({**project.environment, "DATABASE_URL": url})
    for ask in (read_dagster, prepare_home):
        with pytest.raises(DataError, match="Connection refused") as caught:
            ask(settings)
        assert PASSWORD not in str(caught.value)


def test_a_record_of_runs_is_not_begun_on_a_server_beside_one_in_files_nor_the_other_way_round(
    project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = settings.database_url
    monkeypatch.delenv("DATABASE_URL")
    prepare_home(project.settings)
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(DataError, match="this home has one in") as caught:
        prepare_home(settings)
    assert "scizor migrate" in caught.value.remedy
    assert read_dagster(settings) is None
    (settings.dagster_home / "history" / "runs.db").unlink()
    prepare_home(settings)
    with pytest.raises(LedgerError, match="DATABASE_URL is not set"):
        prepare_home(project.settings)
