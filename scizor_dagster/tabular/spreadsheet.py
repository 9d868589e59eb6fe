"""Text cells that a spreadsheet would run, made harmless in a way that our own readers take back.

What belongs here: the mark, and taking it off. What does not: numbers, which are no text, and writing (`writers`).

A cell that begins with `= + - @`, a tab or a line break is a formula to a spreadsheet (OWASP, "CSV Injection"), also
behind quotes and blanks, and also in the middle of a text where the program takes another mark for its separator than
the file does. An apostrophe in front makes it text. A plain number such as -5 is none of these and stays.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable

MARK = "'"
_SUSPECT = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The characters of a formula's beginning, in their full width too, which some programs take for the same."""
_SEPARATORS = re.compile("([,;|\t\r\n])")
_FORMULA = re.compile("[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_BREAKS = ("\t", "\r", "\n")


def defused(text: str) -> str:
    """The text with an apostrophe before whatever would run; `restored` gives back the same text, whatever it is."""
    return _changed(text, _marked) if _SUSPECT.search(text) else text


def restored(text: str) -> str:
    """The text that `defused` has made this of; what it would have left alone stays."""
    return _changed(text, _unmarked) if MARK in text and _SUSPECT.search(text) else text


def csv_line(cells: Iterable[str], ending: str = "\n") -> str:
    """One line of a CSV file of text cells, each of them defused."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator=ending).writerow([defused(cell) for cell in cells])
    return line.getvalue()


def _changed(text: str, change: Callable[[str], str]) -> str:
    """`change` each part of the text that begins a cell somewhere, and would run there.

    Whether it would does not depend on the apostrophes in front of it, so that one put there can be told and taken off.
    """
    parts = _SEPARATORS.split(text)
    for number in range(0, len(parts), 2):
        part = parts[number]
        body = part.lstrip(MARK)
        broken = number == 0 and not body and len(parts) > 1 and parts[1] in _BREAKS
        if broken or (_FORMULA.match(body) and not _NUMBER.fullmatch(body)):
            parts[number] = change(part)
    return "".join(parts)


def _marked(part: str) -> str:
    return MARK + part


def _unmarked(part: str) -> str:
    return part.removeprefix(MARK)
