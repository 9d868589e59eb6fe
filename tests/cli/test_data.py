"""`scizor data`: gaps, quality, a chart, maintenance and an audit."""

from datetime import date
from pathlib import Path

import pytest

from scizor_dagster.cli import dates
from scizor_dagster.cli.chart import line_chart
from scizor_dagster.flow.desk import Desk
from tests.cli.conftest import LAST_COLLECTED, NEXT, TRADED, Scizor
from tests.projects import Project

RANGE = ("--start-date", "2025-01-02", "--end-date", str(LAST_COLLECTED))


def change(project: Project, statement: str) -> None:
    desk = Desk(project.settings, dates.now)
    with desk.lake.write() as cursor:
        cursor.execute(statement)
    desk.lake.close()


def test_gaps_are_ranges_with_their_reason_and_one_without_fails(scizor: Scizor, collected: Project) -> None:
    assert scizor("data", "gaps", *RANGE, "--json").json["gaps"] == []
    change(collected, "DELETE FROM bars WHERE symbol = 'AAPL' AND session BETWEEN '2025-01-10' AND '2025-01-14'")
    answer = scizor("data", "gaps", *RANGE, "--json")
    (gap,) = answer.json["gaps"]
    assert (gap["symbol"], gap["first"], gap["last"], gap["sessions"]) == ("AAPL", "2025-01-10", "2025-01-14", 3)
    assert (answer.code, gap["reason"]) == (1, "not_collected")
    assert scizor("data", "gaps", *RANGE, "--symbol", "MSFT", "--json").json["gaps"] == []
    table = scizor("data", "gaps", *RANGE).out
    assert "not_collected" in table
    named = "scizor collect history AAPL --market us --start-date 2025-01-10 --end-date 2025-01-14"
    assert named in " ".join(table.split())
    change(collected, "UPDATE symbols SET retired_on = DATE '2025-02-01', reason = 'removed' WHERE symbol = 'AAPL'")
    left = scizor("data", "gaps", *RANGE)
    assert (left.code, "not_collected" in left.out, "scizor collect history" in left.out) == (0, True, False)
    refused = scizor("data", "gaps", "--symbol", "APPL")
    assert (refused.code, "APPL is not tracked" in refused.sentence) == (2, True)


def test_quality_says_what_is_there_and_fails_where_no_plan_may_be_made(scizor: Scizor, collected: Project) -> None:
    answer = scizor("data", "quality", *RANGE, "--json")
    assert (answer.code, answer.json["coverage"], answer.json["missing"]) == (0, 1.0, {})
    assert all(item["holds"] for item in answer.json["judgements"] if item["blocking"])
    table = scizor("data", "quality", *RANGE)
    assert "every_symbol_has_a_bar_or_a_reason" in table.out
    today = scizor("data", "quality")
    assert today.code == 1
    assert "scizor collect daily" in " ".join(today.out.split())


def test_a_chart_is_drawn_with_its_events_and_a_picture_written(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    change(
        collected,
        "INSERT INTO corporate_actions (market, symbol, ex_session, kind, ratio, source, fetched_at) "
        "VALUES ('us', 'AAPL', DATE '2025-01-15', 'split', 2.0, 't', now())",
    )
    drawn = scizor("data", "show", "AAPL", *RANGE, "--prices", "raw").out
    assert "AAPL raw, 2025-01-02 to 2025-02-14" in drawn
    assert "2025-01-15: split 2:1" in drawn
    assert any("⠀" <= sign <= "⣿" for sign in drawn)
    series = scizor("data", "show", "AAPL", *RANGE, "--json").json["series"]
    assert "split 2:1" in [row["event"] for row in series]
    picture = tmp_path / "aapl.png"
    assert scizor("data", "show", "AAPL", *RANGE, "--png", picture).code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    nowhere = scizor("data", "show", "AAPL", *RANGE, "--png", tmp_path / "none" / "aapl.png")
    assert (nowhere.code, "cannot be written" in nowhere.sentence) == (2, True)


def test_what_was_known_then_is_drawn_or_refused_with_the_oldest_state(scizor: Scizor, collected: Project) -> None:
    today = dates.now().date().isoformat()
    assert scizor("data", "show", "AAPL", *RANGE, "--as-of", today).code == 0
    early = scizor("data", "show", "AAPL", *RANGE, "--as-of", "2025-01-20")
    assert (early.code, "What the lake knew on 2025-01-20 is gone" in early.sentence) == (2, True)


def test_maintenance_leaves_a_plan_that_can_be_made_again(scizor: Scizor, collected: Project) -> None:
    answer = scizor("data", "maintain", "--json")
    assert answer.code == 0
    assert answer.json["files"] > 0
    assert answer.json["megabytes"] > 0
    again = scizor("replay", "--date", TRADED, "--json")
    assert (again.code, again.json["agree"]) == (0, True)
    assert scizor("replay", "--date", NEXT).code == 2


def test_looking_creates_no_lake(scizor: Scizor, fresh: Project) -> None:
    for command in (("gaps",), ("quality",), ("show", "AAPL"), ("maintain",)):
        answer = scizor("data", *command)
        assert (answer.code, "Nothing has been collected" in answer.sentence) == (2, True)
    assert not fresh.home.exists()


def test_a_market_of_which_nothing_was_collected_is_not_taken_for_one_that_lacks_nothing(
    scizor: Scizor, collected: Project
) -> None:
    change(collected, "DELETE FROM symbols")
    for command in (("gaps",), ("quality",), ("show", "AAPL")):
        answer = scizor("data", *command)
        assert (answer.code, "scizor collect history --market us" in answer.sentence) == (2, True)


@pytest.mark.parametrize("width", [30, 80, 160])
def test_a_chart_fits_its_width_and_marks_splits_before_dividends(width: int) -> None:
    values = [float("nan"), *[100.0 + index for index in range(98)], 1.0]
    events = [""] * 49 + ["dividend 1 USD", "split 2:1"] + [""] * 49
    labels = [str(date(2025, 1, 1)) for _ in values]
    lines = line_chart(values, events, labels, width)
    assert max(map(len, lines)) <= width
    assert "S" in lines[-2]
    assert len({len(line) for line in lines[:-1]}) == 1


def test_a_price_that_never_moves_is_a_flat_line() -> None:
    lines = line_chart([5.0, 5.0, 5.0], ["", "", ""], ["a", "b", "c"], 40)
    assert sum(any(sign > "⠀" for sign in line) for line in lines) == 1
