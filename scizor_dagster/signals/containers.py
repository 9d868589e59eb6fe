"""What kind of file this is, told by its first bytes and, for a zip, its directory.

What belongs here: what is found before anything is unpacked or parsed: another format than the one
stated, a password, a bomb, macros and links. What does not: the content (`xlsx_reader` and the others).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from scizor_dagster.signals.report import Violation

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MAX_MEMBERS = 2_000
_OLE = b"\xd0\xcf\x11\xe0"
_PASSWORD = "EncryptedPackage".encode("utf-16-le")
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"PK\x05\x06": "an empty zip archive",
    _OLE: "an old Excel workbook (.xls)",
    b"PAR1": "a Parquet file",
    b"PARE": "an encrypted Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
}


def foreign(data: bytes, wanted: str) -> Violation | None:
    """Why the bytes are not in the format `wanted` (its name for people), where their beginning tells."""
    for magic, kind in _KINDS.items():
        if data.startswith(magic) and wanted not in _readable(magic):
            if magic == _OLE and _PASSWORD in data:
                remedy = "Save it without a password."
                return Violation("password_protected", "The workbook is protected by a password.", remedy)
            return wrong_format(f"The file is {kind}, not {wanted}.", wanted)
    return None


def wrong_format(problem: str, wanted: str) -> Violation:
    remedy = f"Save it as {wanted}, in UTF-8 where it is text, or correct 'format' in the strategy manifest."
    return Violation("wrong_format", problem, remedy)


def workbook_problems(data: bytes) -> Iterator[Violation]:
    """What a workbook's directory already forbids; nothing is unpacked."""
    problem = foreign(data, "XLSX")
    if problem is not None:
        yield problem
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        yield wrong_format("The file is not an XLSX workbook.", "XLSX")
        return
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
        limit = f"{MAX_UNPACKED_BYTES} in {MAX_MEMBERS}"
        text = f"The workbook unpacks to {unpacked} bytes in {len(members)} parts; {limit} are allowed."
        yield Violation("too_large", text, "Deliver only the dates that still matter.")
        return
    if any(member.flag_bits & 1 for member in members):
        yield Violation("password_protected", "Parts of the workbook are encrypted.", "Save it without a password.")
    names = [member.filename.casefold() for member in members]
    if any("vbaproject" in name or "macrosheets/" in name for name in names):
        yield Violation("macros", "The workbook contains macros.", "Save it as a plain .xlsx workbook.")
    if any(name.startswith(("xl/externallinks/", "xl/connections")) for name in names):
        text = "The workbook takes values from other files or connections: what it shows may have changed since."
        yield Violation("external_links", text, "Break the links (Data, Edit Links), so that it holds plain values.")


def _readable(magic: bytes) -> tuple[str, ...]:
    return {b"PK\x03\x04": ("XLSX",), b"PAR1": ("Parquet",)}.get(magic, ())
