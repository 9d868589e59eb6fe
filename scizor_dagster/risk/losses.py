"""The loss stops: from measured equity to the trading state that a loss leads to.

What belongs here: the figures of the newest session and the state's row. What does not: measuring
(`analytics.performance`), and what a state does to an order (`checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.trading_state import set_state

MACHINE = "scizor"
"""Who set a state that no person has set."""


@dataclass(frozen=True, slots=True)
class LossFigures:
    """Fractions up to the end of `session`; a loss is positive, a gain zero."""

    session: date
    day_loss: Decimal
    drawdown: Decimal


def loss_figures(curve: Sequence[tuple[date, Decimal]], starting: Decimal) -> LossFigures | None:
    """The figures of the curve's newest row; None without any.

    `curve` holds session and wealth, free of deposits, in order; `starting` is the wealth before the first. Where
    sessions were not measured, the newest row's loss is since the one measured before it.
    """
    if not curve:
        return None
    values = [starting, *(value for _, value in curve)]
    before, newest, high = values[-2], values[-1], max(values)
    return LossFigures(curve[-1][0], _loss(newest, before), _loss(newest, high))


def _loss(now: Decimal, before: Decimal) -> Decimal:
    """As a fraction of what was there; where nothing was left before, all of it."""
    return max(1 - now / before, Decimal(0)) if before > 0 else Decimal(1)


def stop_after_losses(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    figures: LossFigures | None,
    limits: PreTradeLimits,
    *,
    now: datetime,
) -> bool:
    """Set `limits.on_loss` where a loss is above its limit; once per session and limit, so that a resume holds.

    The row is written under a stricter state too: that one may expire, and who resumes has seen both.

    Returns:
        Whether a state was set.
    """
    if figures is None:
        return False
    stopped = False
    for name, loss, limit in (
        ("max_day_loss", figures.day_loss, limits.max_day_loss),
        ("max_drawdown", figures.drawdown, limits.max_drawdown),
    ):
        if limit is None or loss <= limit:
            continue
        stopped |= set_state(
            connection,
            account,
            portfolio,
            limits.on_loss,
            reason=f"{name}: {loss:.4f} at the close of {figures.session.isoformat()} against {limit} allowed",
            actor=MACHINE,
            now=now,
            cause=f"{name} {figures.session.isoformat()}",
        )
    return stopped
