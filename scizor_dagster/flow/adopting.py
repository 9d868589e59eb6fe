"""A person hands a portfolio what its account holds and no portfolio owns.

What belongs here: what may be handed over, at what price, and from which session on. What does not: the entry in the
ledger (`ledger.adoptions`), and taking in orders that a lost ledger had sent (`execution.rebuilding`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import catch_up, execution_parts
from scizor_dagster.flow.ledger_care import require_ledger
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.holdings import foreign, owned
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rows import intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.market_data.reading import last_closes

ZERO = Decimal(0)
_AT_BROKER = tuple(state for state in IntentState if state.at_broker)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a portfolio owns from the end of `session` on: signed shares, and what one counts as having cost."""

    symbol: str
    qty: Decimal
    price: Decimal
    session: date
    renamed_from: str | None = None


def adopt_position(
    desk: Desk,
    portfolio: str,
    symbol: str,
    *,
    qty: Decimal | None,
    price: Decimal | None,
    renamed_from: str | None,
    actor: str,
) -> Adopted:
    """Let the portfolio own shares of its account that nobody owns, from the last closed session on.

    Args:
        desk: The stores and the brokers.
        portfolio: Who shall own them.
        symbol: As the account has it.
        qty: Signed shares, at most what nobody owns; None for all of it.
        price: What a share counts as having cost; None for the last close.
        renamed_from: The name under which the portfolio has owned as many: that holding ends.
        actor: Who hands them over.

    Raises:
        InputError: there is no ledger, nobody's shares are fewer or on the other side of zero, no holding ends
            under the old name, an order for either is at the broker, or no price is known.
        AccountBusy, BrokerUnavailable, WrongAccount: as for every look at an account.
    """
    require_ledger(desk)
    parts = execution_parts(desk, portfolio, "adopt")
    account = parts["account"]
    session = desk.calendar(desk.portfolio(portfolio).market).last_closed(desk.clock())
    # What a fill that nobody has recorded yet brought in is not nobody's.
    catch_up(desk, portfolio, session)
    with lease(desk.ledger, account, parts["holder"], desk.clock) as held:
        positions = parts["broker"].positions()
        shown = {row.symbol for row in positions if row.qty}
        with desk.ledger.transaction() as connection:
            held.guard(connection)
            _refuse_under_way({row.symbol for row in intents_in(connection, account, _AT_BROKER)}, symbol, renamed_from)
            beside = foreign(connection, account, positions)
            if renamed_from is not None:
                before = owned(connection, account, portfolio).get(renamed_from, ZERO)
                qty = _ended(before, symbol, renamed_from, shown, qty)
            wanted = _wanted(beside, symbol, qty)
            paid = _price(desk, portfolio, renamed_from or symbol, session) if price is None else price
            rows = {symbol: wanted} if renamed_from is None else {renamed_from: -wanted, symbol: wanted}
            now = desk.clock()
            for name, shares in rows.items():
                adopt(connection, account, portfolio, name, shares, price=paid, session=session, actor=actor, now=now)
    return Adopted(symbol, wanted, paid, session, renamed_from)


def _wanted(beside: Mapping[str, Decimal], symbol: str, qty: Decimal | None) -> Decimal:
    """As much of what nobody owns as is asked for."""
    there = beside.get(symbol, ZERO)
    wanted = there if qty is None else qty
    if not there or wanted * there <= 0 or abs(wanted) > abs(there):
        asked = "" if qty is None else f", and {qty:f} are asked for"
        names = ", ".join(f"{name} {shares.normalize():f}" for name, shares in sorted(beside.items()))
        raise InputError(
            f"Nobody owns {there.normalize() + ZERO:f} {symbol} of the account{asked}.",
            remedy=f"What the account holds and no portfolio owns: {names or 'nothing'}.",
            where=symbol,
        )
    return wanted


def _ended(before: Decimal, symbol: str, old: str, shown: Collection[str], qty: Decimal | None) -> Decimal:
    """The whole holding of the old name, of which the account shows nothing any more."""
    if not before or old in shown or qty not in (None, before):
        why = (
            f"the account still shows some, so it is not {symbol} now" if old in shown else "all of it or nothing moves"
        )
        raise InputError(
            f"The portfolio owns {before.normalize() + ZERO:f} {old}: {why if before else 'there is none to rename'}.",
            remedy=f"Compare them: scizor reconcile. To hand over {symbol} alone, leave --renamed-from out.",
            where=old,
        )
    return before


def _refuse_under_way(symbols: Collection[str], *names: str | None) -> None:
    for name in names:
        if name in symbols:
            raise InputError(
                f"An order for {name} is at the broker: what it fills is not known yet.",
                remedy="Wait until it has ended: scizor reconcile.",
                where=name,
            )


def _price(desk: Desk, portfolio: str, symbol: str, session: date) -> Decimal:
    closes = closes_of(last_closes(desk.lake, desk.portfolio(portfolio).market, session)) if desk.has_lake else {}
    if symbol not in closes:
        raise InputError(
            f"No close of {symbol} is known through {session}.",
            remedy="Say what a share shall count as having cost: --price P.",
            where=symbol,
        )
    return closes[symbol].price
