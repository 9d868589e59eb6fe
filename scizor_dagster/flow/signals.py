"""From weight files to the targets of one session.

What belongs here: the stages `raw_signals` and `target_weights`. What does not: what schedules and sensors
ask of weight files (`weight_files`), the rules of intake and consolidation (`signals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from scizor_dagster.errors import DataError
from scizor_dagster.flow.approving import plan_stands
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.guards import approval_text, background, known_market, owner_of
from scizor_dagster.flow.lifecycle import (
    idle_standings,
    idle_strategies,
    note_strategies,
    running_strategies,
)
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.strategies import compute_weights, delivered
from scizor_dagster.signals.consolidation import StrategyRows, consolidate
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.guards import judge
from scizor_dagster.signals.intake import AcceptedSignals, store_signals, take_in
from scizor_dagster.signals.mapping import read_identifier_map
from scizor_dagster.signals.targets import TargetWeights, read_targets, store_targets

KEPT = "The session's plan stands: these are the rows it was made from; the weight file was not read again."


@dataclass(frozen=True)
class TakenSignals:
    """Rows of one strategy in one session, and the file they come from.

    Attributes:
        rows: Columns asset_id, weight, weights_date, sheet, line.
        path: The file.
        file_hash: SHA-256 of its content.
        warnings: What was found in it and did not matter enough to refuse it.
        accepted: The file as it is now; None where the rows are those that an admitted plan was made from.
        approval: Who approved what was held of it, and why; empty where nothing was.
    """

    strategy: str
    rows: pd.DataFrame
    path: str
    file_hash: str
    warnings: tuple[str, ...]
    accepted: AcceptedSignals | None
    approval: str = ""


def accept_file(desk: Desk, portfolio: str, strategy: str, session: date | None = None) -> AcceptedSignals:
    """Read a strategy's weight file whole, by the portfolio's rules; a strategy that computes has one for a session.

    Raises:
        SignalRefused: with every violation.
    """
    settings, entry = desk.portfolio(portfolio), desk.manifest.strategy(strategy)
    return take_in(
        entry if session is None else delivered(desk, portfolio, entry, session),
        desk.calendar(settings.market),
        settings.weights,
        settings.risk.fractional_shares,
        owner=owner_of(desk, portfolio),
    )


def select_signals(desk: Desk, portfolio: str, session: date, strategy: str) -> TakenSignals:
    """Accept the file of a strategy and pick the rows that trade in `session`; stores none of them.

    The file of a strategy that computes its weights is written first.

    Raises:
        NotASession: `session` is none of the market's calendar.
        SignalRefused: the file, or it has no rows for the session.
        SignalHeld: the guards hold the session's rows, and nobody has approved them.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    compute_weights(desk, portfolio, session, strategy)
    accepted = accept_file(desk, portfolio, strategy, session)
    chosen = settings.signals
    entry, frame = desk.manifest.strategy(strategy), accepted.frame
    known = background(desk, portfolio, entry, session)
    rows = select_session(accepted, session, chosen.as_of, chosen.max_age_sessions, calendar, known.taken)
    judged = judge(entry, frame, rows, accepted.file_hash, session, known, wide=accepted.wide)
    if judged.held:
        raise accepted.holding(*judged.held, session=session)
    warnings = tuple(map(str, (*accepted.warnings, *judged.approved)))
    return TakenSignals(strategy, rows, accepted.path, accepted.file_hash, warnings, accepted, judged.approval)


def take_signals(desk: Desk, portfolio: str, session: date, strategy: str, *, look: bool = False) -> TakenSignals:
    """Accept a strategy's file and store the rows that trade in `session`.

    Of a session whose plan is admitted or approved, the rows that it was made from. With `look` the file is judged
    in any case; what a strategy computes is not looked for.
    """
    if look and desk.manifest.strategy(strategy).function is None:
        accept_file(desk, portfolio, strategy, session)
    if plan_stands(desk, portfolio, session):
        return _traded_signals(desk, portfolio, session, strategy)
    standing = idle_standings(desk, portfolio).get(strategy)
    if standing is not None:
        return _not_read(desk, strategy, f"{standing.sentence}; its weight file is not read.")
    taken = select_signals(desk, portfolio, session, strategy)
    assert taken.accepted is not None
    store_signals(desk.lake, strategy, session, taken.rows, taken.accepted, desk.clock())
    return taken


