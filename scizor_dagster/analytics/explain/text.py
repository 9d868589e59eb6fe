"""An explanation as lines of a terminal, no wider than 100 columns.

What belongs here: wrapping and aligning. What does not: what is said (`flow.explaining`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from textwrap import wrap
from typing import Any

from scizor_dagster.analytics.explain.model import Explanation, Link, columns_of, moment, number

WIDTH = 100
INDENT = 4
_LEAST = 6
"""Narrowest column of a table that is wider than the terminal."""


def lines_of(explanation: Explanation, width: int = WIDTH) -> Iterator[str]:
    """The explanation, line by line: a heading, then a numbered paragraph for each link."""
    where = f"portfolio {explanation.portfolio} (account {explanation.account})" if explanation.portfolio else ""
    when = f"session {explanation.session}" if explanation.session else ""
    yield from wrap(", ".join(filter(None, (explanation.subject, where, when))), width)
    for place, link in enumerate(explanation.links, start=1):
        yield ""
        yield from _heading(place, link, width)
        yield from _body(link, width)


def _heading(place: int, link: Link, width: int) -> Iterator[str]:
    head = f"{place:>2}  {link.title}"
    source = f"[{link.source}]"
    if len(head) + len(source) + 2 <= width:
        yield f"{head}{source:>{width - len(head)}}"
    else:
        yield head
        yield from _indented(source, width)


def _body(link: Link, width: int) -> Iterator[str]:
    for sentence in link.sentences:
        yield from _indented(sentence, width)
    if link.rows:
        yield from table_lines(link.rows, width)
    if link.missing:
        yield from _indented(f"MISSING: {link.missing}", width)


def _indented(sentence: str, width: int) -> list[str]:
    pad = " " * INDENT
    return wrap(sentence, width, initial_indent=pad, subsequent_indent=pad + "  ", break_on_hyphens=False)


def table_lines(rows: Sequence[Mapping[str, Any]], width: int = WIDTH) -> Iterator[str]:
    """Rows as aligned columns; where they are too wide, the widest columns are wrapped."""
    names = columns_of(rows)
    cells = [list(names), *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = _fitted([max(len(row[at]) for row in cells) for at in range(len(names))], width - INDENT)
    for row in cells:
        wrapped = [wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(row, widths, strict=True)]
        for at in range(max(map(len, wrapped))):
            parts = (part[at] if at < len(part) else "" for part in wrapped)
            line = "  ".join(f"{part:<{size}}" for part, size in zip(parts, widths, strict=True))
            yield " " * INDENT + line.rstrip()


def _fitted(widths: list[int], room: int) -> list[int]:
    """The widths, the widest of them narrowed until all fit."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > room and max(fitted) > _LEAST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, datetime):
        return moment(value)
    return value.isoformat() if isinstance(value, date) else str(value)
