"""`run` without --once: it waits for the session's prices, follows once, and says what to do when none come."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from scizor_dagster.cli.instance import JobRunner, RunOutcome
from scizor_dagster.cli.run import POLL_SECONDS, PRICES_DUE, follow_once_ended
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.sessions import TradingCalendar
from tests.cli.conftest import LAST_COLLECTED, Scizor
from tests.projects import Project, small_project, write_weights

UNPRICED = date(2025, 2, 18)
"""The session after the last collected one: it can be planned, and nothing fills in it yet."""
CLOSE = TradingCalendar("XNYS").close_at(UNPRICED)
GREEN = RunOutcome("0" * 32, True, {}, ())


class World:
    """A clock that waiting moves, and the record of what was run."""

    def __init__(self, project: Project, now: datetime) -> None:
        self.now = now
        self.waits: list[float] = []
        self.runs: list[tuple[str, str]] = []
        self.desk = Desk(project.settings, lambda: self.now)
        self.collect_at: datetime | None = None

    def run(self, job: str, *, partition: str, **_: Any) -> RunOutcome:
        self.runs.append((job, partition))
        return GREEN

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += timedelta(seconds=seconds)
        if self.collect_at is not None and self.now >= self.collect_at:
            self.collect_at = None
            collect_closed_session(self.desk, "us", UNPRICED)

    def follow(self, session: date = UNPRICED) -> RunOutcome | None:
        return follow_once_ended(cast(JobRunner, self), self.desk, "main", session, "follow_orders", self.wait)


def test_a_session_with_prices_is_followed_at_once(collected: Project) -> None:
    world = World(collected, datetime.now(UTC))
    assert world.follow(LAST_COLLECTED) is GREEN
    assert (world.waits, world.runs) == ([], [("follow_orders", LAST_COLLECTED.isoformat())])


def test_nothing_is_run_until_the_prices_are_there_and_then_one_run_is(collected: Project) -> None:
    world = World(collected, CLOSE - timedelta(minutes=5))
    world.collect_at = TradingCalendar("XNYS").settled_at(UNPRICED)
    assert world.follow() is GREEN
    assert world.waits == [POLL_SECONDS] * 50
    assert world.runs == [("follow_orders", UNPRICED.isoformat())]


def test_waiting_ends_some_time_after_the_close_when_no_prices_come(collected: Project) -> None:
    world = World(collected, CLOSE + PRICES_DUE - timedelta(minutes=1))
    assert world.follow() is None
    assert world.waits == [POLL_SECONDS] * 2
    assert world.runs == []


def test_at_a_broker_the_close_is_waited_for_and_no_prices(tmp_path: Path) -> None:
    account = {"broker": "alpaca", "environment": "paper", "account_id": "PA123456789", "initial_cash": 5000.0}
    project = small_project(tmp_path, accounts={"paper": None, "one": account}, portfolios={"main": {"account": "one"}})
    world = World(project, CLOSE - timedelta(minutes=5))
    assert world.follow() is GREEN
    assert world.waits == [POLL_SECONDS] * 10
    assert world.runs == [("follow_orders", UNPRICED.isoformat())]


def test_orders_that_still_wait_end_the_command_with_exit_code_one_and_what_to_do(
    scizor: Scizor, collected: Project
) -> None:
    write_weights(collected.folder / "weights.csv", {UNPRICED: {"AAPL": 0.2}})
    answer = scizor("run", "--date", UNPRICED, "--json")
    assert answer.code == 1
    assert answer.json["working"] > 0
    assert f"scizor collect daily --market us --date {UNPRICED}" in answer.json["note"]
    assert f"scizor run --portfolio main --date {UNPRICED}" in answer.json["note"]
    assert scizor("collect", "daily", "--date", UNPRICED, "--json").code == 0
    again = scizor("run", "--date", UNPRICED, "--json")
    assert (again.code, again.json["working"]) == (0, 0)
    assert again.json["filled"] == again.json["orders"] > 0


def test_sending_once_leaves_orders_that_wait_without_calling_it_a_failure(scizor: Scizor, collected: Project) -> None:
    write_weights(collected.folder / "weights.csv", {UNPRICED: {"AAPL": 0.2}})
    answer = scizor("run", "--date", UNPRICED, "--once", "--json")
    assert answer.code == 0
    assert answer.json["working"] > 0
