"""Whatever is started, repeated, raced or deleted in Dagster: the exchange keeps the orders of the one batch.

Every case ends with the stores equal, to the last digit, to those of a project that nobody has touched.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import filter_runs_to_should_retry

from scizor_dagster.brokers import broker_clock
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.definitions import build_defs
from scizor_dagster.execution import drive
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.sessions import TradingCalendar
from tests.acceptance.clicks import (
    EXECUTIONS,
    PLANNED,
    RECONCILIATIONS,
    TARGETS,
    Clicks,
    clicks_on,
    daemon,
    launch_in_the_queue,
    materialize_in_a_process,
    wait_until,
)
from tests.acceptance.outcome import Outcome, outcome
from tests.acceptance.weekly import FIRST, PROCESSES, SECOND, Weekly, ended, write_weekly
from tests.acceptance.wires import DAY, ENVIRONMENT, NAMES, collect, open_wires

NEW_YORK = ZoneInfo("America/New_York")
TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
TICK = datetime(2024, 1, 23, 9, 0, tzinfo=NEW_YORK)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project before its second rebalance (`before`) and after it (`done`)."""
    folder = tmp_path_factory.mktemp("weekly")
    (folder / "before").mkdir()
    weekly = write_weekly(folder / "before")
    weekly.collect()
    assert weekly.rebalance(FIRST)[0] == 0
    shutil.copytree(folder / "before", folder / "done")
    code, said = Weekly(folder / "done").rebalance(SECOND)
    assert code == 0, said
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path) -> Outcome:
    return outcome(Weekly(prepared / "done"))


@pytest.fixture(scope="module")
def over(prepared: Path) -> Iterator[Weekly]:
    """The project whose second rebalance is over. No case may change it, so that all of them share it."""
    weekly = Weekly(prepared / "over")
    shutil.copytree(prepared / "done", weekly.folder)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, weekly)
        yield weekly


@pytest.fixture
def before(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weekly:
    """A copy of the project as it was before its second rebalance."""
    weekly = Weekly(tmp_path / "project")
    shutil.copytree(prepared / "before", weekly.folder)
    enter(monkeypatch, weekly)
    return weekly


def enter(patch: pytest.MonkeyPatch, weekly: Weekly) -> None:
    for key, value in {"DAGSTER_HOME": str(weekly.home / "dagster"), **weekly.environment}.items():
        patch.setenv(key, value)


def reexecuted_whole(clicks: Clicks) -> None:
    assert clicks.reexecute(SECOND) == []


def one_step_reexecuted(clicks: Clicks) -> None:
    assert clicks.reexecute(SECOND, ["main__executions"]) == []


def executions_materialized_twice(clicks: Clicks) -> None:
    assert clicks.materialize(SECOND, EXECUTIONS).success
    assert clicks.materialize(SECOND, EXECUTIONS).success


def everything_materialized_anew(clicks: Clicks) -> None:
    assert clicks.materialize(SECOND, TARGETS, PLANNED, EXECUTIONS, RECONCILIATIONS).success


def weights_changed_and_everything_materialized_anew(clicks: Clicks) -> None:
    file = clicks.settings.config_path.parent / "weekly.csv"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("0.14", "0.01"), encoding="utf-8")
    try:
        assert clicks.run("rebalance", SECOND).success
    finally:
        file.write_text(text, encoding="utf-8")


def the_earlier_session_rebalanced_again(clicks: Clicks) -> None:
    assert clicks.run("rebalance", FIRST).success


def the_tick_evaluated_twice_and_its_run_key_forgotten(clicks: Clicks) -> None:
    requests = [clicks.tick(TICK), clicks.tick(TICK)]
    assert requests[0].run_key == requests[1].run_key
    for request in requests:
        assert clicks.run("rebalance", SECOND, {**request.tags, "dagster/run_key": str(request.run_key)}).success


def another_cron_that_ticks_for_the_same_session(clicks: Clicks) -> None:
    first, second = clicks.tick(TICK), clicks.tick(TICK + timedelta(minutes=25))
    assert first.run_key == second.run_key, "Dagster itself would drop the second one"
    assert clicks.run("rebalance", SECOND, dict(second.tags)).success


def runs_with_another_configuration(clicks: Clicks) -> None:
    for entry in (
        {"home": str(clicks.settings.home)},
        {"config_path": str(clicks.settings.config_path)},
        {"secrets": {}},
        {"clock": {"fixed_at": TICK.isoformat()}},
    ):
        with pytest.raises(dg.DagsterInvalidConfigError, match=f'unexpected config entry "{next(iter(entry))}"'):
            clicks.run("rebalance", SECOND, config=desk_config(entry))


def desk_config(desk: Mapping[str, object]) -> dict[str, object]:
    return {"resources": {"desk": {"config": dict(desk)}}}


