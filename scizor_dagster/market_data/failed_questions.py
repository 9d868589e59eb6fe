"""Questions about single symbols that a source did not answer: what is kept of them.

What belongs here: SQL over `failed_questions`, inside a caller's transaction. What does not: when the source itself is
at fault (`symbol_failures`), and which questions were answered (`missing`).

A question that failed says nothing about the symbol: no absence is noted, and it is asked again with the next
collection. What is kept says why the bar is missing until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.bar_store import Origin
from scizor_dagster.market_data.provider import SymbolFailure

if TYPE_CHECKING:
    import pandas as pd


_OVERLAP = "f.market = $market AND a.symbol = f.symbol AND f.last_session >= a.first AND f.first_session <= a.last"
_ASKED = "(SELECT symbol, CAST(first AS DATE) AS first, CAST(last AS DATE) AS last FROM asked_ranges)"
_BEFORE_AND_AFTER = f"""
    INSERT INTO failed_questions
    SELECT f.* REPLACE (a.first - 1 AS last_session) FROM failed_questions f JOIN {_ASKED} a ON {_OVERLAP}
    WHERE f.first_session < a.first
    UNION ALL
    SELECT f.* REPLACE (a.last + 1 AS first_session) FROM failed_questions f JOIN {_ASKED} a ON {_OVERLAP}
    WHERE f.last_session > a.last"""
_ASKED_SINCE = f"DELETE FROM failed_questions f WHERE EXISTS (SELECT 1 FROM {_ASKED} a WHERE {_OVERLAP})"


def note_failed(
    cursor: duckdb.DuckDBPyConnection, origin: Origin, asked: pd.DataFrame, failed: Mapping[str, SymbolFailure]
) -> None:
    """Keep which of the symbols asked for failed, in place of what was kept of the same days.

    Args:
        cursor: Of `Lake.write`.
        origin: Of the answer.
        asked: Columns symbol, first, last: the days that were asked for.
        failed: By symbol.
    """
    noted = cursor.execute(
        f"SELECT 1 FROM {whole('failed_questions')} WHERE market = ? LIMIT 1", [origin.market]
    ).fetchone()
    if not failed and noted is None:
        return
    cursor.register("asked_ranges", asked)
    try:
        cursor.execute(_BEFORE_AND_AFTER, {"market": origin.market})
        cursor.execute(_ASKED_SINCE, {"market": origin.market})
    finally:
        cursor.unregister("asked_ranges")
    rows = asked[asked["symbol"].isin(list(failed))]
    for symbol, first, last in zip(rows["symbol"], rows["first"], rows["last"], strict=True):
        failure = failed[symbol]
        cursor.execute(
            "INSERT INTO failed_questions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [origin.market, symbol, first.date(), last.date(), failure.reason, failure.words, origin.source,
             origin.fetched_at],
        )  # fmt: skip
