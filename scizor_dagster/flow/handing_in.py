"""A weight file that somebody hands in: judged as one of the folder is, then laid where such a file lies.

What belongs here: the order of judging, laying and noting, and the names of files. What does not: the rules of intake
(`signals`), and what is traded from the file (`flow.signals`), which is that of every other file.

Taken whole or refused whole: until the file is accepted nothing is where intake looks, and the one that was accepted
last stays. A file that is held for a person is laid there too, and waits for its approval as any other would.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from scizor_dagster.config import WeightRules
from scizor_dagster.errors import HandedInMeanwhile, InputError, ScizorError, SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.guards import check_weights, owner_of
from scizor_dagster.ledger.deliveries import DeliveryRow, deliveries_of, note_delivery
from scizor_dagster.signals.computed import write_whole
from scizor_dagster.signals.deliveries import files_of, has_several
from scizor_dagster.signals.intake import AcceptedSignals, take_in
from scizor_dagster.signals.manifest import StrategyEntry, is_pattern
from scizor_dagster.signals.readers import MAX_FILE_BYTES, SIDECAR, WeightFileMissing
from scizor_dagster.signals.report import SignalReport, Violation
from scizor_dagster.signals.spec import NOBODY

FOLDER = "handed_in"
"""In the data folder: files while they are judged, under names of our own."""
_LISTED = 5


@dataclass(frozen=True)
class Sender:
    """Who hands in: the actor, the request, and the hash of the code that computed it (empty where none did)."""

    actor: str
    request_id: str = ""
    code_hash: str = ""


@dataclass(frozen=True)
class HandedIn:
    """A file that was taken.

    Attributes:
        fresh: Whether it was laid now; else the same content lay there already.
        report: The verdict, of the portfolio that judges it most strictly: `accepted` or `held`.
        sessions: That it trades in, ascending.
    """

    delivery: DeliveryRow
    fresh: bool
    report: SignalReport
    sessions: tuple[date, ...]


def followers_of(desk: Desk, strategy: str) -> list[str]:
    """Portfolios that follow a strategy."""
    return [name for name, item in desk.config.portfolios.items() if strategy in item.signals.ids]


def hand_in(desk: Desk, strategy: str, data: bytes, sender: Sender, session: date | None = None) -> HandedIn:
    """Take a weight file in for a strategy of the manifest.

    Args:
        desk: Whose configuration and stores.
        strategy: Of the manifest, one that a file is delivered for.
        data: The file.
        sender: Who it comes from; stands in the ledger, and in `scizor explain`.
        session: One that it must have rows for; without one, those that it names.

    Raises:
        SignalRefused: with every violation; nothing was changed.
        InputError: it is too large, or the strategy takes no file.
        LedgerError: another is being handed in for the strategy just now.
        ConfigError: there is no such strategy.
    """
    entry = desk.manifest.strategy(strategy)
    _require_taken(entry, data)
    file_hash = hashlib.sha256(data).hexdigest()
    with desk.ledger.process_lock(f"weights-{strategy}") as held:
        if not held:
            raise HandedInMeanwhile(
                f"Another file is being handed in for strategy '{strategy}'.",
                remedy="Nothing was changed. Send it again in a moment.",
            )
        with _staged(desk, entry, data, file_hash) as path:
            report, accepted = _judged(desk, entry, path, session)
        target = _place(entry, accepted, file_hash)
        _require_own_dates(desk, entry, accepted, target)
        fresh = not (target.is_file() and not target.is_symlink() and _hash(target) == file_hash)
        if fresh:
            _lay(target, data, file_hash)
        row = _noted(desk, strategy, target, data, file_hash, sender, fresh=fresh)
    return HandedIn(row, fresh, replace(report, path=str(target)), accepted.sessions)


def _require_taken(entry: StrategyEntry, data: bytes) -> None:
    if entry.function is not None:
        raise InputError(
            f"Strategy '{entry.id}' computes its weights, and takes no file.",
            remedy="Name one with a 'path' in the strategy manifest.",
        )
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"The file has {len(data)} bytes; {MAX_FILE_BYTES} are allowed.",
            remedy="Send only the dates that still matter.",
        )
    if is_pattern(entry.path) and not _one_star(entry):
        raise InputError(
            f"No name can be given to a file of strategy '{entry.id}': its pattern is '{Path(entry.path).name}'.",
            remedy="Let the pattern in the strategy manifest have one '*', and neither '?' nor '['.",
        )


def _one_star(entry: StrategyEntry) -> bool:
    name = Path(entry.path).name
    return name.count("*") == 1 and not re.search(r"[?\[]", name)


@contextmanager
def _staged(desk: Desk, entry: StrategyEntry, data: bytes, file_hash: str) -> Iterator[Path]:
    """The file under a name of our own, for as long as it is judged."""
    path = desk.settings.home / FOLDER / f"{file_hash}.{entry.format}"
    write_whole(path, data)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _judged(desk: Desk, entry: StrategyEntry, path: Path, session: date | None) -> tuple[SignalReport, AcceptedSignals]:
    """The verdict of all who follow the strategy: the first that refuses, else that holds, else the first."""
    followers: Sequence[str | None] = followers_of(desk, entry.id) or [None]
    reports = []
    for name in followers:
        report = check_weights(desk, name, entry, session, path)
        if report.status == "refused":
            raise _refusal(entry, report.violations)
        reports.append(report)
    known = followers[0] or next(iter(desk.config.portfolios))
    rules = desk.portfolio(known)
    owner = owner_of(desk, known) if followers[0] is not None else NOBODY
    weights = rules.weights if followers[0] is not None else WeightRules()
    accepted = take_in(entry, desk.calendar(rules.market), weights, rules.risk.fractional_shares, path, owner)
    return next((item for item in reports if item.status == "held"), reports[0]), accepted


def _refusal(entry: StrategyEntry, violations: Sequence[Violation]) -> SignalRefused:
    """The refusal in words for somebody who does not have our files."""
    error = SignalRefused(entry.id, "", violations)
    told = "; ".join(map(str, violations[:_LISTED]))
    rest = len(violations) - _LISTED
    ScizorError.__init__(
        error,
        f"The weight file was refused: {told}" + (f"; and {rest} more" if rest > 0 else ""),
        remedy=f"{violations[0].remedy} Nothing was changed: the file that was accepted last stays.",
        where=f"strategy {entry.id}",
    )
    return error


def _place(entry: StrategyEntry, accepted: AcceptedSignals, file_hash: str) -> Path:
    """Where the file lies: at the strategy's path; of a pattern, under a name that says its first session."""
    path = Path(entry.path)
    if not is_pattern(entry.path):
        return path
    return path.with_name(path.name.replace("*", f"{accepted.sessions[0]}-{file_hash[:12]}"))


