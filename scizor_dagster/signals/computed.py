"""Weight files that a strategy in Python has computed: one for each session, of one form.

What belongs here: where they lie, and their text. What does not: computing the weights (`flow.strategies`), and reading
them, which is that of every other file (`intake`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from scizor_dagster.signals.manifest import OUR_COLUMNS, StrategyEntry
from scizor_dagster.tabular.spreadsheet import csv_line


def of_session(entry: StrategyEntry, session: date) -> StrategyEntry:
    """The entry of the one file that a computing strategy has for a session; that of a delivered file as it is."""
    if entry.function is None:
        return entry
    return entry.model_copy(update={"path": str(Path(entry.path).with_name(f"{session}.csv"))})


def weight_text(entry: StrategyEntry, session: date, weights: Mapping[str, float]) -> bytes:
    """The file of one session: a row for each symbol, in order, with weights of up to 12 decimals."""
    lines = [csv_line([*OUR_COLUMNS, "strategy"])]
    for symbol in sorted(weights):
        stated = f"{weights[symbol]:.12f}".rstrip("0").rstrip(".")
        lines.append(csv_line([session.isoformat(), symbol, stated, entry.id]))
    return "".join(lines).encode()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody sees half of it; one with this content stays as it is."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its name keeps it from being taken for a weight file.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
