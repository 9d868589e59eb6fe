"""Dividends that a source's adjusted closes show and nobody lists: actions of the source `observed:<provider>`.

What belongs here: writing them, and withdrawing them once the provider lists them. What does not: seeing them
(`adjusted_closes`, `judging`), the provider's own actions (`collect`), splits (`observed_splits`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product

import duckdb
import pandas as pd

from scizor_dagster.market_data.observed_splits import PREFIX

_SAME_AMOUNT = 0.05
_DAYS_APART = timedelta(days=3)
"""Less than half a week: some funds pay the same every week."""
_OBSERVED = "market = ? AND kind = 'dividend' AND starts_with(source, ?)"


@dataclass(frozen=True, slots=True)
class ObservedDividend:
    """A dividend seen in adjusted closes.

    Attributes:
        amount: Cash per share, on the split basis of the source's prices.
    """

    symbol: str
    ex_session: date
    amount: float


def store_dividends(
    cursor: duckdb.DuckDBPyConnection, market: str, provider: str, seen: Iterable[ObservedDividend], now: datetime
) -> None:
    """Add the dividends that are not known of, in the currency of their instruments: none twice, as for withdrawing."""
    for dividend in seen:
        cursor.execute(
            """
            INSERT INTO corporate_actions (market, symbol, ex_session, kind, amount, currency, source, fetched_at)
            SELECT $market, $symbol, $day, 'dividend', $amount,
                (SELECT any_value(currency) FROM symbols WHERE market = $market AND symbol = $symbol), $source, $now
            WHERE NOT EXISTS (SELECT 1 FROM corporate_actions WHERE market = $market AND symbol = $symbol
                AND kind = 'dividend' AND (ex_session = $day OR
                    (abs(ex_session - $day::DATE) <= $near AND abs($amount / nullif(amount, 0) - 1) < $like)))
            """,
            {
                "market": market,
                "symbol": dividend.symbol,
                "day": dividend.ex_session,
                "amount": dividend.amount,
                "source": f"{PREFIX}{provider}",
                "now": now,
                "near": _DAYS_APART.days,
                "like": _SAME_AMOUNT,
            },
        )


def forget_dividends(cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str]) -> None:
    """Delete the observed dividends of series that are replaced: amounts are on the basis of the prices."""
    where = f"{_OBSERVED} AND symbol IN (SELECT unnest(?))"
    cursor.execute(f"DELETE FROM corporate_actions WHERE {where}", [market, PREFIX, list(symbols)])


def withdraw_dividends(cursor: duckdb.DuckDBPyConnection, market: str, listed: pd.DataFrame) -> bool:
    """Delete the observed dividends that a provider lists by now; whether there were any.

    `listed` is what it lists: columns symbol, ex_session, kind, amount. It is the same dividend on the same day, and
    with about the same amount on one of the days around it.
    """
    rows = cursor.execute(
        f"SELECT symbol, ex_session, amount FROM corporate_actions WHERE {_OBSERVED}", [market, PREFIX]
    )
    observed = [ObservedDividend(*row) for row in rows.fetchall()]
    chosen = listed[(listed["kind"] == "dividend") & listed["symbol"].isin([each.symbol for each in observed])]
    days = [pd.Timestamp(stamp).date() for stamp in chosen["ex_session"]]
    known = [ObservedDividend(*row) for row in zip(chosen["symbol"], days, chosen["amount"], strict=True)]
    doubled = {each for each, other in product(observed, known) if _same(each, other)}
    for dividend in doubled:
        cursor.execute(
            f"DELETE FROM corporate_actions WHERE {_OBSERVED} AND symbol = ? AND ex_session = ?",
            [market, PREFIX, dividend.symbol, dividend.ex_session],
        )
    return bool(doubled)


def _same(observed: ObservedDividend, listed: ObservedDividend) -> bool:
    if observed.symbol != listed.symbol:
        return False
    alike = listed.amount > 0 and abs(observed.amount / listed.amount - 1.0) < _SAME_AMOUNT
    return observed.ex_session == listed.ex_session or (
        alike and abs(observed.ex_session - listed.ex_session) <= _DAYS_APART
    )
