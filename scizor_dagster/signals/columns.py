"""Which column of the file is which of ours.

What belongs here: matching headers to the manifest's `column_mapping`. What does not: the cells below
them (`cells`).

Headers match exactly, or else without regard to case and surrounding blanks, with a warning. An
unnamed first column (a data frame's row numbers, under whatever name it gave them) is left out silently;
any other extra column with a warning. A header that could be two columns is refused, and so is a file
that itself says that it belongs to another strategy or account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import INDEX_HEADERS, ReadSpec, normal
from scizor_dagster.signals.tables import Cell, RawTable, shown

_DATA = re.compile(r"\s*(\d{4}-\d\d-\d\d.*|[-+]?\d*\.\d+)\s*")


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


def locate(table: RawTable, spec: ReadSpec) -> LocatedColumns:
    """Find the columns of a long table by the headers that the manifest gives."""
    wanted = spec.columns
    places = {ours: _places(table.header, theirs) for ours, theirs in wanted.items()}
    violations = [*_missing(table, wanted, places), *_ambiguous(table, wanted, places), *belongings(table, spec)]
    warnings = list(_renamed(table, wanted, places)) + list(_extra(table, places, spec))
    if any(len(at) != 1 for at in places.values()):
        return LocatedColumns(None, tuple(violations), tuple(warnings))
    found = {ours: NamedColumn(table.header[at[0]].strip(), table.columns[at[0]]) for ours, at in places.items()}
    return LocatedColumns(found, tuple(violations), tuple(warnings))


def is_row_number(name: str, index: int) -> bool:
    """Whether a column is the row numbers of a data frame, by its header and place."""
    return normal(name) == "_index_level_0_" or (index == 0 and normal(name) in INDEX_HEADERS)


def belongings(table: RawTable, spec: ReadSpec) -> Iterator[Violation]:
    """Rows that say they are another strategy's, or another account's; and where they should say and do not."""
    present = {normal(name) for name in table.header}
    for name in spec.require:
        if normal(name) not in present:
            problem = f"There is no column '{name}', which 'require' names."
            remedy = "Add it to the file, or correct 'require' in the strategy manifest."
            yield Violation("missing_column", problem, remedy, line=table.header_line, sheet=table.sheet, column=name)
    for index, name in enumerate(table.header):
        required = spec.required.get(normal(name))
        values = table.columns[index]
        owners = spec.owners(name)
        if owners is not None:
            yield from _other_owners(table, index, owners)
        if required is None or set(map(shown, values)) <= {required}:
            continue
        for line, value in zip(table.lines, values, strict=True):
            if shown(value).strip() != required:
                yield Violation(
                    "wrong_owner",
                    f"The row belongs to '{shown(value)}', not to '{required}'.",
                    "Deliver the right file, or correct 'require' in the strategy manifest.",
                    line=line,
                    sheet=table.sheet,
                    column=name.strip(),
                    value=shown(value),
                )


def _other_owners(table: RawTable, index: int, owners: Sequence[str]) -> Iterator[Violation]:
    """An account or a portfolio that the file names, and that is not known to be the one it is taken for."""
    name, values = table.header[index].strip(), table.columns[index]
    named = {shown(value).strip() for value in set(values)} - {""}
    if len(named) > 1:
        problem = f"The file holds the rows of several ({', '.join(sorted(named)[:5])})."
        remedy = "Deliver a file for each, or name the value under 'require' in the strategy manifest."
        yield Violation("several_accounts", problem, remedy, line=table.header_line, sheet=table.sheet, column=name)
        return
    for value in named - set(owners):
        taken_for = f"it is taken for '{owners[0]}'" if owners else "nothing says that it is the one to trade"
        line = next(line for line, cell in zip(table.lines, values, strict=True) if shown(cell).strip() == value)
        yield Violation(
            "wrong_owner",
            f"The file says that it belongs to '{value}', and {taken_for}.",
            f"Deliver the right file; if it is this one, say so with require: {{{name}: '{value}'}} in the strategy "
            "manifest.",
            line=line,
            sheet=table.sheet,
            column=name,
            value=value,
        )


def _places(header: Sequence[str], theirs: str) -> list[int]:
    return [index for index, name in enumerate(header) if normal(name) == normal(theirs)]


def _missing(table: RawTable, wanted: Mapping[str, str], places: Mapping[str, Sequence[int]]) -> Iterator[Violation]:
    present = ", ".join(repr(name) for name in table.header[:20])
    if any(_DATA.fullmatch(name) for name in table.header):
        present += " and looks like a row of data"
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


def _extra(table: RawTable, places: Mapping[str, Sequence[int]], spec: ReadSpec) -> Iterator[Violation]:
    used = {index for at in places.values() for index in at}
    used |= {index for index, name in enumerate(table.header) if normal(name) in spec.required}
    for index, name in enumerate(table.header):
        if index in used or is_row_number(name, index):
            continue
        if not name.strip() and not any(table.columns[index]):
            continue
        label = name.strip() or f"number {index + 1} (unnamed)"
        yield Violation(
            "extra_column",
            f"Column '{label}' is not used.",
            "None is needed; name it in 'column_mapping' if it should be read.",
            line=table.header_line,
            sheet=table.sheet,
            column=label,
        )
