"""What a backtest is not run on: each refusal names the session and the instrument.

What belongs here: shapes, order and ranges of history, schedule and choices. What does not: rules of the planner, which
speak for themselves while a run goes on, and prices, which the loop looks at as it meets them.
"""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise
from typing import NoReturn

from scizor_dagster.backtest.model import ActionKind, Choices, Costs, FillAt, History, Schedule
from scizor_dagster.errors import InputError
from scizor_dagster.planning.kernel_model import GREATEST_AMOUNT
from scizor_dagster.planning.rules import PlanningRules

_APPLIED = {"raw": (), "split": (ActionKind.SPLIT,), "total_return": (ActionKind.SPLIT, ActionKind.DIVIDEND)}
"""Kinds of actions that prices of an adjustment have in them already."""


def check_run(history: History, schedule: Schedule, rules: PlanningRules, choices: Choices) -> None:
    """Refuse what no run can be made from.

    Raises:
        InputError: with what is wrong, and where.
    """
    _check_history(history)
    _check_actions(history)
    _check_schedule(history, schedule, choices.fills.delay)
    _check_fills(history, choices)
    _check_costs("", choices.costs, history)
    if rules.max_participation is not None and history.volume is None:
        _refuse("planning.max_participation needs volumes, which the history has not.", "Leave the rule out.")
    known = {instrument.symbol for instrument in history.instruments}
    for symbol, costs in choices.costs_of.items():
        if symbol not in known:
            _refuse(f"costs_of names {symbol}, which has no prices.", "Remove it, or add its prices.")
        _check_costs(f" of {symbol}", costs, history)


def refuse_price(history: History, row: int, column: int, name: str, price: float) -> NoReturn:
    """A price that is no number above zero."""
    _refuse(
        f"The {name} of {history.instruments[column].symbol} on {history.sessions[row]} is {price}.",
        "Give a price above zero, or none (NaN) where the session has no bar.",
    )


def _check_history(history: History) -> None:
    shape = (len(history.sessions), len(history.instruments))
    if not shape[0]:
        _refuse("The history has no session.", "Choose a period that has prices.")
    if not shape[1]:
        _refuse("The history has no instrument.", "Choose instruments that have prices.")
    late = next(((before, after) for before, after in pairwise(history.sessions) if before >= after), None)
    if late is not None:
        _refuse(f"Session {late[1]} stands after {late[0]}.", "Give each session once, in order.")
    if history.adjustment not in _APPLIED:
        _refuse(f"The adjustment is {history.adjustment!r}.", f"Use one of {', '.join(_APPLIED)}.")
    for name in ("close", "open", "high", "low", "volume"):
        prices = getattr(history, name)
        if prices is not None and prices.shape != shape:
            _refuse(
                f"The {name} prices are {_times(prices.shape)}, the history is {_times(shape)}.",
                "Give one row per session and one column per instrument.",
            )


def _check_actions(history: History) -> None:
    sessions, size, before = history.sessions, len(history.instruments), -1
    for action in history.actions:
        if not (0 <= action.row < len(sessions) and 0 <= action.column < size):
            _refuse(f"A {action.kind} is in row {action.row}, column {action.column}.", "Leave it out: it is outside.")
        symbol, day = history.instruments[action.column].symbol, sessions[action.row]
        if action.kind in _APPLIED[history.adjustment]:
            _refuse(
                f"The {action.kind} of {symbol} on {day} is in the prices already: they are {history.adjustment}.",
                "Give raw prices with actions, or adjusted ones without.",
            )
        last = action.kind is ActionKind.DELISTING
        if not (math.isfinite(action.value) and (action.value > 0 or last)) and not (last and math.isnan(action.value)):
            _refuse(f"The {action.kind} of {symbol} on {day} is {action.value}.", "Give a number above zero.")
        if action.row < before:
            _refuse(f"The {action.kind} of {symbol} on {day} is out of order.", "Give actions by their session.")
        before = action.row


def _check_schedule(history: History, schedule: Schedule, delay: int) -> None:
    rows, sessions = schedule.rows.tolist(), history.sessions
    shape = (len(rows), len(history.instruments))
    if schedule.weights.shape != shape:
        _refuse(
            f"The weights are {_times(schedule.weights.shape)}, the schedule is {_times(shape)}.",
            "Give one row per session that trades and one column per instrument.",
        )
    if schedule.kept is not None and schedule.kept.shape != shape:
        _refuse(
            f"What the schedule keeps is {_times(schedule.kept.shape)}, the schedule is {_times(shape)}.",
            "Give one row per session that trades and one column per instrument.",
        )
    if rows and not (min(rows) >= 0 and max(rows) < len(sessions)):
        _refuse(f"The schedule has row {max(rows)} of {len(sessions)} sessions.", "Leave out what has no prices.")
    gap = max(delay, 1)
    near = next(((before, after) for before, after in pairwise(rows) if after - before < gap), None)
    if near is not None and near[0] >= near[1]:
        _refuse(f"The weights of {sessions[near[1]]} stand after those of {sessions[near[0]]}.", "Give them in order.")
    if near is not None:
        _refuse(
            f"The plan for {sessions[near[1]]} would be made before the orders for {sessions[near[0]]} have filled.",
            f"With a delay of {delay} sessions, leave as many between two rows of weights.",
        )
    if rows and rows[0] < delay:
        _refuse(
            f"There is no close {delay} session(s) before {sessions[rows[0]]} to plan its weights on.",
            "Begin the prices earlier, or the weights later.",
        )


def _check_fills(history: History, choices: Choices) -> None:
    fills, capital = choices.fills, choices.capital
    if not (math.isfinite(capital) and 0 < capital <= GREATEST_AMOUNT):
        _refuse(f"The capital is {capital}.", "Give an amount above zero.")
    if fills.delay < 0 or (fills.delay == 0 and fills.at is not FillAt.CLOSE):
        _refuse(
            f"A delay of {fills.delay} and fills at the {fills.at} would trade at a price before the plan is made.",
            "Use a delay of 1 or more, or fills at the close.",
        )
    needs = {FillAt.OPEN: ("open",), FillAt.CLOSE: (), FillAt.VWAP: ("high", "low")}[fills.at]
    for name in needs:
        if getattr(history, name) is None:
            _refuse(f"Fills at the {fills.at} need {name} prices, which {history.source or 'the history'} has not.",
                    "Fill at the close, or give bars.")  # fmt: skip
    if not 0 < fills.volume_share <= 1:
        _refuse(f"volume_share is {fills.volume_share}.", "Give a share above 0, at most 1.")
    if choices.max_price_age < 0:
        _refuse(f"max_price_age is {choices.max_price_age}.", "Give 0 sessions or more.")


def _check_costs(whose: str, costs: Costs, history: History) -> None:
    numbers = {item.name: getattr(costs, item.name) for item in fields(Costs) if item.name != "commission"}
    numbers |= {f"commission.{item.name}": getattr(costs.commission, item.name) for item in fields(costs.commission)}
    for name, value in numbers.items():
        if not value >= 0 or (value == math.inf and name != "max_participation"):
            _refuse(f"{name}{whose} is {value}.", "Give a number of 0 or more.")
    if costs.half_spread_bps + costs.slippage_bps + costs.impact_bps >= 10_000:
        _refuse(f"Spread, slippage and impact{whose} take all of a price.", "Give them in basis points.")
    if (costs.impact_bps or costs.max_participation < math.inf) and history.volume is None:
        _refuse(f"Impact and participation{whose} need volumes, which the history has not.", "Leave them at nothing.")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy)
