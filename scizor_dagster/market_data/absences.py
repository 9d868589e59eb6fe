"""Which bars are not there, and why: the reason of every missing session of every tracked symbol.

What belongs here: the closed set of reasons, and the one query that gives them. What does not: whether a plan may
be made all the same (`flow.trust`), and filling gaps (`history`, `session_bars`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.bar_store import ended
from scizor_dagster.market_data.provider import SymbolReason

if TYPE_CHECKING:
    import pandas as pd


class Absence(StrEnum):
    """Why a symbol has no believed bar of a session.

    `NOT_COLLECTED` is the one that explains nothing: the source was not asked, or has not been asked since.
    """

    RETIRED = "retired"
    """It is tracked no more; its row says since when and why."""
    DELISTED = "delisted"
    """It was taken off its exchange on or before the session."""
    QUARANTINED = "quarantined"
    """There is a bar that is not believed; the detail says which rule it broke."""
    NOT_LISTED_YET = "not_listed_yet"
    """The source was asked and begins with a later session."""
    NO_BAR_AT_SOURCE = "no_bar_at_source"
    """The source was asked and has none of this session: halted, or not traded."""
    UNKNOWN_AT_SOURCE = "unknown_at_source"
    """The source does not know the symbol, or not as one instrument."""
    SOURCE_ERROR = "source_error"
    """The source failed when it was asked for this symbol; the detail says how. It is asked again."""
    PENDING = "pending"
    """Nobody has answered yet which instrument the symbol is, so the source was not asked for its bars."""
    NO_PERMISSION = "no_permission"
    """The source does not show its bars to the account; it is retired for a week, and then asked for again."""
    NOT_COLLECTED = "not_collected"


COLUMNS = ("symbol", "session", "reason", "detail")
_MISSING = f"""
    WITH tracked AS (SELECT symbol, verified, reason AS objection, retired_on,
                     coalesce(nullif(note, ''), 'retired') AS note FROM {whole("symbols")} WHERE market = $market),
    wanted AS (SELECT symbol, session FROM tracked, (SELECT unnest($sessions) AS session)),
    stored AS (SELECT symbol, session FROM bars WHERE market = $market AND session BETWEEN $first AND $last),
    missing AS (SELECT symbol, session FROM wanted ANTI JOIN stored USING (symbol, session))"""
_ABSENCES = f"""{_MISSING},
    begins AS (SELECT symbol, min(session) AS begin FROM bars WHERE market = $market
               AND symbol IN (SELECT symbol FROM missing) GROUP BY symbol),
    refused AS (SELECT symbol, session, min(reason) AS rule, arg_min(detail, reason) AS detail
                FROM {whole("quarantined_bars")} WHERE market = $market AND session BETWEEN $first AND $last
                GROUP BY symbol, session),
    asked AS (SELECT DISTINCT m.symbol, m.session FROM missing m JOIN {whole("absent_bars", "a")} ON a.market = $market
              AND a.symbol = m.symbol AND m.session BETWEEN a.first_session AND a.last_session),
    failed AS (SELECT m.symbol, m.session, arg_max(f.reason || ': ' || f.detail, f.fetched_at) AS said
               FROM missing m JOIN {whole("failed_questions", "f")} ON f.market = $market AND f.symbol = m.symbol
               AND m.session BETWEEN f.first_session AND f.last_session GROUP BY m.symbol, m.session),
    newcomers AS (SELECT symbol, max(bars_from) AS bars_from FROM {whole("symbol_identities")}
                  WHERE market = $market AND until IS NULL AND bars_from IS NOT NULL GROUP BY symbol),
    empty AS (SELECT session FROM {whole("empty_sessions")}
              WHERE market = $market AND session BETWEEN $first AND $last),
    ended AS (SELECT unnest($ended::VARCHAR[]) AS symbol, unnest($ended_on::DATE[]) AS ended_on)
    SELECT m.symbol, m.session, CASE
        WHEN t.retired_on <= m.session THEN '{Absence.RETIRED}'
        WHEN e.ended_on <= m.session THEN '{Absence.DELISTED}'
        WHEN r.rule IS NOT NULL THEN '{Absence.QUARANTINED}'
        WHEN t.objection = '{SymbolReason.NO_PERMISSION}' THEN '{Absence.NO_PERMISSION}'
        WHEN m.session < n.bars_from OR (a.symbol IS NOT NULL AND m.session < b.begin) THEN '{Absence.NOT_LISTED_YET}'
        WHEN NOT t.verified AND t.objection = '{SymbolReason.PENDING}' THEN '{Absence.PENDING}'
        WHEN NOT t.verified THEN '{Absence.UNKNOWN_AT_SOURCE}'
        WHEN a.symbol IS NULL AND f.symbol IS NOT NULL THEN '{Absence.SOURCE_ERROR}'
        WHEN a.symbol IS NOT NULL OR y.session IS NOT NULL THEN '{Absence.NO_BAR_AT_SOURCE}'
        ELSE '{Absence.NOT_COLLECTED}' END AS reason,
    CASE reason WHEN '{Absence.RETIRED}' THEN t.note || ', on ' || t.retired_on
        WHEN '{Absence.DELISTED}' THEN 'on ' || e.ended_on
        WHEN '{Absence.QUARANTINED}' THEN r.rule || ': ' || coalesce(r.detail, '')
        WHEN '{Absence.NOT_LISTED_YET}' THEN 'begins on ' || coalesce(n.bars_from, b.begin)
        WHEN '{Absence.SOURCE_ERROR}' THEN f.said
        WHEN '{Absence.UNKNOWN_AT_SOURCE}' THEN t.note WHEN '{Absence.PENDING}' THEN t.note
        WHEN '{Absence.NO_PERMISSION}' THEN t.note ELSE '' END AS detail
    FROM missing m JOIN tracked t USING (symbol) LEFT JOIN begins b USING (symbol)
    LEFT JOIN refused r USING (symbol, session) LEFT JOIN asked a USING (symbol, session)
    LEFT JOIN newcomers n USING (symbol)
    LEFT JOIN failed f USING (symbol, session) LEFT JOIN empty y USING (session) LEFT JOIN ended e USING (symbol)
    ORDER BY m.symbol, m.session
