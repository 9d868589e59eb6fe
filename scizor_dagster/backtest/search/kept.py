"""Searches as the lake keeps them: one row that says what each asked for and came to, over the trials of its problem.

What belongs here: writing, finding, listing and deleting. What does not: the trials themselves (`trials`).

Searches of one problem (prices, strategy, rules, costs) with other spaces share its trials. One that was ended before
it came to anything has trials and no row: it is listed as unfinished, by the digest of its problem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.search.trials import SOURCE
from scizor_dagster.backtest.search.trials import TABLE as TRIALS
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.lake.whole import whole

if TYPE_CHECKING:
    import duckdb

TABLE = "backtest_searches"
SHORT = 12


@dataclass(frozen=True)
class KeptSearch:
    """A search.

    Attributes:
        search_id: Digest of request and problem; of an unfinished one, that of its problem.
        problem: Whose trials are its own.
        request: Canonical JSON of what was asked for.
        record: As of `pages.Findings.record`; empty of an unfinished one.
        trials: How many of the problem are kept.
        stored_at: When it, or the newest trial of an unfinished one, was kept.
    """

    search_id: str
    strategy: str
    problem: str
    request: str
    record: Mapping[str, Any]
    trials: int
    stored_at: datetime

    @property
    def finished(self) -> bool:
        return bool(self.record)

    @property
    def short(self) -> str:
        """As much of its id as a person types."""
        return self.search_id[:SHORT]


def store_search(
    lake: Lake, search_id: str, strategy: str, request: str, record: Mapping[str, Any], now: datetime
) -> None:
    """Write what a search came to, in the place of what the same one came to before. `now` is aware."""
    import pandas as pd

    row = {"search_id": search_id, "strategy": strategy, "problem": record["problem"], "request": request}
    row |= {"record": json.dumps(record, sort_keys=True), "source": SOURCE, "fetched_at": now}
    with lake.write() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE search_id = ?", [search_id])
        append_rows(cursor, TABLE, pd.DataFrame([row]))


def list_searches(lake: Lake) -> list[KeptSearch]:
    """Every one, the newest first; what was ended before it came to anything among them."""
    with lake.read() as cursor:
        return _all(cursor)


def _all(cursor: duckdb.DuckDBPyConnection) -> list[KeptSearch]:
    counted = cursor.execute(f"SELECT problem, any_value(strategy), count(*), max(fetched_at) FROM {TRIALS} GROUP BY 1")
    trials = {problem: (strategy, count, newest) for problem, strategy, count, newest in counted.fetchall()}
    rows = cursor.execute(
        f"SELECT search_id, strategy, problem, request, record, fetched_at FROM {whole(TABLE)}"
    ).fetchall()
    found = [
        KeptSearch(name, strategy, problem, request, json.loads(record), trials.get(problem, ("", 0, None))[1], at)
        for name, strategy, problem, request, record, at in rows
    ]
    known = {one.problem for one in found}
    found += [
        KeptSearch(problem, strategy, problem, "", {}, count, newest)
        for problem, (strategy, count, newest) in trials.items()
        if problem not in known
    ]
    return sorted(found, key=lambda one: (one.stored_at, one.search_id), reverse=True)


def search_named(lake: Lake, name: str) -> KeptSearch | None:
    """The one whose id begins with `name`, else the newest one of a strategy of this name; None where there is none.

    Raises:
        InputError: several ids begin so.
    """
    every = list_searches(lake)
    found = [one for one in every if one.search_id.startswith(name.lower())]
    if len(found) > 1:
        raise InputError(
            f"{len(found)} searches begin with '{name}': {', '.join(one.search_id[:20] for one in found[:4])}.",
            remedy="Write more of the id.",
        )
    return next(iter(found or [one for one in every if one.strategy == name]), None)


def delete_search(lake: Lake, search: KeptSearch) -> int:
    """Take a search out, and its trials, unless another search is of the same problem; in one transaction.

    Returns:
        How many trials went with it.
    """
    with lake.write() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE search_id = ?", [search.search_id])
        others = cursor.execute(f"SELECT count(*) FROM {TABLE} WHERE problem = ?", [search.problem]).fetchone()
        if others is not None and others[0]:
            return 0
        gone = cursor.execute(f"SELECT count(*) FROM {TRIALS} WHERE problem = ?", [search.problem]).fetchone()
        cursor.execute(f"DELETE FROM {TRIALS} WHERE problem = ?", [search.problem])
        return int(gone[0]) if gone is not None else 0
