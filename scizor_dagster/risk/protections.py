"""Protections: what a run of losses locks, and for how long. Pure functions over fills and measured equity.

What belongs here: round trips out of fills, and the locks that each protection asks for. What does not: the
rows (`locks`), and reading fills and equity (`flow.risk`).

A round trip begins when a position leaves zero and ends when it is back there, or has crossed it. Its result is
all that was received less all that was paid, fees included. A split changes neither; dividends are not in it. A
delisting that leaves nothing ends it, with what was paid out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scizor_dagster.config import Cooldown, MaxDrawdown, Protection, StoplossGuard
from scizor_dagster.risk.locks import DueLock

ZERO = Decimal(0)
NOISE = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of a holding, in the order of time: a fill, an adoption, a split or a delisting (`factor`).

    `qty` is signed; `cash` is what it did to the cash, fee included; an adoption costs its value, and a delisting
    (factor 0) brings what is paid for the shares, which may be nothing.
    """

    session: date
    symbol: str
    qty: Decimal = ZERO
    cash: Decimal = ZERO
    factor: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Exit:
    """A position that was closed whole. `result` is in the portfolio's currency."""

    session: date
    symbol: str
    result: Decimal


def exits_of(movements: Sequence[Movement], at_first: Mapping[str, Decimal] | None = None) -> list[Exit]:
    """The round trips that ended, in the order of their ends.

    `at_first` is what was held before the first movement, by symbol: of a trip that had begun, the result counts from
    there only.
    """
    held = dict(at_first or {})
    results: dict[str, Decimal] = {}
    exits: list[Exit] = []
    for move in movements:
        old = held.get(move.symbol, ZERO)
        before = old * move.factor
        after = before + move.qty
        crossed = before * after < 0
        # The part of a fill that opens the other way belongs to the next round trip.
        closing = move.cash * (abs(before) / abs(move.qty)) if crossed else move.cash
        results[move.symbol] = results.get(move.symbol, ZERO) + closing
        if old != 0 and (crossed or abs(after) <= NOISE):
            exits.append(Exit(move.session, move.symbol, results[move.symbol]))
            results[move.symbol] = move.cash - closing
        held[move.symbol] = ZERO if abs(after) <= NOISE else after
    return exits


def due_locks(
    protections: Sequence[Protection],
    exits: Sequence[Exit],
    equity: Mapping[date, Decimal],
    sessions: Sequence[date],
    session: date,
) -> list[DueLock]:
    """Every lock that what happened before `session` asks for and that has not run out before it.

    Args:
        protections: As configured.
        exits: Closed positions.
        equity: Measured equity by session.
        sessions: The exchange's sessions in order, from the first that is looked at to well after `session`.
        session: The one about to be traded.
    """
    past = [one for one in exits if one.session < session and one.result < 0]
    days = _Days(sessions)
    found: list[DueLock] = []
    for protection in protections:
        if isinstance(protection, Cooldown):
            found += [_cooldown(protection, one, days) for one in past]
        elif isinstance(protection, StoplossGuard):
            found += _guard(protection, past, days)
        else:
            found += _drawdown(protection, {day: value for day, value in equity.items() if day < session}, days)
    return [lock for lock in found if lock.from_session <= session <= lock.until_session]


def sessions_back(protections: Sequence[Protection]) -> int:
    """How many sessions before the one about to be traded anything can still be a reason for a lock in it."""
    return max(
        rule.sessions if isinstance(rule, Cooldown) else rule.lookback_sessions + rule.lock_sessions
        for rule in protections
    )


class _Days:
    """Sessions by their number, so that a lock lasts sessions and not days."""

    def __init__(self, sessions: Sequence[date]) -> None:
        self._sessions = sessions

    def after(self, day: date, count: int) -> date:
        """The session `count` after `day`; the last that is known where there is none."""
        return self._sessions[min(bisect_right(self._sessions, day) + count - 1, len(self._sessions) - 1)]

    def between(self, first: date, last: date) -> int:
        """Number of sessions from `first` to `last`, both included."""
        return bisect_right(self._sessions, last) - bisect_right(self._sessions, first) + 1


def _cooldown(rule: Cooldown, one: Exit, days: _Days) -> DueLock:
    reason = f"{one.symbol} was closed on {one.session.isoformat()} with a result of {one.result:.2f}"
    first, last = days.after(one.session, 1), days.after(one.session, rule.sessions)
    return DueLock(one.symbol, rule.kind, reason, first, last, f"{one.result:.2f}", "no loss")


def _guard(rule: StoplossGuard, losses: Sequence[Exit], days: _Days) -> list[DueLock]:
    found = {}
    for number, last in enumerate(losses):
        if number + 1 < rule.count:
            continue
        first = losses[number + 1 - rule.count]
        if days.between(first.session, last.session) > rule.lookback_sessions:
            continue
        reason = (
            f"{rule.count} positions were closed with a loss from {first.session.isoformat()} to "
            f"{last.session.isoformat()}"
        )
        begin, end = days.after(last.session, 1), days.after(last.session, rule.lock_sessions)
        found[last.session] = DueLock(
            None, rule.kind, reason, begin, end, f"{rule.count} losing exits", f"fewer than {rule.count}"
        )
    return list(found.values())


def _drawdown(rule: MaxDrawdown, equity: Mapping[date, Decimal], days: _Days) -> list[DueLock]:
    found = []
    measured = sorted(equity)
    for day in measured:
        window = [other for other in measured if other <= day and days.between(other, day) <= rule.lookback_sessions]
        high = max(equity[other] for other in window)
        if high - equity[day] <= Decimal(str(rule.threshold)) * max(high, ZERO):
            continue
        # Where nothing was left, what is lost beyond it is all of it.
        fall = 1 - equity[day] / high if high > 0 else Decimal(1)
        reason = (
            f"equity of {day.isoformat()} is {fall * 100:.2f} % below the highest of {rule.lookback_sessions} sessions"
        )
        first, last = days.after(day, 1), days.after(day, rule.lock_sessions)
        found.append(DueLock(None, rule.kind, reason, first, last, f"{fall:.4f}", str(rule.threshold)))
    return found
