"""The part of requirements.lock that a running Scizor needs, for the image: no test tool, no documentation.

    python deploy/runtime_lock.py yahoo search > runtime.lock
    python deploy/runtime_lock.py --build > build.lock     # what builds the project itself, and nothing else

The lock says beside each package who asks for it (`# via`); what pyproject.toml names, for itself or under the extras
that are given, and all that is asked for from there, stays, with its hashes. The standard library alone: it is run
before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(pyproject: dict[str, dict[str, object]], extras: Sequence[str]) -> set[str]:
    """Names of what pyproject.toml asks for; an unknown extra is refused. `--build` is what builds the project."""
    if "--build" in extras:
        return {match[0] for line in _texts(pyproject["build-system"]["requires"]) if (match := _NAME.match(line))}
    project = pyproject["project"]
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    lines = [*_texts(project["dependencies"])]
    for extra in extras:
        if extra not in optional:
            sys.exit(f"runtime_lock: pyproject.toml has no extra '{extra}'; it has {', '.join(sorted(optional))}.")
        lines += _texts(optional[extra])
    return {normal(match[0]) for line in lines if (match := _NAME.match(line))}


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(item) for item in value]


def blocks(lock: str) -> Iterator[tuple[str, str, set[str]]]:
    """Of each package of a lock: its name, its lines, and who asks for it."""
    for text in re.split(r"\n(?=[A-Za-z0-9])", lock):
        match = _NAME.match(text)
        if match is None:
            continue
        _, _, via = text.partition("# via")
        yield normal(match[0]), text.rstrip("\n"), {normal(name) for name in re.findall(r"[A-Za-z0-9][\w.-]*", via)}


def reduced(lock: str, roots: set[str]) -> str:
    """The blocks of `roots` and of all that they lead to.

    A package that one platform alone needs keeps its marker and is left to pip.
    """
    found = list(blocks(lock))
    missing = roots - {name for name, _, _ in found}
    if missing:
        sys.exit(f"runtime_lock: requirements.lock has no {', '.join(sorted(missing))}; run `make lock`.")
    kept = set(roots)
    while more := {name for name, _, via in found if name not in kept and via & kept}:
        kept |= more
    return "".join(f"{text}\n" for name, text, _ in found if name in kept)


def main() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.write(reduced(lock, wanted(pyproject, sys.argv[1:])))


if __name__ == "__main__":
    main()
