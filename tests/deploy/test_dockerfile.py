"""The image: built in stages from hashes, without a secret, and run by nobody in particular."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.deploy.proxied import DEPLOY, ROOT

FILES = [DEPLOY / "Dockerfile", DEPLOY / "helm" / "Dockerfile"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Each instruction with its words; lines that go on are joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    return found[max(index for index, (word, _) in enumerate(found) if word == "FROM") :]


@pytest.mark.parametrize("path", FILES, ids=["scizor", "kubernetes"])
def test_it_is_built_in_stages_from_versions(path: Path) -> None:
    found = instructions(path)
    stages = [rest for word, rest in found if word == "FROM"]
    assert len(stages) >= 2
    bases = dict(rest.split("=", 1) for word, rest in found if word == "ARG" and "=" in rest)
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-[a-z]+", bases["PYTHON_IMAGE"])
    for stage in stages:
        assert re.match(r"\$\{[A-Z_]+_IMAGE\}|scizor$", stage), "an image that cannot be named by its digest"


@pytest.mark.parametrize("path", FILES, ids=["scizor", "kubernetes"])
def test_it_does_not_run_as_root(path: Path) -> None:
    users = [rest for word, rest in last_stage(path) if word == "USER"]
    assert users == ["10001:10001"]
    # After it nothing is put into the image any more.
    words = [word for word, _ in last_stage(path)]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])


@pytest.mark.parametrize("path", FILES, ids=["scizor", "kubernetes"])
def test_every_package_is_installed_by_its_hash(path: Path) -> None:
    runs = [rest for word, rest in instructions(path) if word == "RUN"]
    installs = [part for run in runs for part in re.split(r"\s*&&\s*", run) if re.search(r"\bpip\b.* install ", part)]
    assert installs
    for part in installs:
        own = part.endswith("--no-index --editable .")
        assert own or {"--require-hashes", "--no-deps"} <= set(part.split()), part
    assert not re.search(r"\b(apt-get|curl|wget|ADD)\b", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=["scizor", "kubernetes"])
def test_no_secret_can_be_in_a_layer(path: Path) -> None:
    for word, rest in instructions(path):
        assert word not in {"ADD", "VOLUME", "ONBUILD"}
        if word in {"ARG", "ENV"}:
            assert not re.search(r"PASSWORD|SECRET|TOKEN|DATABASE_URL|_KEY", rest), rest
        if word == "COPY" and "--from" not in rest:
            assert rest.split()[0] not in {".", "./", "/"}, "copies whatever lies there"


def test_the_last_stage_has_nothing_that_installs() -> None:
    runs = " ".join(rest for word, rest in last_stage(FILES[0]) if word == "RUN")
    assert "pip uninstall" in runs
    assert " install -" not in runs.replace("install --directory", "")


def test_the_builder_is_sent_what_the_image_takes_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copied = {
        source
        for path in FILES
        for word, rest in instructions(path)
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / name).exists() for name in sent)
    assert {"**/.env", "**/*.pem", "**/*.key"} <= set(rules)


def test_what_it_writes_to_is_what_the_compose_file_mounts() -> None:
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
    set_in_image = dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(r for w, r in last_stage(FILES[0]) if w == "ENV")))
    code = compose["services"]["code"]
    mounts = {volume.split(":")[-2] if volume.endswith(":ro") else volume.split(":")[-1] for volume in code["volumes"]}
    assert {set_in_image["SCIZOR_HOME"], str(Path(set_in_image["SCIZOR_CONFIG"]).parent)} == mounts
    assert set_in_image["DAGSTER_HOME"] == f"{set_in_image['SCIZOR_HOME']}/dagster"
    assert set_in_image["XDG_CACHE_HOME"].startswith(set_in_image["SCIZOR_HOME"])
    assert set_in_image["HOME"] == "/tmp"


def _lock(*words: str) -> str:
    command = [sys.executable, str(DEPLOY / "runtime_lock.py"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _names(lock: str) -> set[str]:
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)[^\n]*==", lock, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def _needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    try:
        wanted = requires(name) or []
    except PackageNotFoundError:
        return
    for line in wanted:
        item = Requirement(line)
        if item.marker is None or any(item.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            _needed(re.sub(r"[-_.]+", "-", item.name).lower(), frozenset(item.extras), seen)


def test_the_lock_of_the_image_has_what_runs_and_none_of_what_tests() -> None:
    names = _names(_lock("yahoo", "search"))
    seen: set[tuple[str, frozenset[str]]] = set()
    _needed("scizor", frozenset({"yahoo", "search"}), seen)
    assert sorted({name for name, _ in seen} - names - {"scizor"}) == []
    assert not {"mypy", "ruff", "hypothesis", "selenium", "mkdocs", "moto", "setuptools", "schemathesis"} & names
    assert len(names) < 0.75 * len(_names((ROOT / "requirements.lock").read_text(encoding="utf-8")))


def test_the_lock_of_the_image_is_part_of_the_lock_with_every_hash() -> None:
    whole = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = _lock("yahoo", "search").splitlines()
    assert set(lines) <= set(whole.splitlines())
    assert sum("--hash=sha256:" in line for line in lines) > 200
    assert _names(_lock("--build")) == {"setuptools"}


def test_an_extra_that_does_not_exist_is_refused() -> None:
    command = [sys.executable, str(DEPLOY / "runtime_lock.py"), "yaho"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no extra 'yaho'; it has" in done.stderr


def test_what_kubernetes_needs_goes_with_what_the_image_has() -> None:
    whole = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    more = (DEPLOY / "helm" / "requirements.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", whole, re.MULTILINE))
    added = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", more, re.MULTILINE))
    assert added["dagster-k8s"] == versions["dagster-postgres"]
    assert {name: version for name, version in added.items() if versions.get(name, version) != version} == {}
