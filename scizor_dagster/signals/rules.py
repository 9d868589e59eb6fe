"""What the rows of a weight file may say together.

What belongs here: one small function per rule, from parsed rows to violations (`RULES`) or warnings
(`WARNINGS`). What does not: single cells (`cells`), exchange dates (`dating`), identifiers (`mapping`).

A rule yields every breach it finds; nothing stops at the first. Weights are shares of the portfolio;
a sum is of absolute weights (gross), so that shorts do not hide size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from scizor_dagster.config import SUM_TOLERANCE, UNLIMITED, FractionalShares, WeightRules
from scizor_dagster.signals.cells import ParsedRows
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.names import is_total
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import DateOrder
from scizor_dagster.signals.spelling import class_share

ROUNDING = 1e-9
"""Noise of weights that were computed in floating point; below it nothing is said."""
LAST_BIT = 1e-12
"""1 + 0.002 is not 1.002 in binary; the tolerance itself is not widened by more than that."""

_LEAST_WHOLE = 1.0 - SUM_TOLERANCE - LAST_BIT
_PERCENT_SUMS = (95.0, 105.0)
"""What the weights of a date sum to where they are written in percent and the manifest does not say so."""
_LEAST_PERCENT = 0.02
"""Where it does say so, and no date sums to more than 2 percent, the weights were fractions."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the portfolio allows.

    Attributes:
        max_weight: Largest absolute weight of one asset; infinite where unlimited.
        max_total: Largest sum of absolute weights, before `SUM_TOLERANCE`.
        scales_overflow: Whether the planner scales a sum within the tolerance back to the maximum.
        unallocated, date_order, percent: As of `manifest.StrategyEntry`.
        ids_are_tickers: Whether there is no mapping table that says what an id is.
    """

    allow_short: bool
    max_weight: float
    max_total: float
    scales_overflow: bool
    unallocated: Literal["cash", "refuse"] | None = None
    date_order: DateOrder = "ascending"
    percent: bool = False
    ids_are_tickers: bool = True


def limits_of(entry: StrategyEntry | None, weights: WeightRules, fractional: FractionalShares) -> Limits:
    """The portfolio's limits, tightened by the strategy's own; of one without an entry they are the portfolio's."""
    own = entry.max_total_weight if entry is not None else None
    limits = Limits(
        allow_short=weights.allow_short,
        max_weight=math.inf if weights.max_weight == UNLIMITED else float(weights.max_weight),
        max_total=fractional.max_total_weight if own is None else min(own, fractional.max_total_weight),
        scales_overflow=fractional.adjust_for_overflow,
    )
    if entry is None:
        return limits
    return replace(
        limits,
        unallocated=entry.unallocated,
        date_order=entry.date_order,
        percent=entry.percent,
        ids_are_tickers=entry.mapping is None,
    )


_PERCENT_REMEDY = "Divide the weights by 100, or set percent: true in the strategy manifest."
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