"""


def absences(lake: Lake, market: str, sessions: Sequence[date]) -> pd.DataFrame:
    """Every session of `sessions`, which ascend, that a tracked symbol has no bar of.

    Columns: symbol, session (`datetime64`), reason (a value of `Absence`), detail.
    """
    import pandas as pd

    nothing = pd.DataFrame({name: pd.Series(dtype="str") for name in COLUMNS}).astype({"session": "datetime64[us]"})
    if not sessions:
        return nothing
    key = {"market": market, "sessions": list(sessions), "first": sessions[0], "last": sessions[-1]}
    with lake.read() as cursor:
        # Mostly nothing is missing, and reasons look at every bar of the market.
        if cursor.execute(f"{_MISSING} SELECT 1 FROM missing LIMIT 1", key).fetchone() is None:
            return nothing
        gone = ended(cursor, market, sessions[-1])
        return cursor.execute(_ABSENCES, key | {"ended": list(gone), "ended_on": list(gone.values())}).df()


def tracked_symbols(lake: Lake, market: str) -> tuple[str, ...]:
    """Every symbol that the market has a row of, retired ones included."""
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT symbol FROM {whole('symbols')} WHERE market = ? ORDER BY symbol", [market]
        ).fetchall()
    return tuple(str(symbol) for (symbol,) in rows)


def ranges_of(missing: pd.DataFrame, sessions: Sequence[date]) -> pd.DataFrame:
    """Rows of `absences` over `sessions` with sessions in a row, of one symbol and reason, as one.

    Columns: symbol, first, last, sessions (their number), reason, detail (of the first).
    """
    import pandas as pd

    number = {day: index for index, day in enumerate(sessions)}
    rows: list[list[object]] = []
    before: tuple[object, ...] = ()
    for symbol, stamp, reason, detail in missing.loc[:, list(COLUMNS)].itertuples(index=False, name=None):
        day = stamp.date()
        if before == (symbol, reason, number[day] - 1):
            rows[-1][2:4] = [day, int(str(rows[-1][3])) + 1]
        else:
            rows.append([symbol, day, day, 1, reason, detail])
        before = (symbol, reason, number[day])
    return pd.DataFrame(rows, columns=["symbol", "first", "last", "sessions", "reason", "detail"])
