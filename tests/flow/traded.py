"""Two sessions of a portfolio that have been traded and reconciled, with a split and a dividend, for looking back at.

Two strategies share an instrument; one of them has ids of its own. Made once, and copied by what changes it.
"""

import os
import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import append_rows
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.flow.test_blend import opened
from tests.projects import write_weights

TREND = {FIRST: {"AAPL": 0.5, "MSFT": 0.4}, SECOND: {"AAPL": 0.4, "NVDA": 0.5}}
VALUE = {FIRST: {"1": 0.4, "2": 0.4}, SECOND: {"1": 0.4}}
LATER = 3 if os.environ.get("SCIZOR_TORTURE") else 0
"""Weeks after the second session with the same weights: a month of them where there is time for it."""
SESSIONS = (FIRST, SECOND, *(SECOND + timedelta(days=7 * week) for week in range(1, LATER)))
TABLE = "asset_id,symbol\n1,MSFT\n2,GOOG\n"


def made(folder: Path) -> None:
    """Trade the sessions in `folder`."""
    collected(folder).lake.close()
    write_weights(folder / "trend.csv", _through(TREND))
    write_weights(folder / "value.csv", _through(VALUE))
    (folder / "ids.csv").write_text(TABLE)
    desk = opened(folder)
    _add_actions(desk)
    for session in SESSIONS:
        trade(desk, session)
        reconcile_session(desk, "main", session)
    desk.lake.close()
    desk.ledger.close()


def _through(weights: dict[date, dict[str, float]]) -> dict[date, dict[str, float]]:
    return {session: weights.get(session, weights[SECOND]) for session in SESSIONS}


def _add_actions(desk: Desk) -> None:
    common = {"market": "us", "source": "test", "fetched_at": NOW}
    rows = [
        {"symbol": "AAPL", "ex_session": date(2025, 3, 5), "kind": "dividend", "amount": 0.02, "currency": "USD"},
        {"symbol": "MSFT", "ex_session": date(2025, 3, 6), "kind": "split", "ratio": 1.05},
    ]
    with desk.lake.write() as cursor:
        append_rows(cursor, "corporate_actions", pd.DataFrame([common | row for row in rows]))


def correct(desk: Desk) -> None:
    """Let the broker have corrected the price of the first fill after the last plan was made."""
    same = (
        "portfolio, client_order_id, symbol, side, qty, '4.50', fee, session, executed_at, '2025-04-02 00:00:00.000000'"
    )
    with sqlite3.connect(desk.settings.home / "ledger.sqlite") as connection:
        connection.execute(
            "INSERT INTO trades (account, fill_id, version, revision, portfolio, client_order_id, symbol, side, qty, "
            f"price, fee, session, executed_at, recorded_at) SELECT account, fill_id, 2, 2, {same} FROM trades "
            "WHERE fill_id = 'paper-F14'"
        )
    connection.close()


def copied(folder: Path, to: Path) -> Desk:
    """The desk of a copy; files name their old place in the lake, so that they are read there."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return opened(to)
