"""Accepted whole or refused whole, remembered by content, stored by session."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from scizor_dagster.errors import SignalRefused
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.signals import intake
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.intake import FRAME_COLUMNS, store_signals
from scizor_dagster.signals.report import SignalReport
from tests.signals.builders import NYSE, accept, csv_file

NOW = datetime(2024, 1, 2, 12, tzinfo=UTC)
SESSION = date(2024, 1, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    opened = Lake(LakeLocation.embedded(tmp_path / "lake"))
    (tmp_path / "lake").mkdir()
    initialise(opened)
    return opened


def stored(lake: Lake) -> list[tuple[object, ...]]:
    with lake.read() as cursor:
        columns = "session, weights_date, asset_id, weight, sheet, line, file_hash"
        return cursor.execute(f"SELECT {columns} FROM signals ORDER BY line").fetchall()


def test_an_accepted_file_has_one_row_per_line_in_its_order(tmp_path: Path) -> None:
    accepted = accept(csv_file(tmp_path, "2024-01-03,B,0.1", "2024-01-02,A,0.2"), date_order="any")
    assert tuple(accepted.frame.columns) == FRAME_COLUMNS
    assert accepted.frame["asset_id"].tolist() == ["B", "A"]
    assert accepted.sessions == (date(2024, 1, 2), date(2024, 1, 3))


def test_a_refused_file_carries_its_report(tmp_path: Path) -> None:
    with pytest.raises(SignalRefused) as caught:
        accept(csv_file(tmp_path, "2024-01-02,A,0.1", "2024-01-02,B,NaN"))
    assert isinstance(caught.value.report, SignalReport)
    assert [item.line for item in caught.value.report.violations] == [3]
    assert "line 3" in str(caught.value)
    assert caught.value.exit_code == 1


def test_the_same_content_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv_file(tmp_path, "2024-01-02,A,0.25")
    first = accept(path)
    parsed: list[str] = []
    original = intake.read_rows
    monkeypatch.setattr(intake, "read_rows", lambda *given: (parsed.append("x"), original(*given))[1])
    assert accept(path).frame is first.frame
    assert not parsed
    csv_file(tmp_path, "2024-01-02,A,0.75")
    assert accept(path).frame["weight"].tolist() == [0.75]
    assert accept(path, max_total_weight=0.9).frame["weight"].tolist() == [0.75]
    assert len(parsed) == 2


def test_only_a_few_files_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "REMEMBERED_ROWS", 10_000)
    first = accept(csv_file(tmp_path, "2024-01-02,A,0.1"))
    for weight in ("0.2", "0.3"):
        accept(csv_file(tmp_path, f"2024-01-02,A,{weight}"))
    again = accept(csv_file(tmp_path, "2024-01-02,A,0.1"))
    assert again.frame is not first.frame
    assert again.frame.equals(first.frame)


def test_storing_a_session_twice_leaves_one_copy_and_other_sessions_alone(tmp_path: Path, lake: Lake) -> None:
    accepted = accept(csv_file(tmp_path, "2024-01-02,A,0.1", "2024-01-02,NA,0", "2024-01-03,A,0.3"))
    for session in (SESSION, date(2024, 1, 3), SESSION):
        rows = select_session(accepted, session, "exact", 0, NYSE)
        assert store_signals(lake, "test", session, rows, accepted, NOW) == len(rows)
    assert stored(lake) == [
        (SESSION, SESSION, "A", 0.1, None, 2, accepted.file_hash),
        (SESSION, SESSION, "NA", 0.0, None, 3, accepted.file_hash),
        (date(2024, 1, 3), date(2024, 1, 3), "A", 0.3, None, 4, accepted.file_hash),
    ]


def test_each_content_of_a_file_keeps_its_rows_and_storing_one_again_adds_none(tmp_path: Path, lake: Lake) -> None:
    for row in ("2024-01-02,A,0.1", "2024-01-02,B,0.2", "2024-01-02,A,0.1"):
        accepted = accept(csv_file(tmp_path, row))
        store_signals(lake, "test", SESSION, accepted.frame, accepted, NOW)
    assert sorted(row[2] for row in stored(lake)) == ["A", "B"]


def test_latest_rows_are_stored_under_the_session_they_are_used_in(tmp_path: Path, lake: Lake) -> None:
    accepted = accept(csv_file(tmp_path, "2024-01-02,A,0.1"))
    later = date(2024, 1, 4)
    store_signals(lake, "test", later, select_session(accepted, later, "latest", 5, NYSE), accepted, NOW)
    assert stored(lake)[0][:2] == (later, SESSION)
