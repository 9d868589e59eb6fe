"""Cases 21 and 57 to 67: workbooks."""

import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from tests.signals.corpus.case import DAY, GOOD, OURS, Case, Response, book, file, text

R: Response = "refused"
W: Response = "warned"
OK: Response = "accepted"
NAMED = {"sheet": "Sheet"}
_PASSWORD = "EncryptedPackage".encode("utf-16-le")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600


def _second_sheet(title: str, state: str, place: int) -> Callable[[Any], None]:
    def change(workbook: Any) -> None:
        sheet = workbook.create_sheet(title, place)
        sheet.append(["nothing"])
        sheet.sheet_state = state

    return change


def _cell(place: str, value: object) -> Callable[[Any], None]:
    def change(workbook: Any) -> None:
        workbook.active[place] = value

    return change


def _hidden_row(workbook: Any) -> None:
    workbook.active.row_dimensions[3].hidden = True


def _hidden_column(workbook: Any) -> None:
    workbook.active.column_dimensions["C"].hidden = True


def _flat_row(sheet: str) -> str:
    return sheet.replace('<row r="3"', '<row r="3" ht="0" customHeight="1"')


def _flat_column(sheet: str) -> str:
    return sheet.replace("<sheetData>", '<cols><col min="3" max="3" width="0" customWidth="1"/></cols><sheetData>')


def _filter(workbook: Any) -> None:
    workbook.active.auto_filter.ref = "A1:C4"
    workbook.active.auto_filter.add_filter_column(1, ["AAPL"])


def _million_empty_rows(workbook: Any) -> None:
    # Written as text: a million styled cells take openpyxl a minute.
    workbook.active["C20"].font = Font(bold=True)


def _from_1904(workbook: Any) -> None:
    workbook.epoch = CALENDAR_MAC_1904


def with_parts(build: Callable[[Path], Path], *parts: tuple[str, str]) -> Callable[[Path], Path]:
    """The workbook with parts added."""

    def changed(folder: Path) -> Path:
        path = build(folder)
        with zipfile.ZipFile(path, "a") as archive:
            for name, content in parts:
                archive.writestr(name, content)
        return path

    return changed


def with_sheet(
    build: Callable[[Path], Path], change: Callable[[str], str], name: str = "xl/worksheets/sheet1.xml"
) -> Callable[[Path], Path]:
    """The workbook with the XML of its first sheet, or of another part, changed."""

    def changed(folder: Path) -> Path:
        path = build(folder)
        with zipfile.ZipFile(path) as archive:
            content = {item: archive.read(item) for item in archive.namelist()}
        content[name] = change(content[name].decode()).encode()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for item, data in content.items():
                archive.writestr(item, data)
        return path

    return changed


def _empty_rows(sheet: str) -> str:
    rows = "".join(f'<row r="{number}" s="1" customFormat="1"/>' for number in range(5, 1_000_005))
    return sheet.replace("</sheetData>", rows + "</sheetData>")


def _entities(sheet: str) -> str:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE worksheet [<!ENTITY e0 "bomb">{levels}]>'
    body = sheet[sheet.index("<worksheet") :].replace("AAPL", "&e9;")
    return f"{doctype}{body}"


def _blown_up(folder: Path, size: int) -> Path:
    build = with_sheet(book(), lambda sheet: sheet.replace("<sheetData>", " " * size + "<sheetData>"))
    return build(folder)


def zip_bomb(folder: Path) -> Path:
    """A workbook of a megabyte whose sheet unpacks to 270 MB of blanks."""
    return _blown_up(folder, 270_000_000)


def _lying_zip(folder: Path) -> Path:
    """An archive whose directory says that a part is small."""
    path = _blown_up(folder, 10_000_000)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    return path


def _old(folder: Path, content: bytes) -> Path:
    path = folder / "weights.xlsx"
    path.write_bytes(content)
    return path


def _stored(value: str) -> Callable[[Path], Path]:
    """A formula with a stored value, in a workbook that asks to be calculated when it is opened."""
    empty = re.compile(r"<f>1/2</f><v>(</v>)?|<f>1/2</f><v ?/>")
    return with_sheet(book(_cell("C2", "=1/2")), lambda sheet: empty.sub(f"<f>1/2</f><v>{value}</v>", sheet))


