"""The values for Dagster's chart: only keys that the chart knows, and the settings that a server's own file has.

The keys are those of the models that the chart's published schema is made from, as far as these values use them; a key
that the chart does not know would be passed over in silence, or refused at the installation.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from scizor_dagster.cli.dagster_home import dagster_yaml
from tests.deploy.proxied import DEPLOY

_POD = {"env", "envSecrets", "image", "podSecurityContext", "resources", "securityContext", "volumeMounts", "volumes"}
KEYS: dict[str, set[str]] = {
    "": {
        "global", "generatePostgresqlPasswordSecret", "generateCeleryConfigSecret", "telemetry", "serviceAccount",
        "dagsterWebserver", "dagster-user-deployments", "runLauncher",
        "dagsterDaemon", "concurrency", "retention", "computeLogManager",
        "postgresql", "migrate", "ingress", "rabbitmq", "redis", "flower",
    },
    "global": {"postgresqlSecretName", "serviceAccountName", "dagsterHome"},
    "serviceAccount": {"create", "name"},
    "dagsterWebserver": {"replicaCount", "enableReadOnly", "service", *_POD},
    "dagster-user-deployments": {"enabled", "enableSubchart", "deployments"},
    "dagster-user-deployments.deployments": {
        "name", "port", "codeServerArgs", "includeConfigInLaunchedRuns", "readinessProbe", *_POD,
    },
    "runLauncher": {"type", "config"},
    "runLauncher.config": {"k8sRunLauncher"},
    "runLauncher.config.k8sRunLauncher": {
        "imagePullPolicy", "loadInclusterConfig", "envConfigMaps", "envSecrets", "envVars", "volumes", "volumeMounts",
        "resources", "securityContext", "runK8sConfig",
    },
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {"jobSpecConfig", "podSpecConfig"},
    "dagsterDaemon": {"enabled", "runCoordinator", "runMonitoring", "runRetries", "sensors", "schedules", *_POD},
    "dagsterDaemon.runCoordinator": {"enabled"},
    "concurrency": {"enabled", "pools", "runs"},
    "concurrency.pools": {"defaultLimit", "granularity"},
    "concurrency.runs": {"maxConcurrentRuns"},
    "retention": {"enabled", "schedule", "sensor"},
    "postgresql": {
        "enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase", "postgresqlParams",
        "postgresqlScheme", "service",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def server() -> dict[str, Any]:
    """What `scizor` writes for a server."""
    return dict(yaml.safe_load(dagster_yaml(on_server=True)))


def _at(values: dict[str, Any], path: str) -> dict[str, Any]:
    found: Any = values
    for step in filter(None, path.split(".")):
        found = found[step]
    return dict(found[0] if isinstance(found, list) else found)


@pytest.mark.parametrize("path", KEYS)
def test_the_chart_knows_every_key(values: dict[str, Any], path: str) -> None:
    assert sorted(set(_at(values, path)) - KEYS[path]) == []


def test_every_container_is_held_small(values: dict[str, Any]) -> None:
    for path in ("dagsterWebserver", "dagsterDaemon", "dagster-user-deployments.deployments"):
        part = _at(values, path)
        assert part["podSecurityContext"]["runAsUser"] == 10001
        assert part["podSecurityContext"]["runAsNonRoot"] is True
        assert {mount["mountPath"] for mount in part["volumeMounts"]} >= {"/tmp"}
    launcher = _at(values, "runLauncher.config.k8sRunLauncher")
    for part in (launcher, *(_at(values, path) for path in ("dagsterWebserver", "dagsterDaemon"))):
        held = part["securityContext"]
        assert (held["allowPrivilegeEscalation"], held["readOnlyRootFilesystem"]) == (False, True)
        assert held["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in part["resources"]["limits"]


def test_each_run_is_a_pod_that_nobody_begins_again(values: dict[str, Any]) -> None:
    assert values["runLauncher"]["type"] == "K8sRunLauncher"
    launched = _at(values, "runLauncher.config.k8sRunLauncher.runK8sConfig")
    assert launched["jobSpecConfig"]["backoffLimit"] == 0
    assert launched["podSpecConfig"]["restartPolicy"] == "Never"
    assert values["dagsterDaemon"]["runRetries"] == {"enabled": False}
    assert values["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"] == 0
    assert _at(values, "dagster-user-deployments.deployments")["includeConfigInLaunchedRuns"] == {"enabled": True}


def test_settings_are_those_of_a_server(values: dict[str, Any], server: dict[str, Any]) -> None:
    pools, monitoring = values["concurrency"]["pools"], values["dagsterDaemon"]["runMonitoring"]
    assert {"default_limit": pools["defaultLimit"], "granularity": pools["granularity"]} == server["concurrency"][
        "pools"
    ]
    assert monitoring["pollIntervalSeconds"] == server["run_monitoring"]["poll_interval_seconds"]
    assert monitoring["freeSlotsAfterRunEndSeconds"] == server["run_monitoring"]["free_slots_after_run_end_seconds"]
    assert monitoring["maxResumeRunAttempts"] == server["run_monitoring"]["max_resume_run_attempts"]
    assert values["retention"]["schedule"]["purgeAfterDays"] == server["retention"]["schedule"]["purge_after_days"]
    kept = server["retention"]["sensor"]["purge_after_days"]
    assert kept.items() <= values["retention"]["sensor"]["purgeAfterDays"].items()
    for name in ("sensors", "schedules"):
        assert values["dagsterDaemon"][name]["useThreads"] is server[name]["use_threads"]
        assert values["dagsterDaemon"][name]["numWorkers"] == server[name]["num_workers"]
    assert values["concurrency"]["runs"]["maxConcurrentRuns"] >= server["concurrency"]["runs"]["max_concurrent_runs"]
    assert values["telemetry"] == {"enabled": False}


def test_dagster_has_its_schema_and_no_secret_stands_in_the_values(values: dict[str, Any]) -> None:
    database = values["postgresql"]
    assert database["postgresqlParams"] == {"options": "-csearch_path=dagster"}
    assert database["enabled"] is False
    assert "postgresqlPassword" not in database
    assert values["generatePostgresqlPasswordSecret"] is False


def test_the_webserver_is_reached_by_no_ingress(values: dict[str, Any]) -> None:
    assert values["ingress"] == {"enabled": False}
    assert values["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert values["dagsterWebserver"]["enableReadOnly"] is True
