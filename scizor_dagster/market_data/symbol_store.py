"""Symbols in the lake: the book read and written, and rows that change their ticker, in a caller's transaction.

What belongs here: SQL. What does not: why anything changes (`symbol_changes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, fields
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any, TypeVar

import duckdb

from scizor_dagster.lake.migrations import columns_of, existing_columns
from scizor_dagster.lake.tables import TABLES
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.provider import MarketData, SymbolReason
from scizor_dagster.market_data.symbol_rows import (
    Book,
    Carry,
    Ending,
    Facts,
    Identity,
    Interval,
    Move,
    Outcome,
    Span,
    SymbolRow,
)

ANOTHER_COMPANY = "identity_uncertain"
"""Reason in quarantine of bars from the time in which a ticker changed its owner, nobody knows when."""
LAST_DAYS = timedelta(days=10)
"""A symbol with a bar in them trades: an answer that it is not there needs another one on a later day."""
BOOK_TABLES = ("symbols", "universe_history", "symbol_identities")
_DATES = ("session", "ex_session", "first_session")
_ENDINGS = ("rename", "delisting")
T = TypeVar("T", SymbolRow, Interval, Identity)


def read_book(cursor: duckdb.DuckDBPyConnection, market: str) -> Book:
    """What the lake keeps of the symbols of `market`."""
    rows = _read(cursor, "symbols", SymbolRow, market)
    return Book(
        {row.symbol: row for row in rows},
        _read(cursor, "universe_history", Interval, market),
        _read(cursor, "symbol_identities", Identity, market),
    )


def read_facts(
    cursor: duckdb.DuckDBPyConnection,
    market: str,
    provider: MarketData,
    now: datetime,
    zone: tzinfo,
    verify_after: timedelta,
) -> Facts:
    """What a decision goes by beside the provider's answers; `zone` is the exchange's."""
    today = now.astimezone(zone).date()
    endings: dict[str, list[Ending]] = {}
    for symbol, kind, day, new in cursor.execute(
        f"SELECT symbol, kind, ex_session, new_symbol FROM {whole('corporate_actions')} "
        "WHERE market = ? AND kind IN (SELECT unnest(?)) AND ex_session <= ? ORDER BY ALL",
        [market, list(_ENDINGS), today],
    ).fetchall():
        endings.setdefault(str(symbol), []).append(Ending(str(kind), day, new))
    named = {ending.new_symbol for found in endings.values() for ending in found if ending.new_symbol}
    return Facts(
        market,
        now,
        today,
        provider.name,
        provider.lookup_calls,
        verify_after,
        {symbol: tuple(found) for symbol, found in endings.items()},
        _spans(cursor, market, endings.keys() | named),
        lambda symbol: _spans(cursor, market, [symbol]).get(symbol, (None, None))[0],
        cache(lambda: _traded(cursor, market, today)),
        zone,
    )


def _traded(cursor: duckdb.DuckDBPyConnection, market: str, today: date) -> frozenset[str]:
    rows = cursor.execute(
        "SELECT DISTINCT symbol FROM bars WHERE market = ? AND session >= ?", [market, today - LAST_DAYS]
    ).fetchall()
    return frozenset(str(symbol) for (symbol,) in rows)


def _spans(cursor: duckdb.DuckDBPyConnection, market: str, symbols: Iterable[str]) -> dict[str, tuple[date, date]]:
    """First and last stored session of `symbols`."""
    if not (asked := list(symbols)):
        return {}
    rows = cursor.execute(
        "SELECT symbol, min(session), max(session) FROM bars WHERE market = ? AND symbol IN (SELECT unnest(?)) "
        "GROUP BY symbol",
        [market, asked],
    ).fetchall()
    return {str(symbol): (first, last) for symbol, first, last in rows}


def write_book(cursor: duckdb.DuckDBPyConnection, market: str, before: Book, outcome: Outcome) -> bool:
    """Make the lake say what `outcome` says; whether anything had to be written."""
    after = outcome.book
    for move in outcome.moves:
        _move(cursor, market, move)
    for carry in sorted(outcome.carries, key=lambda item: item.before):
        _carry(cursor, market, carry)
    changed = [row for symbol, row in after.rows.items() if before.rows.get(symbol) != row]
    gone = [*(row.symbol for row in changed), *(symbol for symbol in before.rows if symbol not in after.rows)]
    if gone:
        _replace(cursor, "symbols", market, changed, "symbol IN (SELECT unnest($gone))", {"gone": gone})
    if after.history != before.history:
        _replace(cursor, "universe_history", market, after.history)
    if after.identities != before.identities:
        _replace(cursor, "symbol_identities", market, after.identities)
    return bool(gone or outcome.moves or outcome.carries or after.history != before.history)


def _read(cursor: duckdb.DuckDBPyConnection, table: str, kind: type[T], market: str) -> list[T]:
    names = [item.name for item in fields(kind)]
    rows = cursor.execute(
        f"SELECT {', '.join(names)} FROM {whole(table)} WHERE market = ? ORDER BY ALL", [market]
    ).fetchall()
    return [kind(**_typed(dict(zip(names, row, strict=True)))) for row in rows]


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("reason") is not None:
        row["reason"] = SymbolReason(row["reason"])
    # A lake of an earlier version may hold nothing where there is a text now.
    return row | {name: row[name] or "" for name in ("note", "name", "sector", "category") if name in row}


def _replace(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    market: str,
    rows: Sequence[SymbolRow] | Sequence[Interval] | Sequence[Identity],
    where: str = "true",
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Replace the market's rows by typed columns, for a column without any value has no type of its own."""
    bound = {"market": market, **(parameters or {})}
    cursor.execute(f"DELETE FROM {table} WHERE market = $market AND {where}", bound)
    if not rows:
        return
    types = {name: kind.removesuffix(" NOT NULL") for name, kind in columns_of(TABLES[table]).items()}
    names = [item.name for item in fields(rows[0])]
    columns = list(zip(*(astuple(row) for row in rows), strict=True))
    chosen = ", ".join(f"unnest(${name}::{types[name]}[])" for name in names)
    cursor.execute(
        f"INSERT INTO {table} (market, {', '.join(names)}) SELECT $market, {chosen}",
        {"market": market, **{name: list(values) for name, values in zip(names, columns, strict=True)}},
    )


