"""From single differences to breaks: what follows from what, all three parties' words, what each may be worth.

What belongs here: everything that looks at a difference beside the others. What does not: finding one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.model import Break, BreakClass, BreakKind, BrokerView, LedgerView, Severity, Stage
from scizor_dagster.reconciliation.positions import targets_of
from scizor_dagster.reconciliation.words import order_text, planned_text
from scizor_dagster.risk.breaks import LockScope

ZERO = Decimal(0)
OF_THE_ACCOUNT = frozenset({BreakKind.POSITION_DIFFERS, BreakKind.CASH_DIFFERS})
"""Kinds that are of the account as it is now, whichever portfolio and session finds them."""
_WITH_THE_PLAN = frozenset(
    {
        BreakKind.PLAN_NOT_ADMITTED,
        BreakKind.PLAN_MISSING,
        BreakKind.INTENT_WITHOUT_PLAN,
        BreakKind.PLANNED_WITHOUT_INTENT,
        BreakKind.INTENT_DIFFERS,
    }
)
"""Kinds whose two sides are plan and ledger; those of all others are ledger and broker."""
_OF_FILLS = frozenset({BreakKind.FILL_MISSING_IN_LEDGER, BreakKind.FILL_MISSING_AT_BROKER, BreakKind.FILL_DIFFERS})
_BY_FILLS = frozenset({BreakKind.FILLED_QTY_DIFFERS, BreakKind.STATE_DIFFERS})
_BY_AN_ORDER = frozenset({BreakKind.PLANNED_WITHOUT_INTENT, BreakKind.SENT_UNEXPECTEDLY, BreakKind.OUTCOME_UNKNOWN})


def judged(
    rows: Iterable[Break],
    plans: Sequence[Plan],
    ledger: LedgerView,
    broker: BrokerView,
    closes: Mapping[str, Close],
    *,
    portfolio: str,
    account: str,
    session: date,
) -> tuple[Break, ...]:
    """The differences as breaks, each named once: what follows from another one is information."""
    found = _consequences(list(rows))
    parties = _Parties(plans, broker)
    prices = _prices(ledger, broker, closes)
    worth = _worth(ledger, broker, closes)
    whole = (_whole(row, prices, worth, broker.account.currency) for row in found)
    return tuple(_named(parties.said(row), account, portfolio, session, ledger.accepted) for row in whole)


def _consequences(rows: list[Break]) -> list[Break]:
    """An order whose fills are named does not differ once more; nor do the fills of an order that is named."""
    roots = [row for row in rows if row.severity is Severity.ERROR]
    # A price or a fee that was corrected says nothing of how much an order has filled.
    by_fills = {row.client_order_id for row in roots if row.kind in _OF_FILLS and row.qty}
    by_state = {row.client_order_id for row in roots if row.kind is BreakKind.STATE_DIFFERS}
    by_order = {row.client_order_id for row in roots if row.kind in _BY_AN_ORDER}
    # What fills while both sides are read is recorded by the next look, and its order agrees then.
    coming = {row.client_order_id for row in rows if row.severity is Severity.WORKING and row.kind in _OF_FILLS}
    return [
        replace(row, severity=severity, cause=f"{row.cause}: it follows from the break of the same order")
        if row.severity is Severity.ERROR
        and (severity := _consequence(row, by_fills, by_state, by_order, coming)) is not None
        else row
        for row in rows
    ]


def _consequence(
    row: Break,
    by_fills: Collection[str | None],
    by_state: Collection[str | None],
    by_order: Collection[str | None],
    coming: Collection[str | None],
) -> Severity | None:
    name = row.client_order_id
    if (
        (row.kind in _BY_FILLS and name in by_fills)
        or (row.kind is BreakKind.OPEN_ORDER and name in by_state)
        or (row.kind in _OF_FILLS and name in by_order)
    ):
        return Severity.INFO
    return Severity.WORKING if row.kind in _BY_FILLS and name in coming else None


def _whole(row: Break, prices: Mapping[str, Decimal], worth: Mapping[str, Decimal], currency: str) -> Break:
    """With its currency and value; what is no break locks nothing."""
    held = row.locks if row.severity is Severity.ERROR else LockScope.NONE
    return replace(
        row,
        locks=held,
        currency=currency if row.amount is not None else None,
        value=_value(row, prices, worth) if row.severity is Severity.ERROR else None,
    )


def _value(row: Break, prices: Mapping[str, Decimal], worth: Mapping[str, Decimal]) -> Decimal | None:
    """The shares at the last price, in new units against old ones; money as it is; nothing where neither differs."""
    in_other_units = row.kind is BreakKind.POSITION_DIFFERS and row.break_class is BreakClass.CORPORATE_ACTION
    changed = worth.get(row.symbol or "") if in_other_units else None
    if changed is not None:
        return changed
    if row.qty is not None and row.stage is not Stage.CASH:
        price = prices.get(row.symbol or "")
        if row.qty == 0:
            return ZERO
        return None if price is None else abs(row.qty * price)
    return abs(row.amount) if row.amount is not None else ZERO


def _worth(ledger: LedgerView, broker: BrokerView, closes: Mapping[str, Close]) -> dict[str, Decimal]:
    """What holdings are worth as the broker shows them, less what they were before: a split is worth next to nothing.

    Of symbols that differ, and of which both prices are known: the broker's mark, and the last close.
    """
    return {
        row.symbol: abs(
            row.qty * row.market_price - (row.qty - ledger.differences[row.symbol]) * closes[row.symbol].price
        )
        for row in broker.positions
        if row.market_price and row.symbol in ledger.differences and row.symbol in closes
    }


def _prices(ledger: LedgerView, broker: BrokerView, closes: Mapping[str, Close]) -> dict[str, Decimal]:
    """Of each symbol the last close; without one the broker's mark, else what sized its order."""
    found = {row.symbol: row.price_used for row in ledger.intents if row.price_used > 0}
    found |= {row.symbol: row.price for row in broker.fills if row.price > 0}
    found |= {row.symbol: row.market_price for row in broker.positions if row.market_price}
    return found | {symbol: close.price for symbol, close in closes.items()}


