"""One case of the catalogue, and the files that most cases start from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import openpyxl

from scizor_dagster.config import WeightRules
from scizor_dagster.signals.guards import Background
from tests.signals.builders import HEADER

Response = Literal["refused", "held", "warned", "accepted"]
DAY = date(2024, 1, 2)
OURS = tuple(HEADER.split(","))
Row = Sequence[Any]
GOOD: tuple[Row, ...] = ((DAY, "AAPL", 0.5), (DAY, "MSFT", 0.3), (DAY, "SPY", 0.2))


@dataclass(frozen=True)
class Case:
    """A file, how the manifest says it is read, and what must happen.

    Attributes:
        number: Of the catalogue.
        build: Writes the file into a folder and returns its path.
        rule: A violation (refused, held) or warning (warned) that must be among those found; with `accepted` none is.
        entry: Keys of the manifest's entry.
        session: Asked for; without one the file's last.
        known: What the stores know, given the file.
    """

    number: int
    name: str
    build: Callable[[Path], Path]
    response: Response
    rule: str = ""
    entry: Mapping[str, Any] = field(default_factory=dict)
    weights: WeightRules = field(default_factory=WeightRules)
    session: date | None = None
    known: Callable[[Path], Background] = lambda _: Background()

    def __str__(self) -> str:
        return f"{self.number}-{self.name}".replace(" ", "-")


def file(data: bytes | str, name: str = "weights.csv") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return build


def text(*rows: str, header: str = HEADER) -> Callable[[Path], Path]:
    return file("\n".join((header, *rows)) + "\n")


def weights(*values: str) -> Callable[[Path], Path]:
    """One date, an asset for each weight."""
    return text(*(f"{DAY},A{index},{value}" for index, value in enumerate(values)))


def book(
    change: Callable[[Any], object] = lambda _: None, rows: Sequence[Row] = GOOD, header: Row = OURS
) -> Callable[[Path], Path]:
    """A workbook of good rows with one change to it."""

    def build(folder: Path) -> Path:
        workbook = openpyxl.Workbook()
        for row in (header, *rows):
            workbook.active.append(list(row))
        change(workbook)
        path = folder / "weights.xlsx"
        workbook.save(path)
        return path

    return build