def _tables_of_symbols(cursor: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """Every table of rows by market and symbol, whoever writes it, beside the book."""
    return {
        table: columns
        for table, columns in existing_columns(cursor).items()
        if table in TABLES and {"market", "symbol"} <= columns and table not in BOOK_TABLES
    }


def _move(cursor: duckdb.DuckDBPyConnection, market: str, move: Move) -> None:
    """Give the rows of a ticker's former owner their own name; uncertain bars go to quarantine under it."""
    values = asdict(move) | {"market": market}
    del values["certain"]
    for table, columns in _tables_of_symbols(cursor).items():
        where = "market = $market AND symbol = $symbol"
        column = next((name for name in _DATES if name in columns), None)
        if move.certain and column is not None:
            last = "OR ex_session = $cut AND kind IN ('rename', 'delisting')" if table == "corporate_actions" else ""
            where += f" AND ({column} < $cut {last})"
        used = {name: value for name, value in values.items() if f"${name}" in where or name == "name"}
        cursor.execute(f"UPDATE {table} SET symbol = $name WHERE {where}", used)
    if move.certain:
        return
    key = {"market": market, "name": move.name, "cut": move.cut}
    cursor.execute(
        "INSERT INTO quarantined_bars BY NAME SELECT market, symbol, session, open, high, low, close, volume, "
        "$reason AS reason, $detail AS detail, adjustment, synthetic, source, fetched_at FROM bars "
        "WHERE market = $market AND symbol = $name AND session >= $cut",
        key | {"reason": ANOTHER_COMPANY, "detail": f"{move.symbol} changed its owner on {move.cut} or later"},
    )
    cursor.execute("DELETE FROM bars WHERE market = $market AND symbol = $name AND session >= $cut", key)


_RETURNING = f"""
    SELECT q.session, q.open, q.high, q.low, q.close, q.volume, coalesce(q.adjustment, own.adjustment) AS adjustment,
        coalesce(q.synthetic, own.synthetic) AS synthetic, q.source, q.fetched_at
    FROM {whole("quarantined_bars", "q")}
        LEFT JOIN (SELECT adjustment, synthetic FROM bars WHERE market = $market AND symbol = $name LIMIT 1) own ON true
        LEFT JOIN (SELECT adjustment, synthetic FROM bars WHERE market = $market LIMIT 1) others ON true
    WHERE q.market = $market AND q.symbol = $name AND q.reason = '{ANOTHER_COMPANY}'
        AND coalesce(q.adjustment, own.adjustment) = coalesce(others.adjustment, q.adjustment)
        AND coalesce(q.synthetic, own.synthetic) = coalesce(others.synthetic, q.synthetic)"""
"""Bars of uncertain identity on the market's basis; what an earlier version set apart is on that of its series."""


def give_back(cursor: duckdb.DuckDBPyConnection, market: str, name: str, symbol: str) -> None:
    """Undo a move: the rows of `name` are those of `symbol` again, but for days of which that has rows of its own.

    Bars in quarantine as of uncertain identity are bars again; those on another basis than the market's stay there,
    and are collected anew.
    """
    mine = {"market": market, "name": name}
    key = mine | {"symbol": symbol}
    cursor.execute(
        f"INSERT INTO bars BY NAME SELECT $market AS market, $name AS symbol, r.* FROM ({_RETURNING}) r", mine
    )
    cursor.execute(
        "DELETE FROM quarantined_bars q WHERE market = $market AND symbol = $name AND reason = $reason AND EXISTS "
        "(SELECT 1 FROM bars b WHERE b.market = $market AND b.symbol = $name AND b.session = q.session)",
        mine | {"reason": ANOTHER_COMPANY},
    )
    for table, columns in _tables_of_symbols(cursor).items():
        same = [column for column in (*_DATES, "kind") if column in columns]
        taken = " AND ".join(["t.market = $market AND t.symbol = $symbol", *(f"t.{c} = {table}.{c}" for c in same)])
        apart = f"AND NOT EXISTS (SELECT 1 FROM {table} t WHERE {taken})" if same else ""
        stays = f"AND reason <> '{ANOTHER_COMPANY}'" if table == "quarantined_bars" else ""
        cursor.execute(
            f"UPDATE {table} SET symbol = $symbol WHERE market = $market AND symbol = $name {apart} {stays}", key
        )


def _carry(cursor: duckdb.DuckDBPyConnection, market: str, carry: Carry) -> None:
    """Copy a company's bars and actions to its next ticker; what that has already stays."""
    key = asdict(carry) | {"market": market}
    for table, day, same in (
        ("bars", "session", "t.session = o.session"),
        ("corporate_actions", "ex_session", "t.ex_session = o.ex_session AND t.kind = o.kind"),
    ):
        apart = "AND o.kind NOT IN ('rename', 'delisting')" if table == "corporate_actions" else ""
        # Nobody knew them under this ticker before.
        stamped = ", now() AS stored_at" if table == "bars" else ""
        cursor.execute(
            f"INSERT INTO {table} BY NAME SELECT o.* REPLACE ($new AS symbol{stamped}) FROM {table} o "
            f"WHERE o.market = $market AND o.symbol = $old AND o.{day} < $before {apart} AND NOT EXISTS "
            f"(SELECT 1 FROM {table} t WHERE t.market = $market AND t.symbol = $new AND {same})",
            key,
        )


def span_moved(cursor: duckdb.DuckDBPyConnection, market: str, move: Move) -> Span:
    """Bars that a certain `move` takes from its ticker."""
    return _span(
        cursor,
        "SELECT session FROM bars WHERE market = $market AND symbol = $symbol AND session < $cut",
        {"market": market, "symbol": move.symbol, "cut": move.cut},
    )


def span_given_back(cursor: duckdb.DuckDBPyConnection, market: str, name: str, symbol: str) -> Span:
    """Bars of `name`, those of uncertain identity too, that `give_back` makes those of `symbol`."""
    found = (
        f"SELECT session FROM bars WHERE market = $market AND symbol = $name UNION SELECT session FROM ({_RETURNING})"
    )
    return _span(cursor, _LACKED.format(found=found), {"market": market, "name": name, "symbol": symbol})


def span_carried(cursor: duckdb.DuckDBPyConnection, market: str, carry: Carry) -> Span:
    """Bars that `carry` copies to the next ticker."""
    found = "SELECT session FROM bars WHERE market = $market AND symbol = $old AND session < $before"
    key = {"market": market, "old": carry.old, "before": carry.before, "symbol": carry.new}
    return _span(cursor, _LACKED.format(found=found), key)


_LACKED = "SELECT session FROM ({found}) EXCEPT SELECT session FROM bars WHERE market = $market AND symbol = $symbol"


def _span(cursor: duckdb.DuckDBPyConnection, sessions: str, key: Mapping[str, Any]) -> Span:
    row = cursor.execute(f"SELECT count(*), min(session), max(session) FROM ({sessions})", dict(key)).fetchone()
    assert row is not None
    return Span(*row)


def other_companys_floors(cursor: duckdb.DuckDBPyConnection, market: str) -> dict[str, date]:
    """First day of the present company, by ticker, where an earlier one had the ticker."""
    return dict(
        cursor.execute(
            f"SELECT symbol, bars_from FROM {whole('symbol_identities')} "
            "WHERE market = ? AND until IS NULL AND bars_from IS NOT NULL",
            [market],
        ).fetchall()
    )


def former_tickers(cursor: duckdb.DuckDBPyConnection, market: str) -> list[tuple[str, str, date]]:
    """Present ticker, one that the same company had before, and the first day on which it had it no more."""
    rows = cursor.execute(
        "WITH RECURSIVE chain AS (SELECT symbol AS present, previous_symbol AS former, since "
        f"FROM {whole('symbol_identities')} "
        "WHERE market = $market AND NOT contains(symbol, '@') AND previous_symbol IS NOT NULL UNION ALL "
        "SELECT c.present, i.previous_symbol, i.since FROM chain c "
        f"JOIN {whole('symbol_identities', 'i')} ON i.symbol = c.former "
        "WHERE i.market = $market AND i.previous_symbol IS NOT NULL AND i.since < c.since) "
        "SELECT DISTINCT * FROM chain",
        {"market": market},
    ).fetchall()
    return [(str(present), str(former).partition("@")[0], since) for present, former, since in rows]
