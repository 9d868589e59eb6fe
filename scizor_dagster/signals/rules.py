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
from typing import Literal

import numpy as np
import pandas as pd

from scizor_dagster.config import SUM_TOLERANCE, UNLIMITED, FractionalShares, WeightRules
from scizor_dagster.signals.cells import ParsedRows
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import DateOrder

_ROUNDING = 1e-9
"""Noise of weights that were computed in floating point; below it nothing is said."""
_LAST_BIT = 1e-12
"""1 + 0.002 is not 1.002 in binary; the tolerance itself is not widened by more than that."""

_LEAST_WHOLE = 1.0 - SUM_TOLERANCE - _LAST_BIT
_TOTALS = frozenset({"total", "totals", "grand total", "subtotal", "sum"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the portfolio allows.

    Attributes:
        max_weight: Largest absolute weight of one asset; infinite where unlimited.
        max_total: Largest sum of absolute weights, before `SUM_TOLERANCE`.
        scales_overflow: Whether the planner scales a sum within the tolerance back to the maximum.
        unallocated, date_order: As of `manifest.StrategyEntry`.
    """

    allow_short: bool
    max_weight: float
    max_total: float
    scales_overflow: bool
    unallocated: Literal["cash", "refuse"] | None = None
    date_order: DateOrder = "ascending"


def limits_of(entry: StrategyEntry, weights: WeightRules, fractional: FractionalShares) -> Limits:
    """The portfolio's limits, tightened by the strategy's own."""
    own = entry.max_total_weight
    return Limits(
        allow_short=weights.allow_short,
        max_weight=math.inf if weights.max_weight == UNLIMITED else float(weights.max_weight),
        max_total=fractional.max_total_weight if own is None else min(own, fractional.max_total_weight),
        scales_overflow=fractional.adjust_for_overflow,
        unallocated=entry.unallocated,
        date_order=entry.date_order,
    )


Rule = Callable[[ParsedRows, Limits], Iterator[Violation]]


def duplicate_assets(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """An asset twice on one date, with equal or other weights: one of the rows was not meant."""
    first: dict[tuple[date, str], int] = {}
    for index in _repeated(rows.dates, rows.asset_ids):
        key = (rows.dates[index], rows.asset_ids[index])
        if key not in first:
            first[key] = index
            continue
        earlier = first[key]
        same = "the same weight" if rows.weights[earlier] == rows.weights[index] else "another weight"
        problem = f"Asset '{key[1]}' stands twice on {key[0]}: line {rows.lines[earlier]} gives {same}."
        yield rows.violation(index, "asset_id", "duplicate_asset", problem, "Keep one row per asset and date.", key[1])


def case_twins(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """`spy` beside `SPY` on one date: nobody can say whether they are one asset."""
    folded = {name: name.casefold() for name in set(rows.asset_ids)}
    if len(set(folded.values())) == len(folded):
        return
    first: dict[tuple[date, str], int] = {}
    for index, (day, asset_id) in enumerate(zip(rows.dates, rows.asset_ids, strict=True)):
        earlier = first.setdefault((day, folded[asset_id]), index)
        if rows.asset_ids[earlier] != asset_id:
            other = f"'{rows.asset_ids[earlier]}' (line {rows.lines[earlier]})"
            problem = f"It differs only in case from {other}."
            yield rows.violation(
                index, "asset_id", "case_twins", problem, "Write each identifier in one way.", asset_id
            )


def total_rows(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """A row that sums up the others is no asset. `SUM` is also a ticker: it is one unless it is the sum."""
    suspects = {name for name in set(rows.asset_ids) if name.casefold() in _TOTALS}
    if not suspects:
        return
    sums = sums_by_date(rows)
    for index, name in enumerate(rows.asset_ids):
        if name not in suspects:
            continue
        others = sums[rows.dates[index]][1] - abs(rows.weights[index])
        if name.casefold() != "sum" or math.isclose(others, abs(rows.weights[index]), abs_tol=SUM_TOLERANCE):
            problem = "The row sums up others: it is no asset."
            yield rows.violation(index, "asset_id", "total_row", problem, "Remove the row.", name)


def dates_out_of_order(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """Each return to an earlier date: two runs of a strategy in one file look like that.

    A file may also be sorted by asset and then by date.
    """
    if limits.date_order == "any" or _sorted_by_asset(rows):
        return
    remedy = "Sort the rows by date, or set date_order: any in the strategy manifest."
    for index in range(1, len(rows.dates)):
        if rows.dates[index] < rows.dates[index - 1]:
            problem = f"The date is before that of the row above it, {rows.dates[index - 1]}."
            shown = rows.dates[index].isoformat()
            yield rows.violation(index, "trade_date", "dates_out_of_order", problem, remedy, shown)


def _sorted_by_asset(rows: ParsedRows) -> bool:
    """Whether each asset stands in one block with its dates ascending, most of them of several dates."""
    counts: dict[str, int] = {}
    for index, asset_id in enumerate(rows.asset_ids):
        goes_on = index > 0 and asset_id == rows.asset_ids[index - 1]
        if (goes_on and rows.dates[index] < rows.dates[index - 1]) or (not goes_on and asset_id in counts):
            return False
        counts[asset_id] = counts.get(asset_id, 0) + 1
    return 2 * sum(count > 1 for count in counts.values()) > len(counts)


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
    """Every weight above 1, by more than rounding: the file writes 50 for 50 %."""
    held = [index for index, weight in enumerate(rows.weights) if weight]
    if held and all(abs(rows.weights[index]) > 1 + SUM_TOLERANCE for index in held):
        problem = "Every weight is above 1: these look like percentages."
        yield _weight(rows, held[0], "percentages", problem, "Divide the weights by 100.")


def sums_above_maximum(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    for day, (index, total) in sums_by_date(rows).items():
        if total > limits.max_total + SUM_TOLERANCE + _LAST_BIT:
            problem = (
                f"The weights of {day} sum to {total:.9g}; at most {limits.max_total:g} "
                f"(tolerance {SUM_TOLERANCE:g}) is allowed."
            )
            yield _sum(rows, index, total, "sum_above_maximum", problem, "Scale the weights of the date down.")


def sums_within_tolerance(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """A warning: above the maximum, but no more than rounding explains."""
    scaled = "is scaled to the maximum" if limits.scales_overflow else "is kept (adjust_for_overflow is off)"
    for day, (index, total) in sums_by_date(rows).items():
        if limits.max_total + _ROUNDING < total <= limits.max_total + SUM_TOLERANCE + _LAST_BIT:
            problem = f"The weights of {day} sum to {total:.9g}, above {limits.max_total:g}; the excess {scaled}."
            remedy = "Round weights down before writing them."
            yield _sum(rows, index, total, "sum_within_tolerance", problem, remedy)


def sums_below_one(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """Weights that leave capital over, where the manifest refuses that."""
    if limits.unallocated != "refuse":
        return
    for day, (index, total) in sums_by_date(rows).items():
        if total < _LEAST_WHOLE:
            problem = f"The weights of {day} sum to {total:.9g}, and the strategy leaves nothing unallocated."
            remedy = "Complete the weights, or set unallocated: cash in the strategy manifest."
            yield _sum(rows, index, total, "sum_below_one", problem, remedy)


def rest_in_cash(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """A warning: nobody has said that what the weights leave over is meant to be cash. One for the whole file."""
    if limits.unallocated is not None or rows.cash:
        return
    sums = sums_by_date(rows)
    below = {day: found for day, found in sums.items() if found[1] < _LEAST_WHOLE}
    if below:
        day = min(below, key=lambda key: below[key][1])
        problem = (
            f"On {len(below)} of {len(sums)} dates the weights sum to less than 1, on {day} to "
            f"{below[day][1]:.9g}; the rest stays in cash."
        )
        remedy = "Say so with unallocated: cash in the strategy manifest, or complete the weights."
        yield _sum(rows, below[day][0], below[day][1], "rest_in_cash", problem, remedy)


def cut_off(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """The last line has no end, and the date it belongs to is not complete: the file was cut while written."""
    if rows.unfinished is None or not rows.dates or limits.unallocated == "cash" or rows.lines[-1] != rows.unfinished:
        return
    total = sums_by_date(rows)[rows.dates[-1]][1]
    if total < _LEAST_WHOLE and not rows.cash:
        problem = f"The last line has no line end, and the weights of its date sum to {total:.9g}."
        remedy = (
            "Deliver the file again, whole: write to another name and rename when done. "
            "If it is whole, set unallocated: cash in the strategy manifest."
        )
        yield _sum(rows, len(rows.dates) - 1, total, "cut_off", problem, remedy)


def cash_disagrees(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """A wide file that states its cash must add up: the weights, shorts subtracted, and cash are everything."""
    if not rows.cash:
        return
    parts: dict[date, list[float]] = {}
    for day, weight in zip(rows.dates, rows.weights, strict=True):
        parts.setdefault(day, []).append(weight)
    for cell in rows.cash:
        if cell.day not in parts:
            problem = f"On {cell.day} there is cash and no asset; nothing would say what is to be sold."
            remedy = "To sell everything, write the assets with weight 0 beside the cash."
            yield Violation("only_cash", problem, remedy, line=cell.line, sheet=rows.sheet)
            continue
        total = math.fsum(parts.get(cell.day, ())) + cell.value
        if abs(total - 1.0) > SUM_TOLERANCE + _LAST_BIT:
            yield Violation(
                "cash_disagrees",
                f"The weights and the cash of {cell.day} sum to {total:.9g}, not to 1.",
                "Correct the cash or the weights of the date.",
                line=cell.line,
                sheet=rows.sheet,
                column="cash",
                value=f"{cell.value:.12g}",
            )


RULES: tuple[Rule, ...] = (
    duplicate_assets,
    case_twins,
    total_rows,
    dates_out_of_order,
    negative_weights,
    weights_above_maximum,
    weights_as_percentages,
    sums_above_maximum,
    sums_below_one,
    cash_disagrees,
    cut_off,
)
WARNINGS: tuple[Rule, ...] = (sums_within_tolerance, rest_in_cash)


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


def _repeated(dates: list[date], asset_ids: list[str]) -> list[int]:
    """Indexes of all rows whose date and asset stand more than once. On arrays: a file has up to millions."""
    days, _ = pd.factorize(np.asarray(dates, dtype=object))
    assets, names = pd.factorize(np.asarray(asset_ids, dtype=object))
    repeated = pd.Series(days * max(len(names), 1) + assets).duplicated(keep=False)
    return [int(index) for index in np.flatnonzero(repeated)]


def _weight(rows: ParsedRows, index: int, rule: str, problem: str, remedy: str) -> Violation:
    return rows.violation(index, "target_weight", rule, problem, remedy, f"{rows.weights[index]:.12g}")


def _sum(rows: ParsedRows, index: int, total: float, rule: str, problem: str, remedy: str) -> Violation:
    column = None if rows.wide else rows.headers["target_weight"]
    line = rows.lines[index]
    return Violation(rule, problem, remedy, line=line, sheet=rows.sheet, column=column, value=f"{total:.12g}")
