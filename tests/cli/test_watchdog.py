"""`scizor watchdog` as cron calls it: its answer, its exit code, who is told, and what of Dagster it reads."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from scizor_dagster.cli import dates
from scizor_dagster.cli.dagster_state import DAEMONS, read_dagster
from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.definitions import build_defs
from scizor_dagster.errors import DataError
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, NoticeRow, begin, settle
from scizor_dagster.ledger.store import Ledger
from tests.cli.conftest import NEXT, Scizor
from tests.projects import Project, project_at

DUE = datetime(2025, 2, 10, 17, tzinfo=UTC)
"""Noon of `NEXT`, whose weights are there and whose plan is not."""
QUIET = datetime(2025, 2, 4, 13, tzinfo=UTC)
"""The morning after the only session that was traded; it has been reconciled only now, by the run that traded it."""


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "now", lambda: DUE)


def configure(project: Project, section: str = "notifications", **rules: object) -> None:
    path = project.settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(config | {section: rules}, sort_keys=False), encoding="utf-8")


def teller(folder: Path, body: str) -> list[str]:
    """A program that is told: Python, with `heard` as the file to leave what it heard in."""
    script = folder / "tell.py"
    script.write_text(f"import json, sys, time\nheard = {str(folder / 'heard.json')!r}\n{body}\n", encoding="utf-8")
    return [sys.executable, str(script)]


WRITES = "open(heard, 'a').write(sys.stdin.read() + chr(10))"


def heard_by(folder: Path) -> list[dict[str, Any]]:
    """What the program heard, in its order."""
    return [json.loads(line) for line in (folder / "heard.json").read_text(encoding="utf-8").splitlines()]


def test_a_session_that_was_missed_ends_with_exit_code_1_and_says_what_to_do(
    scizor: Scizor, collected: Project, noon: None
) -> None:
    answer = scizor("watchdog", "--json")
    assert (answer.code, answer.json["ok"]) == (1, False)
    [finding] = answer.json["findings"]
    assert (finding["kind"], finding["portfolio"], finding["session"]) == ("not_admitted", "main", NEXT.isoformat())
    assert f"scizor run --portfolio main --date {NEXT}" in finding["remedy"]
    assert "The schedule rebalance_before_open is switched off." in answer.json["notes"]
    table = scizor("watchdog")
    assert table.code == 1
    assert "not_admitted" in table.out


def test_when_all_is_well_it_says_so_and_ends_with_exit_code_0(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dates, "now", lambda: QUIET)
    answer = scizor("watchdog")
    assert answer.code == 0, answer.out
    assert "All is well with main." in answer.out


def test_nothing_is_created_where_nothing_is_yet(scizor: Scizor, fresh: Project, noon: None) -> None:
    answer = scizor("watchdog", "--json")
    assert {item["kind"] for item in answer.json["findings"]} == {"not_admitted", "prices_missing"}
    assert any("There is no Dagster instance" in note for note in answer.json["notes"])
    assert not fresh.home.exists()


def test_a_portfolio_that_nobody_knows_is_a_wrong_call(scizor: Scizor, collected: Project, noon: None) -> None:
    answer = scizor("watchdog", "--portfolio", "mian")
    assert answer.code == 2
    assert "There is no portfolio 'mian'" in answer.sentence


def test_a_configuration_that_cannot_be_read_is_a_finding_and_nobody_can_be_told(
    scizor: Scizor, collected: Project, noon: None
) -> None:
    collected.settings.config_path.write_text("markets: [", encoding="utf-8")
    answer = scizor("watchdog", "--json")
    assert answer.code == 1
    assert [item["kind"] for item in answer.json["findings"]] == ["unreadable"]
    assert "configuration cannot be read" in answer.json["notification"]


def test_the_program_of_the_configuration_hears_the_findings_once_while_they_stay_the_same(
    scizor: Scizor, collected: Project, noon: None, tmp_path: Path
) -> None:
    configure(collected, program=teller(tmp_path, WRITES))
    for _ in range(2):
        answer = scizor("watchdog", "--json")
        assert (answer.code, answer.json["notification"]) == (1, "")
    [heard] = heard_by(tmp_path)
    assert (heard["event"], heard["facts"]["findings"]) == ("watchdog", answer.json["findings"])
    assert f"scizor run --portfolio main --date {NEXT}" in heard["text"]
    collected.settings.config_path.with_name("weights.csv").unlink()
    scizor("watchdog")
    assert ["weights_missing" in item["title"] for item in heard_by(tmp_path)] == [False, True]


def test_without_a_ledger_to_remember_it_in_everybody_is_told_each_time(
    scizor: Scizor, fresh: Project, noon: None, tmp_path: Path
) -> None:
    configure(fresh, program=teller(tmp_path, WRITES))
    for _ in range(2):
        scizor("watchdog")
    assert len(heard_by(tmp_path)) == 2
    assert not fresh.home.exists()


def test_nobody_is_told_that_all_is_well_unless_they_want_to_hear_it(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dates, "now", lambda: QUIET)
    configure(collected, program=teller(tmp_path, WRITES))
    assert scizor("watchdog").code == 0
    assert not (tmp_path / "heard.json").exists()
    configure(collected, program=teller(tmp_path, WRITES), events={"all_well": True})
    for _ in range(2):
        assert scizor("watchdog").code == 0
    assert [item["event"] for item in heard_by(tmp_path)] == ["all_well"] * 2


def test_telling_that_fails_is_said_and_makes_the_exit_code_1_also_where_all_is_well(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dates, "now", lambda: QUIET)
    configure(collected, program=teller(tmp_path, "sys.exit('no route')"), events={"all_well": True})
    answer = scizor("watchdog", "--json")
    assert answer.code == 1
    assert answer.json["notification"].endswith("was not told: it ended with exit code 1.")


def test_that_nobody_could_be_told_is_a_finding_until_somebody_is(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dates, "now", lambda: QUIET)
    lost = NoticeRow("halt", "portfolio main", "today", "program", "main is halted", "By ann.")
    ledger = Ledger.open(collected.settings.ledger_url)
    for attempt in range(MOST_ATTEMPTS):
        with ledger.transaction() as connection:
            begin(connection, lost, now=QUIET + timedelta(hours=2 * attempt))
            settle(connection, lost, "It ended with exit code 1.", now=QUIET + timedelta(hours=2 * attempt))
    ledger.close()
    assert scizor("watchdog").code == 0
    configure(collected, program=teller(tmp_path, WRITES))
    [finding] = scizor("watchdog", "--json").json["findings"]
    assert finding["kind"] == "not_told"
    assert f"program was not told of 1 notice(s) in {MOST_ATTEMPTS} attempts each" in finding["problem"]
    assert "main is halted. It ended with exit code 1." in finding["problem"]
    monkeypatch.setattr(dates, "now", lambda: QUIET + timedelta(hours=2 * MOST_ATTEMPTS))
    assert scizor("notify", "--test").code == 0
    assert "not_told" not in scizor("watchdog", "--json").out


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        ({"after_open_minutes": -1}, "watchdog.after_open_minutes"),
        ({"notify": ["./tell"]}, "watchdog.notify has moved"),
        ({"tell": []}, "watchdog.tell"),
    ],
)
def test_a_key_of_the_section_that_means_nothing_is_named(
    scizor: Scizor, collected: Project, noon: None, rules: dict[str, object], where: str
) -> None:
    configure(collected, "watchdog", **rules)
    answer = scizor("watchdog", "--json")
    assert answer.code == 1
    assert where in answer.json["findings"][0]["problem"]


class TestWhatDagsterSays:
    """The reading of Dagster's databases, held against an instance of the installed Dagster."""

    @pytest.fixture
    def project(self, collected: Project) -> Project:
        prepare_home(collected.settings)
        return collected

    def write(self, project: Project, *, age: timedelta, on: bool, now: datetime = DUE) -> None:
        with dg.DagsterInstance.from_config(str(project.settings.dagster_home)) as instance:
            for kind in DAEMONS:
                instance.add_daemon_heartbeat(DaemonHeartbeat((now - age).timestamp(), kind, "an-id", []))
            schedule = build_defs(project.settings).get_repository_def().get_schedule_def("rebalance_before_open")
            origin = _origin(schedule.name)
            status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
            data = ScheduleInstigatorData(schedule.cron_schedule, now.timestamp())
            instance.add_instigator_state(
                InstigatorState(origin, dg._core.definitions.run_request.InstigatorType.SCHEDULE, status, data)
            )

    def test_heartbeats_and_switches_are_read_as_dagster_writes_them(self, project: Project) -> None:
        self.write(project, age=timedelta(minutes=1), on=True)
        state = read_dagster(project.settings)
        assert state is not None
        assert set(state.heartbeats) == set(DAEMONS)
        assert state.oldest() == DUE - timedelta(minutes=1)
        assert state.is_on("rebalance_before_open")
        assert not state.is_on("late_fills")

    def test_a_daemon_that_died_with_schedules_on_is_a_finding(
        self, scizor: Scizor, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dates, "now", lambda: QUIET)
        self.write(project, age=timedelta(hours=2), on=True, now=QUIET)
        answer = scizor("watchdog", "--json")
        assert [item["kind"] for item in answer.json["findings"]] == ["daemon_silent"]
        assert answer.json["notes"] == []

    def test_a_daemon_that_is_not_needed_may_be_silent(
        self, scizor: Scizor, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dates, "now", lambda: QUIET)
        self.write(project, age=timedelta(hours=2), on=False, now=QUIET)
        assert scizor("watchdog").code == 0

    def test_a_damaged_database_of_dagster_is_a_finding_and_the_rest_is_looked_at(
        self, scizor: Scizor, project: Project, noon: None
    ) -> None:
        for name in ("history/runs.db", "history/runs.db-wal", "history/runs.db-shm"):
            (project.settings.dagster_home / name).unlink(missing_ok=True)
        (project.settings.dagster_home / "history/runs.db").write_bytes(b"no database" * 1000)
        with pytest.raises(DataError, match="cannot be read"):
            read_dagster(project.settings)
        answer = scizor("watchdog", "--json")
        assert [item["kind"] for item in answer.json["findings"]] == ["unreadable", "not_admitted"]

    def test_dagster_itself_is_never_imported(self, project: Project, project_root: Path) -> None:
        import subprocess

        code = (
            "import sys; sys.argv = ['scizor', 'watchdog', '--json']\n"
            "from scizor_dagster.cli import app\n"
            "try:\n    app.main()\nexcept SystemExit:\n    pass\n"
            "sys.exit('dagster' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["portfolios"] == ["main"]


def test_a_home_without_dagster_is_no_error(tmp_path: Path) -> None:
    assert read_dagster(project_at(tmp_path).settings) is None


def _origin(name: str) -> "dg._core.remote_origin.RemoteInstigatorOrigin":
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="scizor_dagster.definitions"))
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
