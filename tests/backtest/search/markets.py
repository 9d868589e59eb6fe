"""Small markets and strategies for searches; strategies are functions of this module, so that workers find them."""

import os
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from scizor_dagster.backtest.model import Choices, FillAt, Fills, History, Schedule
from scizor_dagster.backtest.search.problem import OneByOne, Problem
from scizor_dagster.errors import DataError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE

RULES = PlanningRules(min_order_notional=Decimal(1), quantity_precision=4, max_price_move=None)


def days(count: int) -> tuple[date, ...]:
    """Weekdays stand for sessions."""
    found, day = [], date(2015, 1, 1)
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return tuple(found)


def market(sessions: int = 300, names: int = 4, *, seed: int = 0, drift: float = 0.0, trend: float = 0.0) -> History:
    """Prices that walk at random; with `trend`, each move brings so much of the last twenty along."""
    chance = np.random.default_rng(seed)
    moves = chance.normal(drift, 0.012, (sessions, names))
    for row in range(1, sessions):
        moves[row] += trend * moves[max(0, row - 20) : row].mean(axis=0)
    close = np.round(100 * np.exp(np.cumsum(moves, axis=0)), 4)
    instruments = tuple(Instrument(f"S{number:03}", "XNYS", "USD") for number in range(names))
    return History(days(sessions), instruments, "USD", "total_return", close, source="made up")


def cross(history: History, parameters) -> Schedule:
    """An equal part of what had, at the close before, a mean of `fast` closes above that of `slow`."""
    fast, slow = parameters["fast"], parameters["slow"]
    if fast >= slow:
        raise DataError("fast is not below slow.", remedy="Swap them.")
    rows = np.arange(slow, len(history.sessions))
    sums = np.vstack([np.zeros(history.close.shape[1]), np.cumsum(history.close, axis=0)])
    held = (sums[rows] - sums[rows - fast]) / fast > (sums[rows] - sums[rows - slow]) / slow
    return Schedule(rows, held / history.close.shape[1] * 0.9)


def weight_of(history: History, parameters) -> Schedule:
    """A share `w` in the first instrument from session `at` (0) on; `broken` raises what a strategy's author forgot."""
    if parameters.get("broken"):
        raise ZeroDivisionError("division by zero")
    if parameters.get("killed"):
        os._exit(9)
    if parameters.get("log"):
        with Path(parameters["log"]).open("a") as log:
            log.write(f"{parameters['w']} {os.getpid()}\n")
    weights = np.zeros((1, len(history.instruments)))
    weights[0, 0] = parameters["w"]
    return Schedule(np.array([parameters.get("at", 1)]), weights)


def problem(history: History, function=cross, **others) -> Problem:
    choices = others.pop("choices", Choices(fills=Fills(at=FillAt.CLOSE)))
    return Problem(function.__name__, "1", OneByOne(function), history, RULES, ALPACA_LIKE, choices, **others)
