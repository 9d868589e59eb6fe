"""docs/deploy.md: its commands do what the files of `deploy` need of them.

What belongs here: commands of that page that are typed into a shell. What does not: what the files say by themselves.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.proxied import DEPLOY, ROOT
from tests.docs.blocks import blocks_of

PAGE = ROOT / "docs" / "deploy.md"
CONFIG = ROOT / "config"
COMPOSE = ["docker", "compose", "--file", "deploy/docker-compose.yml"]


@pytest.fixture(scope="module")
def blocks() -> list[list[list[str]]]:
    """Of each block its lines, of each line its words."""
    found = [block.text.splitlines() for block in blocks_of(PAGE) if not block.lang]
    return [[shlex.split(line, comments=True) for line in lines] for lines in found]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))["services"])


@pytest.fixture(scope="module")
def location() -> dict[str, Any]:
    """The code location in the values of Dagster's chart."""
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8"))
    (found,) = values["dagster-user-deployments"]["deployments"]
    return dict(found)


def _config_map(blocks: list[list[list[str]]]) -> dict[str, Path]:
    """What the page's command puts into the config map: of each folder that it names the files, none of its folders."""
    (line,) = (line for block in blocks for line in block if line[:1] == ["kubectl"] and "configmap" in line)
    folders = [ROOT / word.removeprefix("--from-file=") for word in line if word.startswith("--from-file=")]
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    keys = {path.name: path for path in files}
    assert len(keys) == len(files), "two files with one name are one key"
    return keys


def _mounted(blocks: list[list[list[str]]], location: dict[str, Any]) -> dict[str, bytes]:
    """By path below the mount, as the cluster projects the keys: all of them, or those that are listed."""
    keys = _config_map(blocks)
    (volume,) = (volume["configMap"] for volume in location["volumes"] if volume["name"] == "settings")
    items = volume.get("items", [{"key": key, "path": key} for key in keys])
    return {item["path"]: keys[item["key"]].read_bytes() for item in items}


def test_every_file_that_the_shipped_configuration_names_lands_at_its_path(
    blocks: list[list[list[str]]], location: dict[str, Any]
) -> None:
    shipped = yaml.safe_load((CONFIG / "config.yaml").read_text(encoding="utf-8"))
    universes = {name for market in shipped["markets"].values() for name in market["universes"]}
    named = {"config.yaml", shipped["strategy_manifest"], *universes}
    mounted = _mounted(blocks, location)
    assert named <= mounted.keys()
    assert mounted == {
        path.relative_to(CONFIG).as_posix(): path.read_bytes() for path in CONFIG.rglob("*") if path.is_file()
    }
    (mount,) = (mount for mount in location["volumeMounts"] if mount["name"] == "settings")
    assert location["env"]["SCIZOR_CONFIG"] == f"{mount['mountPath']}/config.yaml"


def test_the_job_before_the_first_start_prepares_what_the_compose_file_prepares(services: dict[str, Any]) -> None:
    kubernetes = PAGE.read_text(encoding="utf-8").partition("\n## On Kubernetes\n")[2]
    kind, flag, line = services["upgrade"]["command"]
    assert f'`{kind} {flag} "{line}"`' in kubernetes


def test_a_copy_is_brought_back_without_what_fails_on_a_broken_ledger(blocks: list[list[list[str]]]) -> None:
    (back,) = (block for block in blocks if any("restore" in line for line in block))
    assert all(line[: len(COMPOSE)] == COMPOSE for line in back)
    typed = [line[len(COMPOSE) :] for line in back]
    runs = [number for number, line in enumerate(typed) if line[0] == "run"]
    assert [typed[number][4] for number in runs] == ["ls", "scizor"]
    # The database is all that it needs of the others; `upgrade`, which it would wait for, ends red on that ledger.
    assert all(typed[number][1:4] == ["--rm", "--no-deps", "backup"] for number in runs)
    assert typed.index(["up", "-d", "--wait", "postgres"]) < runs[0]
    assert typed[-1] == ["up", "-d"]


def test_whoever_writes_is_stopped_before_a_copy_is_brought_back(
    blocks: list[list[list[str]]], services: dict[str, Any]
) -> None:
    (first,) = (block[0][len(COMPOSE) :] for block in blocks if any("restore" in line for line in block))
    writers = {
        name
        for name, service in services.items()
        if name != "upgrade" and any(str(volume).startswith("home:") for volume in service.get("volumes", []))
    }
    assert first[0] == "stop"
    assert writers <= set(first[1:])


def test_whoever_writes_is_stopped_before_the_stores_are_brought_to_a_new_version(
    blocks: list[list[list[str]]], services: dict[str, Any]
) -> None:
    (saving,) = (
        block for block in blocks if [*COMPOSE, "run"] in [line[:5] for line in block] and "backup" in block[1][-2:-1]
    )
    stop, backup = (line[len(COMPOSE) :] for line in saving)
    ours = {name for name, service in services.items() if str(service["image"]).startswith("${SCIZOR_IMAGE")}
    assert stop == ["stop", *stop[1:]]
    assert set(stop[1:]) == ours - {"upgrade"}
    assert backup == ["run", "--rm", "--no-deps", "backup", "scizor", "backup", "/var/backups/scizor"]
    (raising,) = blocks[blocks.index(saving) + 1]
    assert raising[len(COMPOSE) :] == ["up", "-d", "--force-recreate"]


def test_the_watchdog_runs_in_a_container_of_its_own() -> None:
    lines = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("- **Watch from outside**")
    ]
    assert len(lines) == 1
    assert "run --rm --no-deps -T code scizor watchdog" in lines[0]
