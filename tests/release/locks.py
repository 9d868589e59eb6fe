"""Lock files: every requirement with its hashes, none from an index of its own, and what pyproject.toml asks for.

What belongs here: reading lock files as `make lock` writes them. What does not: resolving anything.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWN = "scizor"
LOCKS = {"requirements.lock": frozenset[str](), "requirements-ib-async.lock": frozenset({"ib-insync"})}
"""Locks of this project, each with the requirements that it leaves out."""
TOOLS = "requirements-release.lock"
"""Lock of the tools of a release, which is nobody's dependency."""
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Pinned:
    """One requirement of a lock file; a name may have several versions, each with a condition."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_lock(path: Path) -> tuple[list[Pinned], list[str]]:
    """The requirements of a lock file, and its lines that are none."""
    pinned: list[Pinned] = []
    other: list[str] = []
    for line in _logical_lines(path.read_text(encoding="utf-8")):
        found = _PIN.match(line)
        if found is None:
            other.append(line)
        else:
            pinned.append(Pinned(canonicalize_name(found["name"]), found["version"], tuple(_HASH.findall(line))))
    return pinned, other


def lock_problems(root: Path) -> Iterator[str]:
    """What is wrong with the lock files of a tree."""
    for name in (*LOCKS, TOOLS):
        if not (root / name).is_file():
            yield f"{name} is missing: make lock."
            continue
        pinned, other = read_lock(root / name)
        for line in other:
            yield f"{name}: '{line[:80]}' is no pinned requirement; what comes from where is not for a lock to say."
        for item in pinned:
            if not item.hashes:
                yield f"{name}: {item.name}=={item.version} has no hash: make lock."
        if name in LOCKS:
            yield from _disagreements(root, name, pinned)


def _disagreements(root: Path, lock: str, pinned: list[Pinned]) -> Iterator[str]:
    versions: dict[str, set[str]] = {}
    for item in pinned:
        versions.setdefault(item.name, set()).add(item.version)
    for asked in _asked(root):
        name = canonicalize_name(asked.name)
        if name in LOCKS[lock] or (asked.marker is not None and not asked.marker.evaluate()):
            continue
        found = versions.get(name, set())
        if not found:
            yield f"{lock}: {name}, which pyproject.toml asks for, is not in it: make lock."
        elif not any(asked.specifier.contains(version, prereleases=True) for version in found):
            named = ", ".join(sorted(found))
            yield f"{lock}: {name} is at {named}, and pyproject.toml asks for {asked.specifier}: make lock."


def _asked(root: Path) -> Iterator[Requirement]:
    """What the project and its extra `dev` ask for, through extras of its own."""
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project.get("optional-dependencies", {})
    waiting = [*project.get("dependencies", ()), *extras.get("dev", ())]
    while waiting:
        asked = Requirement(waiting.pop())
        if canonicalize_name(asked.name) == OWN:
            waiting += [text for extra in sorted(asked.extras) for text in extras[extra]]
        else:
            yield asked


def _logical_lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        bare = line.split(" #")[0].strip()
        if bare and not bare.startswith("#"):
            yield bare