def spelling_twins(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """`BRK.B` beside `BRK-B` on one date: two spellings of one share class, and both would trade it."""
    shares = {name: class_share(name) for name in set(rows.asset_ids)} if limits.ids_are_tickers else {}
    if len({share for share in shares.values() if share}) == sum(share is not None for share in shares.values()):
        return
    first: dict[tuple[date, tuple[str, str]], int] = {}
    for index, (day, name) in enumerate(zip(rows.dates, rows.asset_ids, strict=True)):
        share = shares[name]
        earlier = first.setdefault((day, share), index) if share else index
        if rows.asset_ids[earlier] != name:
            other = f"'{rows.asset_ids[earlier]}' (line {rows.lines[earlier]})"
            problem = f"It is another spelling of {other}: one instrument would be traded for both."
            remedy = "Keep one of the two, with the weight that is meant."
            yield rows.violation(index, "asset_id", "two_ids_one_instrument", problem, remedy, name)


def total_rows(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """A row that sums up the others is no asset. `SUM` is also a ticker: it is one unless it is the sum."""
    suspects = {name for name in set(rows.asset_ids) if is_total(name)}
    if not suspects:
        return
    sums = sums_by_date(rows)
    for index, name in enumerate(rows.asset_ids):
        if name not in suspects:
            continue
        others = sums[rows.dates[index]][1] - abs(rows.weights[index])
        if name != "SUM" or math.isclose(others, abs(rows.weights[index]), abs_tol=SUM_TOLERANCE):
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
        if abs(weight) > limits.max_weight + ROUNDING:
            problem = f"One asset may have at most {limits.max_weight:g}."
            remedy = "Lower the weight, or raise weights.max_weight in the configuration."
            yield _weight(rows, index, "weight_above_maximum", problem, remedy)


def weights_as_percentages(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """Every weight above 1, by more than rounding, or a date that sums to 100: the file writes 50 for 50 %."""
    held = [index for index, weight in enumerate(rows.weights) if weight]
    least, most = _PERCENT_SUMS
    hundreds = [index for index, total in sums_by_date(rows).values() if least <= total <= most]
    if held and all(abs(rows.weights[index]) > 1 + SUM_TOLERANCE for index in held):
        problem = "Every weight is above 1: these look like percentages."
        yield _weight(rows, held[0], "percentages", problem, _PERCENT_REMEDY)
    elif hundreds:
        problem = f"The weights of {rows.dates[hundreds[0]]} sum to 100: these look like percentages."
        yield _weight(rows, hundreds[0], "percentages", problem, _PERCENT_REMEDY)


def fractions_as_percentages(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """`percent` is declared and the file writes 0.5 for a half: nearly everything would be sold."""
    sums = [found for found in sums_by_date(rows).values() if found[1]] if limits.percent else []
    if sums and all(total <= _LEAST_PERCENT for _, total in sums):
        index, total = max(sums, key=lambda found: found[1])
        problem = (
            f"With percent: true the weights of {rows.dates[index]} are {total:.6g} of the portfolio together: "
            "these look like fractions."
        )
        yield _sum(rows, index, total, "fractions", problem, "Write them in percent, or take percent: true away.")


def sums_above_maximum(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    for day, (index, total) in sums_by_date(rows).items():
        if total > limits.max_total + SUM_TOLERANCE + LAST_BIT:
            problem = (
                f"The weights of {day} sum to {total:.9g}; at most {limits.max_total:g} "
                f"(tolerance {SUM_TOLERANCE:g}) is allowed."
            )
            yield _sum(rows, index, total, "sum_above_maximum", problem, "Scale the weights of the date down.")


def sums_within_tolerance(rows: ParsedRows, limits: Limits) -> Iterator[Violation]:
    """A warning: above the maximum, but no more than rounding explains."""
    then = "; the plan scales targets that together exceed the portfolio's maximum" if limits.scales_overflow else ""
    for day, (index, total) in sums_by_date(rows).items():
        if limits.max_total + ROUNDING < total <= limits.max_total + SUM_TOLERANCE + LAST_BIT:
            problem = (
                f"The weights of {day} sum to {total:.9g}, above {limits.max_total:g} by no more than rounding "
                f"explains; they are taken as written{then}."
            )
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
    """The last line has no end, and nothing shows that its date is complete: the file may have been cut off.

    Complete is a date that sums to 1, to the maximum, or to what the date before it sums to; one that states its cash
    is judged by that.
    """
    if rows.unfinished is None or not rows.dates or rows.lines[-1] != rows.unfinished:
        return
    last, sums = rows.dates[-1], sums_by_date(rows)
    total, before = sums[last][1], max((day for day in sums if day < last), default=None)
    whole = [1.0, limits.max_total, *([sums[before][1]] if before else [])]
    if not any(abs(total - other) <= SUM_TOLERANCE + LAST_BIT for other in whole) and all(
        cell.day != last for cell in rows.cash
    ):
        problem = f"The last line has no line end, and nothing in the file shows that its date, {last}, is complete."
        remedy = (
            "Deliver the file again, whole: write to another name and rename when done. "
            "If it is whole, end its last line, or deliver a checksum beside it."
        )
        yield _sum(rows, len(rows.dates) - 1, total, "cut_off", problem, remedy)


def cash_disagrees(rows: ParsedRows, _: Limits) -> Iterator[Violation]:
    """A file that states its cash must add up: the weights, shorts subtracted, and cash are everything."""
    if not rows.cash:
        return
    parts: dict[date, list[float]] = {}
    for day, weight in zip(rows.dates, rows.weights, strict=True):
        parts.setdefault(day, []).append(weight)
    stated: set[date] = set()
    for cell in rows.cash:
        if cell.day in stated:
            problem = f"The cash of {cell.day} stands twice."
            yield Violation("duplicate_asset", problem, "Keep one of them.", line=cell.line, sheet=rows.sheet)
            continue
        stated.add(cell.day)
        if cell.day not in parts:
            problem = f"On {cell.day} there is cash and no asset; nothing would say what is to be sold."
            remedy = "To sell everything, write the assets with weight 0 beside the cash."
            yield Violation("only_cash", problem, remedy, line=cell.line, sheet=rows.sheet)
            continue
        total = math.fsum(parts.get(cell.day, ())) + cell.value
        if abs(total - 1.0) > SUM_TOLERANCE + LAST_BIT:
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
    spelling_twins,
    total_rows,
    dates_out_of_order,
    negative_weights,
    weights_above_maximum,
    weights_as_percentages,
    fractions_as_percentages,
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
