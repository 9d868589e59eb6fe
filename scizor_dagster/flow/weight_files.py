"""What schedules and sensors ask of a portfolio's weight files: what is new, and which sessions they name.

What belongs here: quick questions that store nothing and never raise for a bad file. What does not: taking the
files in (`signals`). The content of a strategy that computes its weights is its version.
"""

from __future__ import annotations

import hashlib
from datetime import date

from scizor_dagster.errors import ConfigError, SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import running_strategies, sells_off
from scizor_dagster.flow.signals import accept_file
from scizor_dagster.flow.strategies import strategy_of, trading_sessions
from scizor_dagster.signals.deliveries import content_hash
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.readers import WeightFileMissing


def weight_sessions(desk: Desk, portfolio: str) -> frozenset[date]:
    """Sessions that the portfolio can trade in: those that the files of all its strategies name.

    With `as_of: latest`, those that any file names from the day on that all have weights. Empty while a file is
    missing or refused.
    """
    chosen = desk.portfolio(portfolio).signals
    named = [sessions_named(desk, portfolio, strategy) for strategy in running_strategies(desk, portfolio)]
    if not named or not all(named):
        return frozenset()
    if chosen.as_of == "exact":
        return frozenset.intersection(*map(frozenset, named))
    begun = max(min(sessions) for sessions in named)
    return frozenset(session for sessions in named for session in sessions if session >= begun)


def concerns(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether a run of `session` has something to do or to say: any of the files names it, is missing or is refused.

    Where one strategy has weights and another has none, the run refuses the session and says which. A strategy that
    is paused or stopped has nothing to say, unless its positions are to be sold.
    """
    return sells_off(desk, portfolio, session) or any(
        session in sessions_named(desk, portfolio, strategy) or _is_refused(desk, portfolio, strategy)
        for strategy in running_strategies(desk, portfolio)
    )


def sessions_named(desk: Desk, portfolio: str, strategy: str) -> frozenset[date]:
    """Sessions that a strategy has weights for; none while its file or its code cannot be used."""
    entry = desk.manifest.strategy(strategy)
    if entry.function is not None:
        return frozenset() if _code(desk, entry) is None else trading_sessions(desk, portfolio, entry)
    try:
        return frozenset(accept_file(desk, portfolio, strategy).sessions)
    except SignalRefused:
        return frozenset()


def _is_refused(desk: Desk, portfolio: str, strategy: str) -> bool:
    entry = desk.manifest.strategy(strategy)
    if entry.function is not None:
        return _code(desk, entry) is None
    try:
        accept_file(desk, portfolio, strategy)
    except SignalRefused:
        return True
    return False


def _code(desk: Desk, entry: StrategyEntry) -> str | None:
    """The version of a strategy that computes its weights; None while its code cannot be used."""
    try:
        return strategy_of(desk, entry).version
    except ConfigError:
        return None


def missing_files(desk: Desk, portfolio: str) -> tuple[str, ...]:
    """Strategies without a weight file: there is none, it is a pipe or a device, or it may not be read."""
    return tuple(name for name in running_strategies(desk, portfolio) if _content(desk, name) is None)


def weight_files_state(desk: Desk, portfolio: str) -> str | None:
    """Fingerprint of the content of the portfolio's weight files; None while one cannot be read."""
    hashes = [_content(desk, strategy) for strategy in running_strategies(desk, portfolio)]
    known = [item for item in hashes if item is not None]
    if not known or len(known) < len(hashes):
        return None
    return known[0] if len(known) == 1 else hashlib.sha256("".join(known).encode()).hexdigest()


def _content(desk: Desk, strategy: str) -> str | None:
    entry = desk.manifest.strategy(strategy)
    if entry.function is not None:
        return _code(desk, entry) or "unread"
    try:
        # What may not be read (a link, too large) has no hash: that it is so is its content.
        return content_hash(entry) or "unread"
    except WeightFileMissing:
        return None
