"""What the rows of a weight file may say together.

What belongs here: one small function per rule, from parsed rows to violations (`RULES`) or warnings
(`WARNINGS`). What does not: single cells (`cells`), exchange dates (`dating`), identifiers (`mapping`).

A rule yields every breach it finds; nothing stops at the first. Weights are shares of the portfolio;
a sum is of absolute weights (gross), so that shorts do not hide size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from scizor_dagster.config import SUM_TOLERANCE, UNLIMITED, FractionalShares, WeightRules
from scizor_dagster.signals.cells import ParsedRows
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import Violation

_ROUNDING = 1e-9
"""Noise of weights that were computed in floating point; below it nothing is said."""
_LAST_BIT = 1e-12
"""1 + 0.002 is not 1.002 in binary; the tolerance itself is not widened by more than that."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the portfolio allows.

    Attributes:
        max_weight: Largest absolute weight of one asset; infinite where unlimited.
        max_total: Largest sum of absolute weights, before `SUM_TOLERANCE`.
        scales_overflow: Whether the planner scales a sum within the tolerance back to the maximum.
    """

    allow_short: bool
    max_weight: float
    max_total: float
    scales_overflow: bool


def limits_of(entry: StrategyEntry, weights: WeightRules, fractional: FractionalShares) -> Limits:
    """The portfolio's limits, tightened by the strategy's own."""
    own = entry.max_total_weight
    return Limits(
        allow_short=weights.allow_short,
        max_weight=math.inf if weights.max_weight == UNLIMITED else float(weights.max_weight),
        max_total=fractional.max_total_weight if own is None else min(own, fractional.max_total_weight),
        scales_overflow=fractional.adjust_for_overflow,
    )


Rule = Callable[[ParsedRows, Limits], Iterator[Violation]]


def duplicate_assets(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """An asset twice on one date, with equal or other weights: one of the rows was not meant."""
    first: dict[tuple[date, str], int] = {}
    for index, key in enumerate(zip(rows.dates, rows.asset_ids, strict=True)):
        if key not in first:
            first[key] = index
            continue
        earlier = first[key]
        same = "the same weight" if rows.weights[earlier] == rows.weights[index] else "another weight"
        yield Violation(
            "duplicate_asset",
            f"Asset '{key[1]}' stands twice on {key[0]}: line {rows.lines[earlier]} gives {same}.",
            "Keep one row per asset and date.",
            line=rows.lines[index],
            sheet=rows.sheet,
            column=rows.headers["asset_id"],
            value=key[1],
        )


def case_twins(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """`spy` beside `SPY` on one date: nobody can say whether they are one asset."""
    folded = {name: name.casefold() for name in set(rows.asset_ids)}
    if len(set(folded.values())) == len(folded):
        return
    first: dict[tuple[date, str], int] = {}
    for index, (day, asset_id) in enumerate(zip(rows.dates, rows.asset_ids, strict=True)):
        earlier = first.setdefault((day, folded[asset_id]), index)
        if rows.asset_ids[earlier] != asset_id:
            yield Violation(
                "case_twins",
                f"It differs only in case from '{rows.asset_ids[earlier]}' (line {rows.lines[earlier]}).",
                "Write each identifier in one way.",
                line=rows.lines[index],
                sheet=rows.sheet,
                column=rows.headers["asset_id"],
                value=asset_id,
            )


def negative_weights(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    if limits.allow_short:
        return
    for index, weight in enumerate(rows.weights):
        if weight < 0:
            remedy = "Remove the short, or set weights.allow_short in the configuration."
            yield _weight(rows, index, "negative_weight", "Short positions are off.", remedy)


def weights_above_maximum(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    if math.isinf(limits.max_weight):
        return
    for index, weight in enumerate(rows.weights):
        if abs(weight) > limits.max_weight + _ROUNDING:
            problem = f"One asset may have at most {limits.max_weight:g}."
            remedy = "Lower the weight, or raise weights.max_weight in the configuration."
            yield _weight(rows, index, "weight_above_maximum", problem, remedy)


def weights_as_percentages(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """Every weight above 1: the file writes 50 for 50 %."""
    held = [index for index, weight in enumerate(rows.weights) if weight]
    if held and all(abs(rows.weights[index]) > 1 for index in held):
        problem = "Every weight is above 1: these look like percentages."
        yield _weight(rows, held[0], "percentages", problem, "Divide the weights by 100.")


def sums_above_maximum(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    for day, (index, total) in sums_by_date(rows).items():
        if total > limits.max_total + SUM_TOLERANCE + _LAST_BIT:
            yield Violation(
                "sum_above_maximum",
                f"The weights of {day} sum to {total:.9g}; at most {limits.max_total:g} "
                f"(tolerance {SUM_TOLERANCE:g}) is allowed.",
                "Scale the weights of the date down.",
                line=rows.lines[index],
                sheet=rows.sheet,
                column=rows.headers["target_weight"],
                value=f"{total:.12g}",
            )


def sums_within_tolerance(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """A warning: above the maximum, but no more than rounding explains."""
    scaled = "is scaled to the maximum" if limits.scales_overflow else "is kept (adjust_for_overflow is off)"
    for day, (index, total) in sums_by_date(rows).items():
        if limits.max_total + _ROUNDING < total <= limits.max_total + SUM_TOLERANCE + _LAST_BIT:
            yield Violation(
                "sum_within_tolerance",
                f"The weights of {day} sum to {total:.9g}, above {limits.max_total:g}; the excess {scaled}.",
                "Round weights down before writing them.",
                line=rows.lines[index],
                sheet=rows.sheet,
                column=rows.headers["target_weight"],
                value=f"{total:.12g}",
            )


RULES: tuple[Rule, ...] = (
    duplicate_assets,
    case_twins,
    negative_weights,
    weights_above_maximum,
    weights_as_percentages,
    sums_above_maximum,
)
WARNINGS: tuple[Rule, ...] = (sums_within_tolerance,)


def sums_by_date(rows: ParsedRows) -> dict[date, tuple[int, float]]:
    """Gross weight of every date: index of its first row, and the sum. Incomplete dates are left in:
    what can be read of them may already be too much.
    """
    first: dict[date, int] = {}
    parts: dict[date, list[float]] = {}
    for index, (day, weight) in enumerate(zip(rows.dates, rows.weights, strict=True)):
        first.setdefault(day, index)
        parts.setdefault(day, []).append(abs(weight))
    return {day: (index, math.fsum(parts[day])) for day, index in first.items()}


def _weight(rows: ParsedRows, index: int, rule: str, problem: str, remedy: str) -> Violation:
    return Violation(
        rule,
        problem,
        remedy,
        line=rows.lines[index],
        sheet=rows.sheet,
        column=rows.headers["target_weight"],
        value=f"{rows.weights[index]:.12g}",
    )
