"""The view `prices`: raw, split-adjusted and total-return columns side by side, and the factors behind it.

What belongs here: computing `adjustment_factors` from stored actions and bars, and the view's SQL. What
does not: the formula (`factors`), collecting (`collect`).

What a source does not give is NULL, never computed back: a split-adjusted source has no raw columns, a
total-return one neither raw nor split columns. A symbol without factors has no adjusted columns.
`total_return_close` holds the dividends that are stored as actions, and no others; a spin-off from a raw series counts
as a dividend of the new share's first close, where that is collected too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.factors import ExDay, symbol_factors
from scizor_dagster.market_data.reports import PricesReport, SkippedAction
from scizor_dagster.market_data.revisions import STORED_AT

if TYPE_CHECKING:
    import pandas as pd

_SOURCE = "corporate_actions"
SPUN_WITHIN = timedelta(days=10)
"""How long after a spin-off the new share's first close still says what the parent's price has lost by it."""

_RAW = ", ".join(
    f"CASE WHEN b.adjustment = 'raw' THEN b.{name} END AS raw_{name}" for name in ("open", "high", "low", "close")
)
_SPLIT = ", ".join(
    f"CASE b.adjustment WHEN 'raw' THEN b.{name} * f.split_factor WHEN 'split' THEN b.{name} END AS split_{name}"
    for name in ("open", "high", "low", "close")
)
COLUMNS = f"""
SELECT b.market, b.symbol, b.session, {_RAW}, b.volume, {_SPLIT},
    CASE b.adjustment WHEN 'raw' THEN b.volume / f.split_factor WHEN 'split' THEN b.volume END
        AS split_volume,
    CASE b.adjustment WHEN 'total_return' THEN b.close ELSE b.close * f.total_return_factor END
        AS total_return_close,
    b.adjustment, b.synthetic, b.source, b.fetched_at
"""
_JOINED = f"""{COLUMNS}
FROM {{bars}} b ASOF LEFT JOIN adjustment_factors f
    ON b.market = f.market AND b.symbol = f.symbol AND b.session >= f.first_session
"""
VIEW = _JOINED.format(bars="bars")
VIEW_OF_SYMBOLS = _JOINED.format(
    bars="(FROM bars WHERE market = $market AND symbol BETWEEN $lowest AND $highest "
    "AND symbol IN (SELECT unnest($symbols)))"
)
"""The same of few symbols. A condition on the view itself is looked at only once everything has been joined."""
BELIEVED = f"""{COLUMNS}
FROM (
    SELECT * EXCLUDE (replaced_at, last_snapshot, reason) FROM bar_revisions
    WHERE {STORED_AT} <= $as_of AND replaced_at > $as_of
    UNION ALL BY NAME SELECT * FROM bars WHERE {STORED_AT} <= $as_of
) b LEFT JOIN (SELECT NULL::DOUBLE AS split_factor, NULL::DOUBLE AS total_return_factor) f ON true
"""
"""The same as of an instant from bars and their revisions alone: what needs factors is NULL, they are not kept."""
_VIEW_VERSION = "scizor prices 1"

_EX_DAYS = f"""
WITH ends AS (SELECT max(session) AS session FROM bars WHERE market = $market),
series AS (SELECT DISTINCT symbol, adjustment FROM bars WHERE market = $market),
spun AS (SELECT symbol, session, close FROM bars WHERE market = $market AND adjustment = 'raw' AND symbol IN
    (SELECT new_symbol FROM {whole("corporate_actions")} WHERE market = $market AND kind = 'spin_off')),
actions AS (
    SELECT symbol, ex_session, kind, ratio, amount, currency FROM {whole("corporate_actions")}
    WHERE market = $market AND kind IN ('split', 'dividend')
    UNION ALL
    SELECT a.symbol, a.ex_session, a.kind, NULL, a.ratio * n.close, NULL
    FROM {whole("corporate_actions", "a")} ASOF JOIN spun n ON a.new_symbol = n.symbol AND a.ex_session <= n.session
    WHERE a.market = $market AND a.kind = 'spin_off' AND n.session <= a.ex_session + $spun_within
),
days AS (
    SELECT a.symbol, a.ex_session, s.adjustment,
        coalesce(product(a.ratio) FILTER (a.kind = 'split' AND s.adjustment = 'raw'), 1.0) AS ratio,
        coalesce(sum(a.amount) FILTER (
            a.kind = 'dividend' AND s.adjustment <> 'total_return' OR a.kind = 'spin_off' AND s.adjustment = 'raw'
        ), 0.0) AS amount,
        list(DISTINCT a.currency) FILTER (a.kind = 'dividend') AS paid_in
    FROM actions a JOIN series s USING (symbol)
    WHERE a.ex_session <= (SELECT session FROM ends)
    GROUP BY ALL
)
SELECT d.symbol, d.ex_session, d.ratio, d.amount, b.session AS previous_session, b.close AS previous_close,
    d.paid_in, y.currency
