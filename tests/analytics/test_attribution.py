"""Profits as the lake keeps them: what is read goes on where the measurement ended, and groups add up."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.analytics.attribution import (
    GROUPINGS,
    profit_frames,
    profit_table,
    read_book,
    read_lines,
    read_sums,
    summed,
)
from scizor_dagster.analytics.exposure import exposure_of, exposures
from scizor_dagster.analytics.profits import Adopted, ProfitBook, Profits, SessionOfPortfolio, Trade
from scizor_dagster.analytics.virtual_positions import PlannedMove
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.schemas import SCHEMAS, schema_failures
from scizor_dagster.lake.tables import append_rows, initialise

D = Decimal
DAY, NEXT = date(2026, 1, 5), date(2026, 1, 6)
NOW = datetime(2026, 1, 6, 22, tzinfo=UTC)
SECTORS = {"AAA": "Energy", "CCC": ""}
CLOSES = {"AAA": D(11), "BBB": D(3)}


def first_session() -> tuple[ProfitBook, Profits]:
    book = ProfitBook()
    both = PlannedMove("b", D(3), {"trend": D("0.2"), "value": D("-0.1")})
    trades = [Trade("AAA", D(3), D(10), D("0.3"), both), Trade("CCC", D(-2), D(7), D(0), None)]
    money = [("deposit", D(100)), ("interest", D(1) / D(3))]
    book.pass_session(SessionOfPortfolio(trades=trades, adopted=[Adopted("BBB", D(5), D(2))], money=money))
    return book, book.measured(CLOSES)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The first session, and one in which nothing is done and no more prices are known."""
    opened = Lake(LakeLocation.embedded(tmp_path_factory.mktemp("lake")))
    initialise(opened)
    book, profits = first_session()
    store(opened, profits, DAY)
    store(opened, book.measured(CLOSES), NEXT)
    yield opened
    opened.close()


def store(lake: Lake, profits: Profits, session: date) -> None:
    with lake.write() as cursor:
        for table, frame in profit_frames(profits, SECTORS).items():
            rows = frame.assign(portfolio="main", session=session, source="test", fetched_at=NOW)
            assert schema_failures(SCHEMAS[table](), rows).empty
            append_rows(cursor, table, rows)


def lines_of(lake: Lake, by: Any) -> list[dict[str, Any]]:
    return read_lines(lake, by, "main", DAY, DAY)


def test_what_is_read_goes_on_where_the_measurement_ended(lake: Lake) -> None:
    book, _ = first_session()
    stored = read_book(lake, "main", DAY)
    for each in (book, stored):
        wanted = PlannedMove("c", D(-3), {"trend": D("0.2"), "value": D("-0.2")})
        each.pass_session(SessionOfPortfolio(trades=[Trade("AAA", D(-1), D(12), D("0.1"), wanted)]))
    assert stored.quantities() == book.quantities()
    assert stored.held("AAA") == book.held("AAA")
    assert stored.measured(CLOSES) == book.measured(CLOSES)
    assert read_book(lake, "other", DAY).quantities() == {}


@pytest.mark.parametrize("by", GROUPINGS)
def test_sums_of_the_store_are_those_of_its_lines(lake: Lake, by: Any) -> None:
    lines = read_lines(lake, by, "main", DAY, NEXT)
    assert {row["session"] for row in lines} == {DAY, NEXT}
    found = read_sums(lake, by, "main", DAY, NEXT)
    assert found == summed(lines, by)
    assert sum(row["profit"] for row in found) == pytest.approx(first_session()[1].total)
    assert read_sums(lake, by, "other", DAY, NEXT) == []


def test_groups_are_named_as_a_person_reads_them(lake: Lake) -> None:
    names = {by: {row[by] for row in summed(lines_of(lake, by), by)} for by in GROUPINGS}
    assert names == {
        "instrument": {"AAA", "BBB", "CCC", "(account)"},
        "sector": {"Energy", "unknown", "(account)"},
        "strategy": {"trend", "value", "(unassigned)", "(account)"},
    }


def test_the_table_of_a_session_is_in_cents_with_the_largest_by_size_first() -> None:
    table = profit_table(first_session()[1], "strategy")
    assert list(table["strategy"]) == ["(unassigned)", "trend", "value", "(account)"]
    assert list(table["profit"]) == [19.0, 5.8, -3.1, 0.33]
    assert profit_table(Profits({}, {}), "instrument").empty


def test_strategies_that_hold_opposite_parts_have_more_at_stake_than_the_portfolio(lake: Lake) -> None:
    whole = exposure_of(lines_of(lake, "instrument"))
    assert (whole.long, whole.short, whole.gross, whole.net) == (48, 0, 48, 48)
    assert whole.shares(96.0) == {"gross": 0.5, "net": 0.5, "long": 0.5, "short": 0.0}
    assert whole.shares(0.0) == dict.fromkeys(("gross", "net", "long", "short"))
    found = exposures(lines_of(lake, "strategy"), "strategy")
    assert {name: (float(of.long), float(of.short)) for name, of in found.items()} == {
        "trend": (66.0, 0.0), "value": (0.0, -33.0), "(unassigned)": (15.0, 0.0),
    }  # fmt: skip
    assert list(found) == ["trend", "value", "(unassigned)"]


def test_numbers_are_stored_as_plain_text_with_every_digit(lake: Lake) -> None:
    with lake.read() as cursor:
        frame = cursor.execute("SELECT value, price FROM profit_by_instrument WHERE symbol = ''").df()
    assert set(frame["value"]) == {"100." + "3" * 28}
    assert set(frame["price"]) == {"1"}
