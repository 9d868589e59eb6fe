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

from scizor_dagster.errors import DataError, SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import is_admitted, stale_symbols, stored_rows
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.signals.consolidation import TargetWeights, consolidate, read_targets, store_targets
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.intake import AcceptedSignals, store_signals, take_in
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import read_identifier_map

KEPT = "The session's plan is admitted: these are the rows it was made from; the weight file was not read again."


@dataclass(frozen=True)
class TakenSignals:
    """Rows of one session, and the file they come from.

    Attributes:
        rows: Columns asset_id, weight, weights_date, sheet, line.
        path: The file.
        file_hash: SHA-256 of its content.
        warnings: What was found in it and did not matter enough to refuse it.
        accepted: The file as it is now; None where the rows are those that an admitted plan was made from.
    """

    rows: pd.DataFrame
    path: str
    file_hash: str
    warnings: tuple[str, ...]
    accepted: AcceptedSignals | None


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
    rows = select_session(accepted, session, chosen.as_of, chosen.max_age_sessions, calendar)
    return TakenSignals(rows, accepted.path, accepted.file_hash, tuple(map(str, accepted.warnings)), accepted)


def take_signals(desk: Desk, portfolio: str, session: date) -> TakenSignals:
    """Accept the file and store the rows that trade in `session`; of an admitted session, the rows it was made from."""
    if is_admitted(desk, portfolio, session):
        return _traded_signals(desk, portfolio, session)
    taken = select_signals(desk, portfolio, session)
    assert taken.accepted is not None
    strategy = desk.portfolio(portfolio).signals.strategy
    store_signals(desk.lake, strategy, session, taken.rows, taken.accepted, desk.clock())
    return taken


def _traded_signals(desk: Desk, portfolio: str, session: date) -> TakenSignals:
    """The stored rows behind an admitted plan, whatever the file holds or whether it is there."""
    targets = stored_rows(desk, "target_weights", portfolio=portfolio, session=session)
    if targets.empty:
        raise DataError(
            f"The ledger admitted a plan for {session}, but the lake holds no targets of it.",
            remedy="Restore the lake from its backup; an admitted plan is never made anew.",
            where=f"portfolio {portfolio}",
        )
    strategy, file_hash = (str(targets[name].iloc[0]) for name in ("strategy", "file_hash"))
    rows = stored_rows(desk, "signals", strategy=strategy, session=session, file_hash=file_hash)
    return TakenSignals(rows, str(rows["path"].iloc[0]), file_hash, (KEPT,), None)


def session_targets(desk: Desk, portfolio: str, taken: TakenSignals, session: date) -> TargetWeights:
    """Map the rows to instruments and apply the portfolio's rules; stores nothing."""
    assert taken.accepted is not None
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
    """Tickers with a price young enough to trade on, only where an id may mean several and there is a lake to ask."""
    if entry.mapping is None or entry.mapping.on_ambiguous != "first_priced" or not desk.has_lake:
        return None
    calendar = desk.calendar(market)
    before = calendar.previous_session(session)
    closes = last_closes(desk.lake, market, before)
    return frozenset(set(closes["symbol"]) - stale_symbols(desk, market, closes, before))


def consolidate_session(desk: Desk, portfolio: str, session: date) -> TargetWeights:
    """Take the session's rows from the accepted file to targets and store them; of an admitted session, those it has.

    What a plan in force was made from stays as it is: every order leads back to a line of that file.
    """
    if is_admitted(desk, portfolio, session):
        return TargetWeights.from_frame(read_targets(desk.lake, portfolio, session), (KEPT,))
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
