"""The workflows for a build server: pinned, hash-checked, and with no more rights than they need."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._utils.schedules import cron_string_iterator

from jobs.schedules import schedules
from scizor_dagster.config import load_config
from scizor_dagster.settings import PROJECT_ROOT

FILES = sorted((PROJECT_ROOT / "deploy" / "ci").glob("*.yml"))
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
TARGET = re.compile(r"\bmake ([a-z-]+)")
TIME_TO_RUN = timedelta(minutes=30)
"""What the last job of the day is given before it is judged."""


def _read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in _read(path)["jobs"].values() for step in job["steps"]]


def test_there_is_one_to_verify() -> None:
    assert "verify.yml" in {path.name for path in FILES}


@pytest.mark.parametrize("day", [date(2026, 1, 14), date(2026, 7, 15)], ids=["winter", "summer"])
def test_it_verifies_once_the_last_job_of_the_day_has_run_and_before_the_next_day_begins(day: date) -> None:
    config = load_config(PROJECT_ROOT / "config" / "config.yaml", {})
    ticks = sorted(
        tick
        for item in schedules(config)
        if item.job_name != "maintain"
        for tick in _ticks(str(item.cron_schedule), item.execution_timezone or "UTC", day, days=2)
    )
    last = max(tick for tick in ticks if tick.astimezone(UTC).date() == day)
    first = min(tick for tick in ticks if tick.astimezone(UTC).date() > day)
    # PyYAML takes the word `on` for a truth.
    (trigger,) = _read(PROJECT_ROOT / "deploy" / "ci" / "verify.yml")[True]["schedule"]
    (verified,) = _ticks(trigger["cron"], "UTC", day, days=1)
    assert last + TIME_TO_RUN <= verified < first


def _ticks(cron: str, zone: str, day: date, *, days: int) -> list[datetime]:
    begin = datetime.combine(day, time(), UTC)
    found = []
    for tick in cron_string_iterator(begin.timestamp(), cron, zone):
        if tick >= begin + timedelta(days=days):
            break
        found.append(tick)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    used = [step["uses"] for step in _steps(path) if "uses" in step]
    assert used
    assert [name for name in used if not COMMIT.fullmatch(name)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_may_read_and_nothing_else_unless_one_job_says_so(path: Path) -> None:
    workflow = _read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert set(job.get("permissions", {})) <= {"contents"}, name
        assert job["timeout-minutes"] <= 120, name
    kept = [step["with"]["persist-credentials"] for step in _steps(path) if "checkout" in step.get("uses", "")]
    assert set(kept) == {False}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_that_somebody_types_or_keeps_secret_is_put_into_a_script(path: Path) -> None:
    assert [step["run"] for step in _steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_it_makes_is_a_target_of_the_makefile(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = {name for step in _steps(path) for name in TARGET.findall(step.get("run", ""))}
    assert made
    assert made <= targets


def test_whatever_make_installs_is_checked_by_its_hash() -> None:
    text = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if re.search(r"(\bpip|\$\(PIP\)).* install ", line)]
    assert installs
    free = [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line]
    # The tool that makes the lock is the one thing that no lock can name.
    assert all(".venv-lock/" in line for line in free)
