"""A second source's prices: fetched after the first's, compared with them, and handed to the limit on two prices.

What belongs here: which market has one, and one comparison for all who ask. What does not: storing, and units
(`market_data.second_source`), what follows from a difference (`flow.quality`), and the limit itself (`risk.checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Comparison:
    """The closes of one session beside those of a second source.

    Attributes:
        stored: Number of closes that are stored of the session.
        both: Those that could be compared, in the units of the first: symbol, session, close, second_close, difference.
        differing: The rows of `both` whose difference is beyond `quality.max_source_difference`.
        reasons: Why the others could not be compared, each with a count.
    """

    session: date
    stored: int
    both: pd.DataFrame
    differing: pd.DataFrame
    reasons: Mapping[str, int]

    @property
    def most_compared(self) -> bool:
        """Whether the second source says anything of at least half of the closes; silence is no agreement."""
        return 2 * len(self.both) >= self.stored

    @property
    def found(self) -> str:
        why = "".join(f"; {reason} ({count})" for reason, count in self.reasons.items())
        return f"{len(self.both)} of {self.stored} closes of {self.session} could be compared with a second source{why}"


def compare_session(desk: Desk, lake: Lake, market: str, session: date) -> Comparison:
    """The one comparison of two sources that the collection's check, a plan and the pre-trade limit go by."""
    found = source_differences(lake, market, session)
    compared = found["note"] == ""
    both = found.loc[compared, ["symbol", "session", "close", "second_close", "difference"]].reset_index(drop=True)
    counts = found.loc[~compared, "note"].value_counts().sort_index()
    beyond = both["difference"] > desk.market(market).quality.max_source_difference
    return Comparison(
        session=session,
        stored=len(found),
        both=both,
        differing=both[beyond].reset_index(drop=True),
        reasons={str(note): int(count) for note, count in counts.items()},
    )


def second_prices(desk: Desk, lake: Lake, market: str, priced_on: date) -> dict[str, Decimal]:
    """Closes of `priced_on` at the market's second source, by symbol, in the units of the first's.

    An older close is no second opinion, nor is one that cannot be compared: such a symbol is left out.
    """
    if desk.market(market).compare_with is None:
        return {}
    compared = compare_session(desk, lake, market, priced_on).both
    return {row["symbol"]: exact(float(row["second_close"])) for row in compared.to_dict("records")}
