"""Speed and memory of the backtester beside vectorbt, bt and a bare NumPy loop, on the same data in the same run.

    python -m tests.benchmarks.bench_backtest [engine ...]

500 and 3,000 names over 2,520 sessions, month-end and daily weights, 5 basis points of what is traded, decided and
filled at the same close. Each engine runs in a process of its own, whose peak memory is the whole of it, data included.
Times are processor time from arrays to an equity curve, imports, data and compilation not counted, the best of a few
runs: other work on the machine counts less. `-brief` is without a record of each position and trade, as the bare loop.

Aims: all rules on, 10 times as fast as vectorbt at 500 names daily, 30 times at 3,000 and in a quarter of its memory;
plain rules within 5 times the bare loop.

vectorbt (with its Rust engine) and bt are not part of the environment: `pip install 'scizor[bench]'`, or name another
interpreter that has them with SCIZOR_BENCH_PYTHON. What is missing is said and left out. bt is not run at 3,000 names
daily: it takes hours.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

COST = 0.0005
CAPITAL = 1e6
SESSIONS = 2_520
CASES = [(500, 21), (500, 1), (3_000, 21), (3_000, 1)]
PEERS = {"vectorbt": "vectorbt", "bt": "bt"}
ENGINES = ("numpy", "plain", "plain-brief", "all rules", "vectorbt", "bt")
NOT_RUN = {("bt", 3_000, 1)}


def market(names):
    """Closes of a geometric random walk with a market factor, and weights that drift: both T x N."""
    chance = np.random.default_rng(3)
    prices, weights = np.empty((SESSIONS, names)), np.empty((SESSIONS, names))
    price, weight = 5 + 400 * chance.random(names), chance.random(names)
    for session in range(SESSIONS):
        price = np.maximum(
            price * np.exp(0.012 * chance.standard_normal(names) + 0.005 * chance.standard_normal()), 0.5
        )
        weight = weight * np.exp(0.02 * chance.standard_normal(names))
        prices[session], weights[session] = np.round(price, 2), weight / weight.sum() * 0.98
    return prices, weights


def volumes(shape):
    """Shares: of another count every session, as volumes are."""
    return np.round(2e6 * np.exp(0.5 * np.random.default_rng(5).standard_normal(shape)))


def rows_of(every):
    return np.arange(every - 1, SESSIONS, every) if every > 1 else np.arange(1, SESSIONS)


def by_numpy(prices, weights, every):
    """The least that a backtest is: targets and fills, without a rule."""
    planned, held, cash, equity = set(rows_of(every).tolist()), np.zeros(prices.shape[1]), CAPITAL, np.empty(SESSIONS)

    def work():
        nonlocal held, cash
        held, cash = np.zeros(prices.shape[1]), CAPITAL
        for session in range(SESSIONS):
            price = prices[session]
            value = cash + held @ price
            if session in planned:
                target = weights[session] * value / price
                traded = (target - held) * price
                paid = COST * np.abs(traded).sum()
                cash -= traded.sum() + paid
                held, value = target, value - paid
            equity[session] = value
        return equity

    return work


def by_us(prices, weights, every, kind):
    from scizor_dagster.analytics.costs_model import Commission
    from scizor_dagster.backtest.engine import run_backtest
    from scizor_dagster.backtest.model import Choices, Costs, FillAt, Fills, History, Schedule
    from scizor_dagster.instruments import Instrument
    from scizor_dagster.planning.rules import PlanningRules
    from tests.planning.books import ALPACA_LIKE

    rules = PlanningRules(quantity_precision=4, min_order_notional=Decimal(0), max_price_move=None)
    capabilities = replace(ALPACA_LIKE, min_notional=Decimal(0))
    if kind == "all rules":
        capabilities = ALPACA_LIKE
        rules = PlanningRules(
            min_order_notional=Decimal(5), min_cash_buffer_pct=Decimal("0.02"), quantity_precision=4,
            band_absolute=Decimal("0.0005"), band_relative=Decimal("0.02"), max_turnover=Decimal("0.3"),
            max_participation=Decimal("0.02"), max_weight=Decimal("0.2"), slippage_allowance_pct=Decimal("0.001"),
            blacklist=("S00003",), overrides=(("S00005", "no_sell"), ("S00007", "never_touch")),
        )  # fmt: skip
    names = prices.shape[1]
    history = History(
        tuple(date(2015, 1, 1) + timedelta(day) for day in range(SESSIONS)),
        tuple(Instrument(f"S{number:05}", "XNYS", "USD") for number in range(names)), "USD", "raw", close=prices,
        volume=volumes(prices.shape) if kind == "all rules" else None,
    )  # fmt: skip
    rows = rows_of(every)
    schedule = Schedule(rows, np.ascontiguousarray(weights[rows]) if every > 1 else weights[1:])
    brief = kind == "plain-brief"
    choices = Choices(
        capital=CAPITAL, fills=Fills(FillAt.CLOSE, delay=0), costs=Costs(Commission(bps=COST * 1e4)),
        keep_positions=not brief, keep_trades=not brief,
    )  # fmt: skip
    return lambda: run_backtest(history, schedule, rules, capabilities, choices).equity


def by_vectorbt(prices, weights, every):
    import pandas as pd
    import vectorbt as vbt

    sizes = np.full(prices.shape, np.nan)
    sizes[rows_of(every)] = weights[rows_of(every)]
    close, size = pd.DataFrame(prices), pd.DataFrame(sizes)
    del sizes

    def work():
        portfolio = vbt.Portfolio.from_orders(
            close, size=size, size_type="targetpercent", fees=COST, init_cash=CAPITAL, group_by=True, cash_sharing=True,
            call_seq="auto", freq="1D", engine="rust",
        )  # fmt: skip
        return portfolio.value().to_numpy()

    return work


def by_bt(prices, weights, every):
    import warnings

    import bt
    import pandas as pd

    warnings.simplefilter("ignore")
    days = pd.bdate_range("2015-01-01", periods=SESSIONS)
    names = [f"S{number:05}" for number in range(prices.shape[1])]
    closes, rows = pd.DataFrame(prices, index=days, columns=names), rows_of(every)
    wanted = pd.DataFrame(weights[rows], index=days[rows], columns=names)

    def work():
        strategy = bt.Strategy("weights", [bt.algos.WeighTarget(wanted), bt.algos.Rebalance()])
        test = bt.Backtest(
            strategy, closes, initial_capital=CAPITAL, commissions=lambda quantity, price: COST * abs(quantity) * price,
            integer_positions=False, progress_bar=False,
        )  # fmt: skip
        bt.run(test, progress_bar=False)
        return strategy_values(test, days)

    return work


def strategy_values(test, days):
    return test.strategy.values.loc[days].to_numpy()


def measured(engine, names, every):
    """Best processor time of a few runs, in seconds; peak memory of the process, in MiB; last equity."""
    prices, weights = market(names)
    if engine in PEERS:
        work = {"vectorbt": by_vectorbt, "bt": by_bt}[engine](prices, weights, every)
    elif engine == "numpy":
        work = by_numpy(prices, weights, every)
    else:
        work = by_us(prices, weights, every, engine)
    warm = {"vectorbt": lambda: by_vectorbt(prices[:, :20], weights[:, :20], every)()}.get(engine)
    if warm is not None:
        warm()
    taken, end = [], 0.0
    rounds = 1 if engine == "bt" or (engine in PEERS and names > 500) else 4
    for _ in range(rounds):
        start = time.process_time()
        end = float(work()[-1])
        taken.append(time.process_time() - start)
    return {"seconds": min(taken), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "end": end}


def asked(engine, names, every):
    """The same of a process of its own; None where it cannot be had, which is said."""
    python = os.environ.get("SCIZOR_BENCH_PYTHON", sys.executable) if engine in PEERS else sys.executable
    if engine in PEERS and subprocess.run([python, "-c", f"import {PEERS[engine]}"], capture_output=True).returncode:
        print(f"  {engine:<12} is not installed here: pip install 'scizor[bench]', or set SCIZOR_BENCH_PYTHON")
        return None
    call = [python, "-m", "tests.benchmarks.bench_backtest", "--one", engine, str(names), str(every)]
    answer = subprocess.run(call, capture_output=True, text=True)
    if answer.returncode:
        print(f"  {engine:<12} failed: {answer.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(answer.stdout.splitlines()[-1])


def main(engines):
    for names, every in CASES:
        print(f"{names:,} x {SESSIONS:,}, {'daily' if every == 1 else 'every 21 sessions'}", flush=True)
        found = {}
        for engine in engines:
            if (engine, names, every) in NOT_RUN:
                continue
            one = asked(engine, names, every)
            if one is None:
                continue
            found[engine] = one
            bare = found.get("numpy", one)
            ratio = f"{one['seconds'] / bare['seconds']:8.1f} x bare"
            print(
                f"  {engine:<12} {one['seconds']:9.4f} s {ratio} {one['peak']:7.0f} MiB   ends at {one['end']:,.2f}",
                flush=True,
            )
        _aims(found, names, every)


def _aims(found, names, every):
    if "vectorbt" in found and "all rules" in found:
        ahead = found["vectorbt"]["seconds"] / found["all rules"]["seconds"]
        less = found["vectorbt"]["peak"] / found["all rules"]["peak"]
        aim = f" (aims: {10 if names == 500 else 30} x{', 4 x' if names > 500 else ''})" if every == 1 else ""
        print(f"  all rules: {ahead:.1f} x as fast as vectorbt, {less:.1f} x less memory{aim}")
    if "numpy" in found and "plain-brief" in found:
        ratio = found["plain-brief"]["seconds"] / found["numpy"]["seconds"]
        print(f"  plain rules: {ratio:.1f} x the bare loop{' (aim: 5 x)' if every == 1 else ''}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(sys.argv[1:] or ENGINES)
