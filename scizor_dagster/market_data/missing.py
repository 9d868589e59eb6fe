"""Which bars are missing, and which the source is known not to have.

What belongs here: SQL over the exchange's sessions, `bars`, `quarantined_bars` and `absent_bars`, inside a
caller's transaction. What does not: asking (`filling`) and writing bars (`bar_store`).

Missing = the sessions of the range, up to a symbol's delisting, less what is stored, and what was fetched before the
session's prices were final. A source that counts its calls is not asked twice for what it has said beside other bars
that it has not, nor within a week where it has said so without a single bar, or for a bar that was not believed. The
newest sessions are always asked for again, because sources are late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.bar_store import Origin, ended
from scizor_dagster.market_data.plausibility import Accepted
from scizor_dagster.market_data.remembered import DOUBT_REST, FIRST_BARS, IS_DOUBTED
from scizor_dagster.market_data.symbol_store import other_companys_floors

if TYPE_CHECKING:
    import pandas as pd

RECENT_SESSIONS = 5
QUARANTINE_REST = timedelta(days=7)

_BEGUN = "begun AS (SELECT unnest($begun::VARCHAR[]) AS symbol, unnest($begun_on::DATE[]) AS bars_from)"
_WANTED = """
    wanted AS (SELECT s.symbol, d.session FROM {symbols} s JOIN (SELECT unnest($sessions) AS session) d ON {on}
               LEFT JOIN begun b ON b.symbol = s.symbol
               WHERE b.bars_from IS NULL OR d.session >= b.bars_from)"""
_EVERY_SESSION = f"{_BEGUN}, {_WANTED.format(symbols='(SELECT unnest($symbols) AS symbol)', on='true')}"
_IN_RANGE = "d.session BETWEEN CAST(s.first AS DATE) AND CAST(s.last AS DATE)"
_ASKED_RANGES = f"{_BEGUN}, {_WANTED.format(symbols='asked_ranges', on=_IN_RANGE)}"
_LACKING = """
    stored AS (SELECT symbol, session FROM bars
               WHERE market = $market AND session BETWEEN $first AND $last),
    ended AS (SELECT unnest($ended::VARCHAR[]) AS symbol, unnest($ended_on::DATE[]) AS ex_session),
    expected AS (
        SELECT w.symbol, w.session,
            s.session IS NULL AND (e.ex_session IS NULL OR w.session < e.ex_session) AS lacking
        FROM wanted w LEFT JOIN stored s ON s.symbol = w.symbol AND s.session = w.session
             LEFT JOIN ended e ON e.symbol = w.symbol)"""

_NOTHING_KNOWN = """
    known AS (SELECT symbol, session FROM stored WHERE false),
    doubted AS (SELECT symbol, session FROM stored WHERE false)"""
_KNOWN = f"""
    {FIRST_BARS},
    absent AS (
        SELECT w.symbol, w.session, {IS_DOUBTED} AS is_doubted
        FROM wanted w JOIN {whole("absent_bars", "a")} ON a.market = $market AND a.source = $asked
            AND a.settled IS NOT FALSE AND a.symbol = w.symbol AND w.session BETWEEN a.first_session AND a.last_session
            LEFT JOIN first_bars f ON f.symbol = a.symbol
        WHERE w.session < $recent),
    doubted AS (SELECT symbol, session FROM absent GROUP BY ALL HAVING bool_and(is_doubted)),
    known AS (
        SELECT symbol, session FROM absent WHERE NOT is_doubted
        UNION
        SELECT symbol, session FROM {whole("quarantined_bars")}
        WHERE market = $market AND source = $source AND session BETWEEN $first AND $last AND session < $recent
            AND fetched_at > $rested AND (symbol, session) NOT IN
                (SELECT (unnest($accepted::VARCHAR[]), unnest($accepted_on::DATE[]))))"""

_NOTE_ABSENT = f"""
    INSERT INTO absent_bars (market, symbol, first_session, last_session, settled, source, fetched_at)
    WITH {_ASKED_RANGES}, {_LACKING},
    numbered AS (SELECT session, row_number() OVER (ORDER BY session) AS number
                 FROM (SELECT unnest($sessions) AS session)),
    absent AS (
        SELECT e.symbol, e.session, n.number FROM expected e JOIN numbered n USING (session)
        WHERE lacking AND NOT EXISTS (
            SELECT 1 FROM {whole("quarantined_bars", "q")}
            WHERE q.market = $market AND q.symbol = e.symbol AND q.session = e.session)
        AND NOT EXISTS (
            SELECT 1 FROM {whole("absent_bars", "a")}
            WHERE a.market = $market AND a.source = $source AND a.symbol = e.symbol
            AND (a.settled IS NOT FALSE OR NOT $settled)
            AND e.session BETWEEN a.first_session AND a.last_session)),
    runs AS (SELECT symbol, session, number - row_number() OVER (PARTITION BY symbol ORDER BY session) AS run
             FROM absent)
    SELECT $market, symbol, min(session), max(session), $settled, $source, $fetched_at FROM runs
    GROUP BY symbol, run ORDER BY symbol, min(session)"""


@dataclass(frozen=True)
class Wanted:
    """What a collection is to fill.

    Attributes:
        sessions: Ascending, not empty.
        since: Before this session only gaps of symbols that have an older stored bar are filled, and those where
            the source is doubted.
        again: Ask for every session from `since` on, stored or not, and of a delisted symbol too: its ticker may
            be used again.
        recent: The first of the newest sessions, which are asked for again; None asks for every gap again.
        settled_at: When a session's prices are final: a bar that was fetched before is asked for again.
    """

    symbols: tuple[str, ...]
    sessions: tuple[date, ...]
    since: date
    again: bool
    recent: date | None
    accepted: Accepted
    settled_at: Callable[[date], datetime]


@dataclass(frozen=True, slots=True)
class _Reach:
    """A symbol's stored sessions within those that are wanted."""

    symbol: str
    first: date
    last: date
    count: int


