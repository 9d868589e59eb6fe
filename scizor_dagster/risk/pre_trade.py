"""The one choke point: no order reaches a broker without a verdict from here.

What belongs here: the checks of a single order against what is owned, what is already under way and
the limits. What does not: facts (the caller reads them from ledger and broker), the row of a stop
(`events`), and the send itself, which the ledger refuses without a committed verdict
(`ledger.intents.mark_sending`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.risk.limits import PreTradeLimits

ZERO = Decimal(0)
OPENING = frozenset({PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_OPEN})


class Decision(StrEnum):
    PASS = "passed"  # noqa: S105  (a verdict, not a password)
    STOP = "stopped"
    """For good: the order ends here, with its reason."""
    WAIT = "waiting"
    """Not now: another order's unknown outcome freezes the instrument."""


class OrderToCheck(Protocol):
    """What the check reads of an order; `ledger.rows.IntentRow` is one."""

    @property
    def symbol(self) -> str: ...
    @property
    def intent(self) -> PositionIntent: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def notional(self) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of all checks: the first that did not pass, or `PASS`.

    Attributes:
        limit: Name of the limit that decided; empty for a pass.
        value: What the order would have made of it.
        threshold: What is allowed.
    """

    decision: Decision
    limit: str = ""
    value: str = ""
    threshold: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.limit}: {self.value} against {self.threshold} allowed" if self.limit else "passed"


@dataclass(frozen=True, slots=True)
class PreTradeContext:
    """What is true before the order, for the portfolio that it belongs to.

    Attributes:
        owned: Signed shares by symbol, from the ledger.
        closing: Unsigned shares by symbol that orders already under way take off what is owned.
        session_notional: Value of everything that was sent in this session.
        opening_notional: Value of opening orders that `buying_power` does not yet know of.
        buying_power: The broker's own figure; None where it was not read.
        frozen: Symbols with an order whose outcome is unknown, in any portfolio of the account.
    """

    owned: Mapping[str, Decimal]
    closing: Mapping[str, Decimal]
    session_notional: Decimal
    opening_notional: Decimal
    buying_power: Decimal | None
    frozen: Mapping[str, str] = field(default_factory=dict)

    def after(self, order: OrderToCheck) -> PreTradeContext:
        """The context once `order` is under way too: all orders count at once."""
        closing = dict(self.closing)
        if order.intent not in OPENING:
            closing[order.symbol] = closing.get(order.symbol, ZERO) + order.qty
        opening = order.notional if order.intent in OPENING else ZERO
        return replace(
            self,
            closing=closing,
            session_notional=self.session_notional + order.notional,
            opening_notional=self.opening_notional + opening,
        )


def check_order(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Verdict:
    """Check `order` against every limit, the definite stops first."""
    for check in _CHECKS:
        verdict = check(order, context, limits)
        if verdict is not None:
            return verdict
    return Verdict(Decision.PASS)


def _positive(order: OrderToCheck, _: PreTradeContext, __: PreTradeLimits) -> Verdict | None:
    if order.qty.is_finite() and order.qty > 0 and order.notional.is_finite() and order.notional > 0:
        return None
    return _stop("positive_quantity", f"{order.qty} shares worth {order.notional}", "more than zero")


def _share_limit(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Verdict | None:
    return _above("max_share_per_order", order.qty, limits.max_share_per_order)


def _notional_limit(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Verdict | None:
    return _above("max_notional_per_order", order.notional, limits.max_notional_per_order)


def _session_limit(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Verdict | None:
    return _above("max_total_notional", context.session_notional + order.notional, limits.max_total_notional)


def _frozen(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Verdict | None:
    if order.symbol not in context.frozen:
        return None
    return Verdict(Decision.WAIT, "instrument_frozen", context.frozen[order.symbol], "no unknown order")


def _ownership(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Verdict | None:
    """A close takes at most what is left of the position; a short opens only where nothing is held."""
    owned = context.owned.get(order.symbol, ZERO)
    under_way = context.closing.get(order.symbol, ZERO)
    if order.intent is PositionIntent.SELL_TO_CLOSE:
        return _above("owned_quantity", order.qty, max(owned - under_way, ZERO))
    if order.intent is PositionIntent.BUY_TO_CLOSE:
        return _above("short_quantity", order.qty, max(-owned - under_way, ZERO))
    if order.intent is PositionIntent.SELL_TO_OPEN and owned > 0:
        return _stop("crosses_zero", f"{owned} held", "nothing held")
    if order.intent is PositionIntent.BUY_TO_OPEN and owned < 0:
        return _stop("crosses_zero", f"{owned} held", "no short")
    return None


def _buying_power(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Verdict | None:
    if order.intent not in OPENING:
        return None
    if context.buying_power is None:
        return _stop("buying_power", str(order.notional), "a figure from the broker, and there is none")
    return _above("buying_power", context.opening_notional + order.notional, context.buying_power)


def _above(limit: str, value: Decimal, threshold: Decimal | None) -> Verdict | None:
    if threshold is None or value <= threshold:
        return None
    return _stop(limit, format(value.normalize(), "f"), format(threshold.normalize(), "f"))


def _stop(limit: str, value: str, threshold: str) -> Verdict:
    return Verdict(Decision.STOP, limit, value, threshold)


_CHECKS: tuple[Callable[[OrderToCheck, PreTradeContext, PreTradeLimits], Verdict | None], ...] = (
    _positive,
    _share_limit,
    _notional_limit,
    _frozen,
    _session_limit,
    _ownership,
    _buying_power,
)
