"""Writing what a provider knows to the lake: corporate actions, and the door to the rest.

What belongs here: `collect_actions`. Symbols are collected by `symbols`, bars by `history` and
`session_bars`, adjusted by `adjustment`; their functions are offered here too, so that callers import
one module. What does not: Dagster, reading (`reading`).

Every function is safe to repeat: it writes in one transaction (history: one for each year), and writes
nothing when the lake already holds the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.config import Market
from scizor_dagster.errors import DataError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.observed_dividends import withdraw_dividends
from scizor_dagster.market_data.observed_splits import PREFIX, withdraw_listed
from scizor_dagster.market_data.provider import ACTION_COLUMNS, ACTION_KINDS, MarketData
from scizor_dagster.market_data.reports import ActionsReport
from scizor_dagster.market_data.session_bars import collect_session
from scizor_dagster.market_data.symbol_failures import failed_symbols
from scizor_dagster.market_data.symbol_store import former_tickers, other_companys_floors
from scizor_dagster.market_data.symbols import collect_symbols

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["collect_actions", "collect_history", "collect_session", "collect_symbols", "rebuild_prices"]


_ENDINGS = ("rename", "delisting")


def collect_actions(
    lake: Lake,
    market_name: str,
    market: Market,
    provider: MarketData,
    symbols: Sequence[str],
    first: date,
    last: date,
    now: datetime,
) -> ActionsReport:
    """Replace the stored actions with an ex session from `first` to `last` by the provider's answer.

    Splits and dividends that were only observed in its prices stay until it lists them itself. What a company did
    under its former tickers counts for its present one too; what another company did under a ticker that it has lost
    does not.

    Raises:
        DataError: an action that cannot be: an unknown kind, a ratio or amount that is not positive, an
            amount without a currency. Nothing is stored then.
    """
    with lake.read() as cursor:
        former = [row for row in former_tickers(cursor, market_name) if row[0] in set(symbols)]
        floors = other_companys_floors(cursor, market_name)
    asked = list(dict.fromkeys([*symbols, *(ticker for _, ticker, _ in former)]))
    answer = provider.corporate_actions(asked, first, last)
    sources = answer.get("source", provider.name)
    frame = answer.loc[:, list(ACTION_COLUMNS)].assign(source=sources).drop_duplicates()
    frame = _of_present_companies(frame, symbols, former, floors).reset_index(drop=True)
    frame["currency"] = frame["currency"].where(
        frame["currency"].notna() | (frame["kind"] != "dividend"), market.currency
    )
    _check_actions(frame, provider.name)
    rows = frame.assign(market=market_name, fetched_at=now)
    # A source that does not answer has not said that a symbol has none.
    failed = failed_symbols(provider, asked)
    unsaid = {*failed, *(present for present, ticker, _ in former if ticker in failed)}
    replaced = [symbol for symbol in symbols if symbol not in unsaid]
    frame, rows = (part[part["symbol"].isin(replaced)] for part in (frame, rows))
    with lake.write() as cursor:
        withdrawn = withdraw_listed(cursor, market_name, frame)
        withdrawn |= withdraw_dividends(cursor, market_name, frame)
        changed = _replace_if_changed(
            cursor,
            "corporate_actions",
            rows,
            "market = ? AND ex_session BETWEEN ? AND ? AND symbol IN (SELECT unnest(?)) AND NOT starts_with(source, ?)",
            [market_name, first, last, replaced, PREFIX],
            ignoring=("fetched_at",),
        )
    kinds = {str(kind): int(count) for kind, count in frame["kind"].value_counts().sort_index().items()}
    return ActionsReport(market_name, provider.name, first, last, len(frame), kinds, changed or withdrawn)


def _of_present_companies(
    frame: pd.DataFrame, symbols: Sequence[str], former: Sequence[tuple[str, str, date]], floors: Mapping[str, date]
) -> pd.DataFrame:
    """The actions of the companies that `symbols` are now, under their present tickers."""
    import pandas as pd

    ends = frame["kind"].isin(_ENDINGS)
    parts = [frame[frame["symbol"].isin(list(symbols))]]
    for present, ticker, until in former:
        earlier = frame[(frame["symbol"] == ticker) & ~ends & (frame["ex_session"] < pd.Timestamp(until))]
        parts.append(earlier.assign(symbol=present))
    if floors:
        floor = parts[0]["symbol"].map({symbol: pd.Timestamp(day) for symbol, day in floors.items()})
        late = (parts[0]["ex_session"] > floor) | ((parts[0]["ex_session"] == floor) & ~ends.loc[parts[0].index])
        parts[0] = parts[0][floor.isna() | late]
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else parts[0]
    return pd.concat(filled, ignore_index=True).drop_duplicates(["symbol", "ex_session", "kind"])


def _check_actions(frame: pd.DataFrame, source: str) -> None:
    split, dividend, rename = (frame["kind"] == kind for kind in ("split", "dividend", "rename"))
    rules = {
        "has a kind that is not known": ~frame["kind"].isin(ACTION_KINDS),
        "is a split without a positive ratio": split & ~((frame["ratio"] > 0) & (frame["ratio"] < float("inf"))),
        "is a dividend without a positive amount": dividend
        & ~((frame["amount"] > 0) & (frame["amount"] < float("inf"))),
        "is a rename without a new symbol": rename & frame["new_symbol"].isna(),
    }
    for problem, marks in rules.items():
        if marks.any():
            row = frame[marks].iloc[0]
            raise DataError(
                f"The action of {row['symbol']} on {row['ex_session'].date()} ({row['kind']}) {problem}.",
                remedy="Correct it at the source; no action was stored.",
                where=source,
            )


def _replace_if_changed(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    frame: pd.DataFrame,
    where: str,
    parameters: list[Any],
    ignoring: Sequence[str],
) -> bool:
    """Make `frame` the rows of the key range, unless they are already; whether anything was written."""
    compared = [name for name in frame.columns if name not in ignoring]
    types = dict(cursor.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall())
    incoming = "SELECT " + ", ".join(f"CAST({name} AS {types[name]}) AS {name}" for name in compared) + " FROM incoming"
    stored = f"SELECT {', '.join(compared)} FROM {table} WHERE {where}"
    cursor.register("incoming", frame)
    try:
        row = cursor.execute(
            f"SELECT count(*) FROM (({stored} EXCEPT ALL {incoming}) UNION ALL ({incoming} EXCEPT ALL {stored}))",
            parameters + parameters,
        ).fetchone()
    finally:
        cursor.unregister("incoming")
    if row is not None and row[0] == 0:
        return False
    replace_rows(cursor, table, frame, where, parameters)
    return True
