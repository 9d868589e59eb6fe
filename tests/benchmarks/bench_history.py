"""Speed of a session of an account after a long history, against one at its beginning, on each kind of store.

    python -m tests.benchmarks.bench_history

Two portfolios of one account trade every session at the embedded exchange and are reconciled. Each time is the
processor time of the sessions around the one that is named, of this process alone, so that it counts on Postgres what
the program does and not the server; the wall-clock time, with the server's part, stands in a row of its own. Then the
time of `verify` for each thousand entries of the whole history.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify
from tests import postgres
from tests.benchmarks.ratios import row
from tests.ledgers import postgres_ledger, sqlite_ledger
from tests.reconciliation.test_a_thousand_sessions import CALENDAR, FIRST, LAST, Years

EARLY = 10
AROUND = 5
"""A session's time is the median of so many before it and after it as well."""


def history(url: str, sessions: int, label: str) -> None:
    """Live through the sessions and print how the last one compares with the tenth."""
    years = Years(url, "bench")
    busy, passed = [], []
    for day in CALENDAR.sessions(FIRST, LAST)[: sessions + AROUND]:
        begun, start = time.process_time(), time.perf_counter()
        years.quiet_session(day)
        busy.append(time.process_time() - begun)
        passed.append(time.perf_counter() - start)
    for name, taken in (("processor", busy), ("wall clock", passed)):
        row(f"session {sessions} on {label}, {name}", _at(taken, sessions), _at(taken, EARLY), f"session {EARLY}")
    with years.ledger.read() as connection:
        count = connection.execute(sa.select(sa.func.max(events.c.seq))).scalar_one()
        begun = time.process_time()
        found = verify(connection)
        each = (time.process_time() - begun) / count * 1_000
    assert not found, found
    row(f"verify on {label}, each 1,000 of {count:,} entries", each, _at(busy, EARLY), f"session {EARLY}")
    years.ledger.close()


def _at(taken: list[float], session: int) -> float:
    return statistics.median(taken[session - 1 - AROUND : session + AROUND])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        history(sqlite_ledger(Path(name)), 1_000, "SQLite")
    try:
        postgres.binaries()
    except postgres.PostgresMissing as missing:
        print(missing)
        return
    with postgres.running(memory=False) as server:
        history(postgres_ledger(server), 250, "Postgres")


if __name__ == "__main__":
    main()
