"""A table's bytes, as CSV and as Parquet. The same table gives the same bytes.

What belongs here: the spelling of values. What does not: files (`whole_files`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from scizor_dagster.planning.quantities import plain
from scizor_dagster.tabular.model import Column, Kind, Table, Value
from scizor_dagster.tabular.spreadsheet import defused

DIGITS = 38
"""What decimal128 holds; a column that needs more becomes decimal256."""
_MOST_DIGITS = 76


def csv_bytes(table: Table) -> bytes:
    """UTF-8, commas, line feeds, a header; None is an empty cell, a time is UTC to the microsecond."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.names)
    writer.writerows([[_spelled(value) for value in row] for row in table.rows])
    return buffer.getvalue().encode()


def parquet_bytes(table: Table) -> bytes:
    """Typed: decimal128, date32, int64, UTF-8 text, microseconds in UTC. What a column means is in its field."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, arrays = [], []
    for number, column in enumerate(table.columns):
        values = [_instant(row[number]) for row in table.rows]
        kind = _arrow_type(column, values)
        arrays.append(pa.array(values, type=kind))
        fields.append(pa.field(column.name, kind, metadata={"meaning": column.meaning}))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), sink)
    return sink.getvalue()


def _instant(value: Value) -> Value:
    """A time in UTC: pyarrow does not always heed another offset."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _spelled(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return defused(value)
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        assert value.tzinfo is not None, value
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def _arrow_type(column: Column, values: Sequence[Value]) -> Any:
    import pyarrow as pa

    simple = {
        Kind.TEXT: pa.string(),
        Kind.COUNT: pa.int64(),
        Kind.DATE: pa.date32(),
        Kind.TIME: pa.timestamp("us", tz="UTC"),
    }
    if column.kind in simple:
        return simple[column.kind]
    scale, whole = column.scale, 0
    for value in values:
        if isinstance(value, Decimal):
            before, after = _digits(value)
            scale, whole = max(scale, after), max(whole, before)
    return pa.decimal128(DIGITS, scale) if scale + whole <= DIGITS else pa.decimal256(_MOST_DIGITS, scale)


def _digits(value: Decimal) -> tuple[int, int]:
    """How many digits the value has before and after its point, without zeros at either end."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), value
    if not value:
        return 0, 0
    kept = len(digits)
    while exponent < 0 and digits[kept - 1] == 0:
        kept, exponent = kept - 1, exponent + 1
    return max(kept + exponent, 0), max(-exponent, 0)
