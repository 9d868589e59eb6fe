"""Whatever a session asks of the ledger or of the embedded exchange is found without going through the sessions before.

Every statement of some sessions under faults is explained by SQLite: rows of a table that grows with the account's
life are reached by more of an index than the account, or the newest, the first or so many of them alone are.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.ledgers import sqlite_ledger
from tests.reconciliation.test_a_thousand_sessions import CALENDAR, FIRST, LAST, Years

GROWING = (
    "activities", "adoptions", "batches", "checkpoints", "events", "orders", "paper_activities", "paper_fills",
    "paper_orders", "releases", "risk_events", "risk_limits", "risk_locks", "trades",
)  # fmt: skip
ONE_OF_THEM = re.compile(r"\bLIMIT\b|\bmin\(|\bmax\(")
STEP = re.compile(r"^(SCAN|SEARCH) (\w+)(?: .*?\(([^()]*)\)$)?")


@contextmanager
def statements(engine: sa.Engine) -> Iterator[dict[str, Any]]:
    """What is asked meanwhile, each once, with values that it was asked with."""
    asked: dict[str, Any] = {}

    def note(_c: Any, _u: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        asked.setdefault(statement, values[0] if many else values)

    sa.event.listen(engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(engine, "before_cursor_execute", note)


def readings(connection: sa.Connection, asked: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, str, str]]:
    """Each statement that goes to a growing table, with the step of its plan and the columns that it seeks by."""
    for statement, values in asked.items():
        if statement.split(None, 1)[0] not in ("SELECT", "UPDATE", "DELETE", "WITH"):
            continue
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(values))
        for row in plan:
            step = STEP.match(row[3])
            if step is not None and step[2] in GROWING:
                yield statement, row[3], step[3] or ""


def test_no_statement_of_a_session_goes_through_the_sessions_before(tmp_path: Path, record_property: Any) -> None:
    years = Years(sqlite_ledger(tmp_path), "7")
    before = None
    with statements(years.ledger.engine) as asked:
        for day in CALENDAR.sessions(FIRST, LAST)[:6]:
            years.session(day, before)
            before = day
    with years.ledger.read() as connection:
        found = list(readings(connection, asked))
    years.ledger.close()
    record_property("statements", len(asked))
    record_property("steps", len(found))
    long = [(step, text) for text, step, by in found if by in ("", "account=?") and not ONE_OF_THEM.search(text)]
    assert long == []
    assert {step.split()[1] for _, step, _ in found} >= {"batches", "orders", "paper_orders", "trades", "activities"}
