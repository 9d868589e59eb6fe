"""Strategy code that comes from outside: kept as text, approved by an operator, run behind walls, its weights taken in.

What belongs here: the order of these, and the file that is made of the answer. What does not: the walls
(`strategies.sandbox`), the rows (`ledger.strategy_code`), and taking a file in (`handing_in`).

A code decides weights for sessions that are asked for, each on the closes before it, and is shown nothing after the
last of those closes. What it decides becomes a weight file of a strategy of the manifest, and goes the way of every
other: the same intake, the same guards, the same planner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from scizor_dagster.backtest.model import History
from scizor_dagster.errors import ConfigError, DataError, InputError, LedgerError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import HandedIn, Sender, followers_of, hand_in
from scizor_dagster.flow.strategies import history_before
from scizor_dagster.ledger.strategy_code import CodeRow, CodeVerdict, code_named, is_approved, judge_code, note_code
from scizor_dagster.signals.manifest import OUR_COLUMNS, StrategyEntry
from scizor_dagster.strategies.sandbox import MAX_SOURCE_BYTES, require_name, weights_in_sandbox
from scizor_dagster.tabular.spreadsheet import csv_line

MOST_SESSIONS = 600
"""That one run decides for."""
MOST_SHOWN = 5000
"""Sessions of prices that a code is shown at most, the newest."""


def require_taken(desk: Desk) -> None:
    """Refuse code where the configuration does not take it.

    Raises:
        ConfigError: it does not.
    """
    if desk.config.api.strategy_code != "approve":
        raise ConfigError(
            "Strategy code is not taken here.",
            remedy="Send weight files. An operator who wants code says so: api.strategy_code: approve.",
            where=desk.config.source,
        )


def submit_code(desk: Desk, name: str, source: str, *, actor: str, reason: str) -> CodeRow:
    """Keep a code as text under its hash; nothing of it is compiled or run.

    Raises:
        ConfigError: code is not taken here, or the name is none.
        InputError: it is empty, too large, or no text.
    """
    require_taken(desk)
    require_name(name)
    if not source.strip() or "\0" in source or len(source.encode()) > MAX_SOURCE_BYTES:
        raise InputError(
            f"The code is empty, holds a NUL, or has more than {MAX_SOURCE_BYTES} bytes.",
            remedy="Send a module with a strategy, as docs/strategy-code.md shows one.",
            where="body.source",
        )
    hashed = hashlib.sha256(source.encode()).hexdigest()
    with desk.ledger.transaction() as connection:
        return note_code(connection, CodeRow(hashed, name, source, actor, reason, desk.clock()))


def approve_code(desk: Desk, code: str, *, approved: bool, actor: str, reason: str) -> CodeVerdict:
    """Say that a code may run, or may not any more. Raises as `ledger.strategy_code.judge_code`."""
    with desk.ledger.transaction() as connection:
        return judge_code(connection, code, approved=approved, actor=actor, reason=reason, now=desk.clock())


def run_code(
    desk: Desk,
    code: str,
    strategy: str,
    sessions: list[date],
    sender: Sender,
    parameters: Mapping[str, Any] | None = None,
) -> HandedIn:
    """Let an approved code decide weights for sessions, and take them in as a file of a strategy of the manifest.

    Args:
        desk: Whose configuration and stores.
        code: Hash of the code, or its first 12 digits and more.
        strategy: Of the manifest, one that a plain CSV is delivered for.
        sessions: That the weights trade in.
        sender: Who asks.
        parameters: Of the code's strategy.

    Raises:
        InputError: there is no such code, or it cannot decide for these sessions.
        LedgerError: nobody has approved it, or not any more.
        NotIsolated: this machine cannot keep it apart; nothing was run.
        DataError: it fails, takes too much, or answers no weights.
        SignalRefused: the weights, whole.
    """
    require_taken(desk)
    row = _approved(desk, code)
    entry = desk.manifest.strategy(strategy)
    _require_plain(entry)
    market = _market_of(desk, strategy)
    wanted = sorted(set(sessions))
    if not wanted or len(wanted) > MOST_SESSIONS:
        raise InputError(f"{len(wanted)} sessions were asked for.", remedy=f"Ask for 1 to {MOST_SESSIONS}.")
    calendar = desk.calendar(market)
    for session in wanted:
        calendar.require(session)
    history = _history(desk, market, wanted[-1])
    closes = [calendar.previous_session(session) for session in wanted]
    made = weights_in_sandbox(history, _rows(history, closes), row.name, row.source, parameters)
    undecided = [day for day, weights in zip(wanted, made, strict=True) if weights is None]
    if undecided:
        raise DataError(f"Code '{row.name}' decides nothing for {undecided[0]}.", remedy="Nothing was taken in.")
    dated = closes if entry.weights_dated == "signal_close" else wanted
    symbols = [item.symbol for item in history.instruments]
    # A session that names nothing says nothing: what is to be sold stands in it with 0.
    decided = [weights or dict.fromkeys(symbols, 0.0) for weights in made]
    data = _file(entry, list(zip(dated, decided, strict=True)))
    return hand_in(desk, strategy, data, replace(sender, code_hash=row.code_hash), wanted[-1])


def _rows(history: History, closes: list[date]) -> list[int]:
    known = {day: at for at, day in enumerate(history.sessions)}
    unknown = [close for close in closes if close not in known]
    if unknown:
        raise InputError(
            f"The close of {unknown[0]} is not among the prices that are collected.",
            remedy=f"Ask for sessions after {history.sessions[0]}, or collect more.",
        )
    return [known[close] for close in closes]


def _file(entry: StrategyEntry, decided: list[tuple[date, dict[str, float]]]) -> bytes:
    """A row for each symbol of each date, with weights of up to 12 decimals, under the headers of the entry."""
    rows = [
        [day.isoformat(), symbol, f"{weights[symbol]:.12f}".rstrip("0").rstrip(".")]
        for day, weights in decided
        for symbol in sorted(weights)
    ]
    return "".join(csv_line(row) for row in [[entry.columns[name] for name in OUR_COLUMNS], *rows]).encode()


def _approved(desk: Desk, code: str) -> CodeRow:
    with desk.ledger.read() as connection:
        row = code_named(connection, code)
        approved = is_approved(connection, row.code_hash)
    if not approved:
        raise LedgerError(
            f"Nobody has approved strategy code {row.code_hash[:12]}.",
            remedy=f"An operator reads it and says so: scizor strategy approve-code {row.code_hash} --reason TEXT.",
        )
    return row


def _require_plain(entry: StrategyEntry) -> None:
    plain = entry.format == "csv" and entry.layout != "wide" and entry.delimiter == "," and entry.decimal == "."
    if entry.function is not None or not plain or entry.percent or entry.require or entry.mapping is not None:
        raise ConfigError(
            f"Strategy '{entry.id}' does not take a plain CSV of tickers and shares.",
            remedy="Add one to the strategy manifest that does, with 'id', 'path' and 'format: csv' alone.",
        )


def _market_of(desk: Desk, strategy: str) -> str:
    followers = followers_of(desk, strategy)
    return desk.portfolio(followers[0]).market if followers else next(iter(desk.config.markets))


def _history(desk: Desk, market: str, last: date) -> History:
    """Prices up to the close before the last session, and nothing after it."""
    with desk.lake.pinned() as lake:
        return history_before(desk, lake, market, last, MOST_SHOWN)
