"""Speed of the lake, as ratios against bare DuckDB and bare DuckLake on the same rows in the same run.

    python -m tests.benchmarks.bench_lake

Bulk: 1,000 symbols x 10 years through `collect_history`, against one COPY of the same rows to zstd
Parquet. Then one more session, and the same session again, against the bare transaction that inserts
it. Reads against the bare query on the same lake.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.reading import close_matrix, last_closes, session_bars
from scizor_dagster.market_data.session_bars import collect_session
from tests.benchmarks.ratios import row, seconds
from tests.market_data.support import XNYS, FrameMarket, market, new_lake

SYMBOLS = [f"S{number:04}" for number in range(1_000)]
FIRST, LAST, NEXT = date(2015, 1, 2), date(2024, 12, 31), date(2025, 1, 2)
NOW = datetime(2025, 1, 3, 12, 0, tzinfo=UTC)
READ_ROUNDS = 15
_WRITTEN = "'us', symbol, CAST(session AS DATE), open, high, low, close, volume, 'raw', false, 'bare', now()"
_COLUMNS = "market, symbol, session, open, high, low, close, volume, adjustment, synthetic, source, fetched_at"


class YearlyMarket(FrameMarket):
    """A provider whose frames lie ready by the year, so that its own time is next to nothing."""

    def __init__(self, bars: pd.DataFrame) -> None:
        super().__init__(bars)
        self._years = dict(iter(bars.groupby(bars["session"].dt.year)))

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        for year in range(first.year, last.year + 1):
            frame = self._years[year]
            yield frame[frame["session"].between(pd.Timestamp(first), pd.Timestamp(last))]


def made_up_bars() -> pd.DataFrame:
    """A random walk for each symbol in each session, the one after the bulk included."""
    days = np.array(XNYS.sessions(FIRST, NEXT), dtype="datetime64[s]")
    chance = np.random.default_rng(7)
    shape = (len(SYMBOLS), len(days))
    close = 50 * np.exp(np.cumsum(chance.normal(0, 0.01, shape), axis=1))
    opened = close * np.exp(chance.normal(0, 0.005, shape))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    columns = {"open": opened, "high": high, "low": low, "close": close}
    frame = pd.DataFrame({name: np.round(values.ravel(), 4) for name, values in columns.items()})
    frame.insert(0, "symbol", pd.Series(np.repeat(SYMBOLS, len(days)), dtype="str"))
    frame.insert(1, "session", np.tile(days, len(SYMBOLS)))
    return frame.assign(volume=chance.integers(100_000, 900_000, len(frame)).astype("float64"))


def bench_bulk(lake: Lake, provider: YearlyMarket, bars: pd.DataFrame, folder: Path) -> None:
    rows = bars[bars["session"] <= pd.Timestamp(LAST)]
    connection = duckdb.connect()
    connection.register("rows", rows)
    target = folder / "bars.parquet"
    query = f"COPY (SELECT * FROM rows) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    copied = seconds(lambda: connection.execute(query), rounds=3)
    collected = seconds(
        lambda: collect_history(
            lake, "us", market(FIRST), provider, XNYS, SYMBOLS, FIRST.year, LAST.year, NOW, through=LAST
        ),
        rounds=1,
    )
    row(f"bulk load of {len(rows):,} bars, checked", collected, copied, "one COPY to zstd Parquet")


def bench_session(lake: Lake, provider: YearlyMarket, bars: pd.DataFrame) -> None:
    one = bars[bars["session"] == pd.Timestamp(NEXT)]

    def bare() -> None:
        with lake.write() as cursor:
            cursor.register("one", one)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS bare_bars AS SELECT {_COLUMNS} FROM bars LIMIT 0")
            cursor.execute(f"INSERT INTO bare_bars SELECT {_WRITTEN} FROM one")
            cursor.unregister("one")

    def collect() -> None:
        collect_session(lake, "us", market(FIRST), provider, XNYS, SYMBOLS, NEXT, NOW)

    bare()
    reference = seconds(bare)
    row("one more session, checked against five before it", seconds(collect, 1), reference, "the bare transaction")
    row("the same session again, nothing written", seconds(collect), reference, "the bare transaction")


def bench_reads(lake: Lake) -> None:
    def bare(query: str, *values: object) -> float:
        def ask() -> None:
            with lake.read() as cursor:
                cursor.execute(query, list(values)).fetchnumpy()

        return seconds(ask, READ_ROUNDS)

    newest = bare(
        "SELECT symbol, arg_max(close, session) FROM bars WHERE market = 'us' AND session > ? GROUP BY symbol",
        date(2024, 10, 4),
    )
    known = bare("SELECT * FROM bars WHERE market = 'us' AND session = ?", LAST)
    single = bare("SELECT session, close FROM bars WHERE market = 'us' AND symbol = 'S0500' ORDER BY session")
    row("last price of all", seconds(lambda: last_closes(lake, "us", NEXT), READ_ROUNDS), newest, "the bare query")
    row("a known session", seconds(lambda: session_bars(lake, "us", LAST), READ_ROUNDS), known, "the bare query")
    whole = seconds(lambda: close_matrix(lake, "us", ["S0500"], FIRST, LAST), READ_ROUNDS)
    row("one symbol, ten years, as a matrix", whole, single, "the bare query")


def main() -> None:
    bars = made_up_bars()
    provider = YearlyMarket(bars)
    with tempfile.TemporaryDirectory() as name:
        lake = new_lake(Path(name))
        bench_bulk(lake, provider, bars, Path(name))
        bench_session(lake, provider, bars)
        bench_reads(lake)
        lake.close()


if __name__ == "__main__":
    main()
