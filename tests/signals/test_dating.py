"""Weekends, holidays, signal closes, and which rows a session trades on."""

from datetime import date
from pathlib import Path

import pytest

from scizor_dagster.config import WeightRules
from scizor_dagster.errors import NotASession, SignalRefused
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.intake import check_file
from tests.signals.builders import NYSE, accept, check, csv_file, entry, found, fractional


@pytest.mark.parametrize(
    ("weights_date", "trade_session", "signal_close"),
    [
        ("2018-09-01", "2018-09-04", "2018-09-04"),  # Saturday before Labor Day
        ("2019-09-01", "2019-09-03", "2019-09-03"),  # Sunday before Labor Day
        ("2020-03-01", "2020-03-02", "2020-03-02"),  # Sunday
        ("2018-03-01", "2018-03-01", "2018-03-02"),  # Thursday
        ("2024-03-28", "2024-03-28", "2024-04-01"),  # Thursday before Good Friday
        ("2025-09-01", "2025-09-02", "2025-09-02"),  # Labor Day
    ],
)
def test_weights_trade_in_the_session_that_their_date_belongs_to(
    tmp_path: Path, weights_date: str, trade_session: str, signal_close: str
) -> None:
    path = csv_file(tmp_path, f"{weights_date},AAPL,0.5")
    assert accept(path).sessions == (date.fromisoformat(trade_session),)
    assert accept(path, weights_dated="signal_close").sessions == (date.fromisoformat(signal_close),)


def test_two_dates_on_one_session_are_refused_with_both_lines(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "2018-09-04,A,0.5", "2018-09-01,A,0.5", "2018-09-01,B,0.5", "2018-09-05,A,0.5")
    report = check(path, date_order="any")
    assert found(report) == [("two_dates_one_session", 2)]
    assert "2018-09-01 (line 3) and of 2018-09-04" in report.violations[0].problem
    friday = csv_file(tmp_path, "2018-08-24,A,0.5", "2018-08-25,A,0.5")
    assert check(friday).accepted
    assert found(check(friday, weights_dated="signal_close")) == [("two_dates_one_session", 3)]


@pytest.fixture
def weekly(tmp_path: Path) -> Path:
    return csv_file(tmp_path, "2024-01-02,A,0.5", "2024-01-09,A,0.4", "2024-01-09,B,0.4")


def test_exact_takes_only_the_rows_of_the_session(weekly: Path) -> None:
    rows = select_session(accept(weekly), date(2024, 1, 9), "exact", 5, NYSE)
    assert rows["asset_id"].tolist() == ["A", "B"]
    assert rows["line"].tolist() == [3, 4]


def test_exact_without_rows_is_refused_and_names_the_nearest_sessions(weekly: Path) -> None:
    with pytest.raises(SignalRefused) as caught:
        select_session(accept(weekly), date(2024, 1, 4), "exact", 5, NYSE)
    (violation,) = caught.value.violations
    assert "no_rows_for_session" in str(violation)
    assert "2024-01-02 and 2024-01-09" in str(violation)


@pytest.mark.parametrize(("session", "taken"), [("2024-01-08", "2024-01-02"), ("2024-01-09", "2024-01-09")])
def test_latest_takes_the_newest_rows_at_or_before_the_session(weekly: Path, session: str, taken: str) -> None:
    rows = select_session(accept(weekly), date.fromisoformat(session), "latest", 5, NYSE)
    assert set(rows["session"]) == {date.fromisoformat(taken)}


def test_latest_is_too_old_after_the_allowed_number_of_sessions(weekly: Path) -> None:
    accepted = accept(weekly)
    assert len(select_session(accepted, date(2024, 1, 17), "latest", 5, NYSE)) == 2  # Monday 15 is a holiday
    with pytest.raises(SignalRefused, match="stale"):
        select_session(accepted, date(2024, 1, 18), "latest", 5, NYSE)


def test_latest_before_the_first_rows_has_none(weekly: Path) -> None:
    with pytest.raises(SignalRefused, match="no_rows_for_session"):
        select_session(accept(weekly), date(2023, 12, 29), "latest", 5, NYSE)


def test_a_day_without_trading_is_not_asked_for(weekly: Path) -> None:
    with pytest.raises(NotASession, match="2024-01-06"):
        select_session(accept(weekly), date(2024, 1, 6), "latest", 5, NYSE)


def test_rows_handed_out_may_be_changed_without_harm(weekly: Path) -> None:
    rows = select_session(accept(weekly), date(2024, 1, 9), "exact", 0, NYSE)
    rows["weight"] = 0.0
    assert accept(weekly).frame["weight"].tolist() == [0.5, 0.4, 0.4]


def test_a_check_for_a_session_counts_its_rows_and_their_sum(weekly: Path) -> None:
    arguments = (entry(weekly), NYSE, WeightRules(), fractional())
    report = check_file(*arguments, session=date(2024, 1, 9))
    assert (report.status, report.rows, report.session_rows) == ("accepted", 3, 2)
    assert report.to_json()["weight_sum"] == 0.8
    missing = check_file(*arguments, session=date(2024, 1, 4))
    assert (missing.status, missing.session_rows, found(missing)) == (
        "refused",
        0,
        [("no_rows_for_session", None)],
    )
    with pytest.raises(NotASession):
        check_file(*arguments, session=date(2024, 1, 6))