def _traded_signals(desk: Desk, portfolio: str, session: date, strategy: str) -> TakenSignals:
    """The stored rows behind an admitted plan, whatever the file holds or whether it is there."""
    made_of = stored_rows(desk, "target_attribution", portfolio=portfolio, session=session, strategy=strategy)
    if made_of.empty:
        return _no_part(desk, portfolio, session, strategy)
    file_hash = str(made_of["file_hash"].iloc[0])
    rows = stored_rows(desk, "signals", strategy=strategy, session=session, file_hash=file_hash)
    approval = approval_text(desk, portfolio, strategy, session, file_hash)
    return TakenSignals(strategy, rows, str(rows["path"].iloc[0]), file_hash, (KEPT,), None, approval)


def _no_part(desk: Desk, portfolio: str, session: date, strategy: str) -> TakenSignals:
    """A strategy that the portfolio follows only since the session's plan was admitted; the session goes on."""
    if not read_targets(desk.lake, portfolio, session).rows:
        raise DataError(
            f"The ledger admitted a plan for {session}, but the lake holds no targets of it.",
            remedy="Restore the lake from its backup; an admitted plan is never made anew.",
            where=f"portfolio {portfolio}",
        )
    return _not_read(desk, strategy, f"Strategy {strategy} has no part in the admitted plan.")


def _not_read(desk: Desk, strategy: str, why: str) -> TakenSignals:
    rows = pd.DataFrame(columns=["asset_id", "weight", "weights_date", "sheet", "line"])
    return TakenSignals(strategy, rows, desk.manifest.strategy(strategy).path, "", (why,), None)


def session_targets(desk: Desk, portfolio: str, taken: Sequence[TakenSignals], session: date) -> TargetWeights:
    """Map the rows of the portfolio's strategies to instruments and combine them; stores nothing.

    Raises:
        SignalRefused: the policies of a strategy refuse its rows.
        DataError: together, the targets are above their maximum.
    """
    settings = desk.portfolio(portfolio)
    parts = [_part(desk, item) for item in taken]
    idle = idle_strategies(desk, portfolio, session)
    return consolidate(
        parts,
        settings.signals,
        known_market(desk, settings.market, session, [part.identifiers for part in parts]),
        weights=settings.weights,
        fractional=settings.risk.fractional_shares,
        idle=idle,
    )


def _part(desk: Desk, taken: TakenSignals) -> StrategyRows:
    assert taken.accepted is not None
    entry = desk.manifest.strategy(taken.strategy)
    return StrategyRows(entry, read_identifier_map(entry), taken.rows, taken.accepted)


def consolidate_session(desk: Desk, portfolio: str, session: date) -> TargetWeights:
    """Take the session's rows from the accepted files to targets and store them; where its plan stands, those it has.

    What a plan in force was made from stays as it is: every order leads back to lines of those files. A strategy
    whose file is missing or refused, or has no rows for the session, refuses the session for the whole portfolio.
    """
    if plan_stands(desk, portfolio, session):
        stored = read_targets(desk.lake, portfolio, session)
        return TargetWeights(stored.rows, (KEPT,))
    strategies = running_strategies(desk, portfolio)
    # All of them are read before any is stored.
    taken = [select_signals(desk, portfolio, session, strategy) for strategy in strategies]
    targets = session_targets(desk, portfolio, taken, session)
    for item in taken:
        assert item.accepted is not None
        store_signals(desk.lake, item.strategy, session, item.rows, item.accepted, desk.clock())
    if not targets.rows:
        raise DataError(
            f"No strategy of portfolio '{portfolio}' runs, and none of them has a position to keep.",
            remedy="Start one: scizor strategy start NAME --reason TEXT.",
            where=f"portfolio {portfolio}",
        )
    store_targets(desk.lake, portfolio, session, targets, desk.clock())
    note_strategies(desk, portfolio)
    return targets
