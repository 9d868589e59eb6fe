"""Any edit of any row shows, and is named."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerFill, Side
from scizor_dagster.ledger.changes import key_of, updated
from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.replay import CARRIED_OVER, Image, journaled, replayed, stored_rows
from scizor_dagster.ledger.rows import fills_of
from scizor_dagster.ledger.store import Ledger, migration_config
from scizor_dagster.ledger.tables import events, orders, positions, trades
from scizor_dagster.ledger.verification import verify
from scizor_dagster.risk.trading_state import TradingState, set_state, standing
from tests.execution.scenario import START
from tests.ledger.lived import live_through
from tests.ledgers import another, sqlite_ledger

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
SESSION = date(2026, 3, 2)


def stored(connection: sa.Connection) -> Image:
    return {table.name: stored_rows(connection, table) for table in journaled()}


@pytest.fixture
def lived(ledger: Ledger) -> Ledger:
    live_through(ledger)
    return ledger


def _other(column: sa.Column[Any], value: Any) -> Any:
    """A value of the column's type that is not the one it has."""
    kind = type(column.type).__name__
    others: dict[str, Any] = {
        "ExactDecimal": Decimal(777),
        "Instant": datetime(2001, 1, 1, tzinfo=UTC),
        "Date": date(2001, 1, 1),
        "Integer": 777,
        "Boolean": not value,
        "JSON": ["other"],
    }
    return others.get(kind, "x")


def _edits(connection: sa.Connection) -> Iterator[tuple[str, str, sa.Update | sa.Delete]]:
    """An edit of every column of every table, and the loss of a row: the table, what shows, and the statement."""
    for table in journaled():
        row = connection.execute(sa.select(table).order_by(*table.primary_key.columns).limit(1)).first()
        assert row is not None, f"nothing was written to {table.name}"
        mine = [table.c[name] == row._mapping[name] for name in key_of(table)]
        for column in table.columns:
            changed = {column.name: _other(column, row._mapping[column.name])}
            yield table.name, column.name, table.update().where(*mine).values(changed)
        yield table.name, "taken out of the table", table.delete().where(*mine)


def _without_rules(connection: sa.Connection) -> None:
    """Whoever edits a database by hand can switch its own checks off."""
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON" if sqlite else "SET session_replication_role = replica")


def test_an_untouched_ledger_is_what_its_history_says(lived: Ledger) -> None:
    with lived.read() as connection:
        assert verify(connection) == []
        assert replayed(connection) == stored(connection)


@pytest.mark.parametrize("fee", ["-0", "-0.00", "0E-20", "1E+3", "1E-30", "-1.2300"])
def test_a_decimal_is_the_same_in_the_rows_and_in_the_history_however_it_was_written(ledger: Ledger, fee: str) -> None:
    fill = BrokerFill("f", "x", "AAA", Side.BUY, Decimal(1), Decimal(10), Decimal(fee), SESSION, NOW)
    with ledger.transaction() as connection:
        record_fill(connection, "paper", FillNews(fill, None), portfolio=None, order_id=None, now=NOW)
    with ledger.read() as connection:
        assert verify(connection) == []
        (row,) = fills_of(connection, "paper")
    assert row.fee == Decimal(fee)


@pytest.mark.parametrize("word", ["caf\udce9", "caf\0"], ids=["of another encoding", "with a zero byte"])
def test_a_halt_whose_reason_no_database_takes_halts_all_the_same(ledger: Ledger, word: str) -> None:
    with ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.HALTED, reason=f"in the {word}", actor="jo", now=NOW)
    with ledger.read() as connection:
        assert (
            standing(connection, "paper", "main", NOW).sentence == "halted by jo: in the caf\N{REPLACEMENT CHARACTER}"
        )
        assert verify(connection) == []


def test_an_edit_of_any_column_of_any_table_is_found_and_named(lived: Ledger, record_property: Any) -> None:
    with lived.read() as connection:
        edits = list(_edits(connection))
    for table, column, statement in edits:
        with lived.engine.connect() as connection:
            _without_rules(connection)
            connection.execute(statement)
            found = verify(connection)
            connection.rollback()
        assert any(sentence.startswith(f"{table}: ") for sentence in found), (str(statement), found)
        named = column in " ".join(found) or "nothing in the history has put it there" in " ".join(found)
        assert named, (str(statement), found)
    record_property("edits found", len(edits))
    assert len(edits) > 120


def test_a_row_that_was_added_by_hand_is_found(lived: Ledger) -> None:
    with lived.transaction() as connection:
        row = dict(connection.execute(sa.select(trades).limit(1)).one()._mapping)
        connection.execute(trades.insert(), {**row, "fill_id": "mine", "client_order_id": "nobody"})
    with lived.read() as connection:
        assert "trades: row paper, mine, 1 is in the table, and nothing in the history has put it there." in verify(
            connection
        )


def test_an_end_of_the_history_that_was_cut_off_shows_in_the_rows_that_it_had_changed(lived: Ledger) -> None:
    with lived.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    with lived.read() as connection:
        assert any("nothing in the history" in sentence for sentence in verify(connection))


