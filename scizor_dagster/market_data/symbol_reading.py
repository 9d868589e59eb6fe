"""What others read of symbols: which are collected, who was tracked when, and the provider's ids.

What belongs here: queries over the book of one market. What does not: changing it (`symbols`), instruments as the
planner takes them (`reading`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from scizor_dagster.errors import DataError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.symbol_rows import SymbolRow
from scizor_dagster.market_data.symbol_store import read_book


@dataclass(frozen=True, slots=True)
class TrackedUniverse:
    """Who was tracked in `session`, by the names under which their bars stand.

    Attributes:
        known_since: First day of which that is known.
    """

    session: date
    symbols: tuple[str, ...]
    known_since: date


def universe_as_of(lake: Lake, market: str, session: date) -> TrackedUniverse:
    """The symbols that were tracked in `session`, also those that have been retired since.

    A backtest on today's universe knows who survived; this one does not. A company that has lost its ticker to
    another is named as its bars are, `WM@2019-12-31`.

    Raises:
        DataError: who was tracked then is not known: nothing was recorded before the first day.
    """
    with lake.read() as cursor:
        since = cursor.execute(
            f"SELECT min(since) FROM {whole('universe_history')} WHERE market = ?", [market]
        ).fetchone()
        rows = cursor.execute(
            f"SELECT DISTINCT symbol FROM {whole('universe_history')} WHERE market = $market AND since <= $session "
            "AND (until IS NULL OR until > $session) ORDER BY symbol",
            {"market": market, "session": session},
        ).fetchall()
    first = since[0] if since else None
    if first is None or session < first:
        begins = f"; its history begins on {first}" if first else " at all"
        raise DataError(
            f"Who was in the universe of market '{market}' on {session} is not known{begins}.",
            remedy="Begin later, or state that the backtest is on today's universe (survivorship bias).",
            where=f"market {market}",
        )
    return TrackedUniverse(session, tuple(str(symbol) for (symbol,) in rows), first)


def symbol_rows(lake: Lake, market: str) -> tuple[SymbolRow, ...]:
    """The state of every symbol that is or was tracked, by name."""
    with lake.read() as cursor:
        rows = read_book(cursor, market).rows
    return tuple(rows[symbol] for symbol in sorted(rows))


def collected_symbols(lake: Lake, market: str, symbols: Sequence[str]) -> list[str]:
    """Those of `symbols` whose bars are to be collected; all of them where nothing was ever verified."""
    known = {row.symbol: row.collected for row in symbol_rows(lake, market)}
    return [symbol for symbol in symbols if not known or known.get(symbol, False)]


def contract_ids(lake: Lake, market: str) -> dict[str, int]:
    """IBKR's contract id by symbol, of the symbols that were verified there.

    A contract built from its id needs no question for its details.
    """
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT symbol, provider_id FROM {whole('symbols')} WHERE market = ? AND verified AND retired_on IS NULL "
            "AND split_part(source, ':', 1) = 'ibkr' AND provider_id <> ''",
            [market],
        ).fetchall()
    return {str(symbol): int(found) for symbol, found in rows}
