"""Two sources of one session's closes: stored apart, compared in one unit."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.collect import collect_session
from scizor_dagster.market_data.second_source import (
    MADE_UP,
    NO_BAR,
    NOT_COMPARED,
    SAME_SOURCE,
    SPLITTING,
    collect_second_bars,
    source_differences,
)
from tests.market_data.support import NOW, XNYS, FrameMarket, flat_bars, market, rows
from tests.market_data.test_fallback import Source

DAY = date(2024, 3, 1)
SYMBOLS = ("AAA", "BBB", "CCC")


class Other(FrameMarket):
    name = "other"


def _second(lake: Lake, factor: float, *, adjustment: str = "raw", now: datetime = NOW) -> None:
    bars = flat_bars(("AAA", "BBB"), [DAY], 10.04)
    bars.loc[bars["symbol"] == "AAA", "close"] *= factor
    collect_second_bars(lake, "us", Other(bars, adjustment=adjustment), SYMBOLS, DAY, DAY, now)


def _found(lake: Lake) -> dict[str, tuple[float, str]]:
    frame = source_differences(lake, "us", DAY)
    return {row.symbol: (row.difference, row.note) for row in frame.itertuples()}


@pytest.fixture
def collected(lake: Lake) -> Lake:
    provider = FrameMarket(flat_bars(SYMBOLS, XNYS.sessions(date(2024, 2, 26), DAY)))
    collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, DAY, NOW)
    return lake


def _split(lake: Lake, ex_session: date, ratio: float) -> None:
    row = {
        "market": "us", "symbol": "AAA", "ex_session": ex_session, "kind": "split", "ratio": ratio,
        "source": "frame", "fetched_at": NOW,
    }  # fmt: skip
    with lake.write() as cursor:
        append_rows(cursor, "corporate_actions", pd.DataFrame([row]))


def test_closes_that_differ_are_listed_and_those_that_a_source_lacks_say_so(collected: Lake) -> None:
    assert {note for _, note in _found(collected).values()} == {NO_BAR}
    _second(collected, 1.02)
    found = _found(collected)
    assert found["AAA"] == (pytest.approx(0.02), "")
    assert found["BBB"] == (pytest.approx(0.0), "")
    assert found["CCC"][1] == NO_BAR
    assert rows(collected, "SELECT count(*) FROM bars WHERE source <> 'frame'") == [(0,)]


def test_a_source_that_stands_in_for_the_first_is_no_second_opinion_on_itself(collected: Lake) -> None:
    _second(collected, 1.02)
    with collected.write() as cursor:
        cursor.execute("UPDATE bars SET source = 'other' WHERE symbol = 'AAA'")
    found = source_differences(collected, "us", DAY).set_index("symbol")
    assert found["note"].to_dict() == {"AAA": SAME_SOURCE, "BBB": "", "CCC": NO_BAR}
    assert pd.isna(found.loc["AAA", "difference"])


def test_made_up_closes_are_not_compared(collected: Lake) -> None:
    _second(collected, 1.02)
    with collected.write() as cursor:
        cursor.execute("UPDATE bars SET synthetic = true WHERE symbol = 'AAA'")
    difference, note = _found(collected)["AAA"]
    assert (pd.isna(difference), note) == (True, MADE_UP)


def test_split_adjusted_closes_are_compared_in_the_units_that_the_session_was_traded_in(collected: Lake) -> None:
    later = datetime(2024, 3, 20, 22, tzinfo=UTC)
    _second(collected, 0.5, adjustment="split", now=later)
    assert _found(collected)["AAA"][0] == pytest.approx(0.5)
    _split(collected, date(2024, 3, 11), 2.0)
    assert _found(collected)["AAA"] == (pytest.approx(0.0), "")
    frame = source_differences(collected, "us", DAY).set_index("symbol")
    assert frame.loc["AAA", "second_close"] == pytest.approx(frame.loc["AAA", "close"])
    assert frame.loc["AAA", "second_volume"] == pytest.approx(frame.loc["AAA", "volume"] / 2)
    _second(collected, 0.5, adjustment="split", now=datetime(2024, 3, 10, 23, tzinfo=UTC))
    assert _found(collected)["AAA"][1] == SPLITTING
    _second(collected, 1.0, adjustment="split", now=datetime(2024, 3, 8, 22, tzinfo=UTC))
    assert _found(collected)["AAA"] == (pytest.approx(0.0), "")


def test_total_return_closes_are_not_compared_and_say_so(collected: Lake) -> None:
    _second(collected, 0.9, adjustment="total_return")
    difference, note = _found(collected)["AAA"]
    assert difference != difference
    assert note == NOT_COMPARED


def test_a_second_source_that_does_not_answer_is_named_and_leaves_what_is_stored(collected: Lake) -> None:
    _second(collected, 1.02)
    away = Source("another", flat_bars((), [DAY]))
    away.down = True
    report = collect_second_bars(collected, "us", away, SYMBOLS, DAY, DAY, NOW)
    assert (report.source, report.stored, report.problem) == ("another", 0, "another is out of reach.")
    away.down = False
    assert "another has no close" in collect_second_bars(collected, "us", away, SYMBOLS, DAY, DAY, NOW).problem
    assert rows(collected, "SELECT count(*) FROM second_bars") == [(2,)]


def test_asking_again_replaces_the_answer_and_unusable_closes_are_left_out(collected: Lake) -> None:
    _second(collected, 1.02)
    _second(collected, -1.0)
    assert rows(collected, "SELECT symbol FROM second_bars") == [("BBB",)]
