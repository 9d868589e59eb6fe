"""Positions and cash: what the ledger assigns against what the broker shows.

What belongs here: the comparison and the end-of-day table. What does not: how quantities follow from
fills (`ledger.holdings`), and what they are worth together (`analytics.valuation`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.model import (
    Break,
    BreakKind,
    BrokerView,
    EndOfDayPosition,
    LedgerView,
    Severity,
)

ZERO = Decimal(0)
CENT = Decimal("0.01")


def position_breaks(ledger: LedgerView, broker: BrokerView) -> Iterator[Break]:
    """Differences of quantity: a break in what Scizor manages, information elsewhere.

    An instrument is managed when a portfolio of the account owns some of it, or traded it in the session.
    """
    held = {row.symbol: row.qty for row in broker.positions}
    traded = {row.symbol for row in ledger.known_orders.values()} | {row.symbol for row in ledger.intents}
    for symbol, difference in sorted(ledger.differences.items()):
        found = held.get(symbol, ZERO)
        owned = found - difference
        managed = owned != 0 or symbol in traded
        yield Break(
            BreakKind.POSITION_DIFFERS if managed else BreakKind.FOREIGN_POSITION,
            symbol,
            None,
            f"{owned:f}",
            f"{found:f}",
            Severity.ERROR if managed else Severity.INFO,
            "Find the trade, transfer or corporate action behind it before anything else is traded."
            if managed
            else "Held outside of Scizor, and left alone.",
        )


def doubtful_positions(
    positions: Sequence[BrokerPosition], differences: Mapping[str, Decimal], whole: Collection[str], *, fractional: bool
) -> dict[str, str]:
    """Positions that no trade of Scizor's can have made, by symbol, each with the reason: they are frozen.

    Args:
        positions: What the broker shows.
        differences: Broker quantity less what the ledger assigns to portfolios; agreement is left out.
        whole: Symbols that trade in whole shares only.
        fractional: Whether the broker takes fractions at all.
    """
    found: dict[str, str] = {}
    for row in positions:
        owned = row.qty - differences.get(row.symbol, ZERO)
        if owned * row.qty < 0:
            found[row.symbol] = f"The broker shows {row.qty:f}, and the portfolios own {owned:f}: the other side."
        elif row.qty % 1 != 0 and (row.symbol in whole or not fractional):
            found[row.symbol] = f"The broker shows {row.qty:f}, and only whole shares trade there."
    return found


def cash_breaks(ledger: LedgerView, broker: BrokerView) -> Iterator[Break]:
    """Cash of the whole account to the cent; where it cannot be compared, that is said."""
    if ledger.cash is None:
        if ledger.cash_note:
            remedy = "It is compared once those orders have ended: reconcile the session again then."
            found = f"{broker.account.cash:.2f}"
            kind = BreakKind.CASH_NOT_COMPARED
            yield Break(kind, None, None, ledger.cash_note, found, Severity.INFO, remedy)
        return
    if abs(ledger.cash - broker.account.cash) < CENT:
        return
    yield Break(
        BreakKind.CASH_DIFFERS,
        None,
        None,
        f"{ledger.cash:.2f}",
        f"{broker.account.cash:.2f}",
        Severity.ERROR,
        "Find the fee, interest, deposit or fill that the ledger does not have.",
    )


def end_of_day(plans: Sequence[Plan], ledger: LedgerView, closes: Mapping[str, Close]) -> tuple[EndOfDayPosition, ...]:
    """What the portfolio holds or was meant to hold after the session, by symbol."""
    targets = {line.symbol: line.target_qty for line in plans[-1].lines} if plans else {}
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
