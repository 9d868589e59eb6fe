"""The bytes of a table: the same each time, exact numbers, and types that other programs know."""

import io
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from scizor_dagster.tabular.model import Column, Kind, Row, Table
from scizor_dagster.tabular.writers import csv_bytes, parquet_bytes

COLUMNS = (
    Column("symbol", Kind.TEXT, "ticker"),
    Column("qty", Kind.NUMBER, "shares"),
    Column("leg", Kind.COUNT, "number"),
    Column("session", Kind.DATE, "day"),
    Column("ts", Kind.TIME, "instant"),
)
AT = datetime(2025, 3, 3, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
ROWS: list[Row] = [
    ("=1+1", Decimal("-5.10"), 1, date(2025, 3, 3), AT),
    (None, None, None, None, None),
]


def read(table: Table) -> pa.Table:
    return pq.read_table(io.BytesIO(parquet_bytes(table)))


def test_csv_has_plain_numbers_defused_text_and_times_in_utc() -> None:
    text = csv_bytes(Table(COLUMNS, ROWS)).decode()
    assert text == "symbol,qty,leg,session,ts\n'=1+1,-5.1,1,2025-03-03,2025-03-03T14:30:00.000000Z\n,,,,\n"


def test_parquet_has_types_and_the_text_as_it_is() -> None:
    table = read(Table(COLUMNS, ROWS))
    types = [pa.string(), pa.decimal128(38, 9), pa.int64(), pa.date32(), pa.timestamp("us", tz="UTC")]
    assert table.schema.types == types
    assert table.to_pylist()[0] == {
        "symbol": "=1+1", "qty": Decimal("-5.1"), "leg": 1, "session": date(2025, 3, 3), "ts": AT.astimezone(UTC),
    }  # fmt: skip
    assert set(table.to_pylist()[1].values()) == {None}
    assert table.schema.field("qty").metadata == {b"meaning": b"shares"}


def test_an_empty_table_keeps_its_columns_and_types() -> None:
    table = read(Table(COLUMNS, []))
    assert (table.num_rows, table.schema.types) == (0, read(Table(COLUMNS, ROWS)).schema.types)
    assert csv_bytes(Table(COLUMNS, [])) == b"symbol,qty,leg,session,ts\n"


def test_the_same_table_gives_the_same_bytes() -> None:
    assert parquet_bytes(Table(COLUMNS, ROWS)) == parquet_bytes(Table(COLUMNS, list(ROWS)))


def exact(*values: str) -> tuple[pa.DataType, list[Decimal]]:
    numbers = [Decimal(value) for value in values]
    column = read(Table((COLUMNS[1],), [(number,) for number in numbers])).column("qty")
    assert column.to_pylist() == numbers
    return column.type, numbers


def test_a_number_that_needs_more_digits_widens_its_column_and_loses_none() -> None:
    assert exact("1.0000000001", "5")[0] == pa.decimal128(38, 10)
    assert exact("0.12345678901234567890123456789012345", "7")[0] == pa.decimal128(38, 35)
    assert exact("0.12345678901234567890123456789012345", "7000")[0] == pa.decimal256(76, 35)
    assert exact("1E+20", "1.500000000000000", "0E+5", "0.000")[0] == pa.decimal128(38, 9)
