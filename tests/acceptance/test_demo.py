"""What `make demo` promises: collected, rebalanced weekly, reconciled, measured, and kept for the UI."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import dagster as dg

from scizor_dagster.cli.watchdog import look_at
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.watch import Watch, WatchingDesk
from scizor_dagster.settings import Settings
from tests.acceptance.conftest import SESSIONS, Demo


def test_the_demo_replays_its_sessions_without_a_break(demo: Demo) -> None:
    assert len(demo.result["sessions"]) == SESSIONS
    assert demo.result["breaks"] == 0
    assert demo.result["orders"] >= demo.result["filled"] > 0


def test_the_demo_rebalances_in_the_first_session_of_each_week(demo: Demo) -> None:
    traded = [row["session"] for row in demo.result["sessions"] if row["orders"]]
    weeks = {datetime.fromisoformat(row["session"]).isocalendar().week for row in demo.result["sessions"]}
    assert len(traded) == len(weeks)


def test_the_watchdog_has_nothing_to_say_of_the_weights_of_a_fresh_demo(demo: Demo) -> None:
    ended = datetime.fromtimestamp((demo.home.parent / "demo.json").stat().st_mtime, UTC)
    watch = Watch()
    desk = WatchingDesk(Settings.from_environment({"SCIZOR_HOME": str(demo.home)}), lambda: ended)
    look_at(desk, ["main"], None, ended, watch)
    assert [finding for finding in watch.findings if finding.kind.startswith(("weights", "unreadable"))] == []


def test_every_session_is_measured_and_labelled_synthetic(demo: Demo) -> None:
    for row in demo.result["sessions"]:
        assert Decimal(row["equity"]) > 0
        assert row["synthetic"] is True
        assert row["prices"] == "raw"


def test_the_last_session_is_the_last_one_that_closed(demo: Demo) -> None:
    desk = Desk(Settings.from_environment({"SCIZOR_HOME": str(demo.home)}), lambda: datetime.now(UTC))
    ended = datetime.fromtimestamp((demo.home.parent / "demo.json").stat().st_mtime, UTC)
    # A session may close while the demonstration runs.
    possible = {desk.calendar("us").last_settled(ended - timedelta(minutes=minutes)) for minutes in (0, 10)}
    assert date.fromisoformat(demo.result["sessions"][-1]["session"]) in possible


def test_the_runs_of_the_demo_are_on_the_instance_that_the_ui_opens(demo: Demo) -> None:
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        runs = instance.get_runs()
        jobs = {run.job_name for run in runs}
        planned = instance.get_materialized_partitions(dg.AssetKey(["main", "planned_orders"]))
        measured = instance.get_materialized_partitions(dg.AssetKey(["main", "performance"]))
    assert jobs == {"collect_history", "collect_daily", "rebalance", "follow_orders"}
    assert all(run.is_success for run in runs)
    assert planned == {row["session"] for row in demo.result["sessions"] if row["orders"]}
    assert measured == {row["session"] for row in demo.result["sessions"]}


def test_the_hash_chain_of_the_ledger_is_whole(demo: Demo) -> None:
    from scizor_dagster.ledger.events import verify_chain

    desk = Desk(Settings.from_environment({"SCIZOR_HOME": str(demo.home)}), lambda: datetime.now(UTC))
    with desk.ledger.read() as connection:
        assert verify_chain(connection) == []
