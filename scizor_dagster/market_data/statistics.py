"""Numbers about stored bars that stop nothing and make a person look: outliers and restatements.

What belongs here: queries over many bars that give a few rows. What does not: bars that are not believed at all
(`plausibility`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.quality import TOLERANCE

if TYPE_CHECKING:
    import pandas as pd

USUAL_OVER = timedelta(days=365)
TIMES_USUAL = 12.0
LEAST_MOVE = 0.15
MOST_OUTLIERS = 50
_VALUES = ("open", "high", "low", "close", "volume")
_NOISE = 1e-6
"""What a comparison takes for equal, too (`overlap`)."""


def outliers(lake: Lake, market: str, first: date, last: date) -> pd.DataFrame:
    """The moves from close to close of at least 15 % that are more than twelve times the instrument's usual one.

    Usual is the median size of a move over the year up to `last`. A split that is a stored action is no move.

    Columns: symbol, session, move (a fraction), usual (a fraction); the largest 50 for their instrument.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            f"""
            WITH series AS (SELECT symbol, session, close, adjustment,
                lag(close) OVER (PARTITION BY symbol ORDER BY session) AS before,
                lag(session) OVER (PARTITION BY symbol ORDER BY session) AS day_before
                FROM bars WHERE market = $market AND session BETWEEN $since AND $last),
            splits AS (SELECT symbol, ex_session, ratio FROM {whole("corporate_actions")}
                       WHERE market = $market AND kind = 'split' AND ratio > 0),
            factors AS (SELECT s.symbol, s.session, product(x.ratio) AS factor FROM series s JOIN splits x
                ON x.symbol = s.symbol AND x.ex_session > s.day_before AND x.ex_session <= s.session
                WHERE s.adjustment = 'raw' GROUP BY ALL),
            moves AS (SELECT symbol, session, close * coalesce(factor, 1.0) / before - 1 AS move
                      FROM series LEFT JOIN factors USING (symbol, session) WHERE before IS NOT NULL),
            sizes AS (SELECT symbol, median(abs(move)) AS usual FROM moves GROUP BY symbol)
            SELECT symbol, session, move, usual FROM moves JOIN sizes USING (symbol)
            WHERE session >= $first AND abs(move) >= $least AND abs(move) > $times * usual
            ORDER BY abs(move) / greatest(usual, 1e-9) DESC, symbol, session LIMIT $most
            """,
            {
                "market": market,
                "since": min(first, last - USUAL_OVER),
                "first": first,
                "last": last,
                "least": LEAST_MOVE,
                "times": TIMES_USUAL,
                "most": MOST_OUTLIERS,
            },
        ).df()
    frame["session"] = [stamp.date() for stamp in frame["session"]]
    return frame


def impossible_bars(lake: Lake, market: str, session: date) -> list[str]:
    """Symbols with a stored bar of the session that no collection would have stored, or with two of them.

    The rules of `lake.schemas.bars_schema` as one question, quick enough to be asked before every plan.
    """
    with lake.read() as cursor:
        rows = cursor.execute(
            """
            SELECT symbol FROM bars WHERE market = $1 AND session = $2 GROUP BY symbol
            HAVING count(*) > 1 OR NOT bool_and(isfinite(open) AND isfinite(high) AND isfinite(low) AND isfinite(close)
                AND low > 0 AND isfinite(volume) AND volume >= 0 AND high >= low * (1 - $3)
                AND open BETWEEN low * (1 - $3) AND high * (1 + $3)
                AND close BETWEEN low * (1 - $3) AND high * (1 + $3))
            ORDER BY symbol
            """,
            [market, session, TOLERANCE],
        ).fetchall()
    return [str(symbol) for (symbol,) in rows]


def restatements(lake: Lake, market: str, first: date, last: date) -> int:
    """Bars of the sessions from `first` to `last` that their source has given anew with other values.

    A bar of another source in its place is none, nor one that was fetched too early or is on another basis now.
    """
    changed = " OR ".join(f"abs(later.{name} - {name}) > $noise * abs({name})" for name in _VALUES)
    with lake.read() as cursor:
        row = cursor.execute(
            f"""
            WITH revised AS (SELECT symbol, session, {", ".join(_VALUES)}, source, replaced_at, reason
                FROM bar_revisions WHERE market = $market AND session BETWEEN $first AND $last),
            beliefs AS (SELECT * FROM revised UNION ALL
                SELECT symbol, session, {", ".join(_VALUES)}, source, NULL, '' FROM bars
                SEMI JOIN revised USING (symbol, session)
                WHERE market = $market AND session BETWEEN $first AND $last),
            turns AS (SELECT *, lead(struct_pack({", ".join(_VALUES)}, source)) OVER (
                PARTITION BY symbol, session ORDER BY replaced_at NULLS LAST) AS later FROM beliefs)
            SELECT count(DISTINCT (symbol, session)) FROM turns
            WHERE reason NOT IN ('', 'set_aside', 'preferred_source', 'fetched_early')
                AND later.source = source AND ({changed})
            """,
            {"market": market, "first": first, "last": last, "noise": _NOISE},
        ).fetchone()
    return int(row[0]) if row else 0
