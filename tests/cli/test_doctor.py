"""`scizor doctor`: OK and PROBLEM, what wrong variables mean, and the older keys."""

import sqlite3
from typing import Any

import pytest

from tests.cli.conftest import Answer, Scizor
from tests.projects import Project


def _details(answer: Answer) -> dict[str, tuple[bool, str]]:
    return {row["check"]: (row["ok"], row["detail"]) for row in answer.json["checks"]}


def test_a_sound_project_is_ok_and_nothing_is_created(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("doctor", "--json")
    assert answer.code == 0
    assert answer.json["ok"] is True
    assert answer.json["notes"] == []
    details = _details(answer)
    assert list(details) == [
        "python", "environment", "disk", "configuration", "strategies", "calendars", "universes", "providers",
        "accounts", "stores", "prices",
    ]  # fmt: skip
    assert details["universes"] == (True, "us: 6 symbols")
    assert details["providers"] == (True, "us: sample (raw, synthetic)")
    assert "none yet" in details["stores"][1]
    assert not fresh.home.exists()


def test_stores_and_prices_are_looked_at_where_there_are_some(scizor: Scizor, collected: Project) -> None:
    details = _details(scizor("doctor", "--json"))
    assert "ledger whole" in details["stores"][1]
    assert "newest 2025-02-14" in details["prices"][1]


def test_an_event_that_was_edited_afterwards_is_a_problem_named_by_its_number(
    scizor: Scizor, collected: Project
) -> None:
    with sqlite3.connect(collected.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE events SET payload = '{}' WHERE seq = 3")
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["stores"]
    assert ok is False
    assert "Event 3 (" in detail
    assert "was changed after it was written" in detail


def test_a_damaged_ledger_is_a_problem_and_not_a_traceback(scizor: Scizor, collected: Project) -> None:
    for journal in collected.home.glob("ledger.sqlite-*"):
        journal.unlink()
    (collected.home / "ledger.sqlite").write_bytes(b"not a database, whatever the name says" * 100)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    details = _details(answer)
    assert details["stores"][0] is False
    assert "not a database" in details["stores"][1]
    assert details["universes"][0] is True


def test_older_keys_are_listed_one_line_each(scizor: Scizor, fresh: Project) -> None:
    config = fresh.folder / "config.yaml"
    config.write_text(config.read_text() + "logging: {level: INFO}\npricing: {source: x}\n")
    answer = scizor("doctor")
    assert answer.code == 0
    notes = [line for line in answer.out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert "logging has no effect: LOG_LEVEL sets the level" in notes[0]
    assert "pricing has no effect" in notes[1]
    assert len(scizor("doctor", "--json").json["notes"]) == 2


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATABASE_URL", "postgresql://localhost/x", "keeps its stores in files under SCIZOR_HOME"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL is 'LOUD'; use one of NOTSET, DEBUG"),
    ],
)
def test_a_wrong_variable_is_a_problem_that_is_explained(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["environment"]
    assert ok is False
    assert expected in detail
    assert not fresh.home.exists()


def _no_configuration(project: Project) -> None:
    (project.folder / "config.yaml").unlink()


def _no_manifest(project: Project) -> None:
    (project.folder / "strategy_manifest.yaml").unlink()


def _no_universe(project: Project) -> None:
    (project.folder / "universe.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "check"),
    [(_no_configuration, "configuration"), (_no_manifest, "strategies"), (_no_universe, "universes")],
)
def test_a_missing_file_is_a_problem_of_its_own_check(scizor: Scizor, fresh: Project, spoil: Any, check: str) -> None:
    spoil(fresh)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    assert _details(answer)[check][0] is False
    table = scizor("doctor")
    assert table.code == 1
    assert "PROBLEM" in table.out
    assert not fresh.home.exists()
