"""Profits as the lake keeps them, one line for each instrument and for each strategy's part of it, by session.

What belongs here: frames of `profits`, reading them, and their sums over sessions. What does not: how profits come
about (`profits`), and shares of the equity (`exposure`).

The lines of a session are also where the next one begins: quantities, costs and values are taken up from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from scizor_dagster.analytics.cost_basis import Position, Profit
from scizor_dagster.analytics.profits import ACCOUNT, ProfitBook, Profits
from scizor_dagster.analytics.virtual_positions import NOBODY
from scizor_dagster.lake.connection import Lake
from scizor_dagster.signals.arithmetic import exact_arithmetic, plain_text
from scizor_dagster.signals.overlays import UNKNOWN_SECTOR

if TYPE_CHECKING:
    import pandas as pd

By = Literal["instrument", "sector", "strategy"]
GROUPINGS: tuple[By, ...] = ("instrument", "sector", "strategy")
BY_INSTRUMENT, BY_STRATEGY = "profit_by_instrument", "profit_by_strategy"
AMOUNTS = ("realised", "unrealised", "income", "fees", "inflow", "profit")
_EXACT = ("qty", "price", "value", "cost", *AMOUNTS)
_KEYS: dict[By, str] = {"instrument": "symbol", "sector": "sector", "strategy": "strategy"}
THE_ACCOUNT, UNASSIGNED = "(account)", "(unassigned)"
"""How the account's own money, and what no strategy asked for, are called where a person reads them."""
ZERO = Decimal(0)


