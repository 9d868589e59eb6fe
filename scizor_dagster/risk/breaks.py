"""What open breaks keep from being sent: an instrument each, and everything once they are too many or too large.

What belongs here: the limits and what follows from the rows, asked at planning, at admission and before every send.
What does not: the rows (`ledger.breaks`), and finding a break (`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from scizor_dagster.ledger.breaks import BreakRow, open_breaks

ZERO = Decimal(0)
OPEN_BREAK = "open_break"
"""Name of the limit in verdicts and refusals."""


class LockScope(StrEnum):
    """What does not trade while a break is open."""

    NONE = "none"
    """Nothing by itself; it counts against the limits."""
    ORDER = "order"
    """Its order freezes the instrument by itself until its outcome is known; it counts against no limit."""
    INSTRUMENT = "instrument"
    """Its instrument, in every portfolio of the account."""
    PORTFOLIO = "portfolio"
    """The whole portfolio: no instrument can be told."""


@dataclass(frozen=True, slots=True)
class BreakLimits:
    """From when on open breaks stop a portfolio; None is no limit.

    Attributes:
        max_open: How many may be open.
        max_value_share: What they may be worth together, as a share of equity.
    """

    max_open: int | None = None
    max_value_share: Decimal | None = None


NO_LIMITS = BreakLimits()

Holds = dict[str | None, str]
"""Why orders wait, by symbol; None stands for every symbol of the portfolio."""


def holds_of(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    limits: BreakLimits,
    equity: Callable[[], Decimal | None],
) -> Holds:
    """What the account's open breaks keep `portfolio` from trading at this moment.

    `equity` is asked only where it matters, in the account's currency; None is not known.
    """
    mine = _mine(open_breaks(connection, account), portfolio)
    if not mine:
        return {}
    why = _all_of_it(mine, limits, equity)
    return {**locked_by(mine), **({None: why} if why else {})}


def locked_symbols(connection: sa.Connection, account: str) -> dict[str, str]:
    """Instruments that no portfolio of the account trades, each with the sentence that says why."""
    return {name: why for name, why in locked_by(open_breaks(connection, account)).items() if name is not None}


def locked_by(rows: Sequence[BreakRow]) -> Holds:
    """The oldest reason of each instrument that one of the breaks locks."""
    found: Holds = {}
    for row in rows:
        if row.locks == LockScope.INSTRUMENT:
            found.setdefault(row.symbol, sentence(row))
    return found


def sentence(row: BreakRow) -> str:
    """A break as a reason not to trade: whose it is, and where it is of one portfolio, what clears it."""
    clear = f" (cleared by {clearing(row, row.portfolio)})" if row.portfolio is not None else ""
    found = f"locked by break {row.break_id} ({row.break_class}) of {whose(row)}, {row.session.isoformat()}"
    return f"{found}: {row.cause}{clear}"


def whose(row: BreakRow) -> str:
    """The portfolio whose session differs, or the account."""
    return "the account" if row.portfolio is None else f"portfolio {row.portfolio}"


def clearing(row: BreakRow, portfolio: str) -> str:
    """The command that clears the break once the parties agree; one of the account by any `portfolio` of it."""
    if row.portfolio is None:
        return f"scizor reconcile --portfolio {portfolio}"
    return f"scizor reconcile --portfolio {row.portfolio} --date {row.session.isoformat()}"


def _mine(rows: Sequence[BreakRow], portfolio: str) -> list[BreakRow]:
    """Those that concern the portfolio: its own, the account's, and what locks an instrument for everybody."""
    return [row for row in rows if row.portfolio in (portfolio, None) or row.locks == LockScope.INSTRUMENT]


def _all_of_it(mine: Sequence[BreakRow], limits: BreakLimits, equity: Callable[[], Decimal | None]) -> str:
    """Why the whole portfolio stands still; empty where it does not."""
    for row in mine:
        if row.locks == LockScope.PORTFOLIO:
            return sentence(row)
    counted = [row for row in mine if row.locks != LockScope.ORDER]
    if limits.max_open is not None and len(counted) > limits.max_open:
        return f"{len(counted)} breaks are open, and reconciliation.max_open_breaks allows {limits.max_open}"
    if limits.max_value_share is None or not counted:
        return ""
    unknown = next((row for row in counted if row.value is None), None)
    if unknown is not None:
        return f"nobody can say what break {unknown.break_id} is worth: {unknown.cause}"
    value, whole = sum((row.value or ZERO for row in counted), ZERO), equity()
    if whole is None:
        return f"open breaks are worth {value:.2f}, and no equity is known to measure them by"
    if value <= limits.max_value_share * whole:
        return ""
    return (
        f"open breaks are worth {value:.2f} of an equity of {whole:.2f}, and reconciliation.max_break_value_pct allows "
        f"{limits.max_value_share}"
    )
