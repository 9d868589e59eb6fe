"""The lake's bars: reading what is stored and writing what was checked, inside a caller's transaction.

What belongs here: SQL over `bars` and `quarantined_bars`. What does not: providers, rules, and when to
write (`filling`), what is missing (`missing`). Rows travel as whole frames; nothing here looks at single rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from scizor_dagster.errors import DataError
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.fallback import source_names
from scizor_dagster.market_data.provider import Adjustment, MarketData
from scizor_dagster.market_data.revisions import take_out
from scizor_dagster.market_data.symbol_store import other_companys_floors
from scizor_dagster.market_data.way_out import again_command

if TYPE_CHECKING:
    import pandas as pd

_VALUES = "open, high, low, close, volume"
_INCOMING = (
    "SELECT symbol, CAST(session AS DATE) AS session, open, high, low, close, volume, "
    "CAST(source AS VARCHAR) AS source FROM incoming_bars"
)
_AROUND = (
    "SELECT symbol, session FROM bars WHERE market = $market AND session BETWEEN $first AND $last "
    "AND symbol BETWEEN $lowest AND $highest"
)
_BATCH_ROWS = 122_880
_OF_BASIS = "SELECT adjustment, synthetic, source FROM bars WHERE market = $market"
_QUARANTINED = f"symbol, session, {_VALUES}, reason, detail"
_KEPT_APART = f"{whole('quarantined_bars')} WHERE market = ? AND session BETWEEN ? AND ?"


@dataclass(frozen=True, slots=True)
class Origin:
    """What every bar of one answer has in common.

    Attributes:
        asked: Names of all sources that were asked, where there are several: what none of them has is absent.
    """

    market: str
    adjustment: Adjustment
    synthetic: bool
    source: str
    fetched_at: datetime
    asked: str = ""

    @classmethod
    def of(cls, market: str, provider: MarketData, now: datetime) -> Origin:
        names = source_names(provider)
        asked = ", then ".join(names) if len(names) > 1 else ""
        return cls(market, provider.adjustment, provider.synthetic, provider.name, now, asked)

    @property
    def names(self) -> str:
        """What is remembered as absent is kept under: every source that was asked for it."""
        return self.asked or self.source


@dataclass(frozen=True)
class Stored:
    """What a write has done to the bars.

    Attributes:
        inserted: Bars of which there was none before.
        changed: Keys (columns symbol, session) of stored bars of which their source says other values now.
        preferred: Keys of stored bars of another source, which have made way.
    """

    inserted: int
    changed: pd.DataFrame
    preferred: pd.DataFrame


def rewritten(stored: pd.DataFrame, bars: pd.DataFrame, origin: Origin) -> Stored:
    """What it does to `stored` bars that `bars` take their place, and how many of `bars` have no place there."""
    named = bars.assign(source=origin.source) if "source" not in bars else bars
    both = named.merge(stored, on=["symbol", "session"], suffixes=("", "_stored"))
    preferred = (both["source"] != both["source_stored"]).to_numpy(dtype=bool)
    differ = np.zeros(len(both), dtype=bool)
    for name in _VALUES.split(", "):
        differ |= (both[name] != both[f"{name}_stored"]).to_numpy(dtype=bool)
    keys = both[["symbol", "session"]]
    return Stored(len(bars) - len(both), keys[differ & ~preferred], keys[preferred])


def check_same_basis(cursor: duckdb.DuckDBPyConnection, origin: Origin) -> None:
    """Refuse to put bars beside stored ones of another adjustment, or made-up ones beside real ones.

    Raises:
        DataError: the market has bars of another basis.
    """
    # Each condition by itself is one that the statistics of a file answer, without reading its rows.
    other = cursor.execute(
        f"{_OF_BASIS} AND adjustment <> $adjustment UNION ALL {_OF_BASIS} AND synthetic <> $synthetic LIMIT 1",
        {"market": origin.market, "adjustment": origin.adjustment, "synthetic": origin.synthetic},
    ).fetchone()
    if other is not None:
        remedy = "Give the new source a market of its own, or use another SCIZOR_HOME; the two are never mixed."
        if other[1] == origin.synthetic:
            again = again_command(origin.market, origin.adjustment)
            remedy = (
                f"To collect the whole market anew as {origin.adjustment} prices, the stored ones kept as revisions: "
                f"{again}. Else give the new source a market of its own; the two are never mixed."
            )
        raise DataError(
            f"The lake holds {_basis(other[0], other[1])} bars of market '{origin.market}' from {other[2]}; "
            f"{origin.source} gives {_basis(origin.adjustment, origin.synthetic)} ones.",
            remedy=remedy,
            where=f"markets.{origin.market}.provider",
        )


def _basis(adjustment: str, synthetic: bool) -> str:
    return f"{'synthetic ' if synthetic else ''}{adjustment}"


def stored_bars(
    cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], first: date, last: date
) -> pd.DataFrame:
    """Stored bars of `symbols`: columns symbol, session (`datetime64`), open, high, low, close, volume, source."""
    # The range of symbols lets files be passed over: each batch was written in order of its symbols.
    return cursor.execute(
        f"SELECT symbol, session, {_VALUES}, source FROM bars "
        "WHERE market = ? AND session BETWEEN ? AND ? AND symbol BETWEEN ? AND ? AND symbol IN (SELECT unnest(?))",
        [market, first, last, min(symbols, default=""), max(symbols, default=""), list(symbols)],
    ).df()


def stored_closes(
    cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], first: date, last: date
) -> pd.DataFrame:
    """Stored closes of `symbols`: columns symbol, session (`datetime64`), close, source."""
    return cursor.execute(
        "SELECT symbol, session, close, source FROM bars "
        "WHERE market = ? AND session BETWEEN ? AND ? AND symbol IN (SELECT unnest(?))",
        [market, first, last, list(symbols)],
    ).df()


def present(
    cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str], sessions: Sequence[date]
) -> dict[date, set[str]]:
    """For each of `sessions`, ascending, the symbols that have a stored bar of it."""
    rows = cursor.execute(
        "SELECT session, list(symbol) FROM bars WHERE market = ? AND session BETWEEN ? AND ? "
        "AND symbol IN (SELECT unnest(?)) GROUP BY session",
        [market, sessions[0], sessions[-1], list(symbols)],
    ).fetchall()
    return {session: set() for session in sessions} | {session: set(names) for session, names in rows}


def insert_missing(cursor: duckdb.DuckDBPyConnection, bars: pd.DataFrame, origin: Origin) -> int:
    """Insert the bars whose key is not stored yet, and that are not another company's; the number inserted."""
    floors = other_companys_floors(cursor, origin.market) if len(bars) else {}
    if floors:
        bars = bars[~(bars["session"] < bars["symbol"].map(floors).astype("datetime64[s]"))]
    if bars.empty:
        return 0
    found = {
        "market": origin.market,
        "first": bars["session"].min().date(),
        "last": bars["session"].max().date(),
        "lowest": bars["symbol"].min(),
        "highest": bars["symbol"].max(),
    }
    # Most of what is inserted is wholly new and in order: to join and sort it costs as much as to write it.
    stored = _any(cursor, f"SELECT 1 FROM ({_AROUND}) LIMIT 1", found)
    with _incoming(cursor, bars):
        row = cursor.execute(
            f"""
            INSERT INTO bars
                (market, symbol, session, {_VALUES}, adjustment, synthetic, source, fetched_at, stored_at)
            SELECT $market, symbol, session, {_VALUES}, $adjustment, $synthetic, coalesce(source, $source),
                $fetched_at, now()
            FROM ({_INCOMING}) i {f"ANTI JOIN ({_AROUND}) b USING (symbol, session)" if stored else ""}
            {"" if _is_sorted(bars) else "ORDER BY symbol, session"}
            """,
            {
                "market": origin.market,
                "adjustment": origin.adjustment,
                "synthetic": origin.synthetic,
                "source": origin.source,
                "fetched_at": origin.fetched_at,
            }
            | (found if stored else {}),
        ).fetchone()
    return int(row[0]) if row else 0


