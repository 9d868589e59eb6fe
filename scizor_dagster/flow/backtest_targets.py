"""Targets of many sessions as matrices: weights, and what is set aside and therefore left as it is.

What belongs here: from rows and mappings to arrays. What does not: which weights there are (`backtest_weights`,
`backtest_stored`), and the sessions that they trade in (`backtest.schedules`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.backtest.schedules import schedule_of
from scizor_dagster.config import SUM_TOLERANCE, FractionalShares, WeightRules
from scizor_dagster.errors import DataError
from scizor_dagster.signals.dating import WeightsDated
from scizor_dagster.signals.identity import KnownMarket, resolve
from scizor_dagster.signals.intake import AcceptedSignals
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap, too_much_set_aside
from scizor_dagster.signals.rules import LAST_BIT
from scizor_dagster.signals.targets import TargetStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT = "its weight in cash and what is held of it left as it is"
"""What is done with what is set aside, as live."""
_TWICE = "two_ids_one_instrument"
_NOTHING: Mapping[date, Any] = {}


@dataclass(frozen=True)
class Rules:
    """What single weights and their sums may be."""

    weights: WeightRules
    fractional: FractionalShares


@dataclass(frozen=True)
class Part:
    """An accepted file of a strategy, or what one in Python decides; `undecided` are sessions that it has none for."""

    entry: StrategyEntry
    accepted: AcceptedSignals
    identifiers: IdentifierMap
    undecided: frozenset[date] = frozenset()


class Targets(NamedTuple):
    """Targets before there are prices.

    Attributes:
        days: R dates.
        symbols: N tickers.
        weights: R x N shares of equity.
        aside: R x N, whether a target that may mean this ticker was set aside, and no other one trades it.
        notes: Sentences.
    """

    days: Sequence[date]
    symbols: Sequence[str]
    weights: NDArray[Any]
    aside: NDArray[Any]
    notes: Sequence[str]

    def schedule(
        self, history: History, dated: WeightsDated, *, first: date | None, last: date | None, delay: int = 1
    ) -> Schedule:
        span: Any = {"first": first, "last": last, "delay": delay}
        arguments = (history, self.days, self.symbols, self.weights, dated)
        return schedule_of(*arguments, **span, notes=self.notes, aside=self.aside)

    def moved(self, sessions: Sequence[date], later: int) -> Targets:
        """The same, each of its sessions so many later; what is later than all is left out."""
        rows = [sessions.index(day) + later for day in self.days]
        kept = [at for at, row in enumerate(rows) if row < len(sessions)]
        days = [sessions[rows[at]] for at in kept]
        return self._replace(days=days, weights=self.weights[kept], aside=self.aside[kept])


def matrix_of(
    made: Mapping[date, Mapping[str, float]],
    rules: Rules,
    left: Mapping[date, Collection[str]] = _NOTHING,
    unplaced: Mapping[date, Sequence[float]] = _NOTHING,
    notes: Sequence[str] = (),
) -> Targets:
    """Weights by date and ticker, and tickers that a target which was set aside may mean; an empty one is none.

    `unplaced` are the weights of what was set aside: no ticker has them, and they count in the sum, as live.

    Raises:
        DataError: the weights of a date sum to more than the rules allow.
    """
    days = sorted(made)
    symbols = sorted({name for names in (*made.values(), *left.values()) for name in names if name})
    place = {name: at for at, name in enumerate(symbols)}
    weights, aside = np.zeros((len(days), len(symbols))), np.zeros((len(days), len(symbols)), dtype=np.bool_)
    for number, day in enumerate(days):
        for name, weight in made[day].items():
            weights[number, place[name]] = weight
        for name in left.get(day, ()):
            if name and name not in made[day]:
                aside[number, place[name]] = True
        _fit_in(weights[number], unplaced.get(day, ()), rules.fractional, day)
    return Targets(days, symbols, weights, aside, notes)


def _fit_in(weights: NDArray[Any], unplaced: Sequence[float], fractional: FractionalShares, day: date) -> None:
    """Scale weights to the maximum that they exceed together with what was set aside, as the planner of a session does.

    What they exceed alone is left to that planner.

    Raises:
        DataError: by more than the tolerance.
    """
    if not any(unplaced):
        return
    factor = 1.0
    sums = (np.abs(weights).sum() + np.abs(unplaced).sum(), weights.sum() + np.sum(unplaced))
    for total, maximum in zip(sums, (fractional.max_total_weight, 1.0), strict=True):
        if total > maximum + SUM_TOLERANCE + LAST_BIT:
            raise DataError(
                f"With what was set aside, the weights of {day} sum to {total:.9g}; at most {maximum:g} (tolerance "
                f"{SUM_TOLERANCE:g}) is allowed.",
                remedy="Correct the weights or the ids that were set aside, or raise "
                "risk.fractional_shares.max_total_weight.",
            )
        if total > maximum + LAST_BIT:
            factor = min(factor, maximum / total)
    if fractional.adjust_for_overflow:
        weights *= factor


def by_id(part: Part, market: KnownMarket, rules: Rules) -> Targets | None:
    """Weights of all sessions at once: each id is resolved once, by the policies of its strategy.

    None where two ids mean one instrument: only session by session it is known whether they do at the same time.

    Raises:
        SignalRefused: by one of the policies.
    """
    entry, frame = part.entry, part.accepted.frame
    firsts = frame.drop_duplicates("asset_id").reset_index(drop=True)
    # What may be set aside is judged by session, below.
    lenient = entry.model_copy(update={"max_quarantined_weight": float(len(frame) + 1)})
    found = resolve(firsts, lenient, part.identifiers, market, rules.weights.blacklist, part.accepted.file_hash)
    if found.violations and {item.rule for item in found.violations} <= {_TWICE}:
        return None
    if found.violations:
        raise part.accepted.refusal(*found.violations)
    meaning = {row.asset_id: row for row in found.rows}
    ids = frame["asset_id"].astype(str)
    traded = ids.map({name: row.status is TargetStatus.OK for name, row in meaning.items()}).to_numpy(dtype=bool)
    _check_set_aside(part, frame[~traded])
    rows = frame[traded]
    may_be = {name: {row.symbol, *row.candidates} - {""} for name, row in meaning.items()}
    symbols = sorted(set[str]().union(*may_be.values()))
    at = {name: number for number, name in enumerate(symbols)}
    days = sorted(set(frame["weights_date"]))
    of_day = frame["weights_date"].map({day: number for number, day in enumerate(days)})
    weights, targeted, aside = (np.zeros((len(days), len(symbols)), dtype=kind) for kind in (float, bool, bool))
    places = of_day[traded].to_numpy(), ids[traded].map({name: at.get(row.symbol, -1) for name, row in meaning.items()})
    weights[places] = rows["weight"].to_numpy(dtype=float)
    targeted[places] = True
    for day, name in zip(of_day[~traded], ids[~traded], strict=True):
        aside[day, [at[symbol] for symbol in may_be[name]]] = True
    for number, rest in frame[~traded].groupby(of_day[~traded])["weight"]:
        _fit_in(weights[int(number)], rest.tolist(), rules.fractional, days[int(number)])
    counts = ids[~traded].value_counts()
    notes = [f"Set aside in {count} rows, {LEFT}: {name}: {meaning[str(name)].note}." for name, count in counts.items()]
    renamed = [row.note for row in meaning.values() if row.status is TargetStatus.OK and row.note]
    return Targets(days, symbols, weights, aside & ~targeted, [*notes, *(f"{note}." for note in renamed)])


def _check_set_aside(part: Part, rows: Any) -> None:
    for session, group in rows.groupby("session", sort=True):
        columns = (group["asset_id"], group["line"], group["weight"])
        listed = [(str(name), int(line), float(weight)) for name, line, weight in zip(*columns, strict=True)]
        found = list(too_much_set_aside(part.entry, listed))
        if found:
            raise part.accepted.refusal(*found, session=session)
