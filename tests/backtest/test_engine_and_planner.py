"""Orders of a backtest against `make_plan`, called by hand with the same state; the loop compiled and as it stands."""

import os
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.backtest.engine import ENTRY, run_backtest
from scizor_dagster.backtest.model import ActionKind, FillAt, Fills
from scizor_dagster.errors import ScizorError
from scizor_dagster.market_data.trading_facts import FEWEST_VOLUMES, VOLUME_SESSIONS
from scizor_dagster.planning import compiled
from scizor_dagster.planning.columns import quantity_of
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.kernel_model import REASONS
from scizor_dagster.planning.model import ORDERING_REASONS
from scizor_dagster.planning.planner import make_plan
from tests.backtest.engine_cases import as_it_stands, random_case  # noqa: F401

D = Decimal


def exact(value):
    return D(repr(float(value)))


class Known:
    """What is known after a close: read from the history alone, slowly."""

    def __init__(self, history, row, due):
        self.closes, self.seen, self.before, self.volumes, self.changed = {}, {}, {}, {}, set()
        for column, instrument in enumerate(history.instruments):
            self._look(history, row, due, column, instrument.symbol)

    def _look(self, history, row, due, column, symbol):
        splits = {
            action.row: action.value
            for action in history.actions
            if action.column == column and action.kind is not ActionKind.DIVIDEND
        }
        ratios = {
            action.row: action.value
            for action in history.actions
            if action.column == column and action.kind is ActionKind.SPLIT
        }
        last = before = None
        volumes = []
        for at in range(row + 1):
            if at in ratios:
                last = None if last is None else last / ratios[at]
                before = None if before is None else round(before / ratios[at], 6)
                volumes = [volume * ratios[at] for volume in volumes]
            price = history.close[at, column]
            if price == price:
                before, last, self.seen[symbol] = last, price, at
                volumes.append(history.volume[at, column])
        if last is not None:
            self.closes[symbol] = last
            if any(self.seen[symbol] < ex <= due for ex in splits):
                self.changed.add(symbol)
        elif any(ex <= due for ex in splits):
            self.changed.add(symbol)
        if before is not None:
            self.before[symbol] = exact(before)
        if len(volumes) >= FEWEST_VOLUMES:
            self.volumes[symbol] = D(int(np.median(volumes[-VOLUME_SESSIONS:])))


def planned_by_hand(result, rules, capabilities, at):
    """Signed quantity and reason of each instrument that `make_plan` has a line of, for row `at` of the schedule."""
    history, choices = result.history, result.choices
    due = int(result.schedule.rows[at])
    row = due - choices.fills.delay
    known = Known(history, row, due)
    symbols = [instrument.symbol for instrument in history.instruments]
    counts = result.counts[row].tolist()
    holdings = {symbol: quantity_of(count) for symbol, count in zip(symbols, counts, strict=True) if count}
    stale = {symbol for symbol in known.closes if row - known.seen[symbol] > choices.max_price_age}
    inputs = PlanInputs(
        portfolio="",
        account="",
        session=date.min,
        batch=1,
        currency="USD",
        equity=exact(result.equity[row]),
        targets=tuple(
            Target((), instrument.symbol, instrument.id, exact(weight))
            for instrument, weight in zip(history.instruments, result.schedule.weights[at], strict=True)
        ),
        holdings=holdings,
        prices={symbol: ReferencePrice(exact(price), None, "") for symbol, price in known.closes.items()},
        instruments={instrument.symbol: instrument for instrument in history.instruments},
        priced_on=None,
        adjustment="raw",
        stale_symbols=frozenset(stale),
        action_symbols=dict.fromkeys(known.changed, ""),
        cash=exact(result.cash[row]),
        previous_prices=known.before if rules.max_price_move else {},
        adv=known.volumes if rules.max_participation else {},
    )
    plan = make_plan(inputs, rules, capabilities)
    return {
        line.symbol: (line.delta_qty if line.reason in ORDERING_REASONS else D(0), line.reason) for line in plan.lines
    }


@pytest.mark.usefixtures("as_it_stands")
@pytest.mark.parametrize("seed", range(1_000 if os.environ.get("SCIZOR_TORTURE") else 24))
def test_a_backtest_orders_what_make_plan_orders_from_the_same_state(seed):
    history, schedule, rules, capabilities, choices = random_case(seed)
    if choices.fills.delay == 0:
        # Cash and holdings before fills at the very close are not part of a result.
        choices = replace(choices, fills=Fills())
    result = run_backtest(history, schedule, rules, capabilities, choices)
    symbols = [instrument.symbol for instrument in history.instruments]
    ordered = {(int(trade["row"]), int(trade["column"])): int(trade["planned"]) for trade in result.trades}
    compared = 0
    for at, due in enumerate(schedule.rows.tolist()):
        by_hand = planned_by_hand(result, rules, capabilities, at)
        for column, symbol in enumerate(symbols):
            quantity, reason = by_hand.get(symbol, (D(0), None))
            made = quantity_of(ordered.get((due, column), 0))
            assert made == quantity, (due, symbol, reason)
            if reason is not None:
                assert REASONS[result.codes[at, column]] is reason, (due, symbol)
            compared += made != 0
    assert compared > 5 or rules.max_turnover is not None or rules.band_absolute


def bits(result):
    """Everything that a result says, as bytes."""
    names = ("equity", "cash", "counts", "codes", "trades", "income", "needed")
    return {name: np.ascontiguousarray(getattr(result, name)).tobytes() for name in names} | {"settled": result.settled}


@pytest.mark.timeout(900)
def test_compiled_and_as_it_stands_a_run_comes_to_the_same_bits(monkeypatch):
    cases = [random_case(seed) for seed in range(2_000, 2_040)]

    def results():
        for case in cases:
            try:
                yield bits(run_backtest(*case))
            except ScizorError as refused:
                yield str(refused)

    monkeypatch.delenv(compiled.SWITCH, raising=False)
    by_machine = list(results())
    assert ENTRY in compiled._loaded
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setenv(compiled.SWITCH, "python")
    by_source = list(results())
    assert not compiled._loaded
    assert by_machine == by_source
    assert sum(isinstance(one, dict) for one in by_machine) > 30
    assert any(isinstance(one, dict) and one["settled"] for one in by_machine)
    assert FillAt.VWAP in {case[-1].fills.at for case in cases}