def retries_asked_for_by_tags(clicks: Clicks) -> None:
    assert clicks.run("rebalance", SECOND, {"dagster/max_retries": "5", "dagster/retry_strategy": "ALL_STEPS"}).success


def materializations_wiped_and_made_again(clicks: Clicks) -> None:
    with clicks.instance() as instance:
        instance.wipe_assets([PLANNED, EXECUTIONS, RECONCILIATIONS])
    assert clicks.run("rebalance", SECOND).success


def the_home_of_dagster_deleted(clicks: Clicks) -> None:
    shutil.rmtree(clicks.settings.dagster_home)
    assert clicks.run("rebalance", SECOND).success


def orders_followed_and_reconciled_again(clicks: Clicks) -> None:
    assert clicks.run("follow_orders", SECOND).success
    assert clicks.run("follow_orders", FIRST).success
    assert clicks.run("reconcile", SECOND).success


def every_session_backfilled(clicks: Clicks) -> None:
    """Those before, between and after the two rebalances, and the present one; targets exist for two of them."""
    calendar = TradingCalendar("XNYS")
    today = calendar.session_on_or_before(datetime.now(NEW_YORK).date())
    days = [*calendar.sessions(FIRST - timedelta(days=14), SECOND + timedelta(days=8)), today]
    if not TORTURE:
        days = [calendar.previous_session(FIRST), FIRST, SECOND, *days[-2:]]
    for day in days:
        # One click on three assets, and one on the two that act: where the plan fails, the first ends there.
        assert clicks.materialize(day, PLANNED, EXECUTIONS, RECONCILIATIONS).success == (day in (FIRST, SECOND))
        clicks.materialize(day, EXECUTIONS, RECONCILIATIONS)


HARMS: tuple[Callable[[Clicks], None], ...] = (
    reexecuted_whole,
    one_step_reexecuted,
    executions_materialized_twice,
    everything_materialized_anew,
    weights_changed_and_everything_materialized_anew,
    the_earlier_session_rebalanced_again,
    the_tick_evaluated_twice_and_its_run_key_forgotten,
    another_cron_that_ticks_for_the_same_session,
    runs_with_another_configuration,
    retries_asked_for_by_tags,
    materializations_wiped_and_made_again,
    the_home_of_dagster_deleted,
    orders_followed_and_reconciled_again,
    every_session_backfilled,
)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_session_that_is_over_stays_as_it_is(
    over: Weekly, undisturbed: Outcome, harm: Callable[[Clicks], None]
) -> None:
    harm(clicks_on(over))
    assert outcome(over) == undisturbed


DEATHS = {
    "after a sale was taken": (Side.SELL, 3, True),
    "before the first buy": (Side.BUY, 1, False),
    "before the first order": (Side.SELL, 1, False),
    "after a buy was taken": (Side.BUY, 2, True),
}


@pytest.mark.parametrize(
    ("side", "number", "after"),
    list(DEATHS.values())[: None if TORTURE else 2],
    ids=list(DEATHS)[: None if TORTURE else 2],
)
def test_a_step_that_dies_around_a_send_and_is_retried_by_dagster_ends_as_an_undisturbed_one(
    before: Weekly, undisturbed: Outcome, monkeypatch: pytest.MonkeyPatch, side: Side, number: int, after: bool
) -> None:
    clicks = clicks_on(before)
    # Retries switched on for the whole instance leave a run alone that may trade: the tags of its job say so.
    monkeypatch.setattr(dg.DagsterInstance, "run_retries_enabled", property(lambda _: True))
    monkeypatch.setattr(dg.DagsterInstance, "run_retries_max_retries", property(lambda _: 3))
    with monkeypatch.context() as patch:
        _die_at_send(patch, side, number, after=after)
        assert not clicks.run("rebalance", SECOND).success
    with clicks.instance() as instance:
        assert list(filter_runs_to_should_retry(instance.get_runs(limit=1), instance)) == []
    # Somebody clicks "Re-execute from failure" all the same, twice.
    assert clicks.reexecute(SECOND, failed=True) == []
    assert clicks.reexecute(SECOND, ["main__executions"]) == []
    assert outcome(before) == undisturbed


def test_two_run_workers_that_materialize_executions_at_once_send_each_order_once(
    before: Weekly, undisturbed: Outcome
) -> None:
    clicks = clicks_on(before)
    assert clicks.run("take_signals", SECOND).success
    assert clicks.materialize(SECOND, PLANNED).success
    files = [before.folder / f"worker-{number}.txt" for number in (1, 2)]
    workers = [
        PROCESSES.Process(target=materialize_in_a_process, args=(before.environment, file, SECOND)) for file in files
    ]
    for worker in workers:
        worker.start()
    codes = [ended(worker) for worker in workers]
    said = [file.read_text(encoding="utf-8") for file in files]
    assert 0 in codes, said
    for code, words in zip(codes, said, strict=True):
        assert code == 0 or "is leased to" in words, words
    assert clicks.run("rebalance", SECOND).success
    assert outcome(before) == undisturbed


