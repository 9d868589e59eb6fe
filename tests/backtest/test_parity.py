"""Two runs held against each other: every number that differs is named, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.backtest.model import ActionKind, Schedule
from scizor_dagster.backtest.parity import Told, ToldDay, compare, told_of
from scizor_dagster.backtest.venue import VenueChoices, run_at_venue
from scizor_dagster.backtest.venue_market import VenueMarket
from scizor_dagster.brokers.capabilities import PAPER_CAPABILITIES
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.planning import compiled
from scizor_dagster.planning.rules import PlanningRules
from tests.backtest.test_parity_venue import FREE, SESSIONS, history_of
from tests.backtest.told_runs import FIRST, key_of, order, run_of

BUY, SALE = key_of(), key_of("B", Side.SELL)
HELD = {"B": Decimal(9)}
FILLED = order(BUY, 5, ("5", "10", "0.5", "10"))
CLOSES = [{"closes": {"A": Decimal(10), "B": Decimal(4)}} for _ in range(3)]


def side(*orders):
    days = [dict(day) for day in CLOSES]
    days[1]["orders"] = list(orders)
    return run_of(HELD, 1_000, days)


def test_equal_runs_differ_in_nothing():
    found = compare(side(FILLED), side(FILLED))
    assert (found.sessions, found.orders, found.fills, found.differing_orders, found.equal) == (2, 1, 1, 0, True)
    assert found.sentence == "2 sessions, 1 orders, 1 fills; differing orders = 0, other differences = 0."


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reason": "open"}, "2024-03-04 buy A: reason open, in the backtest rebalance."),
        ({"reference": Decimal("10.01")}, "2024-03-04 buy A: reference 10.01, in the backtest 10."),
        ({"planned": Decimal("5.0001")}, "2024-03-04 buy A: planned 5.0001, in the backtest 5."),
        ({"final": None, "note": "held"}, "2024-03-04 buy A: final none, in the backtest 5 (held)."),
        ({"phase": 2}, "2024-03-04 buy A: phase 2, in the backtest 1."),
        ({"state": "expired"}, "2024-03-04 buy A: state expired, in the backtest filled."),
    ],
)
def test_each_number_of_an_order_that_differs_is_named_with_both(changed, sentence):
    found = compare(side(replace(FILLED, **changed)), side(FILLED))
    assert [item.sentence for item in found.differences] == [sentence]
    assert (found.differing_orders, found.equal) == (1, False)


def test_a_fill_that_differs_by_a_fee_differs_in_the_cash_of_every_close_after_it():
    found = compare(side(order(BUY, 5, ("5", "10", "0.51", "10"))), side(FILLED))
    assert [item.what for item in found.differences] == ["fills", "cash", "equity", "cash", "equity"]
    assert "5 at 10, fee 0.51, in the backtest 5 at 10, fee 0.5." in found.differences[0].sentence
    assert found.sentence.endswith("differing orders = 1, other differences = 4.")


def test_an_order_that_one_side_does_not_have_is_named_on_either():
    sale = order(SALE, 9, ("9", "4", "0", "4"), reason="liquidate")
    missing, more = (compare(*pair) for pair in ((side(), side(sale)), (side(sale), side())))
    assert missing.differences[0].sentence == "2024-03-04 sell B: order none, in the backtest 9 shares, liquidate."
    assert more.differences[0].sentence == "2024-03-04 sell B: order 9 shares, liquidate, in the backtest none."
    assert {item.what for item in missing.differences} == {"order", "cash", "holding of B"}


def test_a_session_that_the_backtest_does_not_have_is_named():
    run = side(FILLED)
    found = compare(run, Told(run.orders, run.days[:2]))
    assert [item.to_json() for item in found.differences] == [
        {"session": FIRST + timedelta(days=1), "of": "close", "what": "session", "recorded": "measured", "backtest": "",
         "cause": ""}
    ]  # fmt: skip


def test_legs_and_slices_are_orders_of_their_own():
    assert str(key_of(leg=2)._replace(slice=3, batch=2)) == "2024-03-04 buy A leg 2 slice 3 batch 2"


def test_a_run_at_the_exchange_is_told_with_its_fills_and_its_income(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})
    history = history_of([10, 10, 12], actions=[(ActionKind.DIVIDEND, 2, 0, 0.5)])
    schedule = Schedule(np.array([1]), np.array([[0.5]]))
    choices = VenueChoices(Decimal(1_000), venue=FREE, first=1)
    run = run_at_venue(history, schedule, PlanningRules(), PAPER_CAPABILITIES, choices)
    market = VenueMarket(history, 1)
    before = ToldDay(SESSIONS[0], Decimal(1_000), Decimal(1_000), {}, market.closes(0))
    told = told_of(run, [market.closes(1), market.closes(2)], before)
    assert [(str(item.key), item.reason, item.filled, item.deals[0].mid) for item in told.orders] == [
        (f"{SESSIONS[1]} buy A", "open", 50, 10)
    ]
    assert [(day.equity, day.income) for day in told.days] == [(1_000, 0), (1_000, 0), (1_125, 25)]