class _Parties:
    """What plan, ledger and broker say of an order or an instrument."""

    def __init__(self, plans: Sequence[Plan], broker: BrokerView) -> None:
        self._planned = {order.client_order_id: planned_text(order) for plan in plans for order in plan.orders}
        self._targets = {symbol: f"{qty:f}" for symbol, qty in targets_of(plans).items() if qty is not None}
        self._orders = {row.client_order_id: order_text(row) for row in broker.orders}

    def said(self, row: Break) -> Break:
        name = row.client_order_id or ""
        if row.kind in _WITH_THE_PLAN:
            return replace(row, plan=row.expected, ledger=row.found, broker=self._orders.get(name, ""))
        plan = self._planned.get(name, "")
        if row.stage is Stage.POSITIONS and row.symbol is not None:
            plan = self._targets.get(row.symbol, "")
        return replace(row, plan=plan, ledger=row.expected, broker=row.found)


def _named(row: Break, account: str, portfolio: str, session: date, accepted: Mapping[str, str]) -> Break:
    """With the id by which the ledger knows it; one that a person has accepted is information.

    A difference of the account that is information by itself has the id by which it was accepted, if it was.
    """
    if row.severity is not Severity.ERROR:
        of_account = row.kind in OF_THE_ACCOUNT or row.kind is BreakKind.FOREIGN_POSITION
        known = of_account and (name := break_id(row, account, portfolio, session)) in accepted
        return replace(row, break_id=name) if known else row
    name = break_id(row, account, portfolio, session)
    if name not in accepted:
        return replace(row, break_id=name)
    said = f"{row.cause}; accepted by {accepted[name]}"
    return replace(row, break_id=name, severity=Severity.INFO, locks=LockScope.NONE, cause=said)


def break_id(row: Break, account: str, portfolio: str, session: date) -> str:
    """The same for the same difference: of the account by how much it is, of a session by what its sides say."""
    if row.kind in OF_THE_ACCOUNT or row.kind is BreakKind.FOREIGN_POSITION:
        # What is held by hand is the same difference, whether a portfolio owns some of it beside or not.
        kind = BreakKind.POSITION_DIFFERS if row.kind is BreakKind.FOREIGN_POSITION else row.kind
        size = row.amount if row.qty is None else row.qty
        identity = [account, kind, row.symbol, f"{(size or ZERO).normalize():f}"]
    else:
        facts = [row.client_order_id, row.expected, row.found]
        identity = [account, portfolio, session.isoformat(), row.kind, row.symbol, *facts]
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
