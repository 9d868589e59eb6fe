"""The commands on stores in files and on Postgres: the same question has the same answer, and a session the same end.

One project is filled once on each kind; what differs by nature (instants, places, the ids of runs, sizes) is masked.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.filled import enter, fill
from tests.postgres import Server
from tests.projects import Project, project_at

PASSWORD = "hush-hush"
LOOKS = [
    ("data", "gaps", "--market", "us"),
    ("data", "quality", "--market", "us"),
    ("data", "show", "AAPL", "--start-date", "2025-01-20"),
    ("prices", "quarantined"),
    ("symbols", "list", "--market", "us"),
    ("performance", "--portfolio", "main"),
    ("costs", "--portfolio", "main"),
    ("explain", "AAPL", "--date", TRADED),
    ("replay", "--date", TRADED),
    ("order", "list", "--portfolio", "main"),
    ("risk", "events", "--portfolio", "main", "--date", TRADED),
    ("ledger", "verify"),
    ("limits", "--portfolio", "main"),
    ("paper", "status"),
    ("backtest", "list"),
    ("upgrade", "--check"),
]
_MASKS = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?", "<instant>"),
    # A copy of the filled project remembers where its file was read.
    (r"(<folder>|/[^\s\"]*)/weights\.csv", "<weights>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<run>"),
    (r'"place": "[^"]*"', '"place": "<place>"'),
)


@pytest.fixture(scope="module")
def on_server(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The filled project, all of whose stores lie on Postgres, in a time zone that is not UTC."""
    name = postgres.new_database()
    postgres.execute(f"ALTER DATABASE {name} SET timezone = 'Australia/Sydney'")
    url = postgres.url(name).replace("scizor@", f"scizor:{PASSWORD}@")
    yield fill(tmp_path_factory.mktemp("server"), DATABASE_URL=url)
    postgres.drop(name)


@pytest.fixture(scope="module")
def in_files(filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("files") / "project"
    shutil.copytree(filled.folder, folder)
    return project_at(folder)


def masked(project: Project, text: str) -> object:
    text = text.replace(str(project.folder), "<folder>")
    for pattern, put in _MASKS:
        text = re.sub(pattern, put, text)
    return json.loads(text)


@pytest.mark.parametrize("words", LOOKS, ids=lambda words: " ".join(map(str, words[:2])))
def test_a_question_has_the_same_answer_on_each_store(
    scizor: Scizor, in_files: Project, on_server: Project, words: tuple[object, ...]
) -> None:
    found = []
    for project in (in_files, on_server):
        with pytest.MonkeyPatch.context() as patch:
            enter(patch, project)
            answer = scizor(*words, "--json")
        found.append((answer.code, masked(project, answer.out)))
        assert PASSWORD not in answer.out + answer.err
    assert found[0] == found[1]


def test_the_next_session_ends_alike_on_each_store_and_nothing_of_the_server_is_left_in_files(
    scizor: Scizor, in_files: Project, on_server: Project
) -> None:
    found = []
    for project in (in_files, on_server):
        with pytest.MonkeyPatch.context() as patch:
            enter(patch, project)
            ran = scizor("run", "--date", NEXT, "--json")
            assert ran.code == 0, ran.err
            assert scizor("data", "maintain", "--json").code == 0
            shown = scizor("performance", "--portfolio", "main", "--json")
            watched = scizor("watchdog", "--json")
        state = ran.json["state"]
        found.append(
            (state, masked(project, shown.out), watched.code, [item["kind"] for item in watched.json["findings"]])
        )
    assert found[0] == found[1]
    assert found[0][0] == "reconciled"
    names = {path.name for path in on_server.home.rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".sqlite", ".db"))}
    assert _files_with(on_server.home, PASSWORD) == []


def test_the_doctor_names_the_stores_and_a_time_zone_that_is_not_utc(scizor: Scizor, on_server: Project) -> None:
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, on_server)
        answer = scizor("doctor", "--json")
    details = {item["check"]: item["detail"] for item in answer.json["checks"]}
    assert "schemas ledger, lake, dagster" in details["environment"]
    assert "time zone is Australia/Sydney" in details["stores"]
    assert PASSWORD not in answer.out + answer.err


def _files_with(folder: Path, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
