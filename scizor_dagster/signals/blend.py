"""Several strategies to one target per instrument, with what each line has in it.

What belongs here: the three ways to combine (one strategy, a blend by capital, an ensemble). What does not:
finding instruments (`identity`), and what is done to the combined targets (`overlays`).

Every row of every strategy stays in the attribution, also one that comes to nothing: opposite signs net to a
target of 0, and the median of three strategies is the weight of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from scizor_dagster.config import SignalChoice
from scizor_dagster.signals.arithmetic import STEP, decimal_of, exact_arithmetic, scaled
from scizor_dagster.signals.identity import ResolvedRow
from scizor_dagster.signals.targets import Contribution, TargetStatus, TargetWeight

_ZERO, _ONE, _HALF = Decimal(0), Decimal(1), Decimal("0.5")
_GRAVEST = (TargetStatus.QUARANTINED, TargetStatus.AMBIGUOUS_ID, TargetStatus.UNKNOWN_ID, TargetStatus.RETIRED_ASSET)
Shares = tuple[Decimal, tuple[Decimal, ...]]
"""A target, and what each of the rows that it is made of has in it."""
_Rule = Callable[[Sequence[ResolvedRow]], Shares]


@exact_arithmetic()
def combine(rows: Mapping[str, Sequence[ResolvedRow]], choice: SignalChoice) -> tuple[TargetWeight, ...]:
    """One target per instrument, in the order of strategies and lines.

    An instrument of which one strategy's row is set aside, or that a row set aside may mean, is set aside whole:
    what is held of it cannot be told apart.

    Args:
        rows: By strategy, in the order of `choice.ids`. Within a strategy, no two ids have one instrument.
        choice: Mode, capital and rule; its overlays are not applied here.
    """
    rule = _rule(choice)
    groups: dict[tuple[str, ...], list[ResolvedRow]] = {}
    for row in (row for strategy in choice.ids for row in rows[strategy]):
        key = (row.symbol,) if row.symbol else ("", row.strategy, row.asset_id)
        groups.setdefault(key, []).append(row)
    # In an order that the configuration's does not change, and in which they are read back.
    ordered = [sorted(group, key=lambda row: (row.strategy, row.line, row.asset_id)) for group in groups.values()]
    return tuple(_kept_apart([_target(group, rule(group)) for group in ordered]))


def _rule(choice: SignalChoice) -> _Rule:
    if choice.mode == "ensemble":
        return _Mean(len(choice.ids)) if choice.combine == "mean" else _Median(choice.ids)
    return _Capital({item.id: decimal_of(item.capital) for item in choice.strategies if item.capital is not None})


@dataclass(frozen=True)
class _Capital:
    """The sum of weights times capital; a strategy that is not named has all of it."""

    capital: Mapping[str, Decimal]

    def __call__(self, rows: Sequence[ResolvedRow]) -> Shares:
        parts = tuple(row.weight * self.capital.get(row.strategy, _ONE) for row in rows)
        return sum(parts, _ZERO), parts


@dataclass(frozen=True)
class _Mean:
    """The mean over all strategies; one without the instrument counts as 0."""

    count: int

    def __call__(self, rows: Sequence[ResolvedRow]) -> Shares:
        weights = [row.weight for row in rows]
        mean = (sum(weights, _ZERO) / self.count).quantize(STEP)
        return mean, scaled(weights, _ONE, Decimal(self.count), mean)


@dataclass(frozen=True)
class _Median:
    """The median over all strategies; one without the instrument counts as 0.

    It belongs to the strategy in the middle, or half and half to the two in the middle; of equal weights, the
    strategy that is configured first comes first.
    """

    ids: tuple[str, ...]

    def __call__(self, rows: Sequence[ResolvedRow]) -> Shares:
        values = [sum((row.weight for row in rows if row.strategy == name), _ZERO) for name in self.ids]
        ranked = sorted(range(len(values)), key=lambda index: values[index])
        middle = {self.ids[ranked[(len(ranked) - 1) // 2]], self.ids[ranked[len(ranked) // 2]]}
        share = _HALF if len(middle) == 2 else _ONE
        parts = tuple(row.weight * share if row.strategy in middle else _ZERO for row in rows)
        return sum(parts, _ZERO), parts


def _target(rows: Sequence[ResolvedRow], shares: Shares) -> TargetWeight:
    total, parts = shares
    aside = [row for status in _GRAVEST for row in rows if row.status is status]
    chief = aside[0] if aside else rows[0]
    return TargetWeight(
        chief.symbol,
        chief.instrument_id,
        total,
        chief.status,
        ". ".join(_sentences(aside or rows)),
        tuple(dict.fromkeys(name for row in rows for name in row.candidates)),
        tuple(
            Contribution(row.strategy, row.asset_id, row.line, row.file_hash, row.stated, part)
            for row, part in zip(rows, parts, strict=True)
        ),
    )


def _sentences(rows: Iterable[ResolvedRow]) -> list[str]:
    return list(dict.fromkeys(row.note for row in rows if row.note))


def _kept_apart(targets: Sequence[TargetWeight]) -> Iterable[TargetWeight]:
    """Set aside what another strategy's row, set aside itself, may mean as well."""
    undecided = [row for row in targets if row.status in (TargetStatus.AMBIGUOUS_ID, TargetStatus.UNKNOWN_ID)]
    meant = {name: row for row in undecided for name in row.candidates}
    for row in targets:
        other = meant.get(row.symbol)
        if row.status is TargetStatus.OK and other is not None:
            ids = " and ".join(f"'{item.asset_id}' of {item.strategy}" for item in other.contributions)
            note = f"{ids} may be {row.symbol} as well, so that it is set aside"
            yield replace(row, status=TargetStatus.AMBIGUOUS_ID, note=". ".join(filter(None, (row.note, note))))
        else:
            yield row
