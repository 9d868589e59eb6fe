"""Speed and memory of a parameter search, beside vectorbt's own way of doing the same, in the same run.

    python -m tests.benchmarks.bench_sweep [--sets N]

1,000 sets of a moving-average cross (two windows) on 100 symbols x 2,520 sessions, 5 bps of what is traded, a Sharpe
ratio of each set. Aim: ahead of vectorbt.

- vectorbt, signals: `MA`, `ma_crossed_above`, `Portfolio.from_signals`, a group of 100 columns per set, each with
  its own cash, filled at the close that decides; no rule of a planner.
- vectorbt, weights: `Portfolio.from_orders` to target weights every session, cash shared by the 100 columns of a set,
  `call_seq="auto"`: what a portfolio does. Timed on a tenth of the sets.
- Scizor: the same target weights every session, planned on the close before; `plain` with a minimum order and a cash
  buffer, `all rules` with bands, a cap of turnover, share of volume, a largest weight and overrides too. On one process
  and on all processors.

Each runs in a process of its own; compiling and loading are not counted. vectorbt is given few sets at a time, which is
its fastest way here: more columns at once take more memory and more time each. It is looked for in this environment
or in that of SCIZOR_BENCH_PYTHON; where it is not installed, that is said. Wall-clock time on an idle machine is what
counts; processor time (of all processes together) is printed beside it, for a busy one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

SYMBOLS, SESSIONS, CAPITAL, COST = 100, 2_520, 1_000_000.0, 0.0005
FASTS, AT_ONCE, WARM = range(5, 45, 2), 4, 2
INVESTED = 0.95


def closes():
    """Random walks with a common factor, to four decimals: the same in every process."""
    import numpy as np

    chance = np.random.default_rng(8)
    moves = chance.normal(0.0002, 0.012, (SESSIONS, SYMBOLS)) + chance.normal(0.0, 0.008, (SESSIONS, 1))
    return np.round(100 * np.exp(np.cumsum(moves, axis=0)), 4)


def sets_of(count):
    """(fast, slow): twenty fast windows, and as many slow ones as it takes."""
    return [(FASTS[number % 20], 50 + 3 * (number // 20)) for number in range(count)]


def crossing(history, sets):
    """Equal parts of what crossed at the close before. A mean of a window is computed once for all sets that use it."""
    import numpy as np

    from scizor_dagster.backtest.model import Schedule

    close = history.close
    sums = np.vstack([np.zeros((1, close.shape[1])), np.cumsum(close, axis=0)])
    means: dict[int, np.ndarray] = {}

    def mean(window):
        if window not in means:
            means[window] = (sums[window:-1] - sums[: -window - 1]) / window
        return means[window]

    for parameters in sets:
        fast, slow = parameters["fast"], parameters["slow"]
        held = mean(fast)[slow - fast :] > mean(slow)
        yield Schedule(np.arange(slow, len(close)), held * (INVESTED / close.shape[1]))


def days():
    found, day = [], date(2014, 1, 1)
    while len(found) < SESSIONS:
        if day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return tuple(found)


def ours(count, rules, workers):
    import numpy as np

    from scizor_dagster.backtest.model import Choices, Costs, FillAt, Fills, History
    from scizor_dagster.backtest.search.problem import Problem
    from scizor_dagster.backtest.search.running import Runner
    from scizor_dagster.backtest.search.search import Plan, search
    from scizor_dagster.backtest.search.spaces import Listed, Space
    from scizor_dagster.backtest.search.trials import MemoryStore, State
    from scizor_dagster.backtest.search.verdicts import verdict_of
    from scizor_dagster.instruments import Instrument
    from tests.benchmarks.bench_planning import ALL, PLAIN
    from tests.planning.books import ALPACA_LIKE

    prices = closes()
    history = History(
        sessions=days(),
        instruments=tuple(Instrument(f"S{number:05}", "XNYS", "USD") for number in range(SYMBOLS)),
        currency="USD",
        adjustment="total_return",
        close=prices,
        volume=np.round(2e6 * np.exp(0.5 * np.random.default_rng(5).standard_normal(prices.shape))),
    )
    problem = Problem(
        strategy="cross",
        version="1",
        maker=crossing,
        history=history,
        rules={"all": ALL, "plain": replace(PLAIN, max_price_move=None)}[rules],
        capabilities=ALPACA_LIKE,
        choices=Choices(CAPITAL, Fills(at=FillAt.CLOSE), Costs(slippage_bps=COST * 1e4)),
    )
    sets = sets_of(count)
    slows = sorted({slow for _, slow in sets})
    plan = Plan(Space((Listed("fast", tuple(FASTS)), Listed("slow", tuple(slows)))), trials=count)
    with Runner(problem, 1) as runner:
        search(problem, replace(plan, trials=WARM), MemoryStore(), runner)
    start, used = time.perf_counter(), processor_time()
    with Runner(problem, workers) as runner:
        found = search(problem, plan, MemoryStore(), runner)
    # Processes that have ended count.
    taken, processor = time.perf_counter() - start, processor_time() - used
    assert sum(trial.state is State.DONE for trial in found.kept.values()) == count
    start = time.perf_counter()
    verdict = verdict_of(found, plan)
    assert verdict is not None
    judged = time.perf_counter() - start
    return {"seconds": taken, "processor": processor, "sets": count, "judged": judged, "best": verdict.own.sharpe}


def vectorbt_of(close, sets, kind):
    import numpy as np
    import vectorbt as vbt

    fast = vbt.MA.run(close, window=[fast for fast, _ in sets], short_name="fast")
    slow = vbt.MA.run(close, window=[slow for _, slow in sets], short_name="slow")
    groups = np.repeat(np.arange(len(sets)), SYMBOLS)
    if kind == "signals":
        entries, exits = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
        book = vbt.Portfolio.from_signals(
            close, entries, exits, fees=COST, init_cash=CAPITAL / SYMBOLS, group_by=groups, freq="1D"
        )
        return book.sharpe_ratio()
    import pandas as pd

    wide = pd.concat([close] * len(sets), axis=1)
    wide.columns = fast.ma.columns
    weights = pd.DataFrame(
        (fast.ma.to_numpy() > slow.ma.to_numpy()) * (INVESTED / SYMBOLS), index=wide.index, columns=wide.columns
    )
    book = vbt.Portfolio.from_orders(
        wide, weights, size_type="targetpercent", fees=COST, init_cash=CAPITAL, group_by=groups, cash_sharing=True,
        call_seq="auto", freq="1D",
    )  # fmt: skip
    return book.sharpe_ratio()


def theirs(count, kind):
    import numpy as np
    import pandas as pd

    close = pd.DataFrame(closes(), columns=[f"S{number:05}" for number in range(SYMBOLS)])
    sets = sets_of(count)
    vectorbt_of(close, sets[:WARM], kind)
    start, used, best = time.perf_counter(), processor_time(), -np.inf
    for first in range(0, count, AT_ONCE):
        best = max(best, float(vectorbt_of(close, sets[first : first + AT_ONCE], kind).max()))
    return {
        "seconds": time.perf_counter() - start,
        "processor": processor_time() - used,
        "sets": count,
        "best": best,
    }


def processor_time():
    """Seconds of processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def peak():
    """MiB: of this process, or of its largest child."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def measure(python, *arguments):
    """The figures of one contender, run in a process of its own; None where it cannot run."""
    command = [python, "-m", "tests.benchmarks.bench_sweep", "--only", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it failed without a word")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def only(name, count, *rest):
    found = theirs(int(count), *rest) if name == "vectorbt" else ours(int(count), rest[0], int(rest[1]))
    print(json.dumps(found | {"peak": peak()}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=1_000)
    parser.add_argument("--only", nargs="+")
    given = parser.parse_args()
    if given.only:
        only(*given.only)
        return
    peer_python = os.environ.get("SCIZOR_BENCH_PYTHON", sys.executable)
    count, processors = given.sets, len(os.sched_getaffinity(0))
    print(f"{count:,} sets, {SYMBOLS} symbols x {SESSIONS:,} sessions, {processors} processors")
    peers = {
        "vectorbt, signals, no rules": measure(peer_python, "vectorbt", count, "signals"),
        "vectorbt, weights, no rules": measure(peer_python, "vectorbt", max(count // 10, WARM), "weights"),
    }
    rows = {name: found for name, found in peers.items() if found is not None}
    if not rows:
        print("vectorbt is not installed here: pip install 'scizor[bench]', or name a Python that has it.")
    for rules in ("plain", "all"):
        for workers in sorted({1, processors}):
            named = f"Scizor, {rules} rules, {workers} process{'es' if workers > 1 else ''}"
            found = measure(sys.executable, "scizor", count, rules, workers)
            if found is not None:
                rows[named] = found
    for name, found in rows.items():
        each, used = found["seconds"] / found["sets"], found["processor"] / found["sets"]
        ratios = "; ".join(
            f"{peer['seconds'] / peer['sets'] / each:4.1f}x as fast as {label.split(',')[1].strip()} "
            f"({peer['processor'] / peer['sets'] / used:.1f}x by processor time)"
            for label, peer in peers.items()
            if peer is not None and name not in peers
        )
        print(
            f"{name:<36} {each * 1e3:7.1f} ms a set, {used * 1e3:7.1f} ms of processor time, {each * count:7.1f} s for "
            f"all, {found['peak']:6.0f} MiB  {ratios}"
        )


if __name__ == "__main__":
    main()
