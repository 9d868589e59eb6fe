"""A line in the terminal, in braille dots.

What belongs here: numbers to lines of text. What does not: where the numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character by row and column."""
_BLANK = 0x2800
MARKS = {"split": "S", "dividend": "D"}


def line_chart(
    values: Sequence[float], events: Sequence[str], labels: Sequence[str], width: int, height: int = 14
) -> list[str]:
    """Lines of text: the curve with its scale on the left, a line of marks, and the first and last label.

    Args:
        values: At least one finite number; NaN is a hole.
        events: What happened at each value; `split` shows as S, `dividend` as D, others as *.
        labels: Of the values.
        width: Columns of the whole chart.
        height: Rows of the curve.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    scale = [f"{high:,.2f}", f"{low:,.2f}"]
    margin = max(map(len, scale)) + 1
    columns = max(width - margin - 1, 10)
    cells = [[0] * columns for _ in range(height)]
    before: tuple[int, int] | None = None
    for index, value in enumerate(values):
        if not math.isfinite(value):
            before = None
            continue
        x = _at(index, len(values), columns * 2)
        y = round((high - value) / (high - low) * (height * 4 - 1)) if high > low else height * 2
        for across, down in _between(before or (x, y), (x, y)):
            cells[down // 4][across // 2] |= _DOTS[down % 4][across % 2]
        before = (x, y)
    left = [scale[0], *[""] * (height - 2), scale[1]]
    rows = ["".join(chr(_BLANK + bits) for bits in row) for row in cells]
    curve = [f"{text:>{margin}}|{row}" for text, row in zip(left, rows, strict=True)]
    return [*curve, " " * margin + "|" + _marks(events, columns), " " * (margin + 1) + _ends(labels, columns)]


def _at(index: int, count: int, width: int) -> int:
    return index * (width - 1) // max(count - 1, 1)


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Every dot of a straight line."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * step / steps), round(start[1] + (end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]


def _marks(events: Sequence[str], columns: int) -> str:
    """A mark under each event; of several in one column a split shows first."""
    row = [" "] * columns
    for index, event in enumerate(events):
        if event:
            place = _at(index, len(events), columns)
            mark = next((sign for word, sign in MARKS.items() if word in event), "*")
            row[place] = "S" if "S" in (mark, row[place]) else mark
    return "".join(row)


def _ends(labels: Sequence[str], columns: int) -> str:
    first, last = labels[0], labels[-1]
    return first if len(labels) == 1 else first + " " * max(columns - len(first) - len(last), 1) + last
