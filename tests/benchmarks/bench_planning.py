"""Speed of planning, as ratios against bare NumPy arithmetic of the same run.

    python -m tests.benchmarks.bench_planning

Prints the sizing kernel for 500, 5,000 and 50,000 names (aim: within 3x of the arithmetic), one
order object with its id (aim: under 3 us), and a plan of 5,000 names from end to end (aim: under
100 ms). Each number is the best of several repetitions.
"""

import time
from decimal import Decimal

import numpy as np

from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.kernel import Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.orders import orders_of
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rows import make_rows
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, SESSION, inputs_of

RULES = PlanningRules(min_order_notional=Decimal(5), min_cash_buffer_pct=Decimal("0.02"))
EQUITY = 10_000_000.0


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


def arithmetic(weights, prices, held):
    """The least that sizing is: target, change, value of the change, and what is large enough."""
    target = np.trunc(weights * (EQUITY * 0.98) / prices * 100.0) / 100.0
    change = target - held
    return target, change, np.abs(change) * prices >= 5.0


def bench_kernel():
    for names in (500, 5_000, 50_000):
        weights, prices, held = arrays(names)
        on, off = np.ones(names, dtype=bool), np.zeros(names, dtype=bool)
        plain, masked = Book(weights, prices, held), Book(weights, prices, held, on, on, on, off)
        bare = best(lambda: arithmetic(weights, prices, held))  # noqa: B023
        for label, book in (("plain", plain), ("masked", masked)):
            taken = best(lambda: size(book, EQUITY, RULES))  # noqa: B023
            ratio = f"{taken / bare:5.2f} x bare ({bare * 1e6:.1f} us)"
            print(f"kernel {names:>6} names, {label:<6} {taken * 1e6:9.1f} us, {ratio}")


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
        book = Book(*arrays(names))
        kernel = best(lambda: size(book, EQUITY, RULES))  # noqa: B023
        plan = make_plan(inputs, RULES, ALPACA_LIKE)
        ratio = f"{taken / kernel:.0f} x the kernel ({kernel * 1e6:.1f} us)"
        print(f"plan of {names:>5} names end to end {taken * 1e3:7.1f} ms, {len(plan.orders)} orders, {ratio}")


if __name__ == "__main__":
    bench_kernel()
    bench_orders()
    bench_plan()
