"""What schedules and sensors ask of a portfolio's weight files: what is new, and which sessions they name.

What belongs here: quick questions that store nothing and never raise for a bad file. What does not: taking the
files in (`signals`).
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

from scizor_dagster.errors import SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.signals import accept_file


def weight_sessions(desk: Desk, portfolio: str) -> frozenset[date]:
    """Sessions that the portfolio can trade in: those that the files of all its strategies name.

    With `as_of: latest`, those that any file names from the day on that all have weights. Empty while a file is
    missing or refused.
    """
    chosen = desk.portfolio(portfolio).signals
    named = [_sessions_of(desk, portfolio, strategy) for strategy in chosen.ids]
    if not all(named):
        return frozenset()
    if chosen.as_of == "exact":
        return frozenset.intersection(*map(frozenset, named))
    begun = max(min(sessions) for sessions in named)
    return frozenset(session for sessions in named for session in sessions if session >= begun)


def concerns(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether a run of `session` has something to do or to say: any of the files names it, is missing or is refused.

    Where one strategy has weights and another has none, the run refuses the session and says which.
    """
    strategies = desk.portfolio(portfolio).signals.ids
    return any(
        session in _sessions_of(desk, portfolio, strategy) or _is_refused(desk, portfolio, strategy)
        for strategy in strategies
    )


def _sessions_of(desk: Desk, portfolio: str, strategy: str) -> frozenset[date]:
    try:
        return frozenset(accept_file(desk, portfolio, strategy).sessions)
    except SignalRefused:
        return frozenset()


def _is_refused(desk: Desk, portfolio: str, strategy: str) -> bool:
    try:
        accept_file(desk, portfolio, strategy)
    except SignalRefused:
        return True
    return False


def missing_files(desk: Desk, portfolio: str) -> tuple[str, ...]:
    """Strategies whose weight file does not exist."""
    strategies = desk.portfolio(portfolio).signals.ids
    return tuple(name for name in strategies if not Path(desk.manifest.strategy(name).path).exists())


def weight_files_state(desk: Desk, portfolio: str) -> str | None:
    """Fingerprint of the content of the portfolio's weight files; None while one does not exist."""
    hashes: list[str] = []
    for strategy in desk.portfolio(portfolio).signals.ids:
        try:
            hashes.append(hashlib.sha256(Path(desk.manifest.strategy(strategy).path).read_bytes()).hexdigest())
        except FileNotFoundError:
            return None
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
