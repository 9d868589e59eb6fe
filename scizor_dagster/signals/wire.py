"""A reading as bytes, from the process that reads to the one that judges.

What belongs here: both directions of one plain format: a JSON head, then arrays of numbers. What does
not: pickles or anything else that could run code; the sender has parsed a stranger's file.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from scizor_dagster.signals.cells import CashCell, ParsedRows
from scizor_dagster.signals.reading import Reading
from scizor_dagster.signals.report import Findings, Violation

_HEAD = struct.Struct("<4sQ")
_MAGIC = b"SCZ1"
_ARRAYS = (("lines", "q"), ("dates", "i"), ("asset_ids", "i"), ("weights", "d"))


class Garbled(ValueError):
    """Bytes that are no whole reading."""


def encode(reading: Reading) -> bytes:
    """A reading as bytes; `decode` gives it back."""
    rows = reading.rows
    head: dict[str, Any] = {
        "count": reading.count,
        "violations": _findings_to_json(reading.violations),
        "warnings": _findings_to_json(reading.warnings),
    }
    body: list[bytes] = []
    if rows is not None:
        days, day_codes = _coded(rows.dates)
        ids, id_codes = _coded(rows.asset_ids)
        head["rows"] = {
            "sheet": rows.sheet,
            "headers": rows.headers,
            "wide": rows.wide,
            "unfinished": rows.unfinished,
            "cash": [[cell.day.isoformat(), cell.line, cell.value] for cell in rows.cash],
            "days": [day.isoformat() for day in days],
            "ids": ids,
            "length": len(rows.weights),
        }
        parts: tuple[Sequence[float], ...] = (rows.lines, day_codes, id_codes, rows.weights)
        body = [array(code, part).tobytes() for (_, code), part in zip(_ARRAYS, parts, strict=True)]
    text = json.dumps(head).encode()
    return b"".join((_HEAD.pack(_MAGIC, len(text)), text, *body))


def decode(data: bytes | bytearray) -> Reading:
    """The reading that `encode` made bytes of.

    Raises:
        Garbled: the bytes are none, or not all of them.
    """
    try:
        magic, length = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise Garbled("no reading")
        end = _HEAD.size + length
        head = json.loads(bytes(data[_HEAD.size : end]))
        rows = _rows(head["rows"], memoryview(data)[end:]) if "rows" in head else None
        return Reading(rows, head["count"], _findings(head["violations"]), _findings(head["warnings"]))
    except (struct.error, ValueError, LookupError, TypeError) as error:
        raise Garbled(f"the reading is not whole ({error})") from error


def _rows(head: dict[str, Any], body: memoryview) -> ParsedRows:
    parts: dict[str, array[Any]] = {}
    for name, code in _ARRAYS:
        part: array[Any] = array(code)
        size = head["length"] * part.itemsize
        part.frombytes(body[:size])
        if len(part) != head["length"]:
            raise Garbled(f"'{name}' is cut off")
        parts[name], body = part, body[size:]
    days = [date.fromisoformat(text) for text in head["days"]]
    ids: list[str] = head["ids"]
    return ParsedRows(
        head["sheet"],
        head["headers"],
        lines=parts["lines"],
        dates=[days[code] for code in parts["dates"]],
        asset_ids=[ids[code] for code in parts["asset_ids"]],
        weights=parts["weights"].tolist(),
        wide=head["wide"],
        cash=[CashCell(date.fromisoformat(day), line, value) for day, line, value in head["cash"]],
        unfinished=head["unfinished"],
    )


def _coded(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    codes: dict[Any, int] = {}
    numbers = [codes.setdefault(value, len(codes)) for value in values]
    return list(codes), numbers


def _findings_to_json(findings: Findings) -> dict[str, Any]:
    return {"kept": [asdict(item) for item in findings.kept], "unlisted": findings.unlisted}


def _findings(body: dict[str, Any]) -> Findings:
    return Findings((Violation(**item) for item in body["kept"]), body["unlisted"])
