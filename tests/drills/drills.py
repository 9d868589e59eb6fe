"""The ways back, walked: each ends with positions equal to the broker's, and is timed.

A drill begins with a home that has traded one session, and takes something away. What a broker would still know is kept
apart meanwhile, for the embedded exchange's books lie in the ledger.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from scizor_dagster.flow.backing_up import back_up
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import rebuild_ledger, verify_ledger
from scizor_dagster.flow.markets import fill_history, refresh_actions
from scizor_dagster.flow.restoring import restore_home
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.ledger.breaks import accept_break, open_breaks
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.replay import VENUE
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.model import BreakKind, Severity
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.settings import Settings
from tests.flow.desks import FIRST, NOW, SECOND, trade
from tests.postgres import Server

Books = dict[str, list[dict[str, Any]]]


@dataclass
class Drill:
    """One home, on either kind of store, and what each step of a way back took."""

    settings: Settings
    server: Server | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began

    def desk(self) -> Desk:
        return Desk(self.settings, lambda: NOW)

    def move_to_new_database(self) -> None:
        assert self.server is not None
        url = self.server.url(self.server.new_database())
        self.settings = replace(self.settings, environment={**self.settings.environment, "DATABASE_URL": url})


def closed(desk: Desk) -> None:
    desk.ledger.close()
    desk.lake.close()


def broker_books(ledger: Ledger) -> Books:
    """What the embedded exchange knows."""
    with ledger.read() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in _venue_tables()
        }


def put_books(ledger: Ledger, books: Books) -> None:
    """The broker goes on, whatever became of the ledger."""
    with ledger.transaction() as connection:
        for table in reversed(_venue_tables()):
            connection.execute(table.delete())
        for table in _venue_tables():
            if books[table.name]:
                connection.execute(table.insert(), books[table.name])


def _venue_tables() -> list[sa.Table]:
    return [table for table in metadata.sorted_tables if table.name.startswith(VENUE)]


def positions(desk: Desk) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """What the ledger says that the portfolio owns, and what the broker says that it holds."""
    with desk.ledger.read() as connection:
        mine = {symbol: qty for symbol, qty in owned(connection, "paper", "main").items() if qty}
    return mine, {item.symbol: item.qty for item in desk.broker("paper", "us").positions() if item.qty}


def sent(desk: Desk) -> list[str]:
    """The orders that the broker was given."""
    return sorted(str(row["client_order_id"]) for row in broker_books(desk.ledger)["paper_orders"])


def resume(desk: Desk) -> None:
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.ACTIVE, reason="compared", actor="ann", now=NOW)


def lose_the_home(drill: Drill) -> None:
    shutil.rmtree(drill.settings.home)
    if drill.server is not None:
        drill.move_to_new_database()


def look_and_accept(desk: Desk) -> None:
    """Reconciled: a session that was rebuilt has no stored plan, which a person takes as it is."""
    found = reconcile_session(desk, "main", FIRST)
    assert BreakKind.PLAN_MISSING in {item.kind for item in found.break_rows}
    with desk.ledger.transaction() as connection:
        for item in open_breaks(connection, "paper"):
            accept_break(connection, item.break_id, actor="ann", reason="rebuilt", now=NOW)


def home_restored(drill: Drill, kept: Path) -> None:
    """Backed up after the last session, and lost: restored, and traded on."""
    desk = drill.desk()
    expected, orders = positions(desk)[0], sent(desk)
    with drill.timed("backup"):
        folder = back_up(desk, kept, now=NOW).folder
    closed(desk)
    lose_the_home(drill)
    with drill.timed("restore"):
        restore_home(drill.desk(), folder, actor="ann", now=NOW)
    desk = drill.desk()
    _require_equal(desk, expected, orders)
    resume(desk)
    trade(desk, FIRST)
    assert sent(desk) == orders
    _trade_on(desk, orders)
    closed(desk)


def home_lost(drill: Drill, kept: Path) -> None:
    """Backed up after one session, lost after the next one: restored, and completed from the broker."""
    desk = drill.desk()
    with drill.timed("backup"):
        folder = back_up(desk, kept, now=NOW).folder
    trade(desk, SECOND)
    expected, at_broker, orders = positions(desk)[0], broker_books(desk.ledger), sent(desk)
    closed(desk)
    lose_the_home(drill)
    with drill.timed("restore"):
        restore_home(drill.desk(), folder, actor="ann", now=NOW)
    desk = drill.desk()
    put_books(desk.ledger, at_broker)
    with drill.timed("rebuild"):
        rebuild_ledger(desk, "paper", first=FIRST, adopt_to=None, cash=None, actor="ann")
    _require_equal(desk, expected, orders)
    closed(desk)


def ledger_lost(drill: Drill) -> None:
    """No backup: the ledger is made from the broker's books alone."""
    desk = drill.desk()
    expected, orders, books = positions(desk)[0], sent(desk), broker_books(desk.ledger)
    closed(desk)
    if drill.server is None:
        for file in drill.settings.home.glob("ledger.sqlite*"):
            file.unlink()
    else:
        _drop(drill, "ledger")
    empty = Ledger.open(drill.settings.ledger_url)
    put_books(empty, books)
    empty.close()
    desk = drill.desk()
    with drill.timed("rebuild"):
        rebuild_ledger(desk, "paper", first=FIRST, adopt_to=None, cash=None, actor="ann")
    _require_equal(desk, expected, orders)
    look_and_accept(desk)
    resume(desk)
    _trade_on(desk, orders)
    closed(desk)


