"""What a release is refused for: each fault that is planted in a tree is named."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scizor_dagster.settings import PROJECT_ROOT
from tests.release import checks
from tests.release.locks import LOCKS, TOOLS, lock_problems, read_lock

HASH = "a" * 64
PYPROJECT = """\
[project]
name = "scizor"
version = "1.2.0"
dependencies = ["one>=2", "ib_insync>=0.9", "nowhere>=1; sys_platform == 'none'"]

[project.optional-dependencies]
search = ["Two_Parts>=1,<2"]
dev = ["scizor[search]", "three"]
"""
LOCK = f"""\
# made by: make lock
ib-insync==0.9.86 \\
    --hash=sha256:{HASH}
one[extra]==2.1 ; python_full_version >= '3.12' \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{HASH}
    # via scizor
three==0.1 \\
    --hash=sha256:{HASH}
two-parts==1.5 \\
    --hash=sha256:{HASH}
"""
CHANGELOG = "# Changelog\n\nWords.\n\n## 1.2.0 - 2026-11-23\n\n- New.\n\n## 1.1.0 - 2026-01-02\n\n- Old.\n"
Problems = Callable[[Path], list[str]]


def git(root: Path, *words: str) -> None:
    named = ["-c", "user.name=somebody", "-c", "user.email=somebody@localhost", "-c", "tag.gpgsign=false"]
    subprocess.run(
        ["git", "-C", str(root), *named, "-c", "commit.gpgsign=false", *words], check=True, capture_output=True
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that can be released, as far as these checks go."""
    for name, text in {"pyproject.toml": PYPROJECT, "CHANGELOG.md": CHANGELOG, TOOLS: LOCK}.items():
        (tmp_path / name).write_text(text)
    for name in LOCKS:
        (tmp_path / name).write_text(LOCK)
    package = tmp_path / "scizor_dagster"
    package.mkdir()
    (package / "about.py").write_text("from importlib.metadata import version\n\nEXAMPLE = '1.3.0'\n")
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=All")
    git(tmp_path, "tag", "--annotate", "v1.2.0", "--message=v1.2.0")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


OWN = ("version", "changelog", "tag", "working tree", "locks")
"""The checks that need no code of the project beside them."""


def test_a_tree_without_a_fault_is_released(tree: Path) -> None:
    assert [problem for name in OWN for problem in checks.CHECKS[name](tree)] == []


@pytest.mark.parametrize(
    "text",
    ["__version__ = '1.2.0'\n", 'VERSION = "1.2.0"\n', "__version__ = version('scizor')\n", "AT = ('v1.2.0',)\n"],
)
def test_a_second_place_of_the_version_is_named(tree: Path, text: str) -> None:
    (tree / "scizor_dagster" / "again.py").write_text(text)
    (problem,) = checks.version_problems(tree)
    assert problem.startswith("scizor_dagster/again.py: ")


@pytest.mark.parametrize(
    "line",
    [
        "image: ${SCIZOR_IMAGE:-scizor:TAG}",
        "ARG SCIZOR_IMAGE=scizor:TAG",
        "docker build --tag registry.example.org/scizor-kubernetes:TAG .",
        "image: &image {repository: registry.example.org/scizor-kubernetes, tag: TAG, pullPolicy: IfNotPresent}",
    ],
)
def test_an_image_of_another_version_is_named(tree: Path, line: str) -> None:
    (tree / "deploy").mkdir()
    file = tree / "deploy" / "some.yml"
    file.write_text(f"# python:3.12.11-slim\n{line.replace('TAG', '1.2.0')}\n")
    assert list(checks.version_problems(tree)) == []
    file.write_text(line.replace("TAG", "1.1.9"))
    assert list(checks.version_problems(tree)) == [
        "deploy/some.yml: an image is tagged 1.1.9, and the version is 1.2.0."
    ]


@pytest.mark.parametrize("version", ["1.2", "01.2.0", "1.2.0rc1", "v1.2.0"])
def test_a_version_that_is_none_is_named(tree: Path, version: str) -> None:
    edit(tree / "pyproject.toml", "1.2.0", version)
    assert any("is not MAJOR.MINOR.PATCH" in problem for problem in checks.version_problems(tree))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## 1.2.0 - 2026-11-23", "## Unreleased", "'Unreleased' has entries"),
        ("## 1.2.0 - 2026-11-23", "## 1.2.0", "the newest section is '1.2.0'"),
        ("## 1.2.0 - 2026-11-23", "## 1.2.0 - 2026-13-23", "the newest section is '1.2.0 - 2026-13-23'"),
        ("## 1.2.0 - 2026-11-23", "## 1.3.0 - 2026-11-23", "the newest section is '1.3.0 - 2026-11-23'"),
    ],
)
def test_a_changelog_that_does_not_date_the_version_is_named(tree: Path, old: str, new: str, said: str) -> None:
    edit(tree / "CHANGELOG.md", old, new)
    (problem,) = checks.changelog_problems(tree)
    assert said in problem
    assert "1.2.0 - YYYY-MM-DD" in problem


def test_an_empty_section_for_what_comes_next_may_stand_above(tree: Path) -> None:
    edit(tree / "CHANGELOG.md", "## 1.2.0 -", "## Unreleased\n\n## 1.2.0 -")
    assert list(checks.changelog_problems(tree)) == []


