"""What the UI shows of a parameter search.

What belongs here: metadata and lines of its log. What does not: the search (`flow.optimizing`).
"""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.metadata import picture, table
from scizor_dagster.backtest.search.pages import Findings

MOST_SETS = 50
MOST_KEPT = 1000
"""Sets of the record, which programs read."""
_EVERY = 10.0
"""Seconds between two lines of the log."""
_TITLES = {"map": "objective by two parameters", "out_of_sample": "out of sample"}


def search_metadata(found: Findings) -> dict[str, Any]:
    """The verdict first, then the best sets, pictures, and what each window of a walk forward chose."""
    record, verdict = found.record(0), found.verdict
    assert verdict is not None
    shown = found.table().drop(columns=["total_return"])
    metadata: dict[str, Any] = {
        "search_verdict": dg.MetadataValue.md("\n".join(f"- {line}" for line in verdict.sentences())),
        "search_better_than_luck": not (verdict.is_luck or verdict.is_market),
        **{
            f"search_{name}": record["verdict"][name]
            for name in ("score", "lucky", "deflated", "chance", "overfitting")
            if record["verdict"][name] is not None
        },
        "search_sets": table(shown.head(MOST_SETS), rest=len(shown) - len(shown.head(MOST_SETS))),
        "search": dg.MetadataValue.json({name: record[name] for name in record if name not in ("best", "verdict")}),
        "search_record": dg.MetadataValue.json(found.record(MOST_KEPT)),
    }
    pictures = found.pictures().items()
    return metadata | {f"search_{name}": picture(content, _TITLES[name]) for name, content in pictures}


def now_and_then(say: Callable[[str], None], what: str) -> Callable[[int, int | None], bool]:
    """Says every ten seconds how many of them are done."""
    said = time.monotonic()

    def tell(done: int, of: int | None) -> bool:
        nonlocal said
        if time.monotonic() - said >= _EVERY:
            said = time.monotonic()
            say(f"{done} of {of if of is not None else '?'} {what}")
        return True

    return tell
