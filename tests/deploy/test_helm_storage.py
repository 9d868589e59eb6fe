"""Dagster's storage as its chart writes it from the values: opened on a real server, after what goes before the pods.

What belongs here: values and preparing step on a database that was empty. What does not: which keys there are.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance

from tests.deploy.proxied import BIN, DEPLOY, ROOT
from tests.postgres import Server
from tests.projects import small_project

PASSWORD = "a password, with / and @"
STORAGES = {
    "run_storage": ("dagster_postgres.run_storage", "PostgresRunStorage"),
    "event_log_storage": ("dagster_postgres.event_log", "PostgresEventLogStorage"),
    "schedule_storage": ("dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
}


def rendered(values: dict[str, Any], **elsewhere: Any) -> dict[str, Any]:
    """`postgres_db` of the chart's `dagster.yaml`: a scheme is there only where the values say one."""
    said = values["postgresql"] | elsewhere
    database = {
        "username": said["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": said["postgresqlHost"],
        "db_name": said["postgresqlDatabase"],
        "port": said["service"]["port"],
        "params": said["postgresqlParams"],
    }
    return database | ({"scheme": said["postgresqlScheme"]} if said.get("postgresqlScheme") else {})


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """An empty one."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


def _prepared(url: str, folder: Path) -> None:
    """The step of the compose file that everything else waits for; docs/deploy.md has it run as a job."""
    services = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    environment = {
        **os.environ,
        **small_project(folder).environment,
        "DATABASE_URL": url,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Compiling the planner takes a minute, and none of this needs it.
        "SCIZOR_KERNEL": "python",
    }
    done = subprocess.run(
        services["upgrade"]["command"], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_dagster_opens_the_storage_that_the_chart_writes_on_a_server_that_was_prepared(
    postgres: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8"))
    here = {"postgresqlHost": "127.0.0.1", "postgresqlDatabase": database, "service": {"port": postgres.port}}
    config = {"postgres_db": rendered(values, **here)}
    home = tmp_path / "dagster"
    home.mkdir()
    settings = {
        key: {"module": module, "class": name, "config": config} for key, (module, name) in STORAGES.items()
    } | {"telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", PASSWORD)

    _prepared(postgres.url(database), tmp_path)
    with DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("days", ["2025-02-14"])
        assert instance.get_dynamic_partitions("days") == ["2025-02-14"]
        instance.report_runless_asset_event(dg.AssetMaterialization("prices"))
        assert instance.get_latest_materialization_event(dg.AssetKey("prices")) is not None
        assert (instance.get_runs_count(), instance.all_instigator_state()) == (0, [])
    kept = postgres.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'runs'", database=database)
    assert kept == [("dagster",)]