def missing(cursor: duckdb.DuckDBPyConnection, origin: Origin, wanted: Wanted, early: pd.DataFrame) -> pd.DataFrame:
    """What to ask for, by symbol and year; `early` are stored bars that are asked for again, as `unsettled_bars`.

    Returns:
        Columns symbol, year, gaps (sessions without a bar), asked (sessions to ask for), first and last of
        these, and stored_first and stored_last, the symbol's oldest and newest stored session of the range.
    """
    import pandas as pd

    rows = cursor.execute(
        "SELECT symbol, min(session), max(session), count(*) FROM bars WHERE market = $market "
        "AND session IN (SELECT unnest($sessions)) AND session BETWEEN $first AND $last "
        "AND symbol IN (SELECT unnest($symbols)) GROUP BY symbol",
        {
            "market": origin.market,
            "first": wanted.sessions[0],
            "last": wanted.sessions[-1],
            "sessions": list(wanted.sessions),
            "symbols": list(wanted.symbols),
        },
    ).fetchall()
    reach = [_Reach(*row) for row in rows]
    limits = _limits(cursor, origin.market)
    known = {*(item.symbol for item in reach), *limits["ended"], *limits["begun"]}
    untouched = () if wanted.recent else tuple(name for name in wanted.symbols if name not in known)
    others = replace(wanted, symbols=tuple(name for name in wanted.symbols if not untouched or name in known))
    parts = _apart(others, reach, set(early["symbol"])) if others.symbols or not untouched else ()
    found = [_missing(cursor, origin, some, reach, early, limits) for some in parts]
    found += [_all_of(untouched, wanted)] if untouched else []
    return pd.concat(found, ignore_index=True).sort_values(["symbol", "year"], ignore_index=True)


def _all_of(symbols: Sequence[str], wanted: Wanted) -> pd.DataFrame:
    """What `missing` says of symbols of which nothing is stored and nothing known: every session."""
    import pandas as pd

    days = pd.DataFrame({"session": pd.to_datetime(list(wanted.sessions)).as_unit("us")})
    days["asked"] = days["session"].where(days["session"] >= pd.Timestamp(wanted.since))
    years = days.groupby(days["session"].dt.year.astype("int32").rename("year")).agg(
        gaps=("session", "count"), asked=("asked", "count"), first=("asked", "min"), last=("asked", "max")
    )
    nothing = pd.Series(pd.NaT, index=years.index, dtype="datetime64[us]")
    years = years.assign(stored_first=nothing, stored_last=nothing)
    return pd.DataFrame({"symbol": pd.Series(symbols, dtype="str")}).merge(years.reset_index(), how="cross")


def _apart(wanted: Wanted, reach: Sequence[_Reach], early: Collection[str]) -> tuple[Wanted, ...]:
    """The symbols without a gap up to their newest bar apart from the others: of those only newer sessions matter."""
    sessions = wanted.sessions
    unbroken = {
        item.symbol: item.last
        for item in reach
        if item.first == sessions[0] and item.count == bisect_right(sessions, item.last) and item.symbol not in early
    }
    if not unbroken:
        return (wanted,)
    newest = min(unbroken.values())
    left = tuple(day for day in sessions if day > newest or (wanted.again and day >= wanted.since))
    others = tuple(symbol for symbol in wanted.symbols if symbol not in unbroken)
    parts = (replace(wanted, symbols=tuple(unbroken), sessions=left or sessions[-1:]), replace(wanted, symbols=others))
    return parts if others else parts[:1]


