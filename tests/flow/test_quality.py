"""What is there, what is not and why; and what stops a plan."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.quality import Judgement, coverage_map, judged_session, quality_report
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.absences import Absence, absences, ranges_of
from scizor_dagster.sessions import TradingCalendar
from tests.flow.desks import NOW, SECOND, add_action, collected

PRICED_ON = date(2025, 3, 7)
LAST = date(2025, 3, 31)
ORIGIN = {"market": "us", "source": "test", "fetched_at": NOW}


def change(desk: Desk, statement: str, *values: object) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(statement, list(values))


def remove(desk: Desk, symbol: str, *sessions: date) -> None:
    for session in sessions:
        change(desk, "DELETE FROM bars WHERE symbol = ? AND session = ?", symbol, session)


def append(desk: Desk, table: str, **row: object) -> None:
    with desk.lake.write() as cursor:
        append_rows(cursor, table, pd.DataFrame([{**row, **ORIGIN}]))


def reasons(desk: Desk, *sessions: date) -> dict[tuple[str, date], str]:
    frame = absences(desk.lake, "us", sessions)
    return {(row.symbol, row.session.date()): row.reason for row in frame.itertuples()}


def judged(desk: Desk) -> dict[str, Judgement]:
    return {item.name: item for item in quality_report(desk, "us").judgements}


def test_each_missing_bar_has_the_reason_that_says_most(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    day = PRICED_ON
    assert reasons(desk, day) == {}
    for symbol in ("AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA"):
        remove(desk, symbol, day)
    assert set(reasons(desk, day).values()) == {Absence.NOT_COLLECTED}
    change(desk, "UPDATE symbols SET retired_on = ?, note = 'gone' WHERE symbol = 'AAPL'", day)
    add_action(desk, "AMZN", day, "delisting")
    change(desk, "DELETE FROM bars WHERE symbol = 'AMZN' AND session >= ?", day)
    append(desk, "quarantined_bars", symbol="GOOG", session=day, reason="price_jump", detail="close 1 after 100")
    for symbol in ("META", "MSFT"):
        append(desk, "absent_bars", symbol=symbol, first_session=date(2025, 1, 2), last_session=day)
    change(desk, "DELETE FROM bars WHERE symbol = 'MSFT' AND session <= ?", day)
    assert reasons(desk, day) == {
        ("AAPL", day): Absence.RETIRED,
        ("AMZN", day): Absence.DELISTED,
        ("GOOG", day): Absence.QUARANTINED,
        ("META", day): Absence.NO_BAR_AT_SOURCE,
        ("MSFT", day): Absence.NOT_LISTED_YET,
        ("NVDA", day): Absence.NOT_COLLECTED,
    }
    details = absences(desk.lake, "us", [day]).set_index("symbol")["detail"]
    assert details["GOOG"] == "price_jump: close 1 after 100"
    assert details["MSFT"] == "begins on 2025-03-10"
    change(desk, "UPDATE symbols SET verified = false, note = 'not found' WHERE symbol = 'NVDA'")
    assert reasons(desk, day)["NVDA", day] == Absence.UNKNOWN_AT_SOURCE
    change(desk, "UPDATE symbols SET reason = 'pending', note = 'not asked yet' WHERE symbol = 'NVDA'")
    assert reasons(desk, day)["NVDA", day] == Absence.PENDING
    assert absences(desk.lake, "us", [day]).set_index("symbol")["detail"]["NVDA"] == "not asked yet"


def test_a_symbol_that_the_account_may_not_see_is_named_and_is_not_due(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    remove(desk, "AAPL", PRICED_ON)
    change(
        desk, "UPDATE symbols SET reason = 'no_permission', retired_on = ?, note = '354' WHERE symbol = 'AAPL'", LAST
    )
    assert reasons(desk, PRICED_ON) == {("AAPL", PRICED_ON): Absence.NO_PERMISSION}
    consolidate_session(desk, "main", SECOND)
    assert plan_session(desk, "main", SECOND).plan.orders


def test_a_bar_that_is_missing_without_a_reason_stops_the_plan_and_a_reason_lets_it_go_on(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    consolidate_session(desk, "main", SECOND)
    remove(desk, "META", PRICED_ON)
    with pytest.raises(PriceUnavailable, match="for META there is no reason why not") as caught:
        plan_session(desk, "main", SECOND)
    assert f"scizor collect daily --market us --date {PRICED_ON}" in caught.value.remedy
    append(desk, "absent_bars", symbol="META", first_session=PRICED_ON, last_session=PRICED_ON)
    found = {item.name: item.detail for item in judged_session(desk, "us", PRICED_ON)}
    assert found["every_symbol_has_a_bar_or_a_reason"].endswith("each with its reason, 1 no_bar_at_source")
    assert plan_session(desk, "main", SECOND).plan.orders


def test_collecting_gives_every_missing_bar_its_reason(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    remove(desk, "META", PRICED_ON)
    assert reasons(desk, PRICED_ON) == {("META", PRICED_ON): Absence.NOT_COLLECTED}
    collect_closed_session(desk, "us", PRICED_ON)
    assert reasons(desk, PRICED_ON) == {}


def test_a_calendar_that_ends_within_the_year_stops_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = collected(tmp_path)
    consolidate_session(desk, "main", SECOND)
    monkeypatch.setattr(TradingCalendar, "last", date(2026, 2, 27))
    with pytest.raises(PriceUnavailable, match="XNYS is known to 2026-02-27") as caught:
        plan_session(desk, "main", SECOND)
    assert "exchange_calendars" in caught.value.remedy
    monkeypatch.setattr(TradingCalendar, "last", date(2026, 4, 1))
    assert plan_session(desk, "main", SECOND).plan.orders


def test_the_report_counts_covers_and_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = collected(tmp_path)
    whole = quality_report(desk, "us")
    assert (whole.coverage, whole.by_reason, whole.blocked_by) == (1.0, {}, ())
    days = TradingCalendar("XNYS").sessions(date(2025, 3, 24), LAST)
    remove(desk, "META", *days)
    append(desk, "absent_bars", symbol="META", first_session=days[0], last_session=days[-2])
    monkeypatch.setattr("scizor_dagster.flow.quality.SESSIONS_SHOWN", 20)
    for day in (date(2025, 2, 20), PRICED_ON):
        append(desk, "quarantined_bars", symbol="META", session=day, reason="price_jump", detail="close 1 after 100")
    change(desk, "UPDATE bars SET close = close * 1.5, high = high * 1.5 WHERE symbol = 'NVDA' AND session = ?", LAST)
    report = quality_report(desk, "us")
    assert report.quarantine[["rows", "symbols"]].values.tolist() == [[1, "META"]]
    assert report.by_reason == {"no_bar_at_source": len(days) - 1, "not_collected": 1}
    assert report.coverage == pytest.approx(1 - len(days) / (6 * len(report.sessions)))
    assert report.stale.to_dict("records") == [
        {"symbol": "META", "newest": date(2025, 3, 21), "sessions": len(days), "reason": "not_collected"}
    ]
    assert [(row.symbol, row.session) for row in report.outliers.itertuples()] == [("NVDA", LAST)]
    assert [item.name for item in report.blocked_by] == ["every_symbol_has_a_bar_or_a_reason"]
    assert not judged(desk)["no_outliers"].holds
    shown = ranges_of(report.missing, report.sessions)
    assert shown.loc[:, ["first", "last", "sessions", "reason"]].values.tolist() == [
        [days[0], days[-2], len(days) - 1, "no_bar_at_source"],
        [days[-1], days[-1], 1, "not_collected"],
    ]
    grid = coverage_map(report)
    assert grid.shape == (6, len(report.sessions))
    assert grid.loc["META"].sum() == len(report.sessions) - len(days)


def test_an_empty_lake_is_reported_and_stops_everything(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    change(desk, "DELETE FROM bars")
    report = quality_report(desk, "us")
    assert (report.bars, report.coverage) == (0, 0.0)
    assert [item.name for item in report.blocked_by][:2] == ["the_session_is_there", "most_symbols_have_a_bar"]


def test_a_long_range_is_mapped_by_the_month(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    remove(desk, "META", PRICED_ON)
    grid = coverage_map(quality_report(desk, "us", date(2025, 1, 2), LAST), most_columns=10)
    assert list(grid.columns) == ["2025-01", "2025-02", "2025-03"]
    assert grid.loc["META", "2025-02"] == 1.0
    assert grid.loc["META", "2025-03"] == pytest.approx(20 / 21)
