"""What is kept between requests: so many bytes, read once for all who wait, never older than the request."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.api.data_farmer import kept
from scizor_dagster.api.data_farmer.kept import Histories, Kept
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.price_histories import changed_symbols, price_histories
from scizor_dagster.market_data.reading import prices
from tests.market_data.support import new_lake

NOW = datetime(2025, 1, 3, 12, 0, tzinfo=UTC)
FIRST, LAST = date(2024, 12, 30), date(2025, 1, 2)
COLUMNS = "market, symbol, session, open, high, low, close, volume, adjustment, synthetic, source, fetched_at"


def store(lake: Lake, symbol: str, close: float, days: tuple[date, ...] = (FIRST, LAST)) -> None:
    with lake.write() as cursor:
        for day in days:
            row = ["us", symbol, day, close, close, close, close, 100.0, "raw", False, "made", NOW]
            cursor.execute(f"INSERT INTO bars ({COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
    rebuild_prices(lake, "us", NOW)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The symbols of each reading from now on."""
    asked, read = list[set[str]](), kept.price_histories

    def note(lake: Lake, market: str, names: Collection[str]) -> dict[str, Any]:
        asked.append(set(names))
        return read(lake, market, names)

    monkeypatch.setattr(kept, "price_histories", note)
    return asked


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = new_lake(tmp_path)
    store(made, "A", 10.0)
    store(made, "B", 20.0)
    yield made
    made.close()


def test_the_oldest_goes_when_there_are_too_many_bytes_and_what_is_too_large_never_comes() -> None:
    some = Kept[str, str](10)
    for name, size in (("a", 4), ("b", 4), ("too large", 11)):
        some.put(name, name, size)
    assert some.get("a") == "a"
    some.put("c", "c", 4)
    assert [key for key, _ in some.newest_first()] == ["c", "a"]
    some.put("c", "again", 10)
    assert [value for _, value in some.newest_first()] == ["again"]
    assert some.get("too large") is None


def test_a_history_is_what_the_flow_reads_and_one_of_nothing_is_empty(lake: Lake) -> None:
    read = price_histories(lake, "us", ["A", "B", "NONE"])
    frame = prices(lake, "us", ["A"], FIRST, LAST)
    columns = ["session", "raw_close", "volume", "split_close", "split_volume", "total_return_close", "source"]
    assert read["A"].select(columns).to_pylist() == frame[columns].to_dict("records")
    assert (read["B"].column("raw_close").to_pylist(), read["NONE"].num_rows) == ([20.0, 20.0], 0)
    assert read["NONE"].schema == read["A"].schema


def test_a_history_is_read_once_until_bars_change_and_its_digest_stays_while_its_own_do_not(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(monkeypatch)
    histories = Histories(lake)
    first = histories.of("us", "A")
    assert histories.of("us", "A") is first
    assert asked == [{"A"}]
    store(lake, "B", 21.0, (date(2025, 1, 3),))
    assert histories.of("us", "A") is first
    assert asked == [{"A"}]
    store(lake, "A", 11.0, (date(2025, 1, 3),))
    assert (histories.of("us", "A").digest == first.digest, histories.of("us", "A").table.num_rows) == (False, 3)


def test_what_was_asked_for_since_the_last_change_is_read_again_with_what_is_asked_for_now(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = Histories(lake)
    for name in ("A", "B"):
        histories.of("us", name)
    asked = noted(monkeypatch)
    for number, day in enumerate((3, 6, 7)):
        for name in ("A", "B"):
            store(lake, name, 11.0, (date(2025, 1, day),))
        assert histories.of("us", "A").table.num_rows == 3 + number
        if number == 0:
            assert histories.of("us", "B").table.num_rows == 3
    assert asked == [{"A", "B"}, {"A", "B"}, {"A"}]


def test_a_correction_a_deletion_and_a_new_factor_are_changes_of_their_symbol_alone(lake: Lake) -> None:
    histories = Histories(lake)
    before = {name: histories.of("us", name) for name in ("A", "B")}
    with lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = 'A' AND session = ?", [FIRST])
    assert (histories.of("us", "A").table.num_rows, histories.of("us", "B") is before["B"]) == (1, True)
    with lake.write() as cursor:
        cursor.execute("UPDATE adjustment_factors SET split_factor = 0.5 WHERE symbol = 'B'")
        cursor.execute("UPDATE adjustment_factors SET fetched_at = now() WHERE symbol = 'A'")
    shortened = histories.of("us", "A")
    assert histories.of("us", "B").table.column("split_close").to_pylist() == [10.0, 10.0]
    assert histories.of("us", "A") is shortened


def test_what_has_changed_is_unknown_where_a_snapshot_is_gone(lake: Lake) -> None:
    newest = lake.snapshot()
    assert changed_symbols(lake, "us", newest, newest) == set()
    assert changed_symbols(lake, "us", -1, newest) is None
    assert changed_symbols(lake, "us", newest, newest + 5) is None


def test_many_who_wait_are_served_by_few_readings(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = noted(monkeypatch)
    histories = Histories(lake)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: histories.of("us", f"S{number % 4}"), range(32)))
    assert {item.table.num_rows for item in found} == {0}
    assert len(asked) <= 4