@pytest.mark.skipif(not TORTURE, reason="real daemons take a minute; SCIZOR_TORTURE=1 runs them")
@pytest.mark.timeout(900)
def test_two_daemons_on_one_instance_one_of_them_killed_send_each_order_once(
    before: Weekly, undisturbed: Outcome, project_root: Path
) -> None:
    clicks = clicks_on(before)
    for _ in range(3):
        launch_in_the_queue(project_root, "rebalance", SECOND)
    with clicks.instance() as instance:
        with daemon(project_root) as first:
            wait_until(lambda: bool(_runs(instance, dg.DagsterRunStatus.STARTED)))
            with daemon(project_root):
                first.kill()
                wait_until(lambda: len(_runs(instance, *FINISHED)) == 3)
        ended_well = _runs(instance, dg.DagsterRunStatus.SUCCESS)
    assert ended_well
    # A run worker that went down with its daemon may have left orders: the next run ends them.
    assert clicks.run("rebalance", SECOND).success
    assert outcome(before) == undisturbed


@pytest.mark.skipif(not TORTURE, reason="real daemons take a minute; SCIZOR_TORTURE=1 runs them")
@pytest.mark.timeout(900)
def test_a_run_that_died_with_everything_around_it_is_ended_by_the_next_daemon_and_holds_no_queue_up(
    before: Weekly, undisturbed: Outcome, project_root: Path
) -> None:
    clicks = clicks_on(before)
    for _ in range(2):
        launch_in_the_queue(project_root, "rebalance", SECOND)
    with clicks.instance() as instance:
        with daemon(project_root) as first:
            wait_until(lambda: bool(_runs(instance, dg.DagsterRunStatus.STARTED)))
            os.killpg(first.pid, signal.SIGKILL)
        (dead,) = _runs(instance, dg.DagsterRunStatus.STARTED)
        with daemon(project_root):
            wait_until(lambda: len(_runs(instance, *FINISHED)) == 2, seconds=300)
        found = instance.get_run_by_id(dead.run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.FAILURE
        assert any("is gone" in entry.message for entry in instance.all_logs(dead.run_id))
    assert clicks.run("rebalance", SECOND).success
    assert outcome(before) == undisturbed


def _runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    tags = {"dagster/partition": SECOND.isoformat()}
    return list(instance.get_runs(dg.RunsFilter(statuses=list(statuses), tags=tags)))


def test_a_backfill_of_every_session_leaves_an_account_at_a_broker_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_clock, "MAX_AGE", 0.0)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with open_wires(tmp_path) as wires:
        desk = collect(wires.desk(tmp_path, wires.keys["alpaca"]))
        sent = lambda: [(row.ticket, row.qty) for row in wires.hall.all_orders(NAMES["alpaca"])]  # noqa: E731

        def clicks() -> Clicks:
            """As a run worker that begins now: its clock is the exchange's."""
            started = Clicks(desk.settings)
            started.__dict__["definitions"] = build_defs(desk.settings, fixed_now=wires.hall.venue.now().isoformat())
            return started

        assert clicks().run("rebalance", DAY).success
        orders = sent()
        assert len(orders) >= 3
        for clock, day in (("10:00", DAY), ("16:30", DAY), ("10:00", date(2025, 3, 4))):
            wires.hall.to(clock, day)
            _backfill(clicks())
            assert sent() == orders
        desk.disconnect()
        desk.lake.close()


def _backfill(clicks: Clicks) -> None:
    """The session before, the one that was traded, and the next; what acts, also where there is no plan."""
    for day in TradingCalendar("XNYS").sessions(DAY - timedelta(days=3), DAY + timedelta(days=1)):
        if TORTURE or day == DAY:
            clicks.materialize(day, PLANNED)
        clicks.materialize(day, EXECUTIONS, RECONCILIATIONS)


def _die_at_send(patch: pytest.MonkeyPatch, side: Side, number: int, *, after: bool) -> None:
    """Let the step fail with one order about to be sent, or sent and its answer recorded."""
    original = drive.send
    numbers = iter(range(1, 1_000))

    def mortal(run: Run, intent: IntentRow, settings: ExecutionSettings) -> IntentRow:
        last = intent.side is side and next(numbers) == number
        if last and not after:
            raise SystemError("the step dies")
        sent = original(run, intent, settings)
        if last:
            raise SystemError("the step dies")
        return sent

    patch.setattr(drive, "send", mortal)
