"""Weights of a backtest that the lake has already: targets of a portfolio, or accepted rows of a strategy.

What belongs here: reading them by session and symbol. What does not: weights of files (`backtest_weights`).
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from scizor_dagster.backtest.histories import few
from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.errors import DataError
from scizor_dagster.flow.backtest_targets import LEFT, Rules, Targets, matrix_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.whole import whole
from scizor_dagster.signals.mapping import read_identifier_map
from scizor_dagster.signals.targets import TargetStatus

Stored = tuple[str, Targets]
"""Where they come from, and what they are by session."""


def stored_targets(desk: Desk, request: BacktestRequest, rules: Rules) -> Stored:
    """Targets of the request's portfolio.

    Raises:
        DataError: there are none.
    """
    assert request.portfolio is not None
    rows = _rows(
        desk,
        f"SELECT session, symbol, target_weight, status, candidates FROM {whole('target_weights')} WHERE portfolio = ? "
        "ORDER BY session, target",
        request.portfolio,
    )
    if not rows:
        raise DataError(
            f"The lake has no targets of portfolio '{request.portfolio}'.",
            remedy="Leave out --stored to take the files of its strategies, or trade a session first.",
            where=f"portfolio {request.portfolio}",
        )
    made: dict[date, dict[str, float]] = {}
    left: dict[date, set[str]] = {}
    unplaced: dict[date, list[float]] = {}
    aside: Counter[str] = Counter()
    for session, symbol, weight, status, candidates in rows:
        day = made.setdefault(session, {})
        if status == TargetStatus.OK:
            day[symbol] = float(weight)
        else:
            aside[f"{symbol or 'an id'} ({status})"] += 1
            left.setdefault(session, set()).update((symbol or "", *(candidates or "").split(",")))
            unplaced.setdefault(session, []).append(float(weight))
    notes = [f"Set aside in {count} sessions, {LEFT}: {name}." for name, count in sorted(aside.items())]
    return f"lake: targets of portfolio {request.portfolio}", matrix_of(made, rules, left, unplaced, notes)


def stored_rows(desk: Desk, request: BacktestRequest, rules: Rules) -> Stored:
    """The rows of a strategy that were accepted last for each session, through its mapping table.

    Raises:
        DataError: there are none.
    """
    assert request.strategy is not None
    table = read_identifier_map(desk.manifest.strategy(request.strategy))
    rows = _rows(
        desk,
        f"SELECT session, weights_date, asset_id, weight FROM {whole('signals')} WHERE strategy = ? "
        "QUALIFY fetched_at = max(fetched_at) OVER (PARTITION BY session) ORDER BY session, line",
        request.strategy,
    )
    if not rows:
        raise DataError(
            f"The lake has no accepted weights of strategy '{request.strategy}'.",
            remedy="Leave out --stored to take its file.",
            where=f"strategy {request.strategy}",
        )
    made: dict[date, dict[str, float]] = {}
    left: dict[date, set[str]] = {}
    unplaced: dict[date, list[float]] = {}
    unknown: dict[str, None] = {}
    for session, day, asset_id, weight in rows:
        meant = table.resolve(asset_id, day)
        if len(meant) == 1:
            made.setdefault(session, {})[meant[0]] = weight
        else:
            made.setdefault(session, {})
            left.setdefault(session, set()).update(meant)
            unplaced.setdefault(session, []).append(float(weight))
            unknown[asset_id] = None
    notes = [f"Ids without exactly one ticker, {LEFT}: {few(list(unknown))}."] if unknown else []
    return f"lake: accepted weights of strategy {request.strategy}", matrix_of(made, rules, left, unplaced, notes)


def _rows(desk: Desk, query: str, key: str) -> list[tuple[Any, ...]]:
    if not desk.has_lake:
        return []
    with desk.lake.read() as cursor:
        return cursor.execute(query, [key]).fetchall()
