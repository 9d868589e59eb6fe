"""Prices in the forms in which they are handed out: JSON by columns, CSV, Parquet, an Arrow stream.

What belongs here: from an Arrow table to bytes, column by column and without a Python object for each number. What does
not: which prices (`prices`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.tabular.spreadsheet import defused

if TYPE_CHECKING:
    import pyarrow as pa


class Form(StrEnum):
    """What `format` may be."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.ARROW: "application/vnd.apache.arrow.stream",
}
CONTENT_TYPES = MEDIA_TYPES | {Form.CSV: "text/csv; charset=utf-8; header=present"}
ROWS_AT_ONCE = 4096


def chosen_form(asked: Form | None, accept: str) -> Form:
    """The form that is asked for by name, else the one that the header `Accept` likes best.

    Raises:
        RequestRefused: the header takes none of them (406).
    """
    if asked is not None:
        return asked
    liked = [(_liking(form, accept), -place, form) for place, form in enumerate(Form)]
    best = max(liked)
    if best[0] > 0:
        return best[2]
    raise RequestRefused(
        "The header Accept takes none of the forms that there are.",
        remedy=f"Accept one of {', '.join(MEDIA_TYPES.values())}, or name one with format=.",
        where="header.Accept",
        status=406,
    )


def _liking(form: Form, accept: str) -> float:
    """The weight that a header `Accept` gives a form; what names it most exactly counts (RFC 9110, 12.5.1)."""
    kind = MEDIA_TYPES[form]
    exactness = {"*/*": 1, f"{kind.partition('/')[0]}/*": 2, kind: 3}
    best = (0, 1.0) if not accept.strip() else (0, 0.0)
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name in exactness:
            best = max(best, (exactness[name], _weight(parameters)))
    return best[1]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def encoded(form: Form, table: pa.Table, head: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of `table`, part by part.

    Args:
        form: JSON gives one array for each column, below `bars`; the others are tables.
        table: Columns of `date32`, `double` and text; NULL is null, or an empty cell.
        head: What JSON says before the columns.
        texts: Columns of one text that the other forms have beside those of `table`.
    """
    if form is Form.JSON:
        return _json(table, head)
    for place, (name, text) in enumerate(texts.items()):
        table = table.add_column(place, name, [_repeated(text, table.num_rows)])
    if form is Form.CSV:
        return _csv(table)
    return _parquet(table) if form is Form.PARQUET else _arrow(table)


def _repeated(text: str, rows: int) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(text), rows)


def _json(table: pa.Table, head: Mapping[str, Any]) -> Iterator[bytes]:
    opening = json.dumps(dict(head), ensure_ascii=False, separators=(",", ":")).encode()
    yield opening[:-1] + b',"bars":{'
    shown = [name for name in table.column_names if name not in ("source", "synthetic")]
    for place, name in enumerate(shown):
        yield (b"," if place else b"") + json.dumps(name).encode() + b":["
        column = table.column(name)
        for begin in range(0, table.num_rows, ROWS_AT_ONCE):
            yield (b"," if begin else b"") + _joined(column.slice(begin, ROWS_AT_ONCE))
        yield b"]"
    yield b"}}"


def _joined(column: pa.ChunkedArray) -> bytes:
    """The values as JSON has them, with commas between."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.cast(column.combine_chunks(), pa.string())
    if pa.types.is_date(column.type):
        texts = pc.binary_join_element_wise('"', texts, '"', "")
    listed = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), pc.fill_null(texts, "null"))
    joined: bytes = pc.cast(pc.binary_join(listed, ","), pa.binary())[0].as_py()
    return joined


def _csv(table: pa.Table) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.csv as csv

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(place, field.name, _defused(table.column(place)))
    for begin in range(0, max(table.num_rows, 1), ROWS_AT_ONCE):
        buffer = io.BytesIO()
        options = csv.WriteOptions(include_header=begin == 0, quoting_style="needed")
        csv.write_csv(table.slice(begin, ROWS_AT_ONCE), buffer, options)
        yield buffer.getvalue()


def _defused(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    coded = column.combine_chunks().dictionary_encode()
    safe = pa.array([defused(text) if text is not None else None for text in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([safe.take(coded.indices)])


def _parquet(table: pa.Table) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    yield sink.getvalue()


def _arrow(table: pa.Table) -> Iterator[bytes]:
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        for batch in table.to_batches(ROWS_AT_ONCE):
            stream.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    found = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return found
