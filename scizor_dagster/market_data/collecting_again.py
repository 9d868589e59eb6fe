"""Setting stored series aside, so that a market's history can be collected anew on another basis.

What belongs here: what is set aside and kept as revisions. What does not: collecting it anew, which is filling gaps
as ever (`history`), and whether bases differ (`bar_store`).

Everything of another basis goes in one transaction: from then on the market has bars of one basis alone, and what is
not collected again yet is a gap without a reason, on which nothing is planned. A run that is killed is resumed like
any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import Origin
from scizor_dagster.market_data.observed_dividends import forget_dividends
from scizor_dagster.market_data.provider import Adjustment
from scizor_dagster.market_data.revisions import withdraw_series

_OF_SERIES = ("quarantined_bars", "adjustment_factors")
"""What was found of the old bars, and is found again of the new ones; a bar of uncertain identity is not."""


def set_aside(lake: Lake, origin: Origin, again_as: Adjustment, symbols: Sequence[str] = ()) -> int:
    """Keep as revisions, and take out of the bars, all series of another adjustment and those of `symbols`.

    Made-up bars are never set aside for real ones, nor the other way round.

    Returns:
        The number of bars.

    Raises:
        InputError: the source does not give `again_as`.
    """
    if again_as != origin.adjustment:
        raise InputError(
            f"{origin.source}, the source of '{origin.market}', gives {origin.adjustment} prices, not {again_as}.",
            remedy=f"Correct markets.{origin.market}.provider first, or use --again-as {origin.adjustment}.",
            where="--again-as",
        )
    with lake.write() as cursor:
        chosen = _chosen(cursor, origin, symbols)
        taken = withdraw_series(cursor, origin.market, chosen) if chosen else 0
        forget_dividends(cursor, origin.market, chosen)
        for table in _OF_SERIES if chosen else ():
            key: list[Any] = [origin.market, chosen]
            kept = "AND reason <> 'identity_uncertain'" if table == "quarantined_bars" else ""
            cursor.execute(f"DELETE FROM {table} WHERE market = ? AND symbol IN (SELECT unnest(?)) {kept}", key)
    return taken


def _chosen(cursor: duckdb.DuckDBPyConnection, origin: Origin, symbols: Sequence[str]) -> list[str]:
    rows = cursor.execute(
        "SELECT DISTINCT symbol FROM bars WHERE market = ? AND synthetic = ? "
        "AND (adjustment <> ? OR symbol IN (SELECT unnest(?))) ORDER BY symbol",
        [origin.market, origin.synthetic, origin.adjustment, list(symbols)],
    ).fetchall()
    return [str(symbol) for (symbol,) in rows]
