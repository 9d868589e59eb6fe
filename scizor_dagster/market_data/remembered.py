"""What a source is remembered not to have: when that is doubted, and taking out of it what has come since.

What belongs here: SQL over `absent_bars`, inside a caller's transaction. What does not: which bars are missing
(`missing`), and why, for a person (`absences`).

An answer without a single bar proves little: a source that does not know a new symbol yet answers like one that has no
bars of it. What was remembered before the first bar of a symbol came is doubted, and asked for again after a week. What
was remembered beside bars is believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.bar_store import Origin

if TYPE_CHECKING:
    import pandas as pd

DOUBT_REST = timedelta(days=7)

FIRST_BARS = """
    first_bars AS (
        SELECT symbol, min(fetched_at) AS came FROM bars
        WHERE market = $market AND symbol IN (SELECT symbol FROM absent_bars
            WHERE market = $market AND source = $asked AND fetched_at <= $doubted_before)
        GROUP BY symbol)"""
"""When the first stored bar of a symbol came, of those whose absences are old enough to be doubted."""
IS_DOUBTED = (
    "(a.settled IS NOT FALSE AND a.fetched_at <= $doubted_before AND (f.came IS NULL OR f.came > a.fetched_at))"
)
"""Of an absence `a`, beside `f`, the row of `first_bars` for its symbol."""


def forget(
    cursor: duckdb.DuckDBPyConnection,
    origin: Origin,
    asked: pd.DataFrame,
    sessions: Sequence[date],
) -> None:
    """Take out of what is remembered of `symbols` the bars that have come, and doubted sessions that were `asked`.

    An absence is shortened, split or deleted. What the source has still not is then noted anew.

    Args:
        cursor: Of `Lake.write`.
        origin: Of the answer.
        asked: Columns symbol, first, last: the days that each was asked for, and answered.
        sessions: Every session that may be asked for, ascending.
    """
    key: dict[str, Any] = {"market": origin.market, "asked": origin.names, "symbols": asked["symbol"].tolist()}
    remembered = "a.market = $market AND a.source = $asked AND a.symbol IN (SELECT unnest($symbols))"
    # Mostly nothing is remembered, and bars are many.
    if cursor.execute(f"SELECT 1 FROM {whole('absent_bars', 'a')} WHERE {remembered} LIMIT 1", key).fetchone() is None:
        return
    found = cursor.execute(
        f"""
        WITH {FIRST_BARS},
        come AS (SELECT a.symbol, a.first_session, a.last_session, list(b.session) AS days
                 FROM absent_bars a JOIN bars b ON b.market = $market AND b.symbol = a.symbol
                     AND b.session BETWEEN a.first_session AND a.last_session
                 WHERE {remembered} GROUP BY ALL)
        SELECT a.symbol, a.first_session, a.last_session, a.settled, a.fetched_at, c.days, {IS_DOUBTED} AS doubted
        FROM absent_bars a LEFT JOIN first_bars f ON f.symbol = a.symbol
            LEFT JOIN come c ON c.symbol = a.symbol AND c.first_session = a.first_session
                AND c.last_session = a.last_session
        WHERE {remembered} AND (c.days IS NOT NULL OR doubted)
        """,
        key | {"doubted_before": origin.fetched_at - DOUBT_REST},
    ).fetchall()
    days_of = zip(asked["first"].dt.date, asked["last"].dt.date, strict=True)
    ranges = dict(zip(asked["symbol"].tolist(), days_of, strict=True))
    for symbol, first, last, settled, fetched_at, days, doubted in found:
        covered = [day for day in sessions if first <= day <= last]
        begin, end = ranges[symbol]
        gone = {*(days or ()), *(day for day in covered if doubted and begin <= day <= end)}
        if not gone:
            continue
        cursor.execute(
            "DELETE FROM absent_bars WHERE market = ? AND source = ? AND symbol = ? AND first_session = ? "
            "AND last_session = ? AND settled IS NOT DISTINCT FROM ?",
            [origin.market, origin.names, symbol, first, last, settled],
        )
        for begin, end in _runs(covered, gone):
            cursor.execute(
                "INSERT INTO absent_bars (market, symbol, first_session, last_session, settled, source, fetched_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [origin.market, symbol, begin, end, settled, origin.names, fetched_at],
            )


def _runs(sessions: Sequence[date], gone: set[date]) -> Iterator[tuple[date, date]]:
    """First and last of each run of `sessions` without one that is `gone`."""
    run: list[date] = []
    for day in sessions:
        if day in gone:
            if run:
                yield run[0], run[-1]
            run = []
        else:
            run.append(day)
    if run:
        yield run[0], run[-1]