FROM days d ASOF LEFT JOIN (SELECT symbol, session, close FROM bars WHERE market = $market) b
    ON d.symbol = b.symbol AND d.ex_session > b.session
LEFT JOIN (SELECT symbol, currency FROM {whole("symbols")} WHERE market = $market) y ON y.symbol = d.symbol
ORDER BY d.symbol, d.ex_session
"""
_WITHOUT_A_PRICE = f"""
SELECT a.symbol, a.ex_session, a.kind, a.new_symbol FROM {whole("corporate_actions", "a")}
WHERE a.market = $market AND a.kind IN ('spin_off', 'rights')
    AND a.ex_session <= (SELECT max(session) FROM bars WHERE market = $market)
    AND a.symbol IN (SELECT symbol FROM bars WHERE market = $market AND adjustment = 'raw')
    AND NOT (a.kind = 'spin_off' AND EXISTS (
        SELECT 1 FROM bars n WHERE n.market = $market AND n.symbol = a.new_symbol AND n.adjustment = 'raw'
            AND n.session BETWEEN a.ex_session AND a.ex_session + $spun_within))
ORDER BY a.symbol, a.ex_session
"""


def rebuild_prices(lake: Lake, market_name: str, now: datetime) -> PricesReport:
    """Compute the factors of every symbol with bars, and make the view `prices` if it is not there.

    Actions that take effect after the last stored session wait. A dividend in another currency than its
    instrument's, without a close in the 30 days before it, or not smaller than that close makes no factor and is
    reported. Written in one transaction; nothing is written when nothing changed.
    """
    with lake.write() as cursor:
        days, skipped = _ex_days(cursor, market_name)
        names = cursor.execute("SELECT DISTINCT symbol FROM bars WHERE market = ? ORDER BY 1", [market_name]).fetchall()
        by_symbol = {symbol: list(group) for symbol, group in groupby(days, key=lambda day: day.symbol)}
        rows: list[tuple[str, date, float, float]] = []
        for (symbol,) in names:
            factors, without = symbol_factors(by_symbol.get(symbol, []))
            skipped.extend(without)
            rows.extend((symbol, f.first_session, f.split, f.total_return) for f in factors)
        changed = _store(cursor, market_name, rows, now)
        made = _ensure_view(cursor)
    return PricesReport(market_name, len(names), len(rows), tuple(skipped), changed or made)


def _ex_days(cursor: duckdb.DuckDBPyConnection, market: str) -> tuple[list[ExDay], list[SkippedAction]]:
    days: list[ExDay] = []
    skipped: list[SkippedAction] = []
    asked = {"market": market, "spun_within": SPUN_WITHIN}
    for symbol, ex_session, kind, new in cursor.execute(_WITHOUT_A_PRICE, asked).fetchall():
        skipped.append(SkippedAction(symbol, ex_session, f"{kind} of {new}, whose price then is not stored"))
    for row in cursor.execute(_EX_DAYS, asked).fetchall():
        symbol, ex_session, ratio, amount, previous_session, previous_close, paid_in, currency = row
        foreign = sorted(
            paid for paid in paid_in or [] if paid is not None and currency is not None and paid != currency
        )
        if amount and foreign:
            skipped.append(SkippedAction(symbol, ex_session, f"it pays in {foreign[0]}, the price is in {currency}"))
            amount = 0.0
        days.append(ExDay(symbol, ex_session, ratio, amount, previous_session, previous_close))
    return days, skipped


def _store(cursor: duckdb.DuckDBPyConnection, market: str, rows: Sequence[tuple[Any, ...]], now: datetime) -> bool:
    stored = cursor.execute(
        "SELECT symbol, first_session, split_factor, total_return_factor FROM adjustment_factors "
        "WHERE market = ? ORDER BY symbol, first_session",
        [market],
    ).fetchall()
    if stored == list(rows):
        return False
    replace_rows(cursor, "adjustment_factors", _frame(market, rows, now), "market = ?", [market])
    return True


def _frame(market: str, rows: Sequence[tuple[Any, ...]], now: datetime) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["symbol", "first_session", "split_factor", "total_return_factor"])
    return frame.assign(market=market, source=_SOURCE, fetched_at=now)


def _ensure_view(cursor: duckdb.DuckDBPyConnection) -> bool:
    row = cursor.execute(
        "SELECT comment FROM duckdb_views() WHERE database_name = 'lake' AND view_name = 'prices'"
    ).fetchone()
    if row is not None and row[0] == _VIEW_VERSION:
        return False
    cursor.execute(f"CREATE OR REPLACE VIEW prices AS {VIEW}")
    cursor.execute(f"COMMENT ON VIEW prices IS '{_VIEW_VERSION}'")
    return True