def _missing(
    cursor: duckdb.DuckDBPyConnection,
    origin: Origin,
    wanted: Wanted,
    reach: Sequence[_Reach],
    early: pd.DataFrame,
    limits: Mapping[str, Any],
) -> pd.DataFrame:
    parameters = {**limits, **_among(origin.market, wanted.sessions), "symbols": list(wanted.symbols)}
    parameters |= {"since": wanted.since, "again": wanted.again}
    parameters |= {"early": early["symbol"].tolist(), "early_on": [day.date() for day in early["session"]]}
    parameters |= {"reached": [item.symbol for item in reach]}
    parameters |= {"reached_first": [item.first for item in reach], "reached_last": [item.last for item in reach]}
    known = _NOTHING_KNOWN
    if wanted.recent is not None:
        known = _KNOWN
        parameters |= {
            "source": origin.source,
            "asked": origin.names,
            "recent": wanted.recent,
            "rested": origin.fetched_at - QUARANTINE_REST,
            "doubted_before": origin.fetched_at - DOUBT_REST,
            "accepted": [symbol for symbol, _session in wanted.accepted] or [""],
            "accepted_on": [session for _symbol, session in wanted.accepted] or [date.min],
        }
    return cursor.execute(
        f"""
        WITH {_EVERY_SESSION}, {_LACKING}, {known},
        early AS (SELECT unnest($early::VARCHAR[]) AS symbol, unnest($early_on::DATE[]) AS session),
        reach AS (SELECT unnest($reached::VARCHAR[]) AS symbol, unnest($reached_first::DATE[]) AS stored_first,
                  unnest($reached_last::DATE[]) AS stored_last),
        judged AS (
            SELECT e.symbol, e.session, lacking, r.stored_first, r.stored_last,
                CASE WHEN y.session IS NOT NULL THEN true WHEN e.session >= $since THEN lacking OR $again
                ELSE lacking AND (e.session > r.stored_first OR d.session IS NOT NULL) END
                AND k.session IS NULL AS asked
            FROM expected e LEFT JOIN reach r ON r.symbol = e.symbol
                 LEFT JOIN known k ON k.symbol = e.symbol AND k.session = e.session
                 LEFT JOIN doubted d ON d.symbol = e.symbol AND d.session = e.session
                 LEFT JOIN early y ON y.symbol = e.symbol AND y.session = e.session)
        SELECT symbol, CAST(year(session) AS INTEGER) AS year, count(*) FILTER (lacking) AS gaps,
            count(*) FILTER (asked) AS asked, min(session) FILTER (asked) AS first,
            max(session) FILTER (asked) AS last, any_value(stored_first) AS stored_first,
            any_value(stored_last) AS stored_last
        FROM judged GROUP BY ALL HAVING count(*) FILTER (lacking OR asked) > 0 ORDER BY symbol, year
        """,
        parameters,
    ).df()


def stored_beside(
    cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], sessions: Sequence[date]
) -> frozenset[str]:
    """Those of `symbols` that have a bar in one of `sessions`, which ascend."""
    if not sessions or not symbols:
        return frozenset()
    rows = cursor.execute(
        "SELECT DISTINCT symbol FROM bars "
        "WHERE market = ? AND session BETWEEN ? AND ? AND symbol IN (SELECT unnest(?))",
        [market, sessions[0], sessions[-1], list(symbols)],
    ).fetchall()
    return frozenset(symbol for (symbol,) in rows)


def note_absent(
    cursor: duckdb.DuckDBPyConnection, origin: Origin, asked: pd.DataFrame, sessions: Sequence[date], *, settled: bool
) -> None:
    """Keep that the source was asked, and has no bar where none is stored.

    A bar that is quarantined is one that it has.

    Args:
        cursor: Of `Lake.write`.
        origin: Of the answer.
        asked: Columns symbol, first, last: the days that each was asked for.
        sessions: Those of these days that count, ascending.
        settled: What is not says why a bar is missing, and is asked for again all the same.
    """
    if asked.empty or not sessions:
        return
    cursor.register("asked_ranges", asked)
    try:
        cursor.execute(
            _NOTE_ABSENT,
            _limits(cursor, origin.market)
            | _among(origin.market, sessions)
            | {"source": origin.names, "fetched_at": origin.fetched_at, "settled": settled},
        )
    finally:
        cursor.unregister("asked_ranges")


def recent_from(sessions: Sequence[date]) -> date:
    """The first of the newest sessions; `sessions` are those that have closed, ascending."""
    return sessions[-RECENT_SESSIONS] if len(sessions) >= RECENT_SESSIONS else sessions[0]


def _limits(cursor: duckdb.DuckDBPyConnection, market: str) -> dict[str, Any]:
    """From when on, and up to when, symbols are expected to have bars, where that is not always."""
    gone, floors = ended(cursor, market), other_companys_floors(cursor, market)
    return {
        "ended": list(gone),
        "ended_on": list(gone.values()),
        "begun": list(floors),
        "begun_on": list(floors.values()),
    }


def _among(market: str, sessions: Sequence[date]) -> dict[str, Any]:
    return {"market": market, "sessions": list(sessions), "first": sessions[0], "last": sessions[-1]}