def _is_sorted(bars: pd.DataFrame) -> bool:
    """Whether the bars are in order of symbol and session."""
    symbols, sessions = bars["symbol"], bars["session"].to_numpy()
    same = (symbols == symbols.shift()).to_numpy(dtype=bool)[1:]
    starts = symbols[~np.concatenate([[False], same])]
    return bool(starts.is_monotonic_increasing and (sessions[1:] > sessions[:-1])[same].all())


@contextmanager
def _incoming(cursor: duckdb.DuckDBPyConnection, bars: pd.DataFrame) -> Iterator[None]:
    """`bars` as the table `incoming_bars`; its column `source` is each bar's own, where a provider asks several."""
    import pyarrow as pa

    rows = pa.Table.from_pandas(bars if "source" in bars else bars.assign(source=None), preserve_index=False)
    # Strings cross as they are; of a frame DuckDB would look at each, and with one thread. Of batches it reads several.
    cursor.register("incoming_bars", pa.Table.from_batches(rows.to_batches(max_chunksize=_BATCH_ROWS), rows.schema))
    try:
        yield
    finally:
        cursor.unregister("incoming_bars")


def store_bars(cursor: duckdb.DuckDBPyConnection, bars: pd.DataFrame, origin: Origin) -> Stored:
    """Store the bars: insert new ones, replace changed ones (kept as revisions), leave all others alone."""
    if bars.empty:
        return Stored(0, bars, bars)
    first, last = bars["session"].min().date(), bars["session"].max().date()
    with _incoming(cursor, bars):
        compared = cursor.execute(
            f"""
            SELECT i.symbol, i.session, (b.{_VALUES.replace(", ", ", b.")}, b.adjustment, b.synthetic, b.source)
                IS DISTINCT FROM
                (i.{_VALUES.replace(", ", ", i.")}, $adjustment, $synthetic, coalesce(i.source, $source)) AS changed,
                b.source <> coalesce(i.source, $source) AS preferred
            FROM ({_INCOMING}) i JOIN bars b
                ON b.market = $market AND b.session BETWEEN $first AND $last
                    AND b.session = i.session AND b.symbol = i.symbol
            """,
            {
                "market": origin.market,
                "first": first,
                "last": last,
                "adjustment": origin.adjustment,
                "synthetic": origin.synthetic,
                "source": origin.source,
            },
        ).df()
    changed = compared[compared["changed"].astype(bool)]
    preferred = changed["preferred"].astype(bool)
    take_out(cursor, origin.market, changed[~preferred], "collected_again")
    take_out(cursor, origin.market, changed[preferred], "preferred_source")
    fresh = insert_missing(cursor, bars, origin)
    return Stored(fresh - len(changed), changed[~preferred], changed[preferred])


