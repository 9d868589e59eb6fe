"""The compose file: valid by the published schema; what it says of privileges, networks, secrets and restarts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scizor_dagster.errors import InputError
from tests.deploy.namespaces import backup_of
from tests.deploy.proxied import DEPLOY, ROOT
from tests.deploy.test_environment import offered
from tests.docs.parsing import complaint

SCHEMA = Path(__file__).parent / "schemas" / "compose-spec.json"
ONE_SHOT = {"upgrade"}
OF_OTHERS = {"postgres", "proxy", "ib-gateway"}
"""Services whose image is not ours."""


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


def test_it_is_a_compose_file_by_the_published_schema(compose: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    assert list(validator.iter_errors({"services": {"a": {"mem_limits": "1g"}}}))


def test_every_service_that_is_asked_for_is_there(services: dict[str, dict[str, Any]]) -> None:
    asked = {"postgres", "upgrade", "code", "webserver", "viewer", "daemon", "api", "proxy", "backup", "ib-gateway"}
    assert set(services) == asked


def test_every_service_is_held_small(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert {"mem_limit", "pids_limit", "logging"} <= set(service), name
        assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode"} & set(service), (
            name
        )
        if name != "ib-gateway":
            # What others build may need to write; it gets no secret of ours either.
            assert service["read_only"] is True, name
            assert service["tmpfs"], name


def test_every_service_begins_again_and_tells_how_it_is(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["restart"] in {"unless-stopped", "always"} or name in ONE_SHOT, name
        assert "healthcheck" in service or name in ONE_SHOT, name


def test_what_must_be_there_before_is_waited_for(services: dict[str, dict[str, Any]]) -> None:
    waits = {name: service.get("depends_on", {}) for name, service in services.items()}
    for name in ("code", "api", "backup"):
        assert waits[name]["upgrade"] == {"condition": "service_completed_successfully"}
    for name in ("webserver", "viewer", "daemon"):
        assert waits[name]["code"] == {"condition": "service_healthy"}
    assert waits["upgrade"]["postgres"] == {"condition": "service_healthy"}


def test_no_service_of_ours_is_root(services: dict[str, dict[str, Any]]) -> None:
    ours = {name: service["user"] for name, service in services.items() if name not in OF_OTHERS}
    assert set(ours.values()) == {"10001:10001"}
    assert services["postgres"]["user"] == "999:999"


def _on(services: dict[str, dict[str, Any]], network: str) -> set[str]:
    return {name for name, service in services.items() if network in service["networks"]}


def test_nobody_but_the_proxy_can_be_reached_from_outside(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert [re.sub(r"\$\{[^}]*\}", "*", port) for port in services["proxy"]["ports"]] == ["*:443:8443", "*:80:8080"]


def test_the_proxy_reaches_neither_the_database_nor_the_code(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    assert set(services["proxy"]["networks"]) == {"edge", "web"}
    assert _on(services, "web") == {
        "proxy",
        "webserver",
        "viewer",
        "api",
    }
    assert _on(services, "edge") == {"proxy"}
    assert services["postgres"]["networks"] == ["database"]
    inner = {name for name, network in compose["networks"].items() if network.get("internal")}
    assert inner == {"web", "code", "database", "gateway"}
    # Whoever talks to brokers and collects prices goes out; what only shows does not.
    assert _on(services, "outward") == {"code", "api", "ib-gateway"}


def test_the_code_location_is_asked_by_webservers_and_daemon_alone(services: dict[str, dict[str, Any]]) -> None:
    assert _on(services, "code") == {
        "code",
        "webserver",
        "viewer",
        "daemon",
    }


def test_there_is_one_daemon_and_it_cannot_be_scaled(services: dict[str, dict[str, Any]]) -> None:
    daemons = [name for name, service in services.items() if "dagster-daemon" in service.get("command", [""])[0]]
    assert daemons == ["daemon"]
    assert services["daemon"]["container_name"]


def test_the_webserver_for_viewers_alone_reads_only(services: dict[str, dict[str, Any]]) -> None:
    assert "--read-only" in services["viewer"]["command"]
    assert "--read-only" not in services["webserver"]["command"]
    assert services["viewer"]["volumes"][0] == "home:/var/lib/scizor:ro"


def test_nobody_holds_the_socket_of_docker(compose: dict[str, Any]) -> None:
    assert "docker.sock" not in json.dumps(compose)


def test_whoever_joins_the_inner_network_takes_no_address_of_a_service(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    (config,) = compose["networks"]["web"]["ipam"]["config"]
    given = ip_network(config["ip_range"])
    assert given.subnet_of(ip_network(config["subnet"]))
    for name in _on(services, "web"):
        assert ip_address(services[name]["networks"]["web"]["ipv4_address"]) not in given, name


def test_dagster_s_own_processes_log_json_from_their_first_line(services: dict[str, dict[str, Any]]) -> None:
    dagsters = {name for name, service in services.items() if service.get("command", [""])[0].startswith("dagster")}
    assert dagsters == {"code", "webserver", "viewer", "daemon"}
    for name in dagsters:
        assert "--log-format=json" in services[name]["command"], name
        assert services[name]["environment"]["LOG_FORMAT"] == "${LOG_FORMAT:-json}"


def test_every_image_is_named_by_a_version(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        match = re.fullmatch(r"\$\{[A-Z_]+_IMAGE:-([^}]+)\}", service["image"])
        assert match is not None, name
        _, _, tag = match[1].rpartition(":")
        assert tag != "latest"
        assert re.search(r"\d+\.\d+", tag) or match[1].startswith("registry.invalid/"), name


def test_no_secret_stands_in_the_file(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    words = ("PASSWORD", "SECRET", "KEY", "TOKEN", "DATABASE_URL")
    for name, service in services.items():
        given = [key for key in service.get("environment", {}) if any(word in key for word in words)]
        assert given in ([], ["POSTGRES_PASSWORD_FILE"]), name
        for file in service.get("env_file", []):
            assert file["path"].startswith("./secrets/"), name
    assert compose["secrets"] == {"postgres_password": {"file": "./secrets/postgres_password"}}
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"deploy/secrets/", "deploy/settings/"} <= set(ignored)


def test_webservers_and_daemon_know_no_broker(services: dict[str, dict[str, Any]]) -> None:
    knows = {name for name, service in services.items() if "brokers.env" in json.dumps(service.get("env_file", []))}
    assert knows == {"upgrade", "code", "api", "backup"}
    assert "env_file" not in services["proxy"]


def test_the_database_is_in_utc(services: dict[str, dict[str, Any]]) -> None:
    assert {"timezone=UTC", "log_timezone=UTC"} <= set(services["postgres"]["command"])
    assert "--data-checksums" in services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def _lines(services: dict[str, dict[str, Any]]) -> Iterator[str]:
    for service in services.values():
        command = service.get("command", [])
        line = command[-1] if command[:2] == ["sh", "-c"] else " ".join(command)
        for part in re.split(r" && |; ", re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", line)):
            words = re.sub(r"^(?:(?:while|do|if|then|else) )+", "", part)
            yield re.sub(r"\$\{[^}]*\}", "api.example.org", words)


def test_every_command_of_ours_would_be_taken(services: dict[str, dict[str, Any]]) -> None:
    ours = [line for line in _lines(services) if line.startswith("scizor ")]
    assert len(ours) == 3
    assert [(line, why) for line in ours if (why := complaint(line))] == []


def test_a_lake_in_an_object_store_is_left_out_of_the_backup_by_one_variable(
    services: dict[str, dict[str, Any]],
) -> None:
    options = str(offered()["BACKUP_OPTIONS"])
    line = backup_of(services["backup"]["command"])
    filled = line.replace("${BACKUP_OPTIONS:-}", options).replace("${BACKUPS_KEPT:-14}", "14")
    assert filled == "scizor backup /var/backups/scizor --keep 14 --only ledger"
    assert complaint(filled) == ""


def test_every_command_of_dagster_would_be_taken(services: dict[str, dict[str, Any]]) -> None:
    from dagster._cli.code_server import start_command
    from dagster._daemon.cli import run_command
    from dagster_webserver.cli import dagster_webserver

    def options(command: Any) -> set[str]:
        return {name for item in command.params for name in item.opts}

    assert _given(services["code"]["command"]) <= options(start_command)
    for name in ("webserver", "viewer"):
        assert _given(services[name]["command"]) <= options(dagster_webserver)
    assert _given(services["daemon"]["command"]) <= options(run_command)


def _given(command: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in command if word.startswith("--")}


def test_the_workspace_is_the_code_location_of_the_compose_file(services: dict[str, dict[str, Any]]) -> None:
    (entry,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    server = entry["grpc_server"]
    assert server["host"] in services
    assert f"--port={server['port']}" in services[server["host"]]["command"]
    assert f"--location-name={server['location_name']}" in services[server["host"]]["command"]


def test_the_proxy_finds_the_servers_by_the_names_of_the_compose_file(services: dict[str, dict[str, Any]]) -> None:
    text = (DEPLOY / "nginx" / "templates" / "hosts.conf.template").read_text(encoding="utf-8")
    found = dict(re.findall(r"server ([a-z]+):(\d+);", text))
    assert found == {"webserver": "3000", "viewer": "3000", "api": "8000"}
    for name, port in found.items():
        assert f"--port={port}" in services[name]["command"]
    for mounted in services["proxy"]["volumes"]:
        place = mounted.split(":")[0]
        assert place.startswith("./secrets/") or (DEPLOY / place).exists(), mounted


def test_the_services_listen_as_the_command_line_allows() -> None:
    from scizor_dagster.api.serving import Listening, check
    from scizor_dagster.config import ApiRules

    check(Listening("0.0.0.0", 8000, proxy="https://api.example.org"), ApiRules())
    with pytest.raises(InputError):
        check(Listening("0.0.0.0", 8000), ApiRules())