def _require_own_dates(desk: Desk, entry: StrategyEntry, accepted: AcceptedSignals, target: Path) -> None:
    """Refuse a file of a pattern that names sessions of another one: intake would refuse both."""
    if not has_several(entry):
        return
    known = (followers_of(desk, entry.id) or list(desk.config.portfolios))[0]
    rules = desk.portfolio(known)
    try:
        others = [path for path in files_of(entry) if path != target]
    except WeightFileMissing:
        return
    mine = set(accepted.sessions)
    for path in others:
        single = entry.model_copy(update={"path": str(path)})
        there = take_in(single, desk.calendar(rules.market), rules.weights, rules.risk.fractional_shares)
        shared = sorted(mine & set(there.sessions))
        if shared:
            problem = f"Session {shared[0]} has weights in {path.name} already."
            remedy = "Send only the sessions that no other file has, or take that file away."
            raise _refusal(entry, [Violation("two_files_one_date", problem, remedy, value=str(shared[0]))])


def _lay(target: Path, data: bytes, file_hash: str) -> None:
    try:
        write_whole(target, data)
        beside = target.with_name(target.name + SIDECAR)
        if beside.is_file():
            # A checksum that somebody delivered is of the file before.
            write_whole(beside, f"{file_hash}  {target.name}\n".encode())
    except OSError as error:
        raise InputError(
            f"The file cannot be laid into its folder ({error.strerror}).",
            remedy="Nothing was changed. Let the process that serves write to the folder of the weight files.",
            where=str(target.parent),
        ) from error


def _noted(
    desk: Desk, strategy: str, target: Path, data: bytes, file_hash: str, sender: Sender, *, fresh: bool
) -> DeliveryRow:
    """The delivery's row; of a content that lies there already, the one that it has."""
    row = DeliveryRow(
        strategy, file_hash, str(target), len(data), sender.actor, sender.request_id, sender.code_hash, desk.clock()
    )
    with desk.ledger.transaction() as connection:
        known = deliveries_of(connection, strategy, file_hash)
        if known and not fresh:
            return known[0]
        return note_delivery(connection, row)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
