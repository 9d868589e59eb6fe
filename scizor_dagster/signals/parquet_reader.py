"""Parquet: typed columns, refused where a type cannot mean what the column is for.

What belongs here: Parquet bytes to cells with row numbers. What does not: which column means what
(`columns`, `wide`). Only the columns that are needed are read, in one thread.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scizor_dagster.signals.containers import MAX_UNPACKED_BYTES, foreign, wrong_format
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec, normal
from scizor_dagster.signals.tables import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Cell, RawTable, ReadResult, too_many

_REMEDY = "Write it with another program, or correct 'format' in the strategy manifest."


def read_parquet(data: bytes, spec: ReadSpec) -> ReadResult:
    """Read Parquet bytes into a table of text, numbers and days."""
    problem = foreign(data, "Parquet")
    if problem is None and not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        problem = wrong_format("The file is not a whole Parquet file.", "Parquet")
    if problem is not None:
        return ReadResult.refused(problem)
    try:
        return _read(pq.ParquetFile(io.BytesIO(data)), data, spec)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, MemoryError):
            raise
        text = f"The file cannot be read ({type(error).__name__}: {str(error)[:200]})."
        return ReadResult.refused(Violation("unreadable_parquet", text, _REMEDY))


def _read(file: Any, data: bytes, spec: ReadSpec) -> ReadResult:
    schema, metadata = file.schema_arrow, file.metadata
    names = [str(name) for name in schema.names]
    problem = _too_large(metadata, len(names))
    if problem is not None:
        return ReadResult.refused(problem)
    if len(set(names)) < len(names):
        # Reading by name would take one of them for the other.
        twice = sorted({name for name in names if names.count(name) > 1})
        text = f"The file has two columns '{twice[0]}'."
        return ReadResult.refused(Violation("duplicate_column", text, "Keep one of them.", column=twice[0]))
    spec = spec.settled(names)
    needed = [name for name in names if spec.needs(name)]
    violations = Findings(_type_problems(schema, needed, spec)) if metadata.num_rows else Findings()
    read = [name for name in needed if not violations and metadata.num_rows]
    texts = [name for name in read if pa.types.is_string(schema.field(name).type)]
    table = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts).read(columns=read, use_threads=False)
    # A damaged page may lead outside its dictionary, or wrap around in it.
    table.validate(full=True)
    unread = ("",) * metadata.num_rows
    columns = tuple(_cells(table.column(name)) if name in read else unread for name in names)
    lines = range(1, metadata.num_rows + 1)
    raw = RawTable(None, tuple(names), None, columns, lines, metadata.num_rows, typed=True)
    return ReadResult(None if violations else raw, violations)


def _too_large(metadata: Any, width: int) -> Violation | None:
    if width > MAX_COLUMNS or metadata.num_columns > MAX_COLUMNS:
        return too_many("columns", MAX_COLUMNS)
    limit = min(MAX_ROWS, MAX_CELLS // max(width, 1))
    if metadata.num_rows > limit:
        return too_many("rows", limit)
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if unpacked > MAX_UNPACKED_BYTES:
        text = f"The file unpacks to {unpacked} bytes; {MAX_UNPACKED_BYTES} are allowed."
        return Violation("too_large", text, "Deliver only the dates that still matter.")
    return None


def _type_problems(schema: Any, needed: Sequence[str], spec: ReadSpec) -> list[Violation]:
    meanings = {normal(theirs): ours for ours, theirs in spec.columns.items()}
    found: list[Violation] = []
    for name in needed:
        kind = schema.field(name).type
        allowed, expected = _expected(meanings.get(normal(name)), kind, spec)
        if not allowed:
            problem = f"The column '{name}' has the type {kind}; {expected} is needed."
            found.append(Violation("parquet_type", problem, "Convert the column.", column=name, value=str(kind)))
    return found


def _expected(ours: str | None, kind: Any, spec: ReadSpec) -> tuple[bool, str]:
    """Whether a type fits our column, and what would."""
    types = pa.types
    value = kind.value_type if types.is_dictionary(kind) else kind
    is_text = types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)
    is_day = types.is_date(kind) or types.is_timestamp(kind)
    is_number = types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind)
    if ours == "target_weight" and spec.layout == "long":
        return is_number, "a floating-point, decimal or integer number"
    if ours == "trade_date":
        return is_text or is_day, "a date, a timestamp at midnight or ISO text"
    if spec.layout == "wide":
        # The date column may have no name of ours; its place decides later, and its cells must be days.
        return is_number or is_text or is_day, "a number"
    return is_text or types.is_integer(kind), "text or an integer"


def _cells(column: Any) -> Sequence[Cell]:
    """Python values of a column. Texts and days repeat: each distinct one is made once."""
    kind = column.type
    if pa.types.is_floating(kind):
        return ["" if value is None else value for value in column.to_pylist()]
    if pa.types.is_decimal(kind) or pa.types.is_string_view(kind):
        # Not every one of them can be encoded.
        return list(map(_cell, column.to_pylist()))
    chunk = column.combine_chunks()
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    values = [_cell(value) for value in encoded.dictionary.to_pylist()]
    return ["" if index is None else values[index] for index in encoded.indices.to_pylist()]


def _cell(value: Any) -> Cell:
    if value is None:
        return ""
    if isinstance(value, datetime):
        # A time of day or a zone makes it an instant: it stays text, and only midnight of UTC is a date.
        if value.tzinfo is None and value.time() == time():
            return value.date()
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str | int | float | date):
        return value
    return str(value)
