"""Positions: what the ledger assigns against what the broker shows.

What belongs here: the comparison and the end-of-day table. What does not: how quantities follow from
fills (`ledger.holdings`), and what they are worth together (`analytics.valuation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.planning.model import MANUAL, Plan
from scizor_dagster.reconciliation.explaining import Evidence, Part, position_parts
from scizor_dagster.reconciliation.model import (
    Break,
    BreakClass,
    BreakKind,
    BrokerView,
    EndOfDayPosition,
    LedgerView,
    Measures,
    Severity,
    Stage,
)
from scizor_dagster.risk.breaks import LockScope

ZERO = Decimal(0)
CENT = Decimal("0.01")
_FIND = (
    "Find the trade, transfer or corporate action behind it. What a portfolio shall own from now on, or owns under "
    "a new name: scizor adopt."
)
_REMEDIES = {
    Severity.ERROR: _FIND,
    Severity.WORKING: "Reconcile again once that order has ended.",
    Severity.INFO: "Nothing of its own: clear what has caused it.",
}


def position_breaks(
    ledger: LedgerView, broker: BrokerView, measures: Measures | None = None, evidence: Evidence | None = None
) -> Iterator[Break]:
    """Differences of quantity: a break in what Scizor manages, information elsewhere.

    An instrument is managed when a portfolio of the account owns some of it, traded it in the session, or did not
    agree at an earlier look. A difference whose parts are all named elsewhere is what follows from those. One with an
    order at the broker, of whatever session and portfolio, is at work: what it has filled may not be recorded yet.
    """
    rules, known = measures or Measures(), evidence or Evidence(ledger, broker, (), {})
    held = {row.symbol: row.qty for row in broker.positions}
    traded = {row.symbol for row in ledger.known_orders.values()} | {row.symbol for row in ledger.intents}
    for symbol, difference in sorted(ledger.differences.items()):
        found = held.get(symbol, ZERO)
        owned = found - difference
        if owned != 0 or symbol in traded or symbol in ledger.doubted:
            parts = position_parts(symbol, difference, known, rules.quantity)
            fraction = difference % 1 != 0 and _is_impossible(symbol, found, rules)
            yield _differs(symbol, owned, found, parts, fraction=fraction, under_way=symbol in ledger.under_way)
        else:
            yield _not_ours(symbol, owned, found)
    for symbol, qty in sorted(held.items()):
        if symbol not in ledger.differences and _is_impossible(symbol, qty, rules):
            yield _odd(symbol, qty)


def _is_impossible(symbol: str, qty: Decimal, measures: Measures) -> bool:
    """A fraction of what trades whole only: no order has made it, and none can sell it."""
    return qty % 1 != 0 and (symbol in measures.whole or not measures.fractional)


def _differs(
    symbol: str, owned: Decimal, found: Decimal, parts: Sequence[Part], *, fraction: bool, under_way: bool
) -> Break:
    difference = found - owned
    unknown = [part for part in parts if not part.known]
    rounding = bool(unknown) and all(part.break_class is BreakClass.ROUNDING for part in unknown)
    explained = bool(parts) and (not unknown or rounding) and not fraction
    severity = Severity.INFO if explained else Severity.WORKING if under_way else Severity.ERROR
    causes = [part.cause for part in parts]
    if severity is Severity.WORKING:
        causes.append("an order of it is at the broker, and what it has filled may not be recorded yet")
    if fraction:
        causes.append(f"the broker shows {found:f}, and only whole shares trade there")
    leading = max(unknown or parts, key=lambda part: abs(part.size), default=None)
    return Break(
        BreakKind.POSITION_DIFFERS,
        symbol,
        None,
        f"{owned:f}",
        f"{found:f}",
        severity,
        _REMEDIES[severity],
        stage=Stage.POSITIONS,
        break_class=leading.break_class if leading is not None else BreakClass.QUANTITY,
        cause="; ".join(causes),
        qty=difference,
        locks=LockScope.INSTRUMENT,
    )


def _odd(symbol: str, qty: Decimal) -> Break:
    return Break(
        BreakKind.FRACTION_HELD,
        symbol,
        None,
        f"{qty:f}",
        f"{qty:f}",
        Severity.INFO,
        "Sell the fraction at the broker, and hand what is left over: no order of Scizor's can.",
        stage=Stage.POSITIONS,
        break_class=BreakClass.QUANTITY,
        cause=f"ledger and broker agree on {qty:f}, and only whole shares trade there",
        qty=ZERO,
    )


def _not_ours(symbol: str, owned: Decimal, found: Decimal) -> Break:
    return Break(
        BreakKind.FOREIGN_POSITION,
        symbol,
        None,
        f"{owned:f}",
        f"{found:f}",
        Severity.INFO,
        "Held outside of Scizor, and left alone; scizor adopt hands it to a portfolio.",
        stage=Stage.POSITIONS,
        break_class=BreakClass.FOREIGN,
        cause="no portfolio of the account owns it or has traded it in the session",
        qty=found - owned,
    )


def targets_of(plans: Sequence[Plan]) -> dict[str, Decimal | None]:
    """What the session's plans want to be held, by symbol: a rebalance says all of it, a manual order its own line."""
    targets: dict[str, Decimal | None] = {}
    for plan in plans:
        said = {line.symbol: line.target_in_all for line in plan.lines}
        targets = {**targets, **said} if plan.origin == MANUAL else said
    return targets


def end_of_day(plans: Sequence[Plan], ledger: LedgerView, closes: Mapping[str, Close]) -> tuple[EndOfDayPosition, ...]:
    """What the portfolio holds or was meant to hold after the session, by symbol."""
    targets = targets_of(plans)
    wanted = {symbol for symbol, qty in targets.items() if qty}
    return tuple(
        _position(symbol, ledger, targets.get(symbol), closes.get(symbol))
        for symbol in sorted(wanted | set(ledger.owned))
    )


def _position(symbol: str, ledger: LedgerView, target: Decimal | None, close: Close | None) -> EndOfDayPosition:
    qty = ledger.owned.get(symbol, ZERO)
    return EndOfDayPosition(
        symbol=symbol,
        qty=qty,
        broker_qty=qty + ledger.differences.get(symbol, ZERO),
        target_qty=target,
        price=close.price if close else None,
        price_session=close.session if close else None,
        market_value=(qty * close.price).quantize(CENT) if close else None,
    )
