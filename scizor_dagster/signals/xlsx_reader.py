"""XLSX: one named sheet, or the only visible one.

What belongs here: workbook bytes to a table, and which sheet it is. What does not: the directory of the
archive (`containers`), the parts of a workbook (`xlsx_parts`) and the cells (`xlsx_sheet`).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from xml.parsers import expat

from scizor_dagster.signals.containers import workbook_problems
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.tables import ReadResult, TooMuch
from scizor_dagster.signals.xlsx_parts import SheetPart, Workbook, parse_part, read_workbook
from scizor_dagster.signals.xlsx_sheet import SheetParser

_REMEDY = "Save it as a plain .xlsx workbook without password, or correct 'format' in the strategy manifest."
_DAMAGED = (
    expat.ExpatError, LookupError, ValueError, OverflowError, zipfile.BadZipFile, zlib.error, EOFError,
    RuntimeError, StopIteration, OSError,
)  # fmt: skip


def read_xlsx(data: bytes, spec: ReadSpec) -> ReadResult:
    """Read workbook bytes into a table of text, numbers and days."""
    found = Findings(workbook_problems(data))
    if any(item.rule in ("wrong_format", "too_large", "password_protected") for item in found.kept):
        return ReadResult(None, found)
    try:
        result = _read(data, spec)
    except TooMuch as error:
        result = ReadResult.refused(error.violation)
    except _DAMAGED as error:
        problem = f"The workbook cannot be read ({type(error).__name__}: {error})."
        result = ReadResult.refused(Violation("unreadable_workbook", problem, _REMEDY))
    result.violations.absorb(found)
    return result


def _read(data: bytes, spec: ReadSpec) -> ReadResult:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        workbook = read_workbook(archive)
        chosen = _chosen_sheet(workbook, spec.sheet)
        if isinstance(chosen, Violation):
            return ReadResult.refused(chosen)
        sheet = SheetParser(workbook, chosen.title, spec)
        parse_part(archive, chosen.name, sheet.start, sheet.end, sheet.text)
        sheet.result.warnings.extend(_oddities(workbook, chosen))
        return sheet.result


def _chosen_sheet(workbook: Workbook, title: str | None) -> SheetPart | Violation:
    visible = [sheet for sheet in workbook.sheets if sheet.visible]
    names = ", ".join(repr(sheet.title) for sheet in workbook.sheets)
    if title is not None:
        named = [sheet for sheet in workbook.sheets if sheet.title == title]
        problem = f"The workbook has no sheet '{title}'."
        return named[0] if named else Violation("no_such_sheet", problem, f"Use one of: {names}.", value=title)
    remedy = f"Name one with 'sheet' in the strategy manifest: {names}."
    if len(visible) != 1:
        problem = f"The workbook has {len(visible)} visible sheets, and none is named."
        return Violation("sheet_not_named", problem, remedy)
    if not workbook.sheets[0].visible:
        # Other programs read the first sheet, seen or not: which of the two was meant must be said.
        problem = f"The first sheet, '{workbook.sheets[0].title}', is hidden, and none is named."
        return Violation("sheet_not_named", problem, remedy)
    return visible[0]


def _oddities(workbook: Workbook, chosen: SheetPart) -> list[Violation]:
    found: list[Violation] = []
    hidden = [sheet.title for sheet in workbook.sheets if not sheet.visible]
    if hidden:
        problem = f"The workbook has hidden sheets ({', '.join(map(repr, hidden))}); '{chosen.title}' was read."
        found.append(Violation("hidden_sheet", problem, "Delete what is not needed.", sheet=chosen.title))
    if workbook.starts_1904:
        problem = "The workbook counts days from 1904; its dates were read so."
        found.append(Violation("dates_from_1904", problem, "Turn that option off.", sheet=chosen.title))
    return found
