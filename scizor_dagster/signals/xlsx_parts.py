"""The parts of a workbook around its sheets: which sheets there are, shared texts, number formats.

What belongs here: reading those parts safely. What does not: the cells of a sheet (`xlsx_sheet`) and
which sheet is taken (`xlsx_reader`).

Parts are streamed through expat, and one that declares a document type is refused before any entity of
it is expanded: no workbook needs one.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.parsers import expat

from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.tables import TooMuch

Start = Callable[[str, Mapping[str, str]], None]
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_PERCENT_FORMATS = frozenset({9, 10})
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
_DATE_LETTERS = re.compile(r"[dmhysDMHYS]")


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """What a number format says about the value under it. `digits`: leading zeros that a person sees."""

    is_date: bool = False
    is_percent: bool = False
    digits: int = 0


@dataclass(frozen=True, slots=True)
class SheetPart:
    title: str
    visible: bool
    name: str


@dataclass(frozen=True, slots=True)
class Workbook:
    """`uncalculated`: it asks to be calculated when it is opened, so that a formula's stored value is not its value."""

    sheets: tuple[SheetPart, ...]
    texts: tuple[str, ...]
    formats: tuple[NumberFormat, ...]
    starts_1904: bool
    uncalculated: bool = False


def parse_part(
    archive: zipfile.ZipFile,
    name: str,
    start: Start,
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Stream one XML part; element and attribute names come without their namespace prefix.

    Raises:
        TooMuch: it declares a document type.
        KeyError, expat.ExpatError, zipfile.BadZipFile: it is missing or damaged.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = lambda tag, found: start(tag[tag.find(":") + 1 :], found)
    if end is not None:
        finish = end
        parser.EndElementHandler = lambda tag: finish(tag[tag.find(":") + 1 :])
    if text is not None:
        parser.CharacterDataHandler = text
    with archive.open(name) as stream:
        parser.ParseFile(stream)


def read_workbook(archive: zipfile.ZipFile) -> Workbook:
    """Read everything around the sheets. Raises as `parse_part`."""
    root = _relations(archive, "")
    main = next((target for kind, target in root.values() if kind == "officeDocument"), "xl/workbook.xml")
    relations = _relations(archive, main)
    sheets: list[SheetPart] = []
    starts_1904 = uncalculated = False

    def start(tag: str, found: Mapping[str, str]) -> None:
        nonlocal starts_1904, uncalculated
        if tag == "workbookPr":
            starts_1904 = found.get("date1904", "0") in ("1", "true")
        elif tag == "calcPr":
            uncalculated = found.get("fullCalcOnLoad", "0") in ("1", "true")
        elif tag == "sheet":
            kind, target = relations[next(found[key] for key in found if key.endswith(":id"))]
            if kind == "worksheet":
                sheets.append(SheetPart(found["name"], found.get("state", "visible") == "visible", target))

    parse_part(archive, main, start)
    by_kind = dict(relations.values())
    texts = _texts(archive, by_kind["sharedStrings"]) if "sharedStrings" in by_kind else ()
    formats = _formats(archive, by_kind["styles"]) if "styles" in by_kind else ()
    return Workbook(tuple(sheets), texts, formats, starts_1904, uncalculated)


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Kind and target of each relation of a part, by its id."""
    folder, name = posixpath.split(part)
    found: dict[str, tuple[str, str]] = {}

    def start(tag: str, values: Mapping[str, str]) -> None:
        if tag == "Relationship":
            target = posixpath.normpath(posixpath.join("/", folder, values["Target"])).lstrip("/")
            found[values["Id"]] = (values["Type"].rsplit("/", 1)[-1], target)

    parse_part(archive, posixpath.join(folder, "_rels", f"{name}.rels"), start)
    return found


def _texts(archive: zipfile.ZipFile, name: str) -> tuple[str, ...]:
    texts: list[str] = []
    pieces: list[str] = []
    inside: list[str] = []

    def start(tag: str, _: Mapping[str, str]) -> None:
        inside.append(tag)
        if tag == "si":
            pieces.clear()

    def end(tag: str) -> None:
        inside.pop()
        if tag == "si":
            texts.append("".join(pieces))

    def text(data: str) -> None:
        # Readings of East Asian text (rPh) stand beside it and are no part of it.
        if inside[-1] == "t" and "rPh" not in inside:
            pieces.append(data)

    parse_part(archive, name, start, end, text)
    return tuple(texts)


def _formats(archive: zipfile.ZipFile, name: str) -> tuple[NumberFormat, ...]:
    codes: dict[int, str] = {}
    formats: list[NumberFormat] = []
    inside: list[str] = []

    def start(tag: str, found: Mapping[str, str]) -> None:
        inside.append(tag)
        if tag == "numFmt":
            codes[int(found["numFmtId"])] = found["formatCode"]
        elif tag == "xf" and "cellXfs" in inside:
            number = int(found.get("numFmtId", "0"))
            formats.append(_number_format(number, codes.get(number)))

    def end(_: str) -> None:
        inside.pop()

    parse_part(archive, name, start, end)
    return tuple(formats)


def _number_format(number: int, code: str | None) -> NumberFormat:
    if code is None:
        return NumberFormat(number in _DATE_FORMATS, number in _PERCENT_FORMATS)
    bare = _LITERAL.sub("", code.split(";")[0])
    if bare.casefold() == "general":
        return NumberFormat()
    digits = len(bare) if re.fullmatch("0{2,}", bare) else 0
    return NumberFormat(bool(_DATE_LETTERS.search(bare)), "%" in bare, digits)


def _refuse_doctype(*_: object) -> None:
    problem = "A part of the workbook declares a document type, which may hold an XML bomb."
    raise TooMuch(Violation("xml_declarations", problem, "Save it again with a spreadsheet program."))
