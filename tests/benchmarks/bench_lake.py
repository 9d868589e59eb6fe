"""Speed of the lake, as ratios against bare DuckDB and bare DuckLake on the same rows in the same run.

    python -m tests.benchmarks.bench_lake [symbols]

Bulk: 3,000 symbols (or `symbols`) x 10 years through `collect_history`: what it spends in the lake's transactions
against one COPY of the same rows to zstd Parquet and against one transaction for each symbol, what it spends in judging
against the same rules as one query, and the memory of the process. Then one more session, and the same session again,
against the bare transaction that inserts it. Reads against the bare query on the same lake.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.reading import close_matrix, last_closes, session_bars
from scizor_dagster.market_data.session_bars import collect_session
from tests.benchmarks.ratios import row, seconds
from tests.market_data.support import XNYS, FrameMarket, market, new_lake

SYMBOLS = [f"S{number:04}" for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000)]
FIRST, LAST, NEXT = date(2015, 1, 2), date(2024, 12, 31), date(2025, 1, 2)
NOW = datetime(2025, 1, 3, 12, 0, tzinfo=UTC)
READ_ROUNDS = 15
_PRICES = "open, high, low, close, volume"
_WRITTEN = "'us', symbol, CAST(session AS DATE), open, high, low, close, volume, 'raw', false, 'bare', now()"
_COLUMNS = "market, symbol, session, open, high, low, close, volume, adjustment, synthetic, source, fetched_at"


_DAYS = np.array(XNYS.sessions(FIRST, NEXT), dtype="datetime64[s]")
_RULES = """
    SELECT count(*) FILTER (open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL OR volume IS NULL),
        count(*) FILTER (least(open, high, low, close) <= 0 OR volume < 0),
        count(*) FILTER (high < low OR open > high OR open < low OR close > high OR close < low),
        count(*) FILTER (before IS NOT NULL AND (low > 1.8 * before OR high < before / 1.8)),
        count(*) - count(DISTINCT (symbol, session))
    FROM (SELECT *, lag(close) OVER (PARTITION BY symbol ORDER BY session) AS before FROM rows)"""


class MadeUpMarket(FrameMarket):
    """A random walk for each symbol in each session, made when it is asked for; `seconds` is the time that takes."""

    seconds = 0.0

    def __init__(self) -> None:
        super().__init__(pd.DataFrame())

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        start = time.perf_counter()
        frame = made_up_bars(symbols, first, last)
        self.seconds += time.perf_counter() - start
        yield frame


def made_up_bars(symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
    chosen = (np.datetime64(first) <= _DAYS) & (np.datetime64(last) >= _DAYS)
    values = [_walk(int(symbol[1:]), chosen) for symbol in symbols]
    columns = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: np.concatenate([row[at] for row in values]) for at, name in enumerate(columns)})
    days = _DAYS[chosen]
    frame.insert(0, "symbol", pd.Series(np.repeat(np.array(symbols, dtype=object), len(days)), dtype="str"))
    frame.insert(1, "session", np.tile(days, len(symbols)))
    return frame


def _walk(number: int, chosen: np.ndarray) -> list[np.ndarray]:
    chance = np.random.default_rng(number)
    close = 50 * np.exp(np.cumsum(chance.normal(0, 0.01, len(_DAYS))))
    opened = close * np.exp(chance.normal(0, 0.005, len(_DAYS)))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    volume = chance.integers(100_000, 900_000, len(_DAYS)).astype("float64")
    return [np.round(row, 4)[chosen] for row in (opened, high, low, close, volume)]


class TimedLake(Lake):
    """A lake that adds up the seconds of its transactions."""

    seconds = 0.0

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        start = time.perf_counter()
        with super().write() as cursor:
            yield cursor
        self.seconds += time.perf_counter() - start


def bench_bulk(lake: TimedLake, provider: MadeUpMarket, folder: Path) -> None:
    start = time.perf_counter()
    report = collect_history(
        lake, "us", market(FIRST), provider, XNYS, SYMBOLS, FIRST.year, LAST.year, NOW, through=LAST
    )
    whole = time.perf_counter() - start
    storing, judging = lake.seconds, whole - lake.seconds - provider.seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    connection = duckdb.connect(str(folder / "rows.duckdb"))
    with lake.read() as cursor:
        stored = cursor.execute(f"SELECT symbol, session, {_PRICES} FROM bars ORDER BY ALL")
        connection.register("stored", stored.to_arrow_reader(500_000))
        connection.execute("CREATE TABLE rows AS SELECT * FROM stored")
    query = f"COPY rows TO '{folder / 'bars.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    copied = seconds(lambda: connection.execute(query), rounds=3)
    asked = seconds(lambda: connection.execute(_RULES).fetchall(), rounds=3)
    some = SYMBOLS[:: max(1, len(SYMBOLS) // 30)]
    new_lake(folder / "singly").close()
    apart = Lake(LakeLocation.embedded(folder / "singly" / "lake"))
    singly = seconds(lambda: _one_by_one(apart, some), rounds=1) / len(some) * len(SYMBOLS)
    apart.close()
    connection.close()
    print(f"{report.inserted:,} bars collected in {whole:.1f} s, {peak:,.0f} MiB at most")
    row("of which in the lake's transactions", storing, copied, "one COPY to zstd Parquet")
    row("the same against a transaction for each symbol", storing, singly, "DELETE and INSERT by symbol")
    row("of which finding gaps, checking and judging", judging, asked, "the rules as one query")


def _one_by_one(lake: Lake, symbols: Sequence[str]) -> None:
    frames = [made_up_bars([symbol], FIRST, LAST) for symbol in symbols]
    with lake.write() as cursor:
        cursor.execute(f"CREATE TABLE single_bars AS SELECT {_COLUMNS} FROM bars LIMIT 0")
        cursor.execute("ALTER TABLE single_bars SET PARTITIONED BY (market, year(session))")
    for symbol, frame in zip(symbols, frames, strict=True):
        with lake.write() as cursor:
            cursor.register("one", frame)
            cursor.execute("DELETE FROM single_bars WHERE symbol = ?", [symbol])
            cursor.execute(f"INSERT INTO single_bars SELECT {_WRITTEN} FROM one")
            cursor.unregister("one")


def bench_session(lake: Lake, provider: MadeUpMarket) -> None:
    one = made_up_bars(SYMBOLS, NEXT, NEXT)

    def bare() -> None:
        with lake.write() as cursor:
            cursor.register("one", one)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS bare_bars AS SELECT {_COLUMNS} FROM bars LIMIT 0")
            cursor.execute(f"INSERT INTO bare_bars SELECT {_WRITTEN} FROM one")
            cursor.unregister("one")

    def collect(rounds: int) -> float:
        """Seconds of the product: what it takes to make the rows up is not its own."""
        provider.seconds = 0.0
        whole = seconds(lambda: collect_session(lake, "us", market(FIRST), provider, XNYS, SYMBOLS, NEXT, NOW), rounds)
        return whole - provider.seconds / rounds

    bare()
    reference = seconds(bare)
    row("one more session, checked against five before it", collect(1), reference, "the bare transaction")
    row("the same session again, nothing written", collect(5), reference, "the bare transaction")


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
    name = SYMBOLS[len(SYMBOLS) // 2]
    single = bare(f"SELECT session, close FROM bars WHERE market = 'us' AND symbol = '{name}' ORDER BY session")
    begin = XNYS.sessions(FIRST, LAST)[-60]
    window = bare("SELECT symbol, session, close FROM bars WHERE market = 'us' AND session >= ?", begin)
    row("last price of all", seconds(lambda: last_closes(lake, "us", NEXT), READ_ROUNDS), newest, "the bare query")
    row("a known session", seconds(lambda: session_bars(lake, "us", LAST), READ_ROUNDS), known, "the bare query")
    whole = seconds(lambda: close_matrix(lake, "us", [name], FIRST, LAST), READ_ROUNDS)
    row("one symbol, ten years, as a matrix", whole, single, "the bare query")
    recent = seconds(lambda: close_matrix(lake, "us", SYMBOLS, begin, LAST), READ_ROUNDS)
    row("60 sessions of all, as a matrix", recent, window, "the bare query")


def main() -> None:
    provider = MadeUpMarket()
    with tempfile.TemporaryDirectory() as name:
        new_lake(Path(name)).close()
        lake = TimedLake(LakeLocation.embedded(Path(name) / "lake"))
        bench_bulk(lake, provider, Path(name))
        bench_session(lake, provider)
        bench_reads(lake)
        lake.close()


if __name__ == "__main__":
    main()
