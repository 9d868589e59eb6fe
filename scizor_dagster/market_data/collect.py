"""Writing what a provider knows to the lake: symbols and corporate actions, and the door to the rest.

What belongs here: `collect_symbols`, `collect_actions`. Bars are collected by `history` and
`session_bars`, adjusted by `adjustment`; their functions are offered here too, so that callers import
one module. What does not: Dagster, reading (`reading`).

Every function is safe to repeat: it writes in one transaction (history: one for each year), and writes
nothing when the lake already holds the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.config import Market
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.observed_splits import PREFIX, withdraw_listed
from scizor_dagster.market_data.provider import ACTION_COLUMNS, ACTION_KINDS, NOT_FOUND, Listing, MarketData
from scizor_dagster.market_data.reports import ActionsReport, SymbolsReport, UnverifiedSymbol
from scizor_dagster.market_data.session_bars import collect_session
from scizor_dagster.market_data.universe import UniverseEntry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["collect_actions", "collect_history", "collect_session", "collect_symbols", "rebuild_prices"]


def collect_symbols(
    lake: Lake,
    market_name: str,
    market: Market,
    entries: Sequence[UniverseEntry],
    provider: MarketData,
    now: datetime,
) -> SymbolsReport:
    """Store the universe with each symbol's identity at the provider, verified at `now` or not.

    A symbol is verified by exactly one match that does not contradict its exchange and currency. An
    unverified one stays in the universe with a note and gets no order: it has no prices, or those of something else.

    Raises:
        InputError: an entry in another currency than the market's.
    """
    for entry in entries:
        if entry.instrument.currency != market.currency:
            raise InputError(
                f"{entry.instrument.symbol} trades in {entry.instrument.currency}; "
                f"market '{market_name}' is in {market.currency}.",
                remedy="Move it to a market of that currency.",
                where=f"{entry.path}:{entry.line}",
            )
    matches = provider.lookup([entry.instrument.symbol for entry in entries])
    notes = {e.instrument.symbol: _objection(e, matches.get(e.instrument.symbol, ())) for e in entries}
    frame = _symbol_rows(market_name, entries, notes, provider.name, now)
    with lake.write() as cursor:
        before = cursor.execute("SELECT symbol FROM symbols WHERE market = ?", [market_name]).fetchall()
        changed = _replace_if_changed(
            cursor, "symbols", frame, "market = ?", [market_name], ignoring=("fetched_at", "verified_at")
        )
    unverified = tuple(UnverifiedSymbol(symbol, note) for symbol, note in notes.items() if note)
    return SymbolsReport(
        market_name,
        provider.name,
        len(entries),
        len(entries) - len(unverified),
        unverified,
        tuple(sorted({str(symbol) for (symbol,) in before} - set(notes))),
        changed,
    )


def _objection(entry: UniverseEntry, matches: Sequence[Listing]) -> str:
    """Why the symbol's identity is not certain; empty if it is."""
    if not matches:
        return NOT_FOUND
    if len(matches) > 1:
        return f"{len(matches)} matches at the provider: {', '.join(match.provider_id for match in matches)}"
    match, instrument = matches[0], entry.instrument
    if match.mic not in (None, instrument.mic):
        return f"listed on {match.mic} at the provider"
    if match.currency not in (None, instrument.currency):
        return f"trades in {match.currency} at the provider"
    return ""


def _symbol_rows(
    market: str, entries: Sequence[UniverseEntry], notes: dict[str, str], source: str, now: datetime
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for entry in entries:
        instrument = entry.instrument
        note = notes[instrument.symbol]
        rows.append(
            {
                "market": market,
                "symbol": instrument.symbol,
                "instrument_id": instrument.id,
                "mic": instrument.mic,
                "name": instrument.name,
                "currency": instrument.currency,
                "sector": entry.sector,
                "category": entry.category,
                "lot": instrument.lot,
                "tick": instrument.tick,
                "fractionable": instrument.fractionable,
                "shortable": instrument.shortable,
                "tradable": instrument.tradable,
                "verified": not note,
                "verified_at": None if note else now,
                "note": note,
                "source": source,
                "fetched_at": now,
            }
        )
    return pd.DataFrame(rows)


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

    Splits that were only observed in its prices stay until it lists them itself.

    Raises:
        DataError: an action that cannot be: an unknown kind, a ratio or amount that is not positive, an
            amount without a currency. Nothing is stored then.
    """
    answer = provider.corporate_actions(symbols, first, last)
    sources = answer.get("source", provider.name)
    frame = answer.loc[:, list(ACTION_COLUMNS)].assign(source=sources).drop_duplicates().reset_index(drop=True)
    frame["currency"] = frame["currency"].where(
        frame["currency"].notna() | (frame["kind"] != "dividend"), market.currency
    )
    _check_actions(frame, provider.name)
    rows = frame.assign(market=market_name, fetched_at=now)
    # A source that does not answer has not said that a symbol has none.
    whole = not (isinstance(provider, FallbackMarket) and provider.outages)
    replaced = list(symbols) if whole else sorted(set(frame["symbol"]))
    with lake.write() as cursor:
        withdrawn = withdraw_listed(cursor, market_name, frame)
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
