"""The columns of a weight file that no strategy describes: which of its usual names stand for ours.

What belongs here: names. What does not: reading the file (`signals`), which is as strict as for a live one.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from scizor_dagster.signals.manifest import OUR_COLUMNS
from scizor_dagster.signals.spec import normal

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "trade_date": ("trade_date", "date", "session", "rebalance_date", "day", "timestamp"),
    "asset_id": ("asset_id", "symbol", "ticker", "tic", "asset", "code"),
    "target_weight": ("target_weight", "weight", "weights"),
}
"""Our name to the headers that stand for it in a file of a row for each date and asset."""


def usual_columns(path: Path, known: str) -> dict[str, str]:
    """Their header to our name, for a long file with other names than ours; empty where that is not certain.

    Only one header may stand for each of ours, and ours is itself where it is there. A file without any of them may be
    a wide one.
    """
    theirs: dict[str, list[str]] = {normal(name): [] for name in _header(path, known)}
    for name in _header(path, known):
        theirs[normal(name)].append(name)
    found: dict[str, str] = {}
    for ours in OUR_COLUMNS:
        names = [name for spelt in SPELLINGS[ours] for name in theirs.get(spelt, ())]
        chosen = theirs.get(ours) or names
        if len(chosen) != 1:
            return {}
        if chosen[0] != ours:
            found[chosen[0]] = ours
    return found


def _header(path: Path, known: str) -> list[str]:
    """Names of the columns; none where the file is not there or cannot be read, which its reader says better."""
    try:
        if known == "csv":
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return next(csv.reader(lines), [])
        if known == "parquet":
            import pyarrow.parquet as pq

            return [str(name) for name in pq.read_schema(path).names]
    except (OSError, ValueError, csv.Error):
        pass
    return []
