"""What must be true of a tree before it is released: each check says what is wrong, and what to do.

What belongs here: checks of a folder with a git repository in it, which write nothing. What does not: the lock files
(`locks`), the list of what is delivered (`sbom`), and looking for known holes, which asks the network (`make audit`).
"""

import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.release.locks import lock_problems

CODE = ("scizor_dagster", "assets", "resources", "jobs")
IMAGE = re.compile(r"\bscizor(?:-[a-z]+)?(?:\}?:|, tag: )v?(\d+\.\d+\.\d+\w*)")
"""A tag of an image of this project: there the version has to stand, because no package can be asked."""
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
DATED = re.compile(r"(?P<version>\S+) - \d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


def version_of(root: Path) -> str:
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def version_problems(root: Path) -> Iterator[str]:
    """The version is one of SemVer, stands in no code, and every image is tagged with it."""
    version = version_of(root)
    if not VERSION.fullmatch(version):
        yield f"pyproject.toml: version '{version}' is not MAJOR.MINOR.PATCH."
    copy = re.compile(rf"__version__\s*=|[\"']v?{re.escape(version)}[\"']")
    for path in (path for folder in CODE for path in sorted((root / folder).rglob("*.py"))):
        found = copy.search(path.read_text(encoding="utf-8"))
        if found is not None:
            where = f"{path.relative_to(root)}: '{found[0].strip()}'"
            yield f"{where} is the version a second time; take it from the package's metadata."
    for path in (*sorted((root / "deploy").rglob("*")), root / "docs" / "deploy.md"):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for tag in sorted(set(IMAGE.findall(text)) - {version}):
            yield f"{path.relative_to(root)}: an image is tagged {tag}, and the version is {version}."


def changelog_problems(root: Path) -> Iterator[str]:
    """The newest section is the version's, dated; above it may stand an empty one for what comes next."""
    text, version = (root / "CHANGELOG.md").read_text(encoding="utf-8"), version_of(root)
    titles = [found["title"].strip() for found in SECTION.finditer(text)]
    if titles and titles[0] == "Unreleased":
        body = text.split("## Unreleased", 1)[1].split("\n## ", 1)[0]
        if body.strip():
            yield f"CHANGELOG.md: 'Unreleased' has entries; call it '## {version} - YYYY-MM-DD'."
            return
        titles = titles[1:]
    dated = DATED.fullmatch(titles[0]) if titles else None
    if dated is None or dated["version"] != version:
        found = f"'{titles[0]}'" if titles else "nothing"
        yield f"CHANGELOG.md: the newest section is {found}; it has to be '## {version} - YYYY-MM-DD'."


def tag_problems(root: Path) -> Iterator[str]:
    """The commit has the version's tag, and no other of a version."""
    wanted = f"v{version_of(root)}"
    tags = [tag for tag in _git(root, "tag", "--points-at", "HEAD").split() if re.match(r"v\d", tag)]
    if wanted not in tags:
        yield f"This commit has no tag {wanted}: git tag --annotate {wanted} --message {wanted}"
    for other in tags:
        if other != wanted:
            yield f"This commit has the tag {other}, and the version is {wanted[1:]}."


def tree_problems(root: Path) -> Iterator[str]:
    """What is released is what is committed."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=normal").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5]) + (", ..." if len(changed) > 5 else "")
        yield f"The working tree is not clean ({names}): commit it, or take it away."


def graph_problems(root: Path) -> Iterator[str]:
    """The graph of the shipped configuration is the one that was looked at."""
    from tests.shipped.graph import graph_text

    snapshot = root / "tests" / "shipped" / "graph.txt"
    if not snapshot.is_file() or snapshot.read_text(encoding="utf-8") != graph_text():
        yield f"{snapshot.relative_to(root)}: the graph is another one. Look at the difference, then: make snapshot."


def migration_problems(root: Path) -> Iterator[str]:
    """The ledger's migrations are one line with one end."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(root / "scizor_dagster" / "ledger" / "migrations"))
    heads = ScriptDirectory.from_config(config).get_heads()
    if len(heads) != 1:
        named = ", ".join(sorted(heads)) or "none"
        yield f"The ledger's migrations have {len(heads)} ends ({named}): put one of them behind the other."


CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "version": version_problems,
    "changelog": changelog_problems,
    "tag": tag_problems,
    "working tree": tree_problems,
    "graph": graph_problems,
    "migrations": migration_problems,
    "locks": lock_problems,
}


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout
