"""A strategy that delivers one file per day: what belongs to it, what its files say together, and its hash."""

import hashlib
import os
from datetime import date
from pathlib import Path

import pytest

from scizor_dagster.errors import SignalRefused
from scizor_dagster.signals import intake
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.deliveries import content_hash
from scizor_dagster.signals.intake import AcceptedSignals, check_file, take_in
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.readers import WeightFileMissing
from tests.signals.builders import HEADER, NYSE, WEIGHTS, entry, fractional, mapping

MONDAY, TUESDAY = date(2024, 1, 8), date(2024, 1, 9)

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def daily(tmp_path: Path) -> StrategyEntry:
    deliver(tmp_path, "weights_1.csv", "2024-01-08,A,0.5", "2024-01-08,B,0.4")
    deliver(tmp_path, "weights_2.csv", "2024-01-09,A,0.4", "2024-01-09,B,0.5")
    return entry(tmp_path / "weights_*.csv")


def deliver(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def take(item: StrategyEntry) -> AcceptedSignals:
    return take_in(item, NYSE, WEIGHTS, fractional())


def refusal(item: StrategyEntry) -> list[tuple[str | None, int | None, str]]:
    report = check_file(item, NYSE, WEIGHTS, fractional())
    return [(found.file, found.line, found.rule) for found in report.violations]


def test_every_matching_regular_file_belongs_to_the_content_and_each_row_knows_its_own(
    daily: StrategyEntry, tmp_path: Path
) -> None:
    deliver(tmp_path, "other.csv", "2024-01-10,A,NaN")
    (tmp_path / "weights_folder.csv").mkdir()
    os.mkfifo(tmp_path / "weights_pipe.csv")
    accepted = take(daily)
    assert accepted.sessions == (MONDAY, TUESDAY)
    rows = select_session(accepted, TUESDAY, "exact", 0, NYSE)
    assert set(rows["path"]) == {str(tmp_path / "weights_2.csv")}
    assert rows["line"].tolist() == [2, 3]
    report = accepted.report
    assert (report.rows, report.dates, report.first_date, report.last_date) == (4, 2, MONDAY, TUESDAY)
    assert report.path == str(tmp_path / "weights_*.csv")


def test_the_content_is_hashed_over_names_and_hashes_in_their_order(daily: StrategyEntry, tmp_path: Path) -> None:
    hashes = [hashlib.sha256((tmp_path / f"weights_{n}.csv").read_bytes()).hexdigest() for n in (1, 2)]
    text = f"weights_1.csv\0{hashes[0]}\nweights_2.csv\0{hashes[1]}\n"
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert content_hash(daily) == take(daily).file_hash == expected
    (tmp_path / "weights_2.csv").rename(tmp_path / "weights_3.csv")
    assert content_hash(daily) == take(daily).file_hash != expected


def test_two_files_with_rows_for_one_session_are_both_refused_with_their_lines(
    daily: StrategyEntry, tmp_path: Path
) -> None:
    deliver(tmp_path, "weights_3.csv", "2024-01-05,A,0.5", "2024-01-06,A,0.5")
    assert refusal(daily) == [("weights_1.csv", 2, "two_files_one_date"), ("weights_3.csv", 3, "two_files_one_date")]
    with pytest.raises(SignalRefused, match=r"Session 2024-01-08 has weights here and in weights_3.csv \(line 3\)"):
        take(daily)


def test_what_editors_and_downloads_leave_is_not_read_and_is_said(daily: StrategyEntry, tmp_path: Path) -> None:
    everything = daily.model_copy(update={"path": str(tmp_path / "*")})
    before = content_hash(everything)
    names = ("~$weights_1.csv", ".weights_1.csv.swp", "weights_3.csv.tmp", "weights_1.csv~", ".hidden.csv")
    for name in names:
        (tmp_path / name).write_text("half a row")
    accepted = take(everything)
    assert sorted(item.file or "" for item in accepted.warnings if item.rule == "ignored_file") == sorted(names)
    assert accepted.sessions == (MONDAY, TUESDAY)
    assert content_hash(everything) == accepted.file_hash == before


def test_a_bad_file_refuses_all_and_its_name_stands_beside_each_finding(daily: StrategyEntry, tmp_path: Path) -> None:
    deliver(tmp_path, "weights_3.csv", "2024-01-10,A,", "2024-01-10,B,x")
    assert refusal(daily) == [("weights_3.csv", 2, "missing_weight"), ("weights_3.csv", 3, "not_a_number")]
    (tmp_path / "weights_3.csv").write_text("")
    assert refusal(daily) == [("weights_3.csv", None, "empty_file")]


def test_a_link_that_leads_elsewhere_and_a_wrong_checksum_refuse_as_with_one_file(
    daily: StrategyEntry, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "weights_2.csv.sha256").write_text("0" * 64)
    outside = deliver(tmp_path_factory.mktemp("outside"), "weights.csv", "2024-01-10,A,0.5")
    (tmp_path / "weights_3.csv").symlink_to(outside)
    assert refusal(daily) == [
        ("weights_2.csv", None, "checksum_differs"),
        ("weights_3.csv", None, "link_leads_elsewhere"),
    ]


def test_ids_and_guards_name_the_file_of_the_session(daily: StrategyEntry, tmp_path: Path) -> None:
    table = mapping(tmp_path / "ids.txt", "asset_id,symbol\nA,AAPL\n")
    report = check_file(daily.model_copy(update={"mapping": table}), NYSE, WEIGHTS, fractional())
    assert [(item.file, item.line, item.rule) for item in report.violations] == [("weights_2.csv", 3, "unknown_id")]
    assert ("weights_1.csv", "unknown_id") in [(item.file, item.rule) for item in report.warnings]
    deliver(tmp_path, "weights_2.csv", "2024-01-09,C,0.5", "2024-01-09,D,0.46")
    strict = daily.model_copy(update={"guards": daily.guards.model_copy(update={"max_turnover": 0.9})})
    held = check_file(strict, NYSE, WEIGHTS, fractional())
    assert held.status == "held"
    assert [(item.file, item.rule) for item in held.violations] == [("weights_2.csv", "turnover_jump")]


def test_a_file_that_has_not_changed_is_not_parsed_again(
    daily: StrategyEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(10, 13):
        deliver(tmp_path, f"weights_{day}.csv", f"2024-01-{day},A,0.5")
    take(daily)
    parsed: list[str] = []
    original = intake.read_rows
    monkeypatch.setattr(intake, "read_rows", lambda *given: (parsed.append(given[1].path), original(*given))[1])
    take(daily)
    assert parsed == []
    deliver(tmp_path, "weights_16.csv", "2024-01-16,A,0.5")
    take(daily)
    assert parsed == [str(tmp_path / "weights_16.csv")]


def test_without_a_match_or_a_folder_or_with_too_many_files_one_sentence_says_so(
    daily: StrategyEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, words in ((tmp_path / "none_*.csv", "has a name that matches"), (tmp_path / "no" / "*.csv", "No such")):
        with pytest.raises(WeightFileMissing, match=words):
            take(entry(path))
    monkeypatch.setattr("scizor_dagster.signals.deliveries.MAX_FILES", 1)
    with pytest.raises(WeightFileMissing, match="2 weight files match; 1 are allowed"):
        take(daily)


def test_a_file_whose_own_name_looks_like_a_pattern_is_one_file(tmp_path: Path) -> None:
    path = deliver(tmp_path, "weights[1].csv", "2024-01-08,A,0.5")
    accepted = take(entry(path))
    assert accepted.file_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert accepted.sessions == (MONDAY,)


@pytest.mark.parametrize("keys", [{"every_session": True}, {"expect": {"rows": 2}}])
def test_what_is_said_of_one_file_does_not_go_with_a_pattern(tmp_path: Path, keys: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'path' is a pattern"):
        entry(tmp_path / "weights_*.csv", **keys)
