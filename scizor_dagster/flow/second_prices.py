"""A second source's prices: fetched after the first's, and handed to the limit that compares two.

What belongs here: which market has one, and its closes in the first's units. What does not: storing and comparing
(`market_data.second_source`), and the limit itself (`risk.checks`).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.second_source import SecondReport, collect_second_bars, source_differences
from scizor_dagster.planning.rules import exact

if TYPE_CHECKING:
    import pandas as pd


def ask_second_source(desk: Desk, market: str, first: date, last: date) -> SecondReport | None:
    """Store what the market's second source says of a range of closed sessions; None where there is none."""
    source = desk.second_source(market)
    if source is None:
        return None
    return collect_second_bars(desk.lake, market, source, sorted(desk.instruments(market)), first, last, desk.clock())


def beyond_tolerance(desk: Desk, market: str, session: date) -> pd.DataFrame:
    """Symbols on whose close of the session two sources differ by more than `quality.max_source_difference`."""
    found = source_differences(desk.lake, market, session)
    return found[found["difference"] > desk.market(market).quality.max_source_difference]


def second_prices(desk: Desk, lake: Lake, market: str, closes: pd.DataFrame, priced_on: date) -> dict[str, Decimal]:
    """Closes of `priced_on` at the market's second source, by symbol, in the units of the first's.

    Made-up prices say nothing, and an older close is no second opinion: a symbol whose last close, as `last_closes`
    gives them, is not of `priced_on` is left out.
    """
    if desk.market(market).compare_with is None:
        return {}
    current = {row["symbol"] for row in closes.to_dict("records") if row["session"] == priced_on}
    found = source_differences(lake, market, priced_on)
    compared = found[(found["note"] == "") & ~found["synthetic"] & found["symbol"].isin(current)]
    return {row["symbol"]: exact(float(row["second_close"])) for row in compared.to_dict("records")}