def profit_frames(profits: Profits, sectors: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Lines by table; a symbol without a sector in `sectors` has the sector `unknown`. Numbers are exact text."""
    import pandas as pd

    instruments = [
        {"symbol": symbol, "sector": _sector(symbol, sectors), **_texts(line)}
        for symbol, line in profits.by_instrument.items()
    ]
    strategies = [
        {"strategy": name, "symbol": symbol, **_texts(line)} for (name, symbol), line in profits.by_strategy.items()
    ]
    return {
        BY_INSTRUMENT: pd.DataFrame(instruments, columns=["symbol", "sector", *_EXACT]),
        BY_STRATEGY: pd.DataFrame(strategies, columns=["strategy", "symbol", *_EXACT]),
    }


def _sector(symbol: str, sectors: Mapping[str, str]) -> str:
    return THE_ACCOUNT if symbol == ACCOUNT else sectors.get(symbol) or UNKNOWN_SECTOR


def _texts(line: Profit) -> dict[str, str | None]:
    with exact_arithmetic():
        values = {name: getattr(line, name) for name in _EXACT}
        return {name: None if value is None else plain_text(value) for name, value in values.items()}


def read_book(lake: Lake, portfolio: str, session: date) -> ProfitBook:
    """The positions as they were measured at the end of `session`."""
    book = ProfitBook()
    for row in _rows(lake, BY_INSTRUMENT, "symbol", portfolio, session, session):
        if row["symbol"] == ACCOUNT:
            book.account_money = _position(row)
        elif _is_open(row):
            book.instruments[row["symbol"]] = _position(row)
    for row in _rows(lake, BY_STRATEGY, "strategy, symbol", portfolio, session, session):
        if row["symbol"] != ACCOUNT and _is_open(row):
            book.strategies.setdefault(row["symbol"], {})[row["strategy"]] = _position(row)
    return book


def _is_open(row: Mapping[str, Any]) -> bool:
    return any(row[name] != 0 for name in ("qty", "cost", "value"))


def _position(row: Mapping[str, Any]) -> Position:
    return Position(row["qty"], row["cost"], row["value"])


def read_lines(lake: Lake, by: By, portfolio: str, first: date, last: date) -> list[dict[str, Any]]:
    """Stored lines of the sessions from `first` to `last`, oldest first: numbers are `Decimal`, `price` may be None."""
    if by == "strategy":
        return _rows(lake, BY_STRATEGY, "strategy, symbol", portfolio, first, last)
    return _rows(lake, BY_INSTRUMENT, "symbol, sector", portfolio, first, last)


def read_sums(lake: Lake, by: By, portfolio: str, first: date, last: date) -> list[dict[str, Any]]:
    """Stored profits of the sessions from `first` to `last` by group, exact; see `summed` for the rows."""
    key = _KEYS[by]
    # Most amounts are zero, and a profit follows from the others: what is left of years of lines is read in seconds.
    parts = [name for name in AMOUNTS if name != "profit"]
    told = ", ".join(f"list({name}) FILTER ({name} <> '0')" for name in parts)
    query = (
        f"SELECT CASE WHEN symbol = '{ACCOUNT}' THEN '{THE_ACCOUNT}' WHEN {key} = '{NOBODY}' THEN '{UNASSIGNED}' "
        f"ELSE {key} END AS name, list(value) FILTER (session = $last), {told} "
        f"FROM {BY_STRATEGY if by == 'strategy' else BY_INSTRUMENT} "
        "WHERE portfolio = $portfolio AND session BETWEEN $first AND $last GROUP BY name"
    )
    with lake.read() as cursor:
        found = cursor.execute(query, {"portfolio": portfolio, "first": first, "last": last}).fetchall()
    groups = []
    with exact_arithmetic():
        for name, *texts in found:
            sums = [sum(map(Decimal, values or ()), ZERO) for values in texts]
            group = dict(zip(("value", *parts), sums, strict=True))
            profit = group["realised"] + group["unrealised"] + group["income"] - group["fees"]
            groups.append({by: name, **group, "profit": profit})
    return _by_profit(groups, by)


def _by_profit(groups: Iterable[dict[str, Any]], by: By) -> list[dict[str, Any]]:
    return sorted(groups, key=lambda group: (-group["profit"], group[by]))


def _rows(lake: Lake, table: str, key: str, portfolio: str, first: date, last: date) -> list[dict[str, Any]]:
    query = (
        f"SELECT session, {key}, {', '.join(_EXACT)} FROM {table} "
        f"WHERE portfolio = ? AND session BETWEEN ? AND ? ORDER BY session, {key}"
    )
    with lake.read() as cursor:
        found = cursor.execute(query, [portfolio, first, last])
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    exact = dict.fromkeys(_EXACT, Decimal)
    return [
        {name: exact[name](value) if name in exact and value is not None else value for name, value in row.items()}
        for row in rows
    ]


@exact_arithmetic()
def summed(lines: Iterable[Mapping[str, Any]], by: By) -> list[dict[str, Any]]:
    """One row for each instrument, sector or strategy, by profit: `value` at the end, and the sums of `AMOUNTS`.

    A group that no line of the last session is of is held no more: its value is 0.
    """
    rows = list(lines)
    last = max((row["session"] for row in rows), default=None)
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = label(row, by)
        group = found.setdefault(name, {by: name, "value": ZERO, **dict.fromkeys(AMOUNTS, ZERO)})
        for amount in AMOUNTS:
            group[amount] += row[amount]
        if row["session"] == last:
            group["value"] += row["value"]
    return _by_profit(found.values(), by)


def profit_table(profits: Profits, by: Literal["instrument", "strategy"]) -> pd.DataFrame:
    """One measurement's profits by instrument or strategy in whole cents, the largest by size first.

    Columns: `by`, profit, realised, unrealised, income, fees, value.
    """
    import pandas as pd

    if by == "instrument":
        lines = [({"symbol": symbol}, line) for symbol, line in profits.by_instrument.items()]
    else:
        lines = [({"strategy": name, "symbol": symbol}, line) for (name, symbol), line in profits.by_strategy.items()]
    now = {"session": date.min}
    rows = [{**now, **key, **{name: getattr(line, name) for name in ("value", *AMOUNTS)}} for key, line in lines]
    found = sorted(summed(rows, by), key=lambda group: -abs(group["profit"]))
    columns = ["profit", "realised", "unrealised", "income", "fees", "value"]
    frame = pd.DataFrame(found, columns=[by, *columns])
    return frame.assign(**{name: [round(float(value), 2) for value in frame[name]] for name in columns})


def label(row: Mapping[str, Any], by: By) -> str:
    """The group of a line, as a person reads it."""
    if row["symbol"] == ACCOUNT:
        return THE_ACCOUNT
    name = str(row[_KEYS[by]])
    return UNASSIGNED if by == "strategy" and name == NOBODY else name
