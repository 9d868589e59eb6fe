"""Speed of the ledger on each kind of store: a commit, a read, and an order from its plan to its end.

    python -m tests.benchmarks.bench_ledger

A commit and a read are compared with what the bare driver needs for one row on the same store, fsync included; the
plan on Postgres with the same plan on SQLite. Both stores lie on the disk of the temporary folder, and the broker
answers at once. Without a server's binaries only SQLite is measured.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import account_clocks
from tests import postgres
from tests.benchmarks.ratios import row, seconds
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, PRICES, D, order, plan_of, run
from tests.ledgers import postgres_ledger, sqlite_ledger

ROUNDS = 200
ORDERS = 100


def commits(ledger: Ledger, driver: Any, label: str) -> None:
    """One row in a transaction of its own, by the ledger and by the bare driver."""
    names, cursor = (f"n{number}" for number in count()), driver.cursor()
    cursor.execute("CREATE TABLE bare (account TEXT PRIMARY KEY, session TEXT)")
    driver.commit()
    mark = "?" if isinstance(driver, sqlite3.Connection) else "%s"

    def write() -> None:
        with ledger.transaction() as connection:
            connection.execute(account_clocks.insert().values(account=next(names), session=MONDAY))

    def bare_write() -> None:
        cursor.execute(f"INSERT INTO bare VALUES ({mark}, {mark})", [next(names), "2026-03-02"])
        driver.commit()

    def read() -> None:
        with ledger.read() as connection:
            connection.execute(account_clocks.select().limit(1)).all()

    def bare_read() -> None:
        cursor.execute("SELECT * FROM bare LIMIT 1")
        cursor.fetchall()
        driver.rollback()

    row(f"a commit on {label}", seconds(write, ROUNDS), seconds(bare_write, ROUNDS), "the bare driver")
    row(f"a read on {label}", seconds(read, ROUNDS), seconds(bare_read, ROUNDS), "the bare driver")


def rebalance(url: str) -> float:
    """Seconds from a plan of `ORDERS` buys to its end, at a broker that answers at once."""
    ledger = Ledger.open(url)
    plan = plan_of([order(f"b{number}", "DDD", Side.BUY, "1", slice_=1 + number) for number in range(ORDERS)])
    broker = ModelBroker(cash=D(100_000), prices=PRICES)
    taken = seconds(lambda: run(ledger, broker, plan, starting_cash=D(100_000)), 1)
    assert len(broker.sent()) == ORDERS
    ledger.close()
    return taken


@contextmanager
def _server() -> Iterator[postgres.Server | None]:
    try:
        postgres.binaries()
    except postgres.PostgresMissing as missing:
        print(missing)
        yield None
        return
    with postgres.running(memory=False) as server:
        yield server


def main() -> None:
    with tempfile.TemporaryDirectory() as name, _server() as server:
        folder = Path(name)
        ledger = Ledger.open(sqlite_ledger(folder / "commits"))
        driver = sqlite3.connect(folder / "bare.sqlite")
        driver.execute("PRAGMA journal_mode=WAL")
        commits(ledger, driver, "SQLite")
        ledger.close()
        embedded = rebalance(sqlite_ledger(folder / "orders"))
        row(f"{ORDERS} orders on SQLite", embedded, embedded, "itself")
        if server is None:
            return
        ledger = Ledger.open(postgres_ledger(server))
        commits(ledger, psycopg2.connect(server.url(server.new_database())), "Postgres")
        ledger.close()
        row(f"{ORDERS} orders on Postgres", rebalance(postgres_ledger(server)), embedded, "SQLite")


if __name__ == "__main__":
    main()
