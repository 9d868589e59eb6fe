"""Speed of planning, as ratios against bare NumPy arithmetic of the same run.

    python -m tests.benchmarks.bench_planning

Prints a backtest's session of 500, 3,000 and 5,000 names, planned and filled, with plain rules and with all of them,
against a bare NumPy loop that plans nothing (aims: plain rules within 5x of it; all rules 10x faster than vectorbt at
500 names and 30x at 3,000); one order object with its id (aim: under 3 us); and a plan of 5,000 names from end to end
(aim: under 100 ms). Each number is the best of several repetitions, in processor time.
"""

import time
from decimal import Decimal

import numba
import numpy as np

from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.books import plan_book, prepare
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.kernel_model import UNIT
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.orders import orders_of
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rows import make_rows
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, SESSION, inputs_of

RULES = PlanningRules(min_order_notional=Decimal(5), min_cash_buffer_pct=Decimal("0.02"))
PLAIN = PlanningRules(min_order_notional=Decimal(5), min_cash_buffer_pct=Decimal("0.02"), quantity_precision=4)
ALL = PlanningRules(
    min_order_notional=Decimal(5),
    min_cash_buffer_pct=Decimal("0.02"),
    quantity_precision=4,
    band_absolute=Decimal("0.0005"),
    band_relative=Decimal("0.02"),
    max_turnover=Decimal("0.3"),
    max_participation=Decimal("0.02"),
    max_weight=Decimal("0.2"),
    slippage_allowance_pct=Decimal("0.001"),
    blacklist=("S00003",),
    overrides=(("S00005", "no_sell"), ("S00007", "never_touch")),
)
EQUITY = 10_000_000.0
COST = 0.0005
SESSIONS = 250


def best(work, seconds=0.4):
    """Best time of one call, in seconds of processor time: other work on the machine counts less."""
    rounds, found, end = 1, float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        for _ in range(rounds):
            work()
        taken = time.process_time() - start
        found = min(found, taken / rounds)
        if taken < 0.005:
            rounds *= 2
    return found


def arrays(names):
    chance = np.random.default_rng(7)
    weights = chance.random(names)
    weights /= weights.sum()
    prices = np.round(5 + 400 * chance.random(names), 2)
    held = np.round(weights * EQUITY / prices * (0.9 + 0.2 * chance.random(names)), 2)
    return weights, prices, held


def history(names):
    """Prices and weights that drift, session by session."""
    chance = np.random.default_rng(3)
    prices, weights = np.empty((SESSIONS, names)), np.empty((SESSIONS, names))
    price, weight = 5 + 400 * chance.random(names), chance.random(names)
    for session in range(SESSIONS):
        price = np.maximum(
            price * np.exp(0.015 * chance.standard_normal(names) + 0.005 * chance.standard_normal()), 0.5
        )
        weight = weight * np.exp(0.02 * chance.standard_normal(names))
        prices[session], weights[session] = np.round(price, 2), weight / weight.sum() * 0.98
    return prices, weights


def bare_loop(prices, weights):
    """The least that a backtest is: targets and fills, without a rule."""
    held, cash = np.zeros(prices.shape[1]), 2_000.0 * prices.shape[1]
    for price, weight in zip(prices, weights, strict=True):
        target = weight * (cash + held @ price) / price
        traded = (target - held) * price
        cash -= traded.sum() + COST * np.abs(traded).sum()
        held = target


def fills(trades, counts, price):
    """A stand-in for fills at the price that sized them: holdings in place, what it takes of the cash, their value."""
    paid, worth = 0.0, 0.0
    for place in range(len(price)):
        traded = trades[place] * price[place] / UNIT
        counts[place] += trades[place]
        paid += traded + COST * abs(traded)
        worth += counts[place] * price[place] / UNIT
    return paid, worth


def planner_loop(book, fill, prices, weights, volumes):
    """A bare loop with a planner; how often the exact rules were asked."""
    counts, cash, settled = np.zeros(prices.shape[1], dtype=np.int64), 2_000.0 * prices.shape[1], 0
    before = prices[0]
    for price, weight in zip(prices, weights, strict=True):
        equity = cash + float(counts @ price) / UNIT
        found = plan_book(book, weight, price, counts, equity=equity, cash=cash, previous=before, volumes=volumes)
        cash -= fill(found.trades, counts, price)[0]
        before, settled = price, settled + (found.settled > 0)
    return settled


def bench_sessions():
    fill = numba.njit(fills)
    for names in (500, 3_000, 5_000):
        prices, weights = history(names)
        volumes = np.full(names, 2e6)
        instruments = [Instrument(f"S{number:05}", "XNYS", "USD") for number in range(names)]
        bare = best(lambda: bare_loop(prices, weights), seconds=1.0) / SESSIONS  # noqa: B023
        for label, rules in (("plain", PLAIN), ("all rules", ALL)):
            book = prepare(instruments, rules, ALPACA_LIKE, currency="USD")
            work = lambda: planner_loop(book, fill, prices, weights, volumes)  # noqa: B023, E731
            settled, taken = work(), best(work, seconds=1.0) / SESSIONS
            ratio = f"{taken / bare:4.1f} x bare NumPy ({bare * 1e6:.1f} us)"
            exact = f"{settled} of {SESSIONS} with help of the exact rules"
            how = "compiled" if book.compiled else "not compiled"
            print(f"session of {names:>5} names, {label:<9} {taken * 1e6:7.1f} us, {ratio}, {exact}, {how}")


def book_inputs(names):
    weights, prices, held = (values.tolist() for values in arrays(names))
    symbols = [f"S{number:05}" for number in range(names)]
    return inputs_of(
        {symbol: f"{weight * 0.999:.10f}" for symbol, weight in zip(symbols, weights, strict=True)},
        {symbol: f"{price:.2f}" for symbol, price in zip(symbols, prices, strict=True)},
        {symbol: f"{quantity:.2f}" for symbol, quantity in zip(symbols, held, strict=True)},
        equity=int(EQUITY),
    )


def bench_orders():
    rows = make_rows(book_inputs(2_000), RULES, {})
    venue = Venue(RULES, ALPACA_LIKE, RULES.min_order_notional, RULES.quantity_precision)
    ids = ClientOrderIds("SCZ", account="paper", session=SESSION, portfolio="main", plan_id="0" * 64, batch=1)
    for row in rows:
        row.target, row.delta, row.reason = row.current + 1, Decimal("1.01"), Reason.REBALANCE
    taken = best(lambda: [orders_of(row, venue, ids, after_sales=True) for row in rows])
    print(f"order with id, type and slices {taken / len(rows) * 1e6:6.2f} us each")


def bench_plan():
    for names in (500, 5_000):
        inputs = book_inputs(names)
        taken = best(lambda: make_plan(inputs, RULES, ALPACA_LIKE), seconds=2.0)  # noqa: B023
        plan = make_plan(inputs, RULES, ALPACA_LIKE)
        print(f"plan of {names:>5} names end to end {taken * 1e3:7.1f} ms, {len(plan.orders)} orders")


if __name__ == "__main__":
    bench_sessions()
    bench_orders()
    bench_plan()
