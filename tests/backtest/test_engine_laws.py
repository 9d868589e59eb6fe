"""What holds of every run, whatever its market, rules and costs: trials by seed."""

import gc
import os
import random
import weakref
from dataclasses import replace

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import Commission
from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import ActionKind, Choices, Costs, Fills, Schedule
from scizor_dagster.planning.books import prepare
from tests.backtest.engine_cases import (
    FINE,
    FREE_VENUE,
    as_it_stands,  # noqa: F401
    history_of,
    random_case,
    random_market,
    random_rules_of,
    random_schedule,
    run,
)

pytestmark = pytest.mark.usefixtures("as_it_stands")
SEEDS = range(100, 2_000 if os.environ.get("SCIZOR_TORTURE") else 115)


def marks(history):
    """Last closes by session, in the units of the session, by plain loops."""
    last = np.full(history.close.shape, np.nan)
    ratios = {(one.row, one.column): one.value for one in history.actions if one.kind is ActionKind.SPLIT}
    for row in range(len(history.sessions)):
        for column in range(len(history.instruments)):
            before = last[row - 1, column] / ratios.get((row, column), 1.0) if row else np.nan
            price = history.close[row, column]
            last[row, column] = price if price == price else before
    return last


@pytest.mark.parametrize("seed", SEEDS)
def test_equity_is_cash_and_holdings_and_cash_is_what_trades_and_income_left_of_it(seed):
    case = random_case(seed)
    result = run_backtest(*case)
    worth = np.nansum(result.counts / 1e9 * marks(result.history), axis=1)
    assert result.equity == pytest.approx(result.cash + worth, rel=1e-11)
    flows = result.income.sum(axis=1)
    traded = result.trades[result.trades["count"] != 0]
    paid = traded["count"] / 1e9 * traded["price"] + traded["commission"]
    flows -= np.bincount(traded["row"], weights=paid, minlength=len(flows))
    assert result.cash == pytest.approx(case[-1].capital + np.cumsum(flows), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_that_is_cut_at_any_session_is_the_beginning_of_the_whole_run(seed):
    history, schedule, rules, capabilities, choices = random_case(seed)
    whole = run_backtest(history, schedule, rules, capabilities, choices)
    cut = random.Random(seed).randint(2, len(history.sessions) - 1)
    prices = {
        name: None if getattr(history, name) is None else getattr(history, name)[:cut]
        for name in ("close", "open", "high", "low", "volume")
    }
    actions = tuple(one for one in history.actions if one.row < cut)
    shorter = replace(history, sessions=history.sessions[:cut], actions=actions, **prices)
    kept = schedule.rows < cut
    early = Schedule(schedule.rows[kept], schedule.weights[kept])
    part = run_backtest(shorter, early, rules, capabilities, choices)
    for name in ("equity", "cash", "counts", "income", "spent"):
        assert getattr(part, name).tolist() == getattr(whole, name)[:cut].tolist(), name
    assert part.trades.tobytes() == whole.trades[: len(part.trades)].tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_without_weights_equity_is_the_capital(seed):
    history = random_market(seed)
    result = run(history, Schedule(np.array([], dtype=np.int64), np.empty((0, len(history.instruments)))))
    assert set(result.equity.tolist()) == {1_000.0}
    assert not len(result.trades)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_costs_more_leaves_less(seed):
    history = random_market(seed, gaps=False)
    weights = np.full((1, len(history.instruments)), 0.9 / len(history.instruments))
    left = [
        run(history, Schedule(np.array([1]), weights), costs=Costs(Commission(bps=bps), slippage_bps=bps)).equity[-1]
        for bps in (0.0, 1.0, 10.0, 100.0)
    ]
    assert left == sorted(left, reverse=True)
    assert len(set(left)) == 4


@pytest.mark.parametrize("seed", SEEDS)
def test_raw_prices_with_splits_come_to_the_equity_of_split_adjusted_prices(seed):
    raw = random_market(seed, gaps=False)
    splits = tuple(one for one in raw.actions if one.kind is ActionKind.SPLIT)
    raw = replace(raw, actions=splits)
    factor = np.ones(raw.close.shape)
    for one in splits:
        factor[: one.row, one.column] *= one.value
    adjusted = replace(
        raw, adjustment="split", actions=(), close=raw.close / factor, open=raw.open / factor, volume=None
    )  # fmt: skip
    # In the session of a split life trades nothing of its instrument, so that nothing is planned for these.
    free = [row for row in range(1, len(raw.sessions)) if row not in {one.row for one in splits}]
    schedule = random_schedule(random.Random(seed), raw, FINE)
    schedule = Schedule(np.array(free), schedule.weights[[row - 1 for row in free]])
    by_raw, by_adjusted = (run(history, schedule, capital=1e6) for history in (raw, adjusted))
    assert by_raw.equity == pytest.approx(by_adjusted.equity, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_kept_changes_nothing_else(seed):
    history, schedule, rules, capabilities, choices = random_case(seed)
    whole = run_backtest(history, schedule, rules, capabilities, choices)
    prepared = prepare(history.instruments, rules, capabilities, currency="USD")
    brief = replace(choices, keep_positions=False, keep_trades=False)
    for _ in range(2):
        # A book that is used again carries nothing over.
        result = run_backtest(history, schedule, rules, capabilities, brief, prepared=prepared)
        for name in ("equity", "cash", "income", "needed", "spent"):
            assert getattr(result, name).tobytes() == getattr(whole, name).tobytes(), name
        assert result.counts.tolist() == [whole.counts[-1].tolist()]
        assert (result.codes.shape, len(result.trades)) == ((0, len(history.instruments)), 0)


def test_read_only_prices_and_those_that_lie_column_by_column_come_to_the_same(monkeypatch):
    history = random_market(3)
    rules = random_rules_of(random.Random(3), shorts=False)
    schedule = random_schedule(random.Random(3), history, rules)
    plain = run_backtest(history, schedule, rules, FREE_VENUE, Choices())
    turned = {name: np.asfortranarray(getattr(history, name)) for name in ("close", "open", "high", "low", "volume")}
    for prices in turned.values():
        prices.flags.writeable = False
    other = run_backtest(replace(history, **turned), schedule, rules, FREE_VENUE, Choices())
    assert other.trades.tobytes() == plain.trades.tobytes()


def test_more_trades_than_were_set_aside_find_room(monkeypatch):
    monkeypatch.setattr("scizor_dagster.backtest.engine_setup._TRADES", 1)
    history = history_of(10 + np.arange(40.0).reshape(20, 2) % 7)
    weights = {row: [0.4, 0.5] if row % 2 else [0.5, 0.4] for row in range(1, 20)}
    assert len(run(history, weights, fills=Fills()).trades) == 38


def test_a_result_is_gone_as_soon_as_nobody_holds_it():
    gc.disable()
    try:
        result = run(history_of([10.0] * 3), {1: 0.5})
        gone = weakref.ref(result.equity)
        del result
        assert gone() is None
    finally:
        gc.enable()