def delete_series(cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str]) -> None:
    """Delete every stored bar of `symbols`."""
    if symbols:
        cursor.execute("DELETE FROM bars WHERE market = ? AND symbol IN (SELECT unnest(?))", [market, list(symbols)])


def empty_sessions(cursor: duckdb.DuckDBPyConnection, market: str) -> set[date]:
    """Closed sessions that the source was asked for and had no bar of at all."""
    rows = cursor.execute(f"SELECT session FROM {whole('empty_sessions')} WHERE market = ?", [market]).fetchall()
    return {day for (day,) in rows}


def quarantined_sessions(cursor: duckdb.DuckDBPyConnection, market: str, sessions: Sequence[date]) -> set[date]:
    """Those of `sessions`, ascending, that have a bar which is not believed."""
    rows = cursor.execute(
        f"SELECT DISTINCT session FROM {whole('quarantined_bars')} WHERE market = ? AND session BETWEEN ? AND ?",
        [market, sessions[0], sessions[-1]],
    ).fetchall()
    return {day for (day,) in rows} & set(sessions)


def note_empty(cursor: duckdb.DuckDBPyConnection, session: date, origin: Origin, *, empty: bool) -> None:
    """Keep that the source was asked for a closed session and had no bar of it at all, or that it has some now."""
    key = [origin.market, session]
    cursor.execute("DELETE FROM empty_sessions WHERE market = ? AND session = ?", key)
    if empty:
        cursor.execute("INSERT INTO empty_sessions VALUES (?, ?, ?, ?)", [*key, origin.source, origin.fetched_at])


