"""Judging an answer beside what is stored: which of its good bars are quarantined all the same.

What belongs here: finding the corporate actions that a judgement needs, and parting the frame. What does
not: the rules (`plausibility`, `jumps`), and how much context is read (`history`, `session_bars`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import pandas as pd

from scizor_dagster.config import PriceQuality
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.adjusted_closes import Contradiction, contradictions
from scizor_dagster.market_data.jumps import Action
from scizor_dagster.market_data.observed_dividends import ObservedDividend
from scizor_dagster.market_data.plausibility import REASONS, Accepted, doubt
from scizor_dagster.market_data.provider import ADJUSTED_CLOSE, MarketData
from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.sessions import TradingCalendar

_ACTION = ["symbol", "ex_session", "kind", "ratio", "amount"]
_KEY = ["symbol", "session"]


@dataclass(frozen=True)
class Judge:
    """What one collection judges by.

    Attributes:
        accepted: What a person has accepted: close by symbol and session.
    """

    lake: Lake
    market: str
    provider: MarketData
    quality: PriceQuality
    accepted: Accepted
    calendar: TradingCalendar

    def part(self, checked: CheckedBars, context: pd.DataFrame) -> CheckedBars:
        """Move what is not believed to the quarantined rows.

        Args:
            checked: The answer, as `quality` has parted it. Good rows whose key is in `context` stay as they are.
            context: Stored bars around it: columns symbol, session, open, high, low, close, volume.
        """
        known = _in(checked.good, context)
        judged = checked.good[~known] if known.any() else checked.good
        if judged.empty:
            return checked
        earliest = min(frame["session"].min() for frame in (judged, context) if len(frame))
        first, last = earliest.date(), judged["session"].max().date()
        stored = self._stored_actions(first, last)
        splits = (stored["kind"] == "split") & (self.provider.adjustment == "raw")
        doubts = doubt(
            judged,
            context,
            self.quality,
            lambda symbols: self._actions(symbols, stored, first, last),
            frozenset(stored.loc[splits, "symbol"]),
            self.accepted,
            self._length_of,
        )
        doubted = doubts.reasons >= 0
        if not doubted.any():
            return self._with_contradictions(checked, stored, first, last)
        rows = judged[doubted].copy()
        rows["reason"] = [REASONS[index] for index in doubts.reasons[doubted]]
        rows["detail"] = [doubts.details[index] for index in doubted.nonzero()[0].tolist()]
        good = checked.good.drop(index=rows.index)
        quarantined = pd.concat([checked.quarantined, rows], ignore_index=True)
        parted = replace(checked, good=good, quarantined=quarantined, faults=checked.faults + doubts.faults)
        return self._with_contradictions(parted, stored, first, last)

    def _with_contradictions(self, checked: CheckedBars, stored: pd.DataFrame, first: date, last: date) -> CheckedBars:
        """Add where a source's own adjusted closes contradict its actions, and the dividends that they show so."""
        if ADJUSTED_CLOSE not in checked.good.columns or self.provider.adjustment == "total_return":
            return checked
        actions = self._actions(sorted(checked.good["symbol"].unique()), stored, first, last)
        steps = contradictions(checked.good, actions)
        taken = {step: self._is_dividend(step) for step in steps}
        dividends = (ObservedDividend(each.symbol, each.session, each.amount) for each in steps if taken[each])
        faults = tuple(step.fault(taken=taken[step]) for step in steps)
        return replace(checked, faults=checked.faults + faults, dividends=checked.dividends + tuple(dividends))

    def _is_dividend(self, step: Contradiction) -> bool:
        # With a session between the two bars, the day of the step is not known.
        certain = self.calendar.next_session(step.before) == step.session
        return certain and step.is_dividend(self.provider.adjustment)

    def _length_of(self, session: date) -> float:
        return (self.calendar.close_at(session) - self.calendar.open_at(session)) / self._usual_length

    @cached_property
    def _usual_length(self) -> timedelta:
        """The longest of two weeks: an early close is never the rule."""
        start = self.calendar.first
        days = self.calendar.sessions(start, start + timedelta(days=14))
        return max(self.calendar.close_at(day) - self.calendar.open_at(day) for day in days)

    def _stored_actions(self, first: date, last: date) -> pd.DataFrame:
        with self.lake.read() as cursor:
            return cursor.execute(
                f"SELECT {', '.join(_ACTION)} FROM {whole('corporate_actions')} "
                "WHERE market = ? AND ex_session BETWEEN ? AND ?",
                [self.market, first, last],
            ).df()

    def _actions(
        self, symbols: Sequence[str], stored: pd.DataFrame, first: date, last: date
    ) -> Mapping[str, Sequence[Action]]:
        """Stored actions and the provider's: bars are collected before the actions of their session are stored."""
        answered = self.provider.corporate_actions(symbols, first, last)[_ACTION]
        parts = [frame for frame in (stored[stored["symbol"].isin(symbols)], answered) if len(frame)]
        found: defaultdict[str, list[Action]] = defaultdict(list)
        if not parts:
            return found
        for row in pd.concat(parts).drop_duplicates(["symbol", "ex_session", "kind"]).to_dict("records"):
            day = row["ex_session"].date()
            action = Action.of(row["kind"], day, row["ratio"], row["amount"], self.provider.adjustment)
            if action is not None:
                found[row["symbol"]].append(action)
        return found


def _in(rows: pd.DataFrame, context: pd.DataFrame) -> pd.Series[bool]:
    """Which rows have their key in `context`."""
    none = pd.Series(False, index=rows.index)
    if rows.empty or context.empty or context["session"].max() < rows["session"].min():
        return none
    within = context["session"].between(rows["session"].min(), rows["session"].max())
    keys = pd.MultiIndex.from_frame(context.loc[within, _KEY])
    return pd.Series(pd.MultiIndex.from_frame(rows[_KEY]).isin(keys), index=rows.index) if len(keys) else none
