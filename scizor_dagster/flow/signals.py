"""From a weight file to the targets of one session.

What belongs here: the stages `raw_signals` and `target_weights`, and what schedules and sensors ask
of a weight file. What does not: the rules of intake and consolidation (`signals`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from scizor_dagster.errors import SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.signals.consolidation import TargetWeights, consolidate, store_targets
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.intake import AcceptedSignals, store_signals, take_in
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import read_identifier_map


@dataclass(frozen=True)
class TakenSignals:
    """Rows of one session as they stand in the accepted file."""

    accepted: AcceptedSignals
    rows: pd.DataFrame


def strategy_of(desk: Desk, portfolio: str) -> StrategyEntry:
    return desk.manifest.strategy(desk.portfolio(portfolio).signals.strategy)


def accept_file(desk: Desk, portfolio: str) -> AcceptedSignals:
    """Read the portfolio's weight file whole.

    Raises:
        SignalRefused: with every violation.
    """
    settings = desk.portfolio(portfolio)
    return take_in(
        strategy_of(desk, portfolio),
        desk.calendar(settings.market),
        settings.weights,
        settings.risk.fractional_shares,
    )


def select_signals(desk: Desk, portfolio: str, session: date) -> TakenSignals:
    """Accept the file and pick the rows that trade in `session`; stores nothing.

    Raises:
        NotASession: `session` is none of the market's calendar.
        SignalRefused: the file, or it has no rows for the session.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    accepted = accept_file(desk, portfolio)
    chosen = settings.signals
    return TakenSignals(accepted, select_session(accepted, session, chosen.as_of, chosen.max_age_sessions, calendar))


def take_signals(desk: Desk, portfolio: str, session: date) -> TakenSignals:
    """Accept the file and store the rows that trade in `session` in the lake."""
    taken = select_signals(desk, portfolio, session)
    strategy = desk.portfolio(portfolio).signals.strategy
    store_signals(desk.lake, strategy, session, taken.rows, taken.accepted, desk.clock())
    return taken


def session_targets(desk: Desk, portfolio: str, taken: TakenSignals, session: date) -> TargetWeights:
    """Map the rows to instruments and apply the portfolio's rules; stores nothing."""
    settings = desk.portfolio(portfolio)
    entry = strategy_of(desk, portfolio)
    return consolidate(
        taken.rows,
        entry,
        read_identifier_map(entry),
        desk.instruments(settings.market),
        priced=_priced(desk, entry, settings.market, session),
        weights=settings.weights,
        fractional=settings.risk.fractional_shares,
        accepted=taken.accepted,
        market=settings.market,
    )


def _priced(desk: Desk, entry: StrategyEntry, market: str, session: date) -> frozenset[str] | None:
    """Tickers with a stored price, only where an id may mean several and there is a lake to ask."""
    if entry.mapping is None or entry.mapping.on_ambiguous != "first_priced" or not desk.has_lake:
        return None
    before = desk.calendar(market).previous_session(session)
    return frozenset(last_closes(desk.lake, market, before)["symbol"])


def consolidate_session(desk: Desk, portfolio: str, session: date) -> TargetWeights:
    """Take the session's rows from the accepted file to targets, and store them in the lake."""
    taken = take_signals(desk, portfolio, session)
    targets = session_targets(desk, portfolio, taken, session)
    store_targets(desk.lake, portfolio, session, targets, desk.clock())
    return targets


def weight_sessions(desk: Desk, portfolio: str) -> frozenset[date]:
    """Sessions that the portfolio's weight file trades in; empty while it is missing or refused."""
    try:
        accepted = accept_file(desk, portfolio)
    except SignalRefused:
        return frozenset()
    return frozenset(accepted.frame["session"])


def weights_are_refused(desk: Desk, portfolio: str) -> bool:
    """Whether the weight file is there and refused: a run then says why, in the UI."""
    try:
        accept_file(desk, portfolio)
    except SignalRefused:
        return True
    return False


def weight_file_state(desk: Desk, portfolio: str) -> str | None:
    """Fingerprint of the weight file's content, or None while it does not exist."""
    path = Path(strategy_of(desk, portfolio).path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
