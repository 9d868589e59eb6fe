"""Tables of a kept backtest: rows of one part of it, with quantities in shares.

What belongs here: which columns there are, choosing rows, and their bytes as CSV and Parquet. What does not: writing
them (`backtest.storage`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Any

from scizor_dagster.flow.desk import Desk
from scizor_dagster.planning.kernel_model import UNIT
from scizor_dagster.tabular.spreadsheet import csv_line

MOST_ROWS = 1_000_000
"""Of a table that is given as one file."""
_AT_ONCE = 20_000


class TableName(StrEnum):
    EQUITY = "equity"
    ORDERS = "orders"
    DECISIONS = "decisions"
    POSITIONS = "positions"
    MONTHS = "months"
    INSTRUMENTS = "instruments"
    COSTS = "costs"


_COSTS = "commission, spread, slippage, impact"
_TABLES: dict[TableName, tuple[str, str, str]] = {
    TableName.EQUITY: (
        "backtest_equity",
        f"session, equity, cash, market_value, return, cumulative_return, drawdown, turnover, traded, {_COSTS}, "
        "dividends, interest, borrow_fees, delistings, positions, gross, net, benchmark_return",
        "session",
    ),
    TableName.ORDERS: (
        "backtest_trades",
        f"session, symbol, planned / {UNIT} AS planned, filled / {UNIT} AS filled, reference, price, {_COSTS}, reason",
        "session, symbol, planned, filled",
    ),
    TableName.DECISIONS: ("backtest_decisions", "session, symbol, weight, reason", "session, symbol"),
    TableName.POSITIONS: (
        "backtest_positions",
        f"session, symbol, units / {UNIT} AS quantity, close, value",
        "session, symbol",
    ),
    TableName.MONTHS: (
        "backtest_months",
        "month, return, benchmark_return, profit, costs, turnover, sessions",
        "month",
    ),
    TableName.INSTRUMENTS: (
        "backtest_instruments",
        f"symbol, profit, income, costs, traded, orders, units / {UNIT} AS quantity, value",
        "symbol",
    ),
    TableName.COSTS: (
        "backtest_equity",
        f"session, traded, {_COSTS}, borrow_fees, interest, "
        "commission + spread + slippage + impact + borrow_fees AS total",
        "session",
    ),
}
"""Table of the lake, columns, order."""
_SESSIONS = frozenset(TableName) - {TableName.MONTHS, TableName.INSTRUMENTS}
_SYMBOLS = frozenset({TableName.ORDERS, TableName.DECISIONS, TableName.POSITIONS, TableName.INSTRUMENTS})


def read_rows(
    desk: Desk,
    backtest_id: str,
    table: TableName,
    first: date | None,
    last: date | None,
    symbol: str | None,
    *,
    limit: int,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Rows by the names of their columns, in order; None where a number is not defined."""
    query, key = _query(backtest_id, table, first, last, symbol)
    with desk.lake.read() as cursor:
        found = cursor.execute(f"{query} LIMIT {int(limit)} OFFSET {int(offset)}", key)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, map(_known, row), strict=True)) for row in found.fetchall()]


def count_rows(
    desk: Desk, backtest_id: str, table: TableName, first: date | None, last: date | None, symbol: str | None
) -> int:
    """How many rows there are."""
    query, key = _query(backtest_id, table, first, last, symbol)
    with desk.lake.read() as cursor:
        found = cursor.execute(f"SELECT count(*) FROM ({query})", key).fetchone()
    return int(found[0]) if found is not None else 0


def as_csv(
    desk: Desk, backtest_id: str, table: TableName, first: date | None, last: date | None, symbol: str | None
) -> bytes:
    """UTF-8 with a header; text that a spreadsheet would run is made harmless; None is an empty cell."""
    return "".join(_lines(desk, _query(backtest_id, table, first, last, symbol))).encode()


def _lines(desk: Desk, asked: tuple[str, list[Any]]) -> Iterator[str]:
    with desk.lake.read() as cursor:
        found = cursor.execute(*asked)
        yield csv_line(column[0] for column in found.description or ())
        while rows := found.fetchmany(_AT_ONCE):
            for row in rows:
                yield csv_line(_spelled(_known(value)) for value in row)


def as_parquet(
    desk: Desk, backtest_id: str, table: TableName, first: date | None, last: date | None, symbol: str | None
) -> bytes:
    """The table, typed as the lake has it."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    with desk.lake.read() as cursor:
        pq.write_table(cursor.execute(*_query(backtest_id, table, first, last, symbol)).to_arrow_table(), sink)
    return sink.getvalue()


def _query(
    backtest_id: str, table: TableName, first: date | None, last: date | None, symbol: str | None
) -> tuple[str, list[Any]]:
    name, columns, order = _TABLES[table]
    conditions, key = ["backtest_id = ?"], list[Any]([backtest_id])
    for condition, value, tables in (
        ("session >= ?", first, _SESSIONS),
        ("session <= ?", last, _SESSIONS),
        ("symbol = ?", symbol, _SYMBOLS),
    ):
        if value is not None and table in tables:
            conditions.append(condition)
            key.append(value)
    return f"SELECT {columns} FROM {name} WHERE {' AND '.join(conditions)} ORDER BY {order}", key


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _spelled(value: Any) -> str:
    return "" if value is None else str(value)
