"""A history traded at the embedded exchange: each thing that a session can bring, on numbers made by hand."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.backtest.model import Action, ActionKind, History, Schedule
from scizor_dagster.backtest.venue import VenueChoices, run_at_venue
from scizor_dagster.brokers.capabilities import PAPER_CAPABILITIES
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.planning import compiled
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.sessions import TradingCalendar

SESSIONS = tuple(TradingCalendar("XNYS").sessions(date(2024, 1, 2), date(2024, 6, 28)))
FREE = Rules(half_spread_bps=Decimal(0), impact_bps=Decimal(0), max_participation=Decimal(1))
NAN = float("nan")


@pytest.fixture(autouse=True)
def as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def history_of(*columns, actions=(), volume=1e6, sessions=SESSIONS):
    """Instruments A, B, ... by their closes: each session opens at the close before, and trades a tenth around."""
    close = np.array(columns, dtype=float).T
    size, names = close.shape[1], "ABCDEF"[: close.shape[1]]
    opened = np.vstack([close[:1], close[:-1]])
    opened = np.where(np.isnan(close), NAN, np.where(np.isnan(opened), close, opened))
    return History(
        sessions=sessions[: len(close)],
        instruments=tuple(Instrument(name, "XNYS", "USD") for name in names),
        currency="USD",
        adjustment="raw",
        close=close,
        open=opened,
        high=np.maximum(opened, close) * 1.1,
        low=np.minimum(opened, close) * 0.9,
        volume=np.where(np.isnan(close), NAN, np.full((len(close), size), volume)),
        actions=tuple(Action(kind, row, column, value) for kind, row, column, value in actions),
    )


def traded(history, weights, rules=None, venue=FREE, capital=1_000, **choices):
    """The run of weights by row."""
    rows = sorted(weights)
    schedule = Schedule(np.array(rows), np.array([weights[row] for row in rows], dtype=float))
    chosen = VenueChoices(Decimal(capital), venue=venue, **choices)
    return run_at_venue(history, schedule, rules or PlanningRules(), PAPER_CAPABILITIES, chosen)


def fills(run):
    return [(fill.session, fill.symbol, fill.side.sign * fill.qty, fill.price) for fill in run.fills]


def ends(run):
    return [(order.symbol, str(order.state), order.filled_qty) for order in run.orders]


def test_purchases_alone_fill_at_the_open_on_the_closes_before():
    run = traded(history_of([10, 10, 12]), {1: [0.5]})
    assert fills(run) == [(SESSIONS[1], "A", 50, 10)]
    assert [(day.cash, day.equity) for day in run.days] == [(1_000, 1_000), (500, 1_000), (500, 1_100)]
    assert run.mids == (10,)


def test_spread_and_impact_are_the_exchanges_and_the_market_price_stays_beside_them():
    venue = replace(FREE, half_spread_bps=Decimal(10), fee_bps=Decimal(5))
    run = traded(history_of([10, 10]), {1: [0.5]}, venue=venue)
    assert [(fill.price, fill.fee) for fill in run.fills] == [(Decimal("10.0100"), Decimal("0.26"))]
    assert run.mids == (10,)
    assert run.days[-1].cash == 1_000 - Decimal("500.50") - Decimal("0.26")


def test_sales_fill_at_the_open_and_what_they_pay_for_at_midday():
    run = traded(history_of([10, 10, 10], [20, 20, 20]), {1: [0.9, 0.0], 2: [0.0, 0.9]})
    assert fills(run)[1:] == [(SESSIONS[2], "A", -90, 10), (SESSIONS[2], "B", 45, 20)]
    assert [order.planned.phase for order in run.orders] == [2, 1, 2]


def test_purchases_are_scaled_to_the_cash_that_sales_have_brought():
    """The sale was sized at 10 and fills at 8: 720 of the 900 that the purchase needs, with 100 of cash."""
    history = history_of([10, 10, 10], [20, 20, 20])
    history.open[2, 0] = 8.0
    run = traded(history, {1: [0.9, 0.0], 2: [0.0, 1.0]})
    bought = run.orders[-1]
    assert (bought.planned_qty, bought.final_qty) == (50, 41)
    assert run.days[-1].cash == 0


def test_a_sale_that_nobody_takes_leaves_its_purchases_the_cash_that_is_there_at_the_close():
    history = history_of([10, 10, NAN], [20, 20, 20])
    run = traded(history, {1: [0.9, 0.0], 2: [0.0, 0.9]})
    assert ends(run)[1:] == [("A", "expired", 0), ("B", "filled", Decimal("4.99"))]
    assert run.days[-1].equity == 1_000


def test_what_volume_does_not_fill_in_three_steps_expires_with_the_session():
    run = traded(history_of([10, 10], volume=30.0), {1: [0.5]})
    assert [(fill.qty, fill.price) for fill in run.fills] == [(10, 10), (10, Decimal(10)), (10, 10)]
    assert ends(run) == [("A", "expired", 30)]


def test_a_turn_of_sides_closes_whole_before_it_opens():
    rules = PlanningRules(allow_short=True)
    run = traded(history_of([10, 10, 10]), {1: [0.5], 2: [-0.5]}, rules)
    assert fills(run)[1:] == [(SESSIONS[2], "A", -50, 10), (SESSIONS[2], "A", -50, 10)]
    assert [(order.planned.leg, str(order.planned.reason)) for order in run.orders[1:]] == [
        (1, "cross_zero"),
        (2, "cross_zero"),
    ]
    assert run.days[-1].holdings == {"A": -50}


def test_the_second_leg_of_a_turn_whose_first_did_not_fill_whole_is_dropped():
    rules = PlanningRules(allow_short=True)
    history = history_of([10, 10, 10])
    history.volume[2] = 30.0
    run = traded(history, {1: [0.5], 2: [-0.5]}, rules)
    assert ends(run)[1:] == [("A", "expired", 30), ("A", "dropped", 0)]
    assert "ended expired with 30 filled" in run.orders[-1].note


def test_what_is_refused_at_the_exchange_ends_rejected_with_its_words():
    venue = replace(FREE, short_selling=False)
    run = traded(history_of([10, 10]), {1: [-0.5]}, PlanningRules(allow_short=True), venue)
    assert ends(run) == [("A", "rejected", 0)]
    assert "short_not_allowed" in run.orders[0].note


def test_a_holding_waits_through_its_split_and_is_planned_on_new_shares_the_session_after():
    split = [(ActionKind.SPLIT, 2, 0, 4.0)]
    run = traded(history_of([10, 10, 2.5, 2.5], actions=split), {1: [0.5], 2: [0.9], 3: [0.9]})
    assert [(order.session, order.planned_qty) for order in run.orders] == [(SESSIONS[1], 50), (SESSIONS[3], 160)]
    assert run.days[2].holdings == {"A": 200}
    assert run.activities[0].qty_factor == 4


def test_dividends_are_paid_on_the_morning_and_a_delisting_ends_the_holding_at_the_last_close():
    actions = [(ActionKind.DIVIDEND, 2, 0, 0.5), (ActionKind.DELISTING, 3, 0, NAN)]
    run = traded(history_of([10, 10, 10, NAN], [5, 5, 5, 5], actions=actions), {1: [0.5, 0.0]})
    assert [day.cash for day in run.days] == [1_000, 500, 525, 1_025]
    assert run.days[-1].holdings == {}


def test_a_delisting_at_a_price_that_is_known_pays_that():
    run = traded(history_of([10, 10, NAN], [5, 5, 5], actions=[(ActionKind.DELISTING, 2, 0, 3.0)]), {1: [0.5, 0.0]})
    assert run.days[-1].cash == 650


def test_a_price_that_is_too_old_sizes_nothing_and_still_values():
    history = history_of([10, 10, NAN, NAN, 10], [5, 5, 5, 5, 5])
    run = traded(history, {1: [0.5, 0.0], 3: [0.9, 0.0], 4: [0.9, 0.0]})
    # One session old is taken, two are not.
    assert [(order.session, order.symbol) for order in run.orders] == [(SESSIONS[1], "A"), (SESSIONS[3], "A")]
    assert run.days[3].equity == 1_000


def test_a_close_of_more_than_ninety_days_ago_values_nothing():
    run = traded(history_of([10, 10] + [NAN] * 68, [5] * 70), {1: [0.5, 0.0]})
    assert (run.days[60].equity, run.days[69].equity) == (1_000, 500)


def test_a_session_without_any_bar_ends_its_orders():
    run = traded(history_of([10, NAN, 10]), {1: [0.5]})
    assert ends(run) == [("A", "expired", 0)]


def test_rules_on_past_prices_and_volumes_read_the_history():
    """A jump to 30 is no price to plan on; of 100 shares a day a tenth are ordered."""
    rules = PlanningRules(max_price_move=Decimal("0.5"), max_participation=Decimal("0.1"))
    history = history_of([10] * 6 + [30, 30], volume=100.0)
    run = traded(history, {1: [0.9], 5: [0.9], 7: [0.9]}, rules)
    assert [(order.session, order.planned_qty) for order in run.orders] == [(SESSIONS[5], 10)]


def test_past_volumes_count_in_the_shares_of_today():
    """Five sessions of 100 shares before a split into two are 200 of today."""
    rules = PlanningRules(max_price_move=None, max_participation=Decimal("0.1"))
    history = history_of([10] * 6 + [5, 5], volume=100.0, actions=[(ActionKind.SPLIT, 6, 0, 2.0)])
    history.volume[6:] = 200.0
    run = traded(history, {7: [0.9]}, rules)
    assert [order.planned_qty for order in run.orders] == [20]


def test_a_run_that_begins_in_the_middle_goes_on_as_the_whole_one():
    """With the holdings and the cash of that day, and on the prices before it."""
    chance = np.random.default_rng(5)
    closes = np.round(50 * np.exp(np.cumsum(chance.normal(0, 0.03, (40, 4)), axis=0)), 2)
    actions = [(ActionKind.SPLIT, 18, 1, 2.0), (ActionKind.DIVIDEND, 25, 0, 0.7)]
    closes[18:, 1] = np.round(closes[18:, 1] / 2, 2)
    history = history_of(*closes.T, actions=actions, volume=9_000.0)
    weights = {row: np.round(chance.dirichlet(np.ones(4)) * chance.choice([1, -1], 4), 4) for row in range(1, 40)}
    rules = PlanningRules(allow_short=True, band_relative=Decimal("0.05"), min_cash_buffer_pct=Decimal("0.02"))
    whole = traded(history, weights, rules, Rules(), 100_000)
    late = {row: weights[row] for row in range(20, 40)}
    day = whole.days[19]
    rest = traded(history, late, rules, Rules(), day.cash, first=20, begins=day.holdings)
    assert rest.days == whole.days[20:]
    assert len(rest.orders) > 50
    assert [order.planned_qty for order in rest.orders] == [
        order.planned_qty for order in whole.orders if order.session >= SESSIONS[20]
    ]


def test_cash_that_is_not_the_portfolios_counts_in_the_buying_power_alone():
    run = traded(history_of([10, 10]), {1: [1.0]}, deposit=Decimal(5_000))
    assert run.days[-1].cash == 0
    assert run.days[-1].equity == 1_000


def test_what_a_recorded_plan_has_known_takes_the_place_of_the_history():
    def knows(row, facts):
        facts.prices[0] = 20.0
        return facts

    run = traded(history_of([10, 10]), {1: [1.0]}, knows=knows)
    assert [order.planned_qty for order in run.orders] == [50]


def test_a_run_ends_where_its_caller_says_so():
    schedule = Schedule(np.array([1]), np.array([[0.5]]))
    chosen = VenueChoices(Decimal(1_000), venue=FREE)
    seen = []

    def progress(done, count):
        seen.append((done, count))
        return done < 2

    history = history_of([10, 10, 10, 10])
    run = run_at_venue(history, schedule, PlanningRules(), PAPER_CAPABILITIES, chosen, progress)
    assert (len(run.days), seen) == (2, [(1, 4), (2, 4)])


def test_what_no_exchange_can_fill_is_refused():
    history = history_of([10, 10])
    with pytest.raises(InputError, match="no open and no volume"):
        traded(replace(history, open=None, volume=None), {1: [0.5]})
    with pytest.raises(InputError, match="Brackets rest beside the plan"):
        traded(history, {1: [0.5]}, PlanningRules(mode_on_buy="bracket"))
    with pytest.raises(InputError, match="Weights of 2024-01-02 lie before the run"):
        traded(history, {0: [0.5]})
