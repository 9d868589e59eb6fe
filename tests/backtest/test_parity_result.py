"""A backtest with a model of fills beside a recorded run: in the same words, and split to the last digit."""

from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import Commission
from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import ActionKind, Choices, Costs, Schedule
from scizor_dagster.backtest.parity import Key, Told, ToldDay, told_of
from scizor_dagster.backtest.parity_result import by_instrument, told_of_result
from scizor_dagster.backtest.parity_split import split
from scizor_dagster.backtest.venue import VenueChoices, run_at_venue
from scizor_dagster.backtest.venue_market import VenueMarket
from scizor_dagster.brokers.capabilities import PAPER_CAPABILITIES
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.planning import compiled
from scizor_dagster.planning.rules import PlanningRules
from tests.backtest.test_parity_venue import SESSIONS, history_of
from tests.backtest.told_runs import FIRST, order


@pytest.fixture(autouse=True)
def as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def test_a_trade_of_a_model_has_the_markets_price_before_its_costs():
    costs = Costs(Commission(minimum=1.0), half_spread_bps=10.0)
    schedule = Schedule(np.array([1]), np.array([[0.5]]))
    history = history_of([10, 10, 12])
    result = run_backtest(history, schedule, PlanningRules(), PAPER_CAPABILITIES, Choices(1_000.0, costs=costs))
    market = VenueMarket(history, 1)
    before = ToldDay(SESSIONS[0], Decimal(1_000), Decimal(1_000), {}, market.closes(0))
    told = told_of_result(result, 1, [market.closes(1), market.closes(2)], before)
    (made,) = told.orders
    assert (str(made.key), made.reason, made.planned, made.state) == (f"{SESSIONS[1]} buy A", "open", 50, "filled")
    (deal,) = made.deals
    assert (deal.qty, deal.fee) == (50, 1)
    assert [float(deal.price), float(deal.mid)] == pytest.approx([10.01, 10.0])
    assert [day.holdings for day in told.days] == [{}, {"A": 50}, {"A": 50}]


def test_legs_and_slices_of_one_side_are_one_order():
    keys = [Key(FIRST, "A", Side.SELL, leg, piece) for leg, piece in ((1, 1), (1, 2), (2, 1))]
    states = ("filled", "filled", "dropped")
    made = [
        order(key, 5, *((("5", "10", "1", "10"),) if state == "filled" else ()), state=state, phase=1,
              **({} if state == "filled" else {"final": None, "note": "why"}))
        for key, state in zip(keys, states, strict=True)
    ]  # fmt: skip
    (one,) = by_instrument(Told(tuple(made), ())).orders
    assert (one.key, one.planned, one.final, one.filled, one.state) == (keys[0], 15, 10, 10, "filled, dropped")
    assert (one.phase, one.note) == (0, "why")
    (unsent,) = by_instrument(Told((made[2], made[2]), ())).orders
    assert (unsent.planned, unsent.final, unsent.state) == (10, None, "dropped")


def test_a_model_and_the_exchange_differ_by_their_parts_and_by_nothing_else():
    """Forty sessions, long and short, with a split, a dividend and a delisting, thin volumes and a missing bar."""
    chance = np.random.default_rng(11)
    closes = np.round(50 * np.exp(np.cumsum(chance.normal(0, 0.03, (40, 4)), axis=0)), 2)
    closes[18:, 1] = np.round(closes[18:, 1] / 2, 2)
    closes[12, 2] = closes[30:, 3] = np.nan
    actions = [
        (ActionKind.SPLIT, 18, 1, 2.0), (ActionKind.DIVIDEND, 25, 0, 0.7), (ActionKind.DELISTING, 30, 3, float("nan")),
    ]  # fmt: skip
    history = history_of(*closes.T, actions=actions, volume=9_000.0)
    rows = np.arange(1, 40)
    weights = np.round(chance.dirichlet(np.ones(4), 39) * chance.choice([1, -1], (39, 4)), 4)
    weights[30:, 3] = 0.0
    rules = PlanningRules(allow_short=True, band_relative=Decimal("0.05"), min_cash_buffer_pct=Decimal("0.02"))
    given = (history, Schedule(rows, weights), rules, PAPER_CAPABILITIES)
    exchange = run_at_venue(*given, VenueChoices(Decimal(100_000), venue=Rules(fee_bps=Decimal(2)), first=1))
    market = VenueMarket(history, 1)
    before = ToldDay(SESSIONS[0], Decimal(100_000), Decimal(100_000), {}, market.closes(0))
    prices = [market.closes(row) for row in range(1, 40)]
    recorded = by_instrument(told_of(exchange, prices, before))
    choices = Choices(100_000.0, costs=Costs(half_spread_bps=1.0, impact_bps=5.0), max_price_age=1)
    found = split(told_of_result(run_backtest(*given, choices), 1, prices, before), recorded)
    assert abs(found.rest) < Decimal("1e-6")
    assert found.explained
    parts = found.parts
    assert min(map(abs, (parts.delay, parts.price, parts.quantity, parts.fee, parts.carry_over))) > 1
    assert parts.fx == 0
    told = found.to_json()
    assert (told["explained"], len(told["sessions"]), len(told["orders"])) == (True, 39, len(found.orders))
