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
from scizor_dagster.market_data.refetch import RESTATED, UNIT_ERROR
from scizor_dagster.market_data.revisions import STORED_AT, withdraw_series
from scizor_dagster.market_data.way_out import again_command

_OF_SERIES = ("quarantined_bars", "adjustment_factors")
"""What was found of the old bars, and is found again of the new ones; a bar of uncertain identity is not."""
_NAMED = 5


def set_aside(
    lake: Lake, origin: Origin, again_as: Adjustment, symbols: Sequence[str] = (), *, force: bool = False
) -> int:
    """Keep as revisions, and take out of the bars, all series of another adjustment; or those of `symbols` alone.

    Made-up bars are never set aside for real ones, nor the other way round. Of `symbols` those are left that were set
    aside within a day and have no older bar: a run that was killed is resumed. Not so with `force`, and where the
    source has given them otherwise since.

    Returns:
        The number of bars.

    Raises:
        InputError: the source does not give `again_as`, or others than `symbols` are on another adjustment.
    """
    if again_as != origin.adjustment:
        raise InputError(
            f"{origin.source}, the source of '{origin.market}', gives {origin.adjustment} prices, not {again_as}.",
            remedy=f"Correct markets.{origin.market}.provider first, or use --again-as {origin.adjustment}.",
            where="--again-as",
        )
    with lake.write() as cursor:
        others = _on_another_basis(cursor, origin)
        chosen = others
        if symbols:
            _check_alone(origin, sorted(set(others) - set(symbols)))
            anew = set() if force else _anew_already(cursor, origin, symbols)
            left = anew | _of_other_kind(cursor, origin, symbols)
            chosen = [symbol for symbol in symbols if symbol not in left]
        taken = withdraw_series(cursor, origin.market, chosen) if chosen else 0
        forget_dividends(cursor, origin.market, chosen)
        for table in _OF_SERIES if chosen else ():
            key: list[Any] = [origin.market, chosen]
            kept = "AND reason <> 'identity_uncertain'" if table == "quarantined_bars" else ""
            cursor.execute(f"DELETE FROM {table} WHERE market = ? AND symbol IN (SELECT unnest(?)) {kept}", key)
    return taken


def _on_another_basis(cursor: duckdb.DuckDBPyConnection, origin: Origin) -> list[str]:
    rows = cursor.execute(
        "SELECT DISTINCT symbol FROM bars WHERE market = ? AND synthetic = ? AND adjustment <> ? ORDER BY symbol",
        [origin.market, origin.synthetic, origin.adjustment],
    ).fetchall()
    return [str(symbol) for (symbol,) in rows]


def _of_other_kind(cursor: duckdb.DuckDBPyConnection, origin: Origin, symbols: Sequence[str]) -> set[str]:
    """Symbols with made-up bars where the source gives real ones, or the other way round."""
    rows = cursor.execute(
        "SELECT DISTINCT symbol FROM bars WHERE market = ? AND synthetic <> ? AND symbol IN (SELECT unnest(?))",
        [origin.market, origin.synthetic, list(symbols)],
    ).fetchall()
    return {str(symbol) for (symbol,) in rows}


def _check_alone(origin: Origin, others: Sequence[str]) -> None:
    """Refuse to take some series anew while `others` are on another basis: nothing could be stored beside them."""
    if not others:
        return
    names = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    raise InputError(
        f"Market '{origin.market}' has {len(others)} more symbols whose bars are not {origin.adjustment} prices "
        f"({names}); one market is never on two bases.",
        remedy=f"Collect the whole of it anew: {again_command(origin.market, origin.adjustment)}.",
        where="--again-as",
    )


def _anew_already(cursor: duckdb.DuckDBPyConnection, origin: Origin, symbols: Sequence[str]) -> set[str]:
    rows = cursor.execute(
        f"""
        SELECT r.symbol FROM (
            SELECT symbol, max(replaced_at) AS since FROM bar_revisions
            WHERE market = $market AND reason = 'set_aside' AND symbol IN (SELECT unnest($symbols))
                AND replaced_at > now() - INTERVAL 1 DAY GROUP BY symbol) r
        WHERE NOT EXISTS (SELECT 1 FROM bars b WHERE b.market = $market AND b.symbol = r.symbol
                          AND (b.adjustment <> $adjustment OR {STORED_AT} < r.since))
            AND NOT EXISTS (SELECT 1 FROM quarantined_bars q WHERE q.market = $market AND q.symbol = r.symbol
                            AND q.reason IN ('{RESTATED}', '{UNIT_ERROR}'))
        """,
        {"market": origin.market, "symbols": list(symbols), "adjustment": origin.adjustment},
    ).fetchall()
    return {str(symbol) for (symbol,) in rows}