def test_a_changelog_without_a_section_is_named(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("# Changelog\n")
    assert len(list(checks.changelog_problems(tree))) == 1


def test_a_commit_without_the_tag_and_one_with_the_tag_of_another_version_are_named(tree: Path) -> None:
    git(tree, "tag", "--delete", "v1.2.0")
    assert ["no tag v1.2.0" in problem for problem in checks.tag_problems(tree)] == [True]
    git(tree, "tag", "v1.1.9")
    git(tree, "tag", "nightly")
    missing, other = checks.tag_problems(tree)
    assert "no tag v1.2.0" in missing
    assert "v1.1.9" in other


def test_a_tag_that_the_work_has_gone_on_from_is_no_tag_of_this_commit(tree: Path) -> None:
    git(tree, "commit", "--allow-empty", "--message=More")
    assert len(list(checks.tag_problems(tree))) == 1


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.py"])
def test_what_is_not_committed_is_named(tree: Path, name: str) -> None:
    with (tree / name).open("a") as file:
        file.write("more\n")
    (problem,) = checks.tree_problems(tree)
    assert name in problem


@pytest.mark.parametrize("lock", [*LOCKS, TOOLS])
def test_a_requirement_without_a_hash_is_named(tree: Path, lock: str) -> None:
    edit(tree / lock, f"three==0.1 \\\n    --hash=sha256:{HASH}", "three==0.1")
    (problem,) = lock_problems(tree)
    assert problem.startswith(f"{lock}: three==0.1 has no hash")


@pytest.mark.parametrize(
    "line", ["--index-url https://somewhere/simple", "four>=1", "five @ https://somewhere/five.whl"]
)
def test_a_line_that_pins_nothing_is_named(tree: Path, line: str) -> None:
    with (tree / "requirements.lock").open("a") as file:
        file.write(f"{line}\n")
    (problem,) = lock_problems(tree)
    assert line[:10] in problem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("one>=2", "one>=3", "one is at 2.1, and pyproject.toml asks for >=3"),
        ("Two_Parts>=1,<2", "Two_Parts>=1,<1.5", "two-parts is at 1.5"),
        ('"three"', '"four"', "four, which pyproject.toml asks for, is not in it"),
    ],
)
def test_a_lock_that_pyproject_has_gone_on_from_is_named(tree: Path, old: str, new: str, said: str) -> None:
    edit(tree / "pyproject.toml", old, new)
    problems = list(lock_problems(tree))
    assert len(problems) == len(LOCKS)
    assert all(said in problem for problem in problems)


def test_a_lock_that_is_missing_is_named(tree: Path) -> None:
    (tree / TOOLS).unlink()
    assert list(lock_problems(tree)) == [f"{TOOLS} is missing: make lock."]


def test_the_other_lock_of_the_broker_needs_no_library_that_it_leaves_out(tree: Path) -> None:
    left_out = f"ib-insync==0.9.86 \\\n    --hash=sha256:{HASH}\n"
    edit(tree / "requirements-ib-async.lock", left_out, "")
    assert list(lock_problems(tree)) == []
    edit(tree / "requirements.lock", left_out, "")
    assert ["ib-insync" in problem for problem in lock_problems(tree)] == [True]


def test_the_locks_of_this_tree_are_whole() -> None:
    assert list(lock_problems(PROJECT_ROOT)) == []
    assert len(read_lock(PROJECT_ROOT / "requirements.lock")[0]) > 150


def test_the_version_of_this_tree_stands_in_one_place() -> None:
    assert list(checks.version_problems(PROJECT_ROOT)) == []


def test_migrations_with_two_ends_are_named(tmp_path: Path) -> None:
    folder = Path("scizor_dagster") / "ledger" / "migrations"
    shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder)
    assert list(checks.migration_problems(tmp_path)) == []
    first = min((tmp_path / folder / "versions").glob("[0-9]*.py"))
    text = f'revision = "zzzz"\ndown_revision = "{_revision(first)}"\n'
    (tmp_path / folder / "versions" / "zzzz_beside.py").write_text(text)
    (problem,) = checks.migration_problems(tmp_path)
    assert "2 ends" in problem
    assert "zzzz" in problem


def _revision(path: Path) -> str:
    line = next(line for line in path.read_text().splitlines() if line.startswith("revision"))
    return line.split("=")[1].strip().strip("\"'")


def test_a_graph_that_nobody_has_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.shipped.graph.graph_text", lambda: "asset a\n")
    snapshot = tmp_path / "tests" / "shipped" / "graph.txt"
    snapshot.parent.mkdir(parents=True)
    snapshot.write_text("asset a\n")
    assert list(checks.graph_problems(tmp_path)) == []
    snapshot.write_text("asset b\n")
    assert len(list(checks.graph_problems(tmp_path))) == 1


def test_every_check_of_a_release_is_run_and_one_fault_is_enough(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.release import __main__ as command

    monkeypatch.setattr(command, "CHECKS", {name: checks.CHECKS[name] for name in OWN})
    assert command.check(tree) == 0
    (tree / "left.txt").write_text("")
    assert command.check(tree) == 1
    said = capsys.readouterr().out
    assert "left.txt" in said
    assert "1 of 5 checks failed." in said
