"""Whether a ticker that has another id at the provider is still the company that it was.

What belongs here: the evidence, from stored bars and those of the new id. What does not: what follows of it
(`reused_tickers`), looking symbols up (`verification`).

Providers give a company a new id after some corporate actions and listings. Two companies do not trade at one price,
nor at prices in one proportion, session after session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.provider import Identified, Listing, MarketData
from scizor_dagster.market_data.restated_series import common_split, ratio_text
from scizor_dagster.market_data.symbol_rows import Book, Outcome
from scizor_dagster.market_data.verification import Answers

if TYPE_CHECKING:
    import pandas as pd

COMPARED_SESSIONS = 60
FEWEST_SESSIONS = 10
_AGREEING = 0.95
_ROOM = 0.002
_MOVING = 0.5
"""Share of the sessions in which the close must have moved: prices that stand still agree with anything."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ticker with another id than it had on `known`, the day of its last verification."""

    listing: Listing
    known: date


def suspects(book: Book, answers: Answers, drafted: Outcome) -> dict[str, Suspect]:
    """Tickers that `drafted` takes for another company's by their id alone, by symbol.

    One whose old or new id goes by another ticker too has changed its owner for certain.
    """
    carried = {name for carry in drafted.carries for name in (carry.old, carry.new)}
    found = {}
    for move in drafted.moves:
        if move.certain or carried & {move.symbol, move.name}:
            continue
        verified = book.rows[move.symbol].last_verified
        new_id = drafted.book.rows[move.symbol].provider_id
        listing = next((match for match in answers.found[move.symbol] if match.provider_id == new_id), None)
        if verified is not None and listing is not None:
            found[move.symbol] = Suspect(listing, verified.date())
    return found


def hear_evidence(
    lake: Lake, market: str, provider: MarketData, suspected: Mapping[str, Suspect], answers: Answers, now: datetime
) -> None:
    """Add to `answers` which of the suspects are the same company, and why; take back what got no evidence in time."""
    for symbol, suspect in suspected.items():
        split, stored = _stored(lake, market, symbol, suspect.known, now)
        both = None
        if isinstance(provider, Identified) and len(stored) >= FEWEST_SESSIONS:
            first, last = stored["session"].min().date(), stored["session"].max().date()
            try:
                both = _compared(stored, provider.bars_of(suspect.listing, first, last, now))
            except BrokerUnavailable as failure:
                del answers.found[symbol]
                answers.silent[symbol] = f"another id, and no bars to tell whether it is the same: {failure.problem}"
                continue
        same = both.told if both is not None else None
        if same is None and split is not None and (both is None or both.together):
            # A reverse split may be of an odd ratio, and gives a new id; prices of their own are another company's.
            same = f"another id since its reverse split of {split}"
        if same is not None:
            answers.same[symbol] = same


def same_series(stored: pd.DataFrame, fetched: pd.DataFrame) -> str | None:
    """How two series show that they are one company's; None where they do not.

    Args:
        stored: Columns session, close; one row for each session.
        fetched: Likewise, under the new id.
    """
    both = _compared(stored, fetched)
    return both.told if both is not None else None


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two series in the sessions of both: in how many the new close is `factor` times the stored one."""

    factor: float
    agreeing: int
    sessions: int

    @property
    def together(self) -> bool:
        return self.agreeing >= _AGREEING * self.sessions

    @property
    def told(self) -> str | None:
        """Why they are one company's; None where the prices do not say so."""
        if not self.together or common_split(1 / self.factor) is None:
            return None
        split = "" if abs(self.factor - 1) <= _ROOM else f", after a split of {ratio_text(1 / self.factor)}"
        return f"another id, and the same prices in {self.agreeing} of {self.sessions} sessions{split}"


def _compared(stored: pd.DataFrame, fetched: pd.DataFrame) -> _Compared | None:
    """None where the sessions are too few, or the prices stand still."""
    if fetched.empty:
        return None
    both = stored[["session", "close"]].merge(fetched[["session", "close"]], on="session", suffixes=("", "_new"))
    both = both.sort_values("session")
    old, new = both["close"].to_numpy(dtype=np.float64), both["close_new"].to_numpy(dtype=np.float64)
    if len(both) < FEWEST_SESSIONS or np.mean(np.diff(old) != 0) < _MOVING:
        return None
    factor = float(np.median(new / old))
    return _Compared(factor, int((np.abs(new / (old * factor) - 1) <= _ROOM).sum()), len(both))


def _stored(lake: Lake, market: str, symbol: str, known: date, now: datetime) -> tuple[date | None, pd.DataFrame]:
    """The newest listed reverse split, which gives a share a new CUSIP, since `known`, and the newest bars up to it."""
    with lake.read() as cursor:
        split = cursor.execute(
            f"SELECT max(ex_session) FROM {whole('corporate_actions')} "
            "WHERE market = ? AND symbol = ? AND kind = 'split' AND ratio < 1 AND ex_session BETWEEN ? AND ?",
            [market, symbol, known, now.date()],
        ).fetchone()
        bars = cursor.execute(
            "SELECT session, close FROM bars WHERE market = ? AND symbol = ? AND session <= ? "
            "ORDER BY session DESC LIMIT ?",
            [market, symbol, known, COMPARED_SESSIONS],
        ).df()
    return split[0] if split else None, bars