def _calculated(build: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """As a spreadsheet program leaves it, which has calculated."""
    return with_sheet(build, lambda part: part.replace('fullCalcOnLoad="1"', ""), "xl/workbook.xml")


CASES: list[Case] = [
    Case(20, "true date cells", book(rows=[(datetime(2024, 1, 2), "A", 1)]), OK),  # noqa: DTZ001
    Case(20, "serial without a date format", book(rows=[(45293, "A", 1)]), R, "bad_date"),
    Case(21, "1904", book(_from_1904), W, "dates_from_1904"),
    Case(57, "hidden first sheet", book(_second_sheet("Old", "hidden", 0)), R, "sheet_not_named"),
    Case(57, "hidden first sheet, one named", book(_second_sheet("Old", "hidden", 0)), W, "hidden_sheet", NAMED),
    Case(57, "hidden second sheet", book(_second_sheet("Old", "veryHidden", 1)), W, "hidden_sheet"),
    Case(58, "two sheets", book(_second_sheet("Two", "visible", 1)), R, "sheet_not_named"),
    Case(58, "two sheets, one named", book(_second_sheet("Two", "visible", 1)), OK, entry=NAMED),
    Case(59, "merged", book(lambda workbook: workbook.active.merge_cells("A2:A4")), R, "merged_cells"),
    Case(60, "formula without value", book(_cell("C3", "=1/2")), R, "formula_without_value"),
    Case(60, "formula with value", _calculated(_stored("0.5")), OK),
    Case(60, "formula with the 0 of a program that cannot calculate", _stored("0"), R, "formula_without_value"),
    Case(60, "formula in a column that is not read", book(_cell("D3", "=1/2"), header=(*OURS, "note")), W,
         "extra_column"),
    Case(61, "#REF!", book(_cell("C3", "#REF!")), R, "not_a_number"),
    Case(61, "#N/A as id", book(_cell("B3", "#N/A")), R, "bad_asset_id"),
    Case(62, "external link", with_parts(book(), ("xl/externalLinks/externalLink1.xml", "<x/>")), R, "external_links"),
    Case(62, "macro", with_parts(book(), ("xl/vbaProject.bin", "x")), R, "macros"),
    Case(62, "dde", book(_cell("D3", "=cmd|'/c calc'!A0"), header=(*OURS, "note")), R, "dde"),
    Case(62, "formula as id in a csv", text(f"{DAY},=cmd|x!A0,1"), R, "bad_asset_id"),
    Case(63, "old xls", lambda folder: _old(folder, _OLE), R, "wrong_format"),
    Case(63, "password", lambda folder: _old(folder, _OLE + _PASSWORD), R, "password_protected"),
    Case(63, "csv named xlsx", lambda folder: _old(folder, b"trade_date,asset_id,target_weight\n"), R, "wrong_format"),
    Case(63, "xlsx declared csv", book(), R, "wrong_format", {"format": "csv"}),
    Case(63, "parquet declared csv", file(b"PAR1xxxxPAR1"), R, "wrong_format"),
    Case(64, "hidden row", book(_hidden_row), R, "hidden_rows"),
    Case(64, "hidden column", book(_hidden_column), R, "hidden_columns"),
    Case(64, "row without height", with_sheet(book(), _flat_row), R, "hidden_rows"),
    Case(64, "column without width", with_sheet(book(), _flat_column), R, "hidden_columns"),
    Case(64, "filter", book(_filter), R, "filter_on"),
    Case(65, "number as text", book(_cell("C2", "0.5")), W, "number_as_text"),
    Case(65, "no number as text", book(_cell("C2", "half")), R, "not_a_number"),
    Case(66, "zip bomb", zip_bomb, R, "too_large"),
    Case(66, "zip bomb that lies", _lying_zip, R, "unreadable_workbook"),
    Case(66, "xml bomb", with_sheet(book(), _entities), R, "xml_declarations"),
    Case(67, "million empty rows", with_sheet(book(_million_empty_rows), _empty_rows), R, "too_many_rows"),
    Case(47, "NA in a workbook", book(rows=[(DAY, "NA", 1)]), OK),
    Case(48, "TRUE in a workbook", book(rows=[(DAY, True, 1)]), OK),
    Case(49, "1E5 in a workbook", book(rows=[(DAY, "1E5", 1)]), OK),
    Case(50, "0700 in a workbook", book(rows=[(DAY, "0700", 1)]), OK),
    Case(24, "time of day in a workbook", book(rows=[(datetime(2024, 1, 2, 16), "A", 1)]), R, "bad_date"),  # noqa: DTZ001
    Case(45, "date as id", book(rows=[(DAY, date(2024, 3, 1), 1), *GOOD[:0]]), R, "bad_asset_id"),
]  # fmt: skip
