"""A small desk whose history is collected, and the stages of one session in a row."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_actions
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.lake.tables import append_rows
from tests.projects import small_project, write_weights

EARLY = date(2025, 2, 28)
FIRST = date(2025, 3, 3)
SECOND = date(2025, 3, 10)
NOW = datetime(2025, 3, 31, 22, tzinfo=UTC)
WEIGHTS = {
    FIRST: {"AAPL": 0.3, "MSFT": 0.3, "NVDA": 0.2},
    SECOND: {"AAPL": 0.2, "GOOG": 0.4, "NVDA": 0.2},
}


def collected(folder: Path, now: datetime = NOW) -> Desk:
    """A project whose history is collected up to `now`."""
    project = small_project(folder)
    write_weights(folder / "weights.csv", WEIGHTS)
    return collect(Desk(project.settings, lambda: now))


def collect(desk: Desk) -> Desk:
    """Collect the history of a desk's market."""
    refresh_symbols(desk, "us")
    refresh_actions(desk, "us")
    fill_history(desk, "us", (2025, 2025), None)
    desk.lake.close()
    return desk


def trade(desk: Desk, session: date) -> ExecutionResult:
    consolidate_session(desk, "main", session)
    plan_session(desk, "main", session)
    return trade_session(desk, "main", session, "test-run")


def left_after_the_first(folder: Path) -> Path:
    """A project that has traded and reconciled its first session, closed; its folder."""
    desk = collected(folder)
    trade(desk, FIRST)
    reconcile_session(desk, "main", FIRST)
    desk.lake.close()
    desk.ledger.close()
    return folder


def add_action(desk: Desk, symbol: str, day: date, kind: str, ratio: float | None = None) -> None:
    row = {"market": "us", "symbol": symbol, "ex_session": day, "kind": kind, "ratio": ratio, "source": "test"}
    with desk.lake.write() as cursor:
        append_rows(cursor, "corporate_actions", pd.DataFrame([{**row, "fetched_at": NOW}]))
