"""What the tables say is what the migrations made: keys, lengths and what may be empty; and the words in their rows."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import ModuleType

import pytest
import sqlalchemy as sa

from scizor_dagster import execution, ledger, planning, reconciliation, risk
from scizor_dagster.ledger.events import GENESIS
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import ExactDecimal, Instant
from scizor_dagster.risk.context import Decision


def _described(table: sa.Table, dialect: sa.Dialect) -> dict[str, tuple[bool | None, bool, str]]:
    return {
        column.name: (column.nullable, column.primary_key, column.type.compile(dialect)) for column in table.columns
    }


def _made(connection: sa.Connection, table: str) -> dict[str, tuple[bool, bool, str]]:
    inspector = sa.inspect(connection)
    keys = inspector.get_pk_constraint(table)["constrained_columns"]
    return {
        column["name"]: (column["nullable"], column["name"] in keys, column["type"].compile(connection.dialect))
        for column in inspector.get_columns(table)
    }


@pytest.mark.parametrize("store", ["sqlite"])
def test_every_column_has_the_type_the_length_and_the_part_in_the_key_that_the_tables_say(ledger: Ledger) -> None:
    with ledger.read() as connection:
        for table in metadata.sorted_tables:
            assert _made(connection, table.name) == _described(table, connection.dialect), table.name
            keys = [key["constrained_columns"] for key in sa.inspect(connection).get_foreign_keys(table.name)]
            assert sorted(keys) == sorted([c.name for c in key.columns] for key in table.foreign_key_constraints)
            once = [unique["column_names"] for unique in sa.inspect(connection).get_unique_constraints(table.name)]
            assert sorted(once) == sorted(
                [column.name for column in key.columns]
                for key in table.constraints
                if isinstance(key, sa.UniqueConstraint)
            ), table.name
            indexes = {(index["name"], tuple(index["column_names"]), bool(index["unique"]))
                       for index in sa.inspect(connection).get_indexes(table.name)}  # fmt: skip
            assert indexes == {
                (index.name, tuple(column.name for column in index.columns), bool(index.unique))
                for index in table.indexes
            }, table.name


def test_every_table_is_to_be_had_from_the_module_that_describes_it() -> None:
    named = [value for module in _modules(ledger) for value in vars(module).values() if isinstance(value, sa.Table)]
    assert [table.name for table in metadata.sorted_tables if not any(table is one for one in named)] == []


def test_no_number_of_a_row_is_left_to_the_database() -> None:
    assert [table.name for table in metadata.sorted_tables if table.autoincrement_column is not None] == []


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__):
        if not found.ispkg:
            yield importlib.import_module(f"{package.__name__}.{found.name}")


def _words() -> dict[str, dict[str, str]]:
    """Every word that a row, a file or another program may hold, by its kind."""
    return {
        kind.__name__: {member.name: member.value for member in kind}
        for package in (ledger, execution, planning, risk, reconciliation)
        for module in _modules(package)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind.__module__ == module.__name__
    }


def test_a_word_in_a_row_is_its_name_in_lower_case_so_that_no_release_reads_another_one() -> None:
    words = _words()
    assert words.pop("Decision") == {"PASS": "passed", "STOP": "stopped", "WAIT": "waiting"}
    assert len(words) >= 10
    assert {kind: members for kind, members in words.items() if any(n.lower() != v for n, v in members.items())} == {}
    assert Decision("passed") is Decision.PASS


def test_a_history_begins_with_sixty_four_zeros() -> None:
    assert GENESIS == "0000000000000000000000000000000000000000000000000000000000000000"


NUMBERS = sa.Table(
    "numbers", sa.MetaData(), sa.Column("value", ExactDecimal, nullable=True), sa.Column("at", Instant, nullable=True)
)


@pytest.fixture
def numbers(ledger: Ledger) -> Iterator[sa.Connection]:
    """A table for one test, on each kind of store."""
    with ledger.engine.connect() as connection, connection.begin() as transaction:
        NUMBERS.create(connection)
        yield connection
        transaction.rollback()


@pytest.mark.parametrize(
    "value", ["0", "1E+3", "1E-12", "12345678901234567890.123456789", "-0.10", "100.00", "9.99E+20"]
)
def test_a_number_comes_back_as_it_went_in_and_is_written_without_an_exponent(
    numbers: sa.Connection, value: str
) -> None:
    numbers.execute(NUMBERS.insert().values(value=Decimal(value)))
    assert numbers.execute(sa.select(NUMBERS.c.value)).scalar_one() == Decimal(value)
    if numbers.dialect.name == "sqlite":
        assert numbers.exec_driver_sql("SELECT value FROM numbers").scalar_one() == format(Decimal(value), "f")


def test_an_instant_comes_back_aware_and_in_universal_time(numbers: sa.Connection) -> None:
    at = datetime(2025, 7, 28, 9, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=10)))
    numbers.execute(NUMBERS.insert().values(at=at))
    found = numbers.execute(sa.select(NUMBERS.c.at)).scalar_one()
    assert (found, found.tzinfo) == (at, UTC)


def test_what_is_not_there_stays_not_there(numbers: sa.Connection) -> None:
    numbers.execute(NUMBERS.insert().values(value=None, at=None))
    assert tuple(numbers.execute(sa.select(NUMBERS)).one()) == (None, None)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), 1.5, "1"])
def test_a_number_that_is_not_exact_and_finite_never_reaches_a_row(numbers: sa.Connection, value: object) -> None:
    with pytest.raises((AssertionError, sa.exc.StatementError)):
        numbers.execute(NUMBERS.insert().values(value=value))


def test_an_instant_without_a_zone_never_reaches_a_row(numbers: sa.Connection) -> None:
    with pytest.raises((AssertionError, sa.exc.StatementError)):
        numbers.execute(NUMBERS.insert().values(at=datetime(2025, 7, 28, 9, 30, tzinfo=UTC).replace(tzinfo=None)))
