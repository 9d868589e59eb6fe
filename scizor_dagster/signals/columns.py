"""Which column of the file is which of ours.

What belongs here: matching headers to the manifest's `column_mapping`. What does not: the cells below
them (`cells`).

Headers match exactly, or else without regard to case and surrounding blanks, with a warning. An
unnamed first column (a data frame's row numbers) is left out silently; any other extra column with a
warning. A header that could be two columns is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scizor_dagster.signals.readers import Cell, RawTable
from scizor_dagster.signals.report import Violation


@dataclass(frozen=True, slots=True)
class NamedColumn:
    """One of our columns as the file has it. `header` is the text to name in a report."""

    header: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class LocatedColumns:
    """Our columns by our name (None where one is missing), with what was found on the way."""

    columns: Mapping[str, NamedColumn] | None
    violations: tuple[Violation, ...]
    warnings: tuple[Violation, ...]


def locate(table: RawTable, wanted: Mapping[str, str]) -> LocatedColumns:
    """Find the columns of a table.

    Args:
        table: The file as read.
        wanted: Our column name to the header the file should write it under.
    """
    places = {ours: _places(table.header, theirs) for ours, theirs in wanted.items()}
    violations = [*_missing(table, wanted, places), *_ambiguous(table, wanted, places)]
    warnings = list(_renamed(table, wanted, places)) + list(_extra(table, places))
    if violations:
        return LocatedColumns(None, tuple(violations), tuple(warnings))
    found = {ours: NamedColumn(table.header[at[0]].strip(), table.columns[at[0]]) for ours, at in places.items()}
    return LocatedColumns(found, (), tuple(warnings))


def _normal(header: str) -> str:
    return header.strip().casefold()


def _places(header: Sequence[str], theirs: str) -> list[int]:
    return [index for index, name in enumerate(header) if _normal(name) == _normal(theirs)]


def _missing(table: RawTable, wanted: Mapping[str, str], places: Mapping[str, Sequence[int]]) -> Iterator[Violation]:
    present = ", ".join(repr(name) for name in table.header)
    for ours, theirs in wanted.items():
        if not places[ours]:
            yield Violation(
                "missing_column",
                f"There is no column '{theirs}' ({ours}); the header has {present}.",
                "Correct the header, or 'column_mapping' in the strategy manifest.",
                line=table.header_line,
                sheet=table.sheet,
                column=theirs,
            )


def _ambiguous(table: RawTable, wanted: Mapping[str, str], places: Mapping[str, Sequence[int]]) -> Iterator[Violation]:
    for ours, theirs in wanted.items():
        if len(places[ours]) > 1:
            numbers = " and ".join(str(index + 1) for index in places[ours])
            yield Violation(
                "duplicate_column",
                f"Columns {numbers} are both '{theirs}'.",
                "Keep one of them.",
                line=table.header_line,
                sheet=table.sheet,
                column=theirs,
            )


def _renamed(table: RawTable, wanted: Mapping[str, str], places: Mapping[str, Sequence[int]]) -> Iterator[Violation]:
    for ours, theirs in wanted.items():
        for index in places[ours]:
            if table.header[index] != theirs:
                yield Violation(
                    "header_spelling",
                    f"'{table.header[index]}' was read as '{theirs}'.",
                    "Write the header as the strategy manifest does.",
                    line=table.header_line,
                    sheet=table.sheet,
                    column=theirs,
                    value=table.header[index],
                )


def _extra(table: RawTable, places: Mapping[str, Sequence[int]]) -> Iterator[Violation]:
    used = {index for at in places.values() for index in at}
    for index, name in enumerate(table.header):
        if index in used or (index == 0 and not name.strip()):
            continue
        if not name.strip() and not any(table.columns[index]):
            continue
        shown = name.strip() or f"number {index + 1} (unnamed)"
        yield Violation(
            "extra_column",
            f"Column '{shown}' is not used.",
            "None is needed; name it in 'column_mapping' if it should be read.",
            line=table.header_line,
            sheet=table.sheet,
            column=shown,
        )