def test_a_history_and_rows_that_were_cut_off_together_show_against_the_seal_of_a_backup(lived: Ledger) -> None:
    with lived.read() as connection:
        last = connection.execute(sa.select(events).order_by(events.c.seq.desc()).limit(1)).one()
    with lived.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM signal_approvals")
        connection.exec_driver_sql(f"DELETE FROM events WHERE seq = {last.seq}")
    with lived.read() as connection:
        assert verify(connection) == []
        (sentence,) = verify(connection, seq=last.seq, seal=last.hash)
        assert sentence == f"The history ends before event {last.seq}, which was its last one once."
        assert verify(connection, seq=last.seq - 1, seal=last.previous_hash) == []
        (sentence,) = verify(connection, seq=last.seq - 1, seal="0" * 64)
        assert "the history was written anew" in sentence


@pytest.mark.parametrize(
    "changes",
    [
        "no json",
        "5",
        "[5]",
        "[[1]]",
        '[["insert","nowhere",{}]]',
        '[["insert","orders",{}]]',
        '[["insert","orders",null]]',
        '[["insert",["orders"],{}]]',
        '[["insert","orders",{"client_order_id":["a"]}]]',
    ],
)
def test_a_history_that_cannot_be_read_is_said_in_a_sentence(ledger: Ledger, changes: str) -> None:
    with ledger.transaction() as connection:
        append(connection, START, "paper", "note", {})
        connection.execute(events.update().values(changes=changes))
    with ledger.read() as connection:
        (sentence,) = verify(connection)
    assert sentence.startswith("The history cannot be read: ")


@pytest.mark.parametrize(
    ("column", "value"),
    [("planned_qty", "ten"), ("updated_at", "noon"), ("session", "monday"), ("depends_on", "nobody")],
)
def test_a_value_that_cannot_be_read_is_named_by_its_table_and_hides_no_other_difference(
    tmp_path: Path, column: str, value: str
) -> None:
    # A server refuses such a value by itself.
    ledger = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    live_through(ledger)
    with ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE orders SET {column} = '{value}' WHERE position = 0")
        connection.exec_driver_sql("UPDATE positions SET qty = '777' WHERE symbol = 'CCC'")
    with ledger.read() as connection:
        found = verify(connection)
    ledger.close()
    assert sorted(sentence.partition(":")[0] for sentence in found) == ["orders", "positions"]
    assert any(sentence.startswith("orders: a value of it cannot be read: ") for sentence in found)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("final_qty", Decimal(777), "orders: s-bbb has other parameters than those it was hashed with."),
        ("filled_qty", Decimal(777), "orders: s-bbb has filled_qty 777, and its trades sum to 10.0000."),
    ],
)
def test_a_row_that_contradicts_the_others_is_found_although_the_history_has_put_it_there(
    lived: Ledger, column: str, value: Decimal, sentence: str
) -> None:
    change = updated(orders, {"client_order_id": "s-bbb"}, {column: value})
    with lived.transaction() as connection:
        append(connection, START, "paper", "forged", {}, changes=[change])
        assert verify(connection) == [sentence]


def test_a_position_that_no_trade_explains_is_found_although_the_history_has_put_it_there(lived: Ledger) -> None:
    with lived.transaction() as connection:
        row = connection.execute(sa.select(positions).where(positions.c.symbol == "CCC")).one()
        key = {name: row._mapping[name] for name in key_of(positions)}
        append(connection, START, "paper", "forged", {}, changes=[updated(positions, key, {"qty": Decimal(777)})])
        assert verify(connection) == [
            "positions: those of account 'paper' are not what its trades and activities add up to."
        ]


def test_a_history_that_names_its_rows_is_not_carried_over_by_a_later_migration(lived: Ledger) -> None:
    from alembic import command

    with lived.read() as connection:
        before = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
    with lived.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0008")
    migrated = another(lived)
    with migrated.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one() == before
        held = stored(connection)
        assert held["orders"] == replayed(connection)["orders"] != {}
    migrated.close()


def test_what_an_older_ledger_holds_is_carried_over_into_the_history_once(tmp_path: Path) -> None:
    from alembic import command

    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(f"sqlite:///{path}", synchronous="OFF")
    live_through(ledger)
    with ledger.read() as connection:
        held = stored(connection)
    with ledger.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM events")
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    ledger.close()
    for _ in range(2):
        ledger = Ledger.open(f"sqlite:///{path}", synchronous="OFF")
        with ledger.read() as connection:
            now_held = stored(connection)
            assert verify(connection) == []
        ledger.close()
    for rows in (*held["positions"].values(), *now_held["positions"].values()):
        del rows["updated_at"]
    # The tables of what people permit and were told, and of what reconciliations leave, were made anew since then.
    permitted = {"arming", "armed_sends", "plan_approvals", "strategies", "live_strategies"}
    since = permitted | {"notices", "breaks", "reconciled_days"}
    since |= {"strategy_versions", "strategy_records", "computed_weights"}
    since |= {"api_keys", "api_requests", "api_answers"}
    since |= {"manual_orders", "order_cancels", "strategy_code", "strategy_code_verdicts", "weight_deliveries"}
    assert {name: rows for name, rows in now_held.items() if name not in since} == {
        name: rows for name, rows in held.items() if name not in since
    }
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM events WHERE kind = ?", [CARRIED_OVER]).fetchone() == (1,)
