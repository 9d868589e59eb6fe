"""The loss stops: from the wealth of each session to the trading state that a loss leads to.

What belongs here: the figures of the sessions that nobody has looked at yet, and the state's row. What does not:
what a portfolio was worth (`flow.wealth`), and what a state does to an order (`checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.risk.context import Decision, Finding, Verdict, plain
from scizor_dagster.risk.events import record
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.trading_state import TradingState, set_state

MACHINE = "scizor"
"""Who set a state that no person has set."""


@dataclass(frozen=True, slots=True)
class LossFigures:
    """Fractions up to the end of `session`; a loss is positive, a gain zero."""

    session: date
    day_loss: Decimal
    drawdown: Decimal


def loss_figures(
    curve: Sequence[tuple[date, Decimal]], starting: Decimal, since: date = date.min
) -> tuple[LossFigures, ...]:
    """The figures of the curve's rows from `since` on, oldest first; always those of its newest row.

    `curve` holds session and wealth, free of deposits, in order; `starting` is the wealth before the first. Where
    sessions are missing, a row's loss is since the row before it.
    """
    found, before, high = [], starting, starting
    for session, wealth in curve:
        high = max(high, wealth)
        found.append(LossFigures(session, _loss(wealth, before), _loss(wealth, high)))
        before = wealth
    return tuple(row for row in found if row.session >= since) or tuple(found[-1:])


def _loss(now: Decimal, before: Decimal) -> Decimal:
    """As a fraction of what was there; where nothing was left before, all of it."""
    return max(1 - now / before, Decimal(0)) if before > 0 else Decimal(1)


def stop_after_losses(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    figures: Sequence[LossFigures],
    limits: PreTradeLimits,
    *,
    now: datetime,
) -> None:
    """Set `limits.on_loss` where a loss is above its limit; once per session and limit, so that a resume holds.

    Of several sessions above a limit the newest counts. The row is written under a stricter state too: that one
    may expire, and who resumes has seen both. With each state goes a row of `risk_events` for `session`, the one
    whose orders it holds back.
    """
    for name, limit in (("max_day_loss", limits.max_day_loss), ("max_drawdown", limits.max_drawdown)):
        losses = {row.session: row.day_loss if name == "max_day_loss" else row.drawdown for row in figures}
        above = [day for day, loss in losses.items() if limit is not None and loss > limit]
        if limit is None or not above:
            continue
        day = max(above)
        new = set_state(
            connection,
            account,
            portfolio,
            limits.on_loss,
            reason=f"{name}: {losses[day]:.4f} at the close of {day.isoformat()} against {limit} allowed",
            actor=MACHINE,
            now=now,
            cause=f"{name} {day.isoformat()}",
        )
        if new:
            verdict = _verdict(name, losses[day], limit, limits.on_loss)
            record(
                connection,
                verdict,
                at=now,
                account=account,
                portfolio=portfolio,
                session=session,
                client_order_id=None,
            )


def _verdict(name: str, loss: Decimal, limit: Decimal, state: TradingState) -> Verdict:
    goes_out = "closing orders" if state is TradingState.REDUCING else "nothing"
    findings = (Finding(name, loss, limit, Decision.WAIT), Finding("trading_state", str(state), goes_out))
    return Verdict(Decision.WAIT, name, plain(loss), plain(limit), findings)
