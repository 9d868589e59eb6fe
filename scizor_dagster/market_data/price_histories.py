"""Whole histories of prices as Arrow tables, of several symbols in one reading.

What belongs here: the one query, and cutting its answer apart. What does not: which of them are kept (the services),
frames for the flow (`reading`).

To plan a query on the lake, and to open its files, takes most of the time: to read fifty symbols costs hardly more than
to read one.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import TYPE_CHECKING

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.adjustment import VIEW_OF_SYMBOLS

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("bars", "adjustment_factors")
"""What the answer is made from."""


_CHANGED = """
WITH added AS (FROM lake.table_insertions('adjustment_factors', $first::BIGINT, $last::BIGINT) WHERE market = $market),
removed AS (FROM lake.table_deletions('adjustment_factors', $first::BIGINT, $last::BIGINT) WHERE market = $market),
new AS (SELECT symbol, first_session, split_factor, total_return_factor FROM added),
old AS (SELECT symbol, first_session, split_factor, total_return_factor FROM removed)
SELECT symbol FROM lake.table_insertions('bars', $first::BIGINT, $last::BIGINT) WHERE market = $market
UNION SELECT symbol FROM lake.table_deletions('bars', $first::BIGINT, $last::BIGINT) WHERE market = $market
UNION SELECT symbol FROM (FROM new EXCEPT FROM old) UNION SELECT symbol FROM (FROM old EXCEPT FROM new)
"""


def changed_symbols(lake: Lake, market: str, since: int, until: int) -> set[str] | None:
    """Symbols whose history was changed after snapshot `since`, up to `until`; None where that is not known any more.

    It costs as much as what was written in between, whatever else is stored. Factors are written for a whole market:
    those that are as they were before are no change.
    """
    if since < 0 or since >= until:
        return set() if since == until else None
    try:
        with lake.read() as cursor:
            rows = cursor.execute(_CHANGED, {"market": market, "first": since + 1, "last": until}).fetchall()
    except duckdb.Error:
        # Clean-up has taken a snapshot, or the table was made anew in between.
        return None
    return {str(symbol) for (symbol,) in rows}


def price_histories(lake: Lake, market: str, symbols: Collection[str]) -> dict[str, pa.Table]:
    """Everything that is stored of each of `symbols`, by session; an empty table where that is nothing.

    Columns: session (`date32`), those of prices and volumes of the view `prices` (`double`, in the instrument's
    currency and in shares), synthetic, source. What a source does not give is NULL.
    """
    import numpy as np

    with lake.read() as cursor:
        found = cursor.execute(
            f"SELECT * EXCLUDE (market, adjustment, fetched_at) FROM ({VIEW_OF_SYMBOLS}) ORDER BY symbol, session",
            {"market": market, "symbols": list(symbols), "lowest": min(symbols), "highest": max(symbols)},
        ).to_arrow_table()
    names = found.column("symbol").combine_chunks()
    rows = found.drop_columns(["symbol"]).combine_chunks()
    codes = names.dictionary_encode()
    begins = np.flatnonzero(np.diff(codes.indices.to_numpy(), prepend=-1))
    # A slice would keep the whole answer in memory.
    cut = {
        names[int(begin)].as_py(): rows.take(np.arange(begin, end)) for begin, end in pairwise([*begins, len(names)])
    }
    return {symbol: cut.get(symbol, rows.slice(0, 0)) for symbol in symbols}