def lake_lost(drill: Drill, kept: Path, *, collect: bool) -> None:
    """The lake alone: brought back from a backup, or collected again; the next session is planned and traded."""
    desk = drill.desk()
    expected, orders = positions(desk)[0], sent(desk)
    folder = None if collect else back_up(desk, kept, now=NOW, parts=("lake",)).folder
    closed(desk)
    shutil.rmtree(drill.settings.lake_folder)
    if drill.server is not None:
        _drop(drill, "lake")
    desk = drill.desk()
    with drill.timed("collect again" if collect else "restore --only lake"):
        if folder is None:
            refresh_symbols(desk, "us")
            refresh_actions(desk, "us")
            fill_history(desk, "us", (2025, 2025), None)
        else:
            restore_home(desk, folder, actor="ann", now=NOW, only="lake")
    _require_equal(desk, expected, orders)
    _trade_on(desk, orders)
    closed(desk)


def upgraded(drill: Drill) -> None:
    """A home of an earlier version: opened, verified, traded on."""
    with drill.timed("upgrade"):
        desk = drill.desk()
        assert verify_ledger(desk, None) == []
        _ = desk.lake.snapshot()
    with drill.timed("backup"):
        back_up(desk, drill.settings.home / "kept", now=NOW)
    orders = sent(desk)
    mine, at_broker = positions(desk)
    assert mine == at_broker
    assert mine
    _trade_on(desk, orders)
    closed(desk)


def _require_equal(desk: Desk, expected: dict[str, Decimal], orders: Sequence[str]) -> None:
    mine, at_broker = positions(desk)
    assert mine == at_broker == expected
    assert mine
    assert verify_ledger(desk, None) == []
    assert sent(desk) == list(orders)


def _trade_on(desk: Desk, before: Sequence[str]) -> None:
    """The last session sends nothing again, and the next one trades; then both books agree."""
    trade(desk, SECOND)
    after = sent(desk)
    assert set(before) < set(after)
    trade(desk, SECOND)
    assert sent(desk) == after
    mine, at_broker = positions(desk)
    assert mine == at_broker
    assert mine
    found = reconcile_session(desk, "main", SECOND).break_rows
    assert [item.cause for item in found if item.severity is Severity.ERROR] == []


def _drop(drill: Drill, schema: str) -> None:
    assert drill.server is not None
    database = drill.settings.environment["DATABASE_URL"].rpartition("/")[2]
    drill.server.execute(f"DROP SCHEMA {schema} CASCADE", database=database)


DRILLS: dict[str, Callable[[Drill, Path], None]] = {
    "lost home, restored": home_restored,
    "lost home, an older backup and the broker": home_lost,
    "lost ledger, rebuilt from the broker alone": lambda drill, _: ledger_lost(drill),
    "lost lake, restored": lambda drill, kept: lake_lost(drill, kept, collect=False),
    "lost lake, collected again": lambda drill, kept: lake_lost(drill, kept, collect=True),
}
ON_BOTH = ("lost home, restored", "lost ledger, rebuilt from the broker alone", "lost lake, restored")
"""Those that the test suite walks on Postgres too; `make drills` walks all of them there."""
