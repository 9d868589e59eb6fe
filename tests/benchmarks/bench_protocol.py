"""What the protocol costs beside the broker: commits, milliseconds, and the time of a batch at a limited rate.

    python -m tests.benchmarks.bench_protocol

Prints the commits of an order, counted; the ledger's own time for an order, as a multiple of one bare commit of a row
that is fsynced on the same disk in the same run; and the time of 300 orders at Alpaca's door, which permits 200
requests a minute, beside the time that this limit alone takes (aim: 1.05 x). The last takes a minute and a half,
because that is what is measured; `python -m tests.benchmarks.bench_protocol 30` does it with 30 orders.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, Side
from scizor_dagster.execution.executor import ExecutionResult, execute
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.planning.model import PlannedOrder
from tests.benchmarks.bench_brokers import ALPACA, DAY1, LATENCY, NAMES, NOON, _alpaca, _alpaca_door, floor
from tests.benchmarks.ratios import row
from tests.benchmarks.slow_wire import SlowWire
from tests.execution.scenario import model, order, plan_of, run, settings

ORDERS = 300
PER_MINUTE = 200
FEW = 30


class CountingLedger(Ledger):
    """A ledger that counts what it has committed."""

    commits = 0

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with super().transaction() as connection:
            yield connection
        self.commits += 1


def bare_commit(folder: Path, count: int = 300) -> float:
    """Seconds of one commit of one row, fsynced as the ledger's are."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (number INTEGER, text TEXT)")
    start = time.perf_counter()
    for number in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows VALUES (?, ?)", [number, "x" * 300])
        connection.execute("COMMIT")
    taken = time.perf_counter() - start
    connection.close()
    return taken / count


def at_a_broker_without_delay(folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds, those of the processor, and commits of an execution of so many orders, instruments in turn."""
    symbols = ["AAA", "BBB", "CCC", "DDD"]
    orders = [order(f"b{n}", symbols[n % 4], Side.BUY, "1", slice_=1 + n // 4) for n in range(count)]
    ledger = CountingLedger.open(f"sqlite:///{folder}/{count}.sqlite")
    before, busy = ledger.commits, time.process_time()
    broker = model(ledger, cash=D(10**6), ledger_url=None)
    start = time.perf_counter()
    result = run(ledger, broker, plan_of(orders), starting_cash=D(10**6))
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    assert result.counts == {"filled": count}, result.counts
    ledger.close()
    return taken, busy, ledger.commits - before


def bench_ledger() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = bare_commit(folder)
        few, few_busy, few_commits = at_a_broker_without_delay(folder, FEW)
        many, many_busy, many_commits = at_a_broker_without_delay(folder, ORDERS)
    more = ORDERS - FEW
    print(f"commits of an order beyond its batch's                {(many_commits - few_commits) / more:10.2f}")
    print(f"commits of a batch of {ORDERS}, those of its orders apart    {many_commits - 2 * ORDERS:10d}")
    row("an order: verdict, mark, record and follow", (many - few) / more, bare, "a bare fsynced commit")
    row("the same, of the processor alone", (many_busy - few_busy) / more, bare, "a bare fsynced commit")


def bench_limited(count: int) -> None:
    """At Alpaca's door behind a slow wire, from the first request of a send to the answer of the last."""
    with (
        floor(ALPACA, House.ALPACA) as venue,
        _alpaca_door(venue, limited=True) as (port, _),
        SlowWire(port, LATENCY) as wire,
        tempfile.TemporaryDirectory() as folder,
    ):
        broker = _alpaca(f"http://127.0.0.1:{wire.port}")
        names = sorted(NAMES)
        orders = [
            order(f"x{n}", names[n % len(names)], Side.BUY, "1", price=D(100), slice_=1 + n // len(names))
            for n in range(count)
        ]
        sent: list[float] = []
        submit = broker.submit

        def timed(request: OrderRequest) -> BrokerOrder:
            sent.append(time.perf_counter())
            answer = submit(request)
            sent.append(time.perf_counter())
            return answer

        broker.submit = timed  # type: ignore[method-assign]
        ledger = CountingLedger.open(f"sqlite:///{folder}/ledger.sqlite")
        result = _execute(ledger, broker, orders)
        ledger.close()
        broker.close()
    assert len(sent) == 2 * count, (len(sent), result.counts)
    row(f"{count} orders at {PER_MINUTE} a minute", sent[-1] - sent[0], count * 60 / PER_MINUTE, "the limit alone")


def _execute(ledger: Ledger, broker: object, orders: list[PlannedOrder]) -> ExecutionResult:
    identity = broker.identity()  # type: ignore[attr-defined]
    rules = settings(
        starting_cash=D(10**7),
        expected_broker=identity.broker,
        expected_environment=identity.environment,
        expected_account_id=identity.account_id,
    )
    plan = replace(plan_of(orders, session=DAY1), account="broker", equity=D(10**7))
    common = {"account": "broker", "portfolio": "main", "clock": lambda: NOON, "holder": "bench"}
    return execute(plan, ledger=ledger, broker=broker, settings=rules, **common)  # type: ignore[arg-type]


if __name__ == "__main__":
    bench_ledger()
    bench_limited(int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS)
