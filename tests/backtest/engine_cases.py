"""Small markets for the engine's tests, whole random ones by seed, and the loop as it stands."""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import Commission
from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import (
    Action,
    ActionKind,
    Choices,
    Costs,
    FillAt,
    Fills,
    History,
    Schedule,
)
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning import compiled
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE

NAN = float("nan")
FIRST = date(2024, 1, 1)
FINE = PlanningRules(quantity_precision=9, min_order_notional=Decimal(0), max_price_move=None)
"""Rules that stand in no weight's way."""
WHOLE = PlanningRules(fractional=False, min_order_notional=Decimal(0), max_price_move=None)
FREE_VENUE = replace(ALPACA_LIKE, min_notional=Decimal(0))
"""A broker that takes an order of any value."""
AT_CLOSE = Fills(FillAt.CLOSE)
SAME_CLOSE = Fills(FillAt.CLOSE, delay=0)


@pytest.fixture
def as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def history_of(close, *, actions=(), adjustment="raw", instruments=None, **prices):
    """Closes by session, one column per instrument; every day is a session. Opens are the closes before."""
    close = np.array(close, dtype=float)
    close = close.reshape(len(close), -1)
    names = [f"S{number:02}" for number in range(close.shape[1])]
    prices.setdefault("open", np.vstack([close[:1], close[:-1]]))
    return History(
        sessions=tuple(FIRST + timedelta(number) for number in range(len(close))),
        instruments=tuple(instruments or (Instrument(name, "XNYS", "USD") for name in names)),
        currency="USD",
        adjustment=adjustment,
        close=close,
        actions=tuple(actions),
        **{name: None if one is None else np.array(one, float).reshape(close.shape) for name, one in prices.items()},
    )


def schedule_of(weights):
    """Weights by row: a dictionary from a session's number to the weights that trade in it."""
    rows = sorted(weights)
    made = [np.atleast_1d(weights[row]) for row in rows] or np.empty((0, 1))
    return Schedule(np.array(rows, dtype=np.int64), np.array(made, dtype=float))


def run(history, weights, rules=FINE, *, capital=1_000.0, capabilities=FREE_VENUE, progress=None, **choices):
    schedule = weights if isinstance(weights, Schedule) else schedule_of(weights)
    return run_backtest(history, schedule, rules, capabilities, Choices(capital=capital, **choices), progress)


def random_market(seed, *, sessions=40, size=6, actions=True, gaps=True):
    """Prices that walk, with bars that are missing, splits, dividends and a delisting; prices have two decimals."""
    chance = np.random.default_rng(seed)
    close = np.exp(np.log(5 + 95 * chance.random(size)) + np.cumsum(0.03 * chance.standard_normal((sessions, size)), 0))
    happens = []
    if actions:
        for column in range(size):
            if chance.random() < 0.5:
                row, ratio = int(chance.integers(3, sessions)), float(chance.choice([2.0, 1.5, 0.1, 3.0]))
                close[row:, column] /= ratio
                happens.append(Action(ActionKind.SPLIT, row, column, ratio))
            paid = chance.choice(np.arange(2, sessions), 3, replace=False).tolist()
            amounts = chance.choice([0.25, 0.125, 0.3333], 3).tolist()
            happens += [Action(ActionKind.DIVIDEND, *one, column, two) for *one, two in zip(paid, amounts, strict=True)]
        happens.append(Action(ActionKind.DELISTING, sessions - 5, 0, NAN))
        happens.sort(key=lambda one: one.row)
    close = np.maximum(np.round(close, 2), 0.01)
    opens = np.maximum(np.round(close * np.exp(0.01 * chance.standard_normal(close.shape)), 2), 0.01)
    high, low = np.maximum(close, opens) + 0.05, np.maximum(np.minimum(close, opens) - 0.05, 0.01)
    volume = np.round(2_000 + 50_000 * chance.random(close.shape))
    if gaps:
        missing = chance.random(close.shape) < 0.06
        missing[sessions - 5 :, 0] |= actions
        for prices in (close, opens, high, low, volume):
            prices[missing] = NAN
    return history_of(close, open=opens, high=high, low=low, volume=volume, actions=happens)


def random_costs(chance):
    return Costs(
        commission=chance.choice([
            Commission(), Commission(bps=5.0), Commission(per_share=0.005, minimum=1.0, maximum_bps=100.0),
            Commission(bps=8.0, minimum=6.0, tax=0.1, sell_bps=0.278, sell_per_share=0.000166),
        ]),
        half_spread_bps=chance.choice([0.0, 1.0]), slippage_bps=chance.choice([0.0, 2.0]),
        impact_bps=chance.choice([0.0, 10.0]), max_participation=chance.choice([float("inf"), 0.05, 0.001]),
        borrow_rate=chance.choice([0.0, 0.03]), cash_rate=chance.choice([0.0, 0.02]),
        debit_rate=chance.choice([0.0, 0.05]),
    )  # fmt: skip


def random_rules_of(chance, *, shorts):
    return PlanningRules(
        fractional=chance.random() < 0.7,
        min_order_notional=chance.choice([Decimal(0), Decimal(1), Decimal("57.5")]),
        quantity_precision=chance.choice([0, 2, 4, 9]),
        max_total_weight=chance.choice([Decimal(1), *([Decimal("1.6")] if shorts else [])]),
        min_cash_buffer_pct=chance.choice([Decimal(0), Decimal("0.02")]),
        allow_short=shorts,
        band_absolute=chance.choice([Decimal(0), Decimal("0.002"), Decimal("0.03")]),
        band_relative=chance.choice([Decimal(0), Decimal("0.2")]),
        trade_to=chance.choice(["target", "edge"]),
        max_turnover=chance.choice([None, Decimal("0.1"), Decimal("0.6")]),
        max_participation=chance.choice([None, Decimal("0.02")]),
        max_price_move=chance.choice([None, Decimal("0.5"), Decimal("0.04")]),
        slippage_allowance_pct=chance.choice([Decimal(0), Decimal("0.01")]),
        overrides=chance.choice([(), (("S01", "no_sell"),), (("S02", "never_touch"), ("S03", "reduce_only"))]),
    )


def random_schedule(chance, history, rules, *, every=1):
    sessions, size = history.close.shape
    rows = range(1, sessions, every)
    weights = np.zeros((len(rows), size))
    for at in range(len(rows)):
        raw = np.array([chance.choice([0, 1, 2, 3, -2 if rules.allow_short else 1]) for _ in range(size)], dtype=float)
        gross = np.abs(raw).sum() or 1.0
        weights[at] = np.round(chance.choice([0.5, 0.98, 1.0]) * raw / gross, 6) * min(float(rules.max_total_weight), 1)
    return Schedule(np.array(rows, dtype=np.int64), weights)


def random_case(seed, **market):
    """Arguments of `run_backtest`."""
    chance = random.Random(f"backtest {seed}")
    history = random_market(seed, **market)
    rules = random_rules_of(chance, shorts=chance.random() < 0.4)
    fills = chance.choice(
        [Fills(), Fills(FillAt.CLOSE), SAME_CLOSE, Fills(FillAt.VWAP), Fills(price_decimals=4, cents=True)]
    )
    schedule = random_schedule(chance, history, rules, every=chance.choice([1, 2, 5]))
    choices = Choices(
        capital=chance.choice([10_000.0, 250_000.0]), fills=fills, costs=random_costs(chance),
        costs_of={"S01": random_costs(chance)} if chance.random() < 0.3 else {}, max_price_age=chance.choice([1, 3]),
    )  # fmt: skip
    return history, schedule, rules, ALPACA_LIKE, choices
