"""`scizor migrate`: a home that a person has worked with, with Dagster's runs and switches, on a server."""

from collections.abc import Iterator

import dagster as dg
import pytest
import sqlalchemy as sa

from scizor_dagster.cli.instance import opened_instance
from scizor_dagster.flow import dagster_rows
from scizor_dagster.settings import Settings
from tests.cli.conftest import Scizor
from tests.filled import RUN
from tests.postgres import Server
from tests.projects import Project


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """URL of a new, empty database."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop(name)


def _settings(project: Project, url: str) -> Settings:
    return Settings.from_environment({**project.environment, "DATABASE_URL": url})


def test_runs_assets_checks_and_switches_are_on_the_server_afterwards_and_the_home_goes_on_there(
    scizor: Scizor, collected: Project, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_instance(collected.settings) as instance:
        runs = {run.run_id: run.status for run in instance.get_runs()}
        last = {key: instance.get_latest_materialization_event(key) for key in instance.all_asset_keys()}
    assert RUN in runs
    assert any(last.values())
    monkeypatch.setenv("DATABASE_URL", database)
    done = scizor("migrate", "--json")
    assert done.code == 0, done
    assert sorted(done.json["parts"]) == ["dagster", "lake", "ledger"]
    assert done.json["parts"]["dagster"]["runs"] == len(runs)
    with opened_instance(_settings(collected, database)) as instance:
        assert {run.run_id: run.status for run in instance.get_runs()} == runs
        assert {key: instance.get_latest_materialization_event(key) for key in instance.all_asset_keys()} == last
        key = next(iter(last))
        before = max(event.storage_id for event in instance.fetch_materializations(key, limit=100).records)
        instance.report_runless_asset_event(dg.AssetMaterialization(key))
        (newest,) = instance.fetch_materializations(key, limit=1).records
        assert newest.storage_id > before, "numbers go on after those that were copied"
    assert scizor("ledger", "verify").code == 0
    again = scizor("migrate")
    assert (again.code, "Nothing is embedded" in again.sentence) == (2, True)
    monkeypatch.delenv("DATABASE_URL")
    assert "DATABASE_URL is not set" in scizor("ledger", "verify").sentence
    assert "DATABASE_URL is not set" in scizor("migrate").sentence


def test_every_table_that_dagster_has_in_files_is_copied_or_left_for_a_reason(
    collected: Project,
) -> None:
    left = {"alembic_version", "secondary_indexes", "instance_info", "daemon_heartbeats", "concurrency_slots"}
    left |= {"pending_steps", "sqlite_sequence"}
    for file, tables in dagster_rows.TABLES.items():
        path = collected.settings.dagster_home / file
        assert path.is_file()
        engine = sa.create_engine(f"sqlite:///{path}")
        found = set(sa.inspect(engine).get_table_names())
        engine.dispose()
        assert found - set(tables) - left == set(), file
