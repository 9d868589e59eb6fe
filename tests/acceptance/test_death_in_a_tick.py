"""A daemon that is killed within a tick of the rebalance: one run is asked for, one batch traded, no session lost.

The scheduler is Dagster's own, in a process that is really killed; the schedule is asked in its code location's server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from scizor_dagster.cli.instance import JobRunner, prepare_home
from scizor_dagster.cli.watchdog import look_at
from scizor_dagster.flow.watch import Watch, WatchingDesk
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.settings import Settings
from tests.acceptance.ticking import POINTS
from tests.flow.desks import FIRST, WEIGHTS, collected
from tests.projects import small_project, write_weights

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
TICK = datetime(2025, 3, 3, 14, 0, tzinfo=UTC)
"""Nine o'clock in New York, before the open of `FIRST`."""
DEFINITIONS = (
    "import os\nfrom scizor_dagster.definitions import build_defs\ndefs = build_defs(fixed_now=os.environ['AT'])\n"
)
Scheduler = Callable[[datetime, str], int]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project with weights for `FIRST`, and in torture mode the history that it takes to trade it."""
    for name in ("DAGSTER_HOME", "SCIZOR_HOME", "SCIZOR_CONFIG"):
        monkeypatch.setenv(name, "")
    if TORTURE:
        found = collected(tmp_path, now=TICK).settings
    else:
        found = small_project(tmp_path).settings
        write_weights(tmp_path / "weights.csv", WEIGHTS)
    (tmp_path / "located.py").write_text(DEFINITIONS, encoding="utf-8")
    prepare_home(found)
    return found


@pytest.fixture
def scheduler(settings: Settings, tmp_path: Path, project_root: Path) -> Scheduler:
    """One look of the scheduler at a time, in a process that dies at a point; its exit code."""

    def look(now: datetime, point: str) -> int:
        places = {"SCIZOR_HOME": settings.home, "SCIZOR_CONFIG": settings.config_path, "AT": now.isoformat()}
        environment = {**os.environ, **{name: str(value) for name, value in places.items()}}
        environment |= {"DAGSTER_HOME": str(settings.dagster_home), "PYTHONPATH": str(project_root)}
        command = [sys.executable, "-m", "tests.acceptance.ticking", str(tmp_path / "located.py"), str(now), point]
        said = tmp_path / "said.txt"
        with said.open("w", encoding="utf-8") as stream:
            # A file, and no pipe: the code location's server outlives the killed one for a while, and holds it open.
            done = subprocess.run(
                command, cwd=project_root, env=environment, stdout=stream, stderr=stream, check=False, timeout=240
            )
        assert done.returncode in (0, -signal.SIGKILL), said.read_text(encoding="utf-8")
        return done.returncode

    return look


def asked_for(settings: Settings) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        return list(instance.get_runs())


def findings(settings: Settings, now: datetime) -> list[str]:
    watch = Watch()
    look_at(WatchingDesk(settings, lambda: now), ["main"], None, now, watch)
    return [finding.kind for finding in watch.findings]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS if TORTURE else POINTS[2:3])
def test_a_tick_in_which_the_daemon_dies_is_taken_up_and_asks_for_one_run(
    settings: Settings, scheduler: Scheduler, point: str
) -> None:
    assert scheduler(TICK + timedelta(seconds=10), point) == -signal.SIGKILL
    for seconds in (60, 90) if TORTURE else (60,):
        assert scheduler(TICK + timedelta(seconds=seconds), "none") == 0
    runs = asked_for(settings)
    assert [(run.job_name, run.tags["dagster/partition"]) for run in runs] == [("rebalance", str(FIRST))]
    assert runs[0].status is dg.DagsterRunStatus.QUEUED, "the tick that was taken up has put it into the queue"
    if not TORTURE:
        return
    # Whatever starts it, and however often: the queue, and a person who thinks that it was lost.
    for _ in range(2):
        with JobRunner.open(settings, fixed_now=TICK.isoformat()) as runner:
            runner.run("rebalance", partition=FIRST.isoformat(), tags=runs[0].tags)
    ledger = Ledger.open(settings.ledger_url)
    with ledger.read() as connection:
        (batch,) = batches_of(connection, "paper", "main", FIRST)
        assert {row.symbol for row in intents_of(connection, batch.batch_id)} == set(WEIGHTS[FIRST])
    ledger.close()


@pytest.mark.timeout(900)
def test_a_tick_that_nobody_takes_up_in_time_asks_for_nothing_and_the_watchdog_names_the_session(
    settings: Settings, scheduler: Scheduler
) -> None:
    assert scheduler(TICK + timedelta(seconds=10), "TICK_CREATED") == -signal.SIGKILL
    late = TICK + timedelta(minutes=50)
    assert scheduler(late, "none") == 0
    assert asked_for(settings) == []
    assert "not_admitted" in findings(settings, late)