def replace_quarantined(
    cursor: duckdb.DuckDBPyConnection, rows: pd.DataFrame, ranges: pd.DataFrame, origin: Origin
) -> None:
    """Make `rows` the quarantined bars of `ranges`; a no-op if they are already.

    Args:
        cursor: Of `Lake.write`.
        rows: Columns symbol, session, open, high, low, close, volume, reason, detail; all within `ranges`.
        ranges: Columns symbol, first, last: one row for each symbol.
        origin: Of the rows.
    """
    days = [ranges["first"].min().date(), ranges["last"].max().date()]
    if rows.empty and not _any(cursor, f"SELECT 1 FROM {_KEPT_APART} LIMIT 1", [origin.market, *days]):
        return
    cursor.register("asked_ranges", ranges)
    cursor.register("incoming_rows", rows)
    within = (
        "market = ? AND EXISTS (SELECT 1 FROM asked_ranges a WHERE a.symbol = quarantined_bars.symbol "
        "AND quarantined_bars.session BETWEEN CAST(a.first AS DATE) AND CAST(a.last AS DATE))"
    )
    stored = f"SELECT {_QUARANTINED} FROM {whole('quarantined_bars')} WHERE {within}"
    incoming = f"SELECT {_QUARANTINED.replace('session', 'CAST(session AS DATE) AS session')} FROM incoming_rows"
    try:
        difference = f"({stored} EXCEPT ALL {incoming}) UNION ALL ({incoming} EXCEPT ALL {stored})"
        if not _any(cursor, difference, [origin.market, origin.market]):
            return
        cursor.execute(f"DELETE FROM quarantined_bars WHERE {within}", [origin.market])
        cursor.execute(
            f"INSERT INTO quarantined_bars (market, {_QUARANTINED}, source, fetched_at) "
            f"SELECT ?, {_QUARANTINED}, ?, ? FROM ({incoming}) ORDER BY symbol, session",
            [origin.market, origin.source, origin.fetched_at],
        )
    finally:
        cursor.unregister("incoming_rows")
        cursor.unregister("asked_ranges")


def _any(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | dict[str, Any]) -> bool:
    return cursor.execute(query, parameters).fetchone() is not None


def delisted(cursor: duckdb.DuckDBPyConnection, market: str, session: date) -> set[str]:
    """Symbols whose delisting took effect on or before `session`, with no bar after it up to `session`."""
    return set(ended(cursor, market, session))


def ended(cursor: duckdb.DuckDBPyConnection, market: str, through: date | None = None) -> dict[str, date]:
    """Last delisting by symbol, as of the end of `through`, of those without a later bar by then.

    A ticker that is given to another company has bars again, and its delisting is over.
    """
    last = through or date.max
    found: dict[str, date] = dict(
        cursor.execute(
            f"SELECT symbol, max(ex_session) FROM {whole('corporate_actions')} "
            "WHERE market = ? AND kind = 'delisting' AND ex_session <= ? GROUP BY symbol",
            [market, last],
        ).fetchall()
    )
    if not found:
        return {}
    # Most universes have no delisting, and those that have one are not searched for bars before it.
    newest: dict[str, date] = dict(
        cursor.execute(
            "SELECT symbol, max(session) FROM bars WHERE market = ? AND session > ? AND session <= ? "
            "AND symbol IN (SELECT unnest(?)) GROUP BY symbol",
            [market, min(found.values()), last, list(found)],
        ).fetchall()
    )
    return {symbol: day for symbol, day in found.items() if newest.get(symbol, date.min) <= day}
