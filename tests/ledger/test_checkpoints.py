"""Books that are read from a checkpoint are those that are added up from the account's first session."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import checkpoints as kept
from scizor_dagster.ledger.account_books import AccountBooks, sessions_between
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.backup import restore, write_backup
from scizor_dagster.ledger.changes import updated
from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.replay import journaled, replayed, stored_rows
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import checkpoints, trades
from scizor_dagster.ledger.verification import verify
from tests.execution.scenario import START
from tests.ledger.random_books import ACCOUNT, RandomBooks
from tests.ledgers import sqlite_ledger


def from_scratch(connection: sa.Connection, last: date) -> AccountBooks:
    books = AccountBooks()
    for rows in sessions_between(connection, ACCOUNT, last=last).values():
        books.pass_session(rows)
    return books


def count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(checkpoints)).scalar_one())


def check(random_books: RandomBooks) -> int:
    """Compare the books of every day; how many checkpoints there are."""
    with random_books.ledger.read() as connection:
        for day in random_books.days:
            assert kept.books_at(connection, ACCOUNT, day) == from_scratch(connection, day), day
        assert kept.books_at(connection, ACCOUNT) == from_scratch(connection, date.max)
        return count(connection)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32), transactions=st.integers(1, 30), spacing=st.integers(1, 12), unsettled=st.integers(0, 3)
)
def test_whatever_is_said_of_whichever_session_books_from_a_checkpoint_are_those_from_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, seed: int, transactions: int, spacing: int, unsettled: int
) -> None:
    ledger = Ledger.open(sqlite_ledger(tmp_path_factory.mktemp("books")), synchronous="OFF")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "SPACING", spacing)
        patch.setattr(kept, "UNSETTLED", unsettled)
        lives = RandomBooks(ledger, seed)
        lives.live(transactions)
        check(lives)
    with ledger.read() as connection:
        assert verify(connection) == []
    ledger.close()


def test_a_long_history_keeps_checkpoints_that_its_history_replays_and_a_backup_restores(
    ledger: Ledger, tmp_path: Path, record_property: Any
) -> None:
    lives = RandomBooks(ledger, 7)
    lives.live(160)
    record_property("checkpoints", check(lives))
    with ledger.read() as connection:
        assert count(connection) >= 5
        assert verify(connection) == []
        assert replayed(connection) == {table.name: stored_rows(connection, table) for table in journaled()}
        there = stored_rows(connection, checkpoints)
    write_backup(ledger, tmp_path / "l.backup", now=START)
    again = Ledger.open(sqlite_ledger(tmp_path / "again"), synchronous="OFF")
    restore(again, tmp_path / "l.backup", then=lambda _: None)
    with again.read() as connection:
        assert stored_rows(connection, checkpoints) == there
        assert verify(connection) == []
    lives.ledger = again
    lives.live(20)
    check(lives)
    again.close()


def test_what_is_recorded_late_takes_back_the_checkpoints_of_its_session_and_of_later_ones(ledger: Ledger) -> None:
    lives = RandomBooks(ledger, 3)
    lives.live(120)
    with ledger.transaction() as connection:
        days = sorted(connection.execute(sa.select(checkpoints.c.session)).scalars())
        assert len(days) >= 3
        said = BrokerActivity("late", "deposit", days[1], None, Decimal(5), None)
        record_activity(connection, ACCOUNT, said, now=START)
        assert sorted(connection.execute(sa.select(checkpoints.c.session)).scalars()) == days[:1]
        store_positions(connection, ACCOUNT, now=START)
        assert count(connection) >= 3
    check(lives)


def test_what_is_adopted_is_worth_a_checkpoint_as_fills_are(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SPACING", 2)
    days = [date(2026, 1, day) for day in (5, 6, 7)]
    with ledger.transaction() as connection:
        for day in days:
            bought = BrokerFill(f"f{day}", f"o{day}", "AAA", Side.BUY, Decimal(5), Decimal(9), Decimal(0), day, START)
            record_fill(connection, ACCOUNT, FillNews(bought, None), portfolio=None, order_id=None, now=START)
            adopt(connection, ACCOUNT, "main", "AAA", Decimal(5), price=Decimal(9), session=day, actor="ann", now=START)
        store_positions(connection, ACCOUNT, now=START)
        assert connection.execute(sa.select(checkpoints.c.session)).scalars().all() == days[:1]


def test_one_that_was_kept_wrongly_is_found_though_the_history_says_the_same(ledger: Ledger) -> None:
    RandomBooks(ledger, 5).live(60)
    with ledger.transaction() as connection:
        day, books = connection.execute(sa.select(checkpoints.c.session, checkpoints.c.books).limit(1)).one()
        wrong = updated(checkpoints, {"account": ACCOUNT, "session": day}, {"books": {**books, "cash": "1"}})
        append(connection, START, ACCOUNT, "mistake", {}, changes=[wrong])
    with ledger.read() as connection:
        assert verify(connection) == [
            f"checkpoints: that of account '{ACCOUNT}' on {day} is not what its trades and activities add up to."
        ]


def test_one_that_cannot_be_read_is_an_error_that_names_it(ledger: Ledger) -> None:
    RandomBooks(ledger, 5).live(60)
    with ledger.transaction() as connection:
        connection.execute(checkpoints.update().values(books={"held": 1}))
        with pytest.raises(LedgerError, match=rf"checkpoint of account '{ACCOUNT}' on 2026-.* cannot be read"):
            kept.books_at(connection, ACCOUNT)
        with pytest.raises(LedgerError, match=rf"checkpoint of account '{ACCOUNT}' on 2026-.* cannot be read"):
            kept.books_of_all(connection, ACCOUNT)


def test_a_ledger_from_before_there_were_any_keeps_them_with_what_is_recorded_next(ledger: Ledger) -> None:
    lives = RandomBooks(ledger, 11)
    lives.live(100)
    with ledger.transaction() as connection:
        stored = count(connection)
        connection.execute(checkpoints.delete())
    check(lives)
    lives.live(1)
    assert check(lives) >= stored - 1 > 1


def test_the_books_of_a_day_read_no_more_rows_after_a_long_history_than_after_a_short_one(
    ledger: Ledger, record_property: Any
) -> None:
    lives = RandomBooks(ledger, 13)
    most = []
    for _ in range(2):
        lives.live(60)
        with ledger.read() as connection:
            most.append(max(rows_passed(connection, day) for day in lives.days))
    record_property("most rows passed", most)
    with ledger.read() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(trades)).scalar_one()
    assert max(most) < rows / 2


def rows_passed(connection: sa.Connection, last: date) -> int:
    begins = connection.execute(
        sa.select(sa.func.max(checkpoints.c.session)).where(checkpoints.c.session <= last)
    ).scalar()
    days = sessions_between(connection, ACCOUNT, begins or date.min, last)
    return sum(rows.count for rows in days.values())
