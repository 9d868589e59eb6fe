"""From the accepted rows of a portfolio's strategies to its targets: identity, combination, overlays, in this order.

What belongs here: that order, and what is refused or said of the whole. What does not: the steps themselves
(`identity`, `blend`, `overlays`), storing (`targets`), prices, sizing and scaling a sum (`planning`).

A portfolio follows its strategies together or not at all: one that is refused refuses the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.config import SUM_TOLERANCE, FractionalShares, SignalChoice, WeightRules
from scizor_dagster.errors import DataError
from scizor_dagster.signals.arithmetic import decimal_of, plain_text
from scizor_dagster.signals.blend import combine
from scizor_dagster.signals.deliveries import file_name
from scizor_dagster.signals.identity import KnownMarket, ResolvedRow, resolve
from scizor_dagster.signals.intake import AcceptedSignals
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap
from scizor_dagster.signals.overlays import apply_overlays
from scizor_dagster.signals.report import about_asset
from scizor_dagster.signals.targets import TargetStatus, TargetWeight, TargetWeights, exact_sum

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = Decimal("1e-9")


@dataclass(frozen=True)
class StrategyRows:
    """One strategy's part in a session.

    Attributes:
        rows: From `dating.select_session`.
        accepted: The file they are of.
    """

    entry: StrategyEntry
    identifiers: IdentifierMap
    rows: pd.DataFrame
    accepted: AcceptedSignals


@dataclass(frozen=True)
class IdleStrategy:
    """A strategy that is paused or stopped.

    Attributes:
        sentence: Its state, as every target says it that the strategy has a part in.
        sold: Whether its positions are to be sold; else they are left as they are.
        rows: What it wanted last, each with the sentence as its note; of no weight where they are sold.
    """

    sentence: str
    sold: bool
    rows: tuple[ResolvedRow, ...]


def consolidate(
    parts: Sequence[StrategyRows],
    choice: SignalChoice,
    market: KnownMarket,
    *,
    weights: WeightRules,
    fractional: FractionalShares,
    idle: Mapping[str, IdleStrategy] | None = None,
) -> TargetWeights:
    """Make one target per instrument.

    Args:
        parts: One for each strategy of `choice` that runs.
        idle: The others, by name.
        choice: How they are combined, and the overlays.
        market: Where they trade.
        weights: The portfolio's rules; its `blacklist` names tickers or a strategy's own ids.
        fractional: For the maximum of the sum, which the planner scales to.

    Raises:
        SignalRefused: the policies of a strategy refuse its rows (see `identity.resolve`).
        DataError: together, the targets are above the maximum and its tolerance.
    """
    found = [
        (part, resolve(part.rows, part.entry, part.identifiers, market, weights.blacklist, part.accepted.file_hash))
        for part in parts
    ]
    for part, resolution in found:
        if resolution.violations:
            name = file_name(part.entry, part.rows)
            placed = (about_asset(item, wide=part.accepted.wide) for item in resolution.violations)
            raise part.accepted.refusal(*(replace(item, file=name) for item in placed))
    resting = dict(idle or {})
    rows: dict[str, Sequence[ResolvedRow]] = {part.entry.id: resolution.rows for part, resolution in found}
    rows |= {name: item.rows for name, item in resting.items()}
    combined = combine(rows, choice)
    targets, changes = apply_overlays(combined, choice.overlays, market.sectors)
    warnings = (*(text for _, resolution in found for text in resolution.warnings), *changes)
    said = (
        *warnings,
        *(item.sentence + "." for item in resting.values()),
        *_judged(targets, fractional.max_total_weight),
    )
    # Last, so that what an idle strategy keeps is not free for the others.
    return TargetWeights(tuple(_left_alone(row, resting) for row in targets), said)


def _left_alone(row: TargetWeight, idle: Mapping[str, IdleStrategy]) -> TargetWeight:
    """A target with parts of idle strategies: each named in its note, and no order where it has no other part."""
    named = dict.fromkeys(item.strategy for item in row.contributions)
    resting = [idle[name] for name in named if name in idle]
    if not resting:
        return row
    missing = [item.sentence for item in resting if item.sentence not in row.note]
    note = ". ".join(filter(None, (row.note, *missing)))
    kept = row.status is TargetStatus.OK and len(resting) == len(named) and not any(item.sold for item in resting)
    return replace(row, note=note, status=TargetStatus.STRATEGY_IDLE if kept else row.status)


def _judged(targets: Sequence[TargetWeight], max_total: float) -> list[str]:
    """A warning where the sum is above its maximum by no more than rounding explains."""
    gross = exact_sum(abs(row.target_weight) for row in targets if row.status is TargetStatus.OK)
    maximum = decimal_of(max_total)
    if gross <= maximum + _ROUNDING:
        return []
    if gross > maximum + decimal_of(SUM_TOLERANCE) + _ROUNDING:
        raise DataError(
            f"Together the targets sum to {float(gross):.9g} of the portfolio; "
            f"risk.fractional_shares.max_total_weight allows {max_total:g}.",
            remedy=f"Add the overlay 'scale_to_gross: {plain_text(maximum)}' to its signals, or raise the limit.",
        )
    return [f"The weights sum to {float(gross):.9g}, above {max_total:g} but within the tolerance."]
