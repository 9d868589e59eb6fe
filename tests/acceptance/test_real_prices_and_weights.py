"""Every rebalance of a real weight file, on real prices, through the real assets, reconciles."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.summary import session_summary
from scizor_dagster.flow.weight_files import weight_sessions
from tests.acceptance.sp500 import write_project

pytestmark = [pytest.mark.reference_data, pytest.mark.timeout(900)]

HOLIDAY_ROWS = 1001
TRACKED_WITHOUT_PRICES = 30
LAST_PRICED = date(2023, 6, 29)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, reference_data: Path) -> tuple[Desk, list[date]]:
    """Collects all history in one run, then rebalances every session of the file up to 2023-06."""
    project = write_project(tmp_path_factory.mktemp("sp500"), reference_data)
    _track_tickers_without_prices(project.folder, reference_data)
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


def test_every_instrument_that_cannot_be_priced_or_placed_is_reported_by_name(
    traded: tuple[Desk, list[date]], reference_data: Path
) -> None:
    desk, sessions = traded
    targeted, priced = _targeted_tickers(reference_data, sessions[0]), _priced_tickers(reference_data, sessions[0])
    tracked = set(pd.read_csv(desk.settings.config_path.parent / "universe.csv", keep_default_na=False)["symbol"])
    unpriced = (targeted & tracked) - priced
    assert len(unpriced) == TRACKED_WITHOUT_PRICES
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT symbol, note FROM plan_lines WHERE session = ? AND reason IN ('quarantined', 'unknown_id')",
            [sessions[0]],
        ).fetchall()
    assert {symbol for symbol, note in rows if "not found at the provider" in note} == unpriced
    assert {symbol for symbol, note in rows if "not in the universe" in note} == targeted - tracked


def _track_tickers_without_prices(folder: Path, data: Path) -> None:
    """Add tickers that the first session targets and the price file has never heard of, few enough for a feed."""
    first = date(2018, 3, 1)
    unknown = sorted(_targeted_tickers(data, first) - _priced_tickers(data, date.max))[:TRACKED_WITHOUT_PRICES]
    with (folder / "universe.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{symbol},XNYS,{symbol},USD,,,NYSE\n" for symbol in unknown)


def _targeted_tickers(data: Path, session: date) -> set[str]:
    """Tickers of the weight file's rows of `session` that the mapping knows; one id may have two."""
    folder = data / "weights_finrl_trading"
    weights = pd.read_excel(folder / "equally_weighted.xlsx")
    mapping = pd.read_csv(folder / "tic_gvkey_mapping_2025.csv", keep_default_na=False)
    ids = weights.loc[weights["trade_date"] == pd.Timestamp(session), "gvkey"]
    return set(mapping.loc[mapping["gvkey"].isin(ids), "tic"])


def _priced_tickers(data: Path, before: date) -> set[str]:
    bars = pd.read_parquet(data / "sp500_2018_2023" / "ohlcv.parquet", columns=["symbol", "date"])
    return set(bars.loc[bars["date"] < before.isoformat(), "symbol"])


def test_rows_copied_onto_holidays_are_quarantined_and_never_priced(traded: tuple[Desk, list[date]]) -> None:
    desk, _ = traded
    holidays = [date(2022, 6, 20), date(2023, 6, 19)]
    with desk.lake.read() as cursor:
        quarantined = cursor.execute(
            "SELECT count(*) FROM quarantined_bars WHERE reason = 'copied_holiday' AND session IN (?, ?)", holidays
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
