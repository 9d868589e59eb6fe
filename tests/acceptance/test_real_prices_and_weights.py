"""Every rebalance of a real weight file, on real prices, through the real assets, reconciles."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.signals import weight_sessions
from scizor_dagster.flow.summary import session_summary
from tests.acceptance.sp500 import write_project

pytestmark = [pytest.mark.reference_data, pytest.mark.timeout(900)]

HOLIDAY_ROWS = 1001
LAST_PRICED = date(2023, 6, 29)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, reference_data: Path) -> tuple[Desk, list[date]]:
    """Collects all history in one run, then rebalances every session of the file up to 2023-06."""
    project = write_project(tmp_path_factory.mktemp("sp500"), reference_data)
    desk = Desk(project.settings, lambda: datetime.now(UTC))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in project.environment.items():
            patch.setenv(name, value)
        with JobRunner.open(project.settings) as runner:
            runner.run("collect_history", partition_range=("2018", "2023"))
            sessions = sorted(day for day in weight_sessions(desk, "main") if day <= LAST_PRICED)
            for session in sessions:
                runner.run("rebalance", partition=session.isoformat())
    return desk, sessions


def test_every_rebalance_from_2018_to_2023_reconciles_without_an_unexplained_break(
    traded: tuple[Desk, list[date]],
) -> None:
    desk, sessions = traded
    assert len(sessions) == 22
    assert (sessions[0], sessions[-1]) == (date(2018, 3, 1), date(2023, 6, 1))
    summaries = [session_summary(desk, "main", session) for session in sessions]
    assert [row["breaks"] for row in summaries] == [0] * 22
    assert [row["working"] for row in summaries] == [0] * 22
    assert {row["state"] for row in summaries} == {"reconciled"}
    assert all(row["filled"] > 0 for row in summaries)


def test_weights_dated_on_a_weekend_trade_in_the_next_session(traded: tuple[Desk, list[date]]) -> None:
    _, sessions = traded
    assert date(2018, 9, 4) in sessions  # dated Saturday 2018-09-01; Monday was Labor Day
    assert date(2020, 3, 2) in sessions  # dated Sunday 2020-03-01


def test_instruments_without_a_price_are_reported_by_name(traded: tuple[Desk, list[date]]) -> None:
    desk, sessions = traded
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT symbol, note, asset_ids FROM plan_lines WHERE reason IN ('no_price', 'unknown_id') AND session = ?",
            [sessions[0]],
        ).fetchall()
    assert rows
    assert all(symbol or asset_ids != "[]" for symbol, _, asset_ids in rows)
    assert any("not in the universe" in note for _, note, _ in rows)


def test_rows_copied_onto_holidays_are_quarantined_and_never_priced(traded: tuple[Desk, list[date]]) -> None:
    desk, _ = traded
    holidays = [date(2022, 6, 20), date(2023, 6, 19)]
    with desk.lake.read() as cursor:
        quarantined = cursor.execute(
            "SELECT count(*) FROM quarantined_bars WHERE reason = 'not_a_session' AND session IN (?, ?)", holidays
        ).fetchone()
        stored = cursor.execute("SELECT count(*) FROM bars WHERE session IN (?, ?)", holidays).fetchone()
    assert quarantined == (HOLIDAY_ROWS,)
    assert stored == (0,)


def test_plans_made_from_adjusted_prices_say_so(traded: tuple[Desk, list[date]]) -> None:
    desk, _ = traded
    with desk.lake.read() as cursor:
        labels = cursor.execute("SELECT DISTINCT adjustment FROM plans").fetchall()
    assert labels == [("split",)]


def test_running_a_session_again_sends_nothing_new(traded: tuple[Desk, list[date]]) -> None:
    desk, sessions = traded
    with desk.ledger.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM paper_orders").scalar()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCIZOR_HOME", str(desk.settings.home))
        patch.setenv("SCIZOR_CONFIG", str(desk.settings.config_path))
        with JobRunner.open(desk.settings) as runner:
            runner.run("rebalance", partition=sessions[-1].isoformat())
            runner.run("rebalance", partition=sessions[3].isoformat())
    with desk.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM paper_orders").scalar() == before
