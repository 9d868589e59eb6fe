"""Speed of collecting over a slow wire: the daily run of 357 symbols, as a part of what the provider's limit demands.

    python -m tests.benchmarks.bench_collect [years]

The exchange is in a process of its own behind a wire of 100 ms. A TWS takes 48 of our messages a second, so that 357
symbols take 7.4 s at least; Alpaca answers them with one page, so that its least is one wait for an answer. Then the
calls of ten years (or `years`) at each door, against the least possible.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from math import ceil
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

from scizor_dagster.brokers.ibkr.connection import MESSAGES_PER_SECOND
from scizor_dagster.market_data.alpaca import POINTS_PER_PAGE
from scizor_dagster.market_data.collect import collect_history, collect_session
from scizor_dagster.market_data.provider import Metered
from tests.acceptance.long_market import FIRST, LAST, XNYS, exchange, source
from tests.benchmarks.slow_wire import SlowWire
from tests.market_data.support import market, new_lake

LATENCY = 0.1
SYMBOLS = 357
EVE = XNYS.previous_session(LAST)


@contextmanager
def door_of_its_own(wire: str) -> Iterator[tuple[int | str, tuple[str, ...]]]:
    """Where a door of an exchange in another process is, behind a slow wire, and what it lists."""
    here, there = Pipe()
    process = get_context("spawn").Process(target=_serve, args=(wire, there))
    process.start()
    yield here.recv()
    here.send("end")
    process.join()


def _serve(wire: str, parent: Connection) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        exchange(Path(folder), wire, SYMBOLS) as (_, trading, _, place),
        SlowWire(int(str(place).rpartition(":")[2]), LATENCY) as slow,
    ):
        trading.history(trading.names, LAST - timedelta(days=30), LAST)
        parent.send((slow.port if wire == "ibkr" else f"http://127.0.0.1:{slow.port}", trading.names))
        parent.recv()


def bench_wire(wire: str, since: date) -> None:
    now = XNYS.settled_at(LAST)
    week = XNYS.sessions(LAST - timedelta(days=14), EVE)[-6:]
    with (
        door_of_its_own(wire) as (place, names),
        source(wire, place, names) as provider,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert isinstance(provider, Metered)
        provider.lookup(names)
        lake = new_lake(Path(folder))
        common = (lake, "us", market(FIRST), provider, XNYS, names)
        collect_history(*common, week[0].year, EVE.year, now, since=week[0], through=EVE)
        least = len(names) / MESSAGES_PER_SECOND if wire == "ibkr" else LATENCY
        # What the week before has taken of the limit comes back.
        time.sleep(2.0)
        calls, start, busy = provider.calls_made, time.perf_counter(), time.process_time()
        report = collect_session(*common, LAST, now)
        taken, busy = time.perf_counter() - start, time.process_time() - busy
        assert (report.inserted, report.missing) == (len(names), ())
        print(
            f"{wire}: daily run of {len(names)} symbols {taken:7.2f} s, {taken / least:5.2f} x the least of "
            f"{least:.2f} s; {provider.calls_made - calls} calls, {busy:.2f} s busy"
        )
        calls, start = provider.calls_made, time.perf_counter()
        collect_history(*common, since.year, EVE.year, now, since=since, through=EVE)
        asked, taken = provider.calls_made - calls, time.perf_counter() - start
        sessions = len(XNYS.sessions(since, EVE))
        fewest = len(names) if wire == "ibkr" else ceil(len(names) * sessions / POINTS_PER_PAGE)
        print(
            f"{wire}: {sessions} sessions of {len(names)} symbols {taken:7.2f} s; {asked} calls, "
            f"{asked / fewest:5.3f} x the least of {fewest}"
        )
        lake.close()


if __name__ == "__main__":
    years = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for name in ("ibkr", "alpaca"):
        bench_wire(name, max(FIRST, date(LAST.year - years, LAST.month, LAST.day)))
