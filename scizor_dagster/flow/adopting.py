"""A person hands a portfolio what its account holds and no portfolio owns.

What belongs here: what may be handed over, at what price, and from which session on. What does not: the entry in the
ledger (`ledger.adoptions`), and taking in orders that a lost ledger had sent (`execution.rebuilding`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.errors import InputError
from scizor_dagster.flow.continuity import splits_listed, unbooked_splits
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import catch_up, execution_parts
from scizor_dagster.flow.ledger_care import require_ledger
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.holdings import A_DAY, foreign, owned
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rows import activities_of, symbols_at_broker
from scizor_dagster.market_data.continuity import action, split_ratio
from scizor_dagster.market_data.reading import last_closes

ZERO = Decimal(0)
_STATE = (
    "A split is recorded as the broker tells of it; where it tells of none: scizor adopt PORTFOLIO SYMBOL --split 2:1."
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a portfolio owns from the end of `session` on: signed shares, and what one counts as having cost."""

    symbol: str
    qty: Decimal
    price: Decimal
    session: date
    renamed_from: str | None = None
    written_off: bool = False


def adopt_position(
    desk: Desk,
    portfolio: str,
    symbol: str,
    *,
    qty: Decimal | None,
    price: Decimal | None,
    renamed_from: str | None,
    actor: str,
    is_no_split: bool = False,
) -> Adopted:
    """Let the portfolio own shares of its account that nobody owns, from the last closed session on.

    Shares that it owns and the account does not have are written off: a quantity of the other sign, which is named.

    Args:
        desk: The stores and the brokers.
        portfolio: Who shall own them.
        symbol: As the account has it.
        qty: Signed shares, at most what nobody owns, or what is written off; None for all that nobody owns.
        price: What a share counts as having cost; None for the last close.
        renamed_from: The name under which the portfolio has owned as many: that holding ends.
        actor: Who hands them over.
        is_no_split: Whether a difference that looks like a split is known to be none.

    Raises:
        InputError: there is no ledger, nobody's shares are fewer or on the other side of zero, no holding ends
            under the old name, an order for either is at the broker, no price is known, or the symbol is, or may be,
            in other units than those of the last closed session.
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
        shown = {row.symbol: row.qty for row in positions if row.qty}
        listed = splits_listed(desk, portfolio, symbol, session)
        with desk.ledger.transaction() as connection:
            held.guard(connection)
            _refuse_under_way(symbols_at_broker(connection, account), symbol, renamed_from)
            beside = foreign(connection, account, positions)
            _refuse_other_units(connection, account, symbol, session, listed)
            if renamed_from is not None:
                before = owned(connection, account, portfolio).get(renamed_from, ZERO)
                qty = _ended(before, symbol, renamed_from, shown, qty)
            mine = owned(connection, account, portfolio).get(symbol, ZERO)
            wanted = _wanted(beside, shown.get(symbol, ZERO), mine, portfolio, symbol, qty)
            if renamed_from is None and not is_no_split:
                _refuse_a_ratio(portfolio, symbol, shown.get(symbol, ZERO), beside.get(symbol, ZERO))
            paid = _price(desk, portfolio, renamed_from or symbol, session) if price is None else price
            rows = {symbol: wanted} if renamed_from is None else {renamed_from: -wanted, symbol: wanted}
            now = desk.clock()
            for name, shares in rows.items():
                adopt(connection, account, portfolio, name, shares, price=paid, session=session, actor=actor, now=now)
    return Adopted(symbol, wanted, paid, session, renamed_from, written_off=mine * wanted < 0)


def _wanted(
    beside: Mapping[str, Decimal], shown: Decimal, mine: Decimal, portfolio: str, symbol: str, qty: Decimal | None
) -> Decimal:
    """As much of what nobody owns as is asked for, or of what the portfolio owns and the account does not have."""
    there = beside.get(symbol, ZERO)
    gone = min(abs(there), abs(mine)) if mine * there < 0 else ZERO
    if gone and qty is not None and qty * there > 0 and abs(qty) <= gone:
        return qty
    if gone:
        command = f"scizor adopt {portfolio} {symbol} --qty={_text(gone.copy_sign(there))}"
        raise InputError(
            f"Portfolio {portfolio} owns {_text(mine)} {symbol}, and the account holds {_text(shown)}: nothing of it "
            "is nobody's.",
            remedy=f"Write off what is gone, at most so much: {command}.",
            where=symbol,
        )
    # What is missing of another portfolio's is not nobody's.
    free = there if (shown - there) * there >= 0 else (shown if shown * there > 0 else ZERO)
    wanted = free if qty is None else qty
    if not free or wanted * free <= 0 or abs(wanted) > abs(free):
        asked = "" if qty is None else f", and {qty:f} are asked for"
        names = ", ".join(f"{name} {_text(shares)}" for name, shares in sorted(beside.items()))
        raise InputError(
            f"Nobody owns {_text(free)} {symbol} of the account{asked}.",
            remedy=f"What the account holds and no portfolio owns: {names or 'nothing'}.",
            where=symbol,
        )
    return wanted


def _text(qty: Decimal) -> str:
    return f"{qty.normalize() + ZERO:f}"


def _refuse_other_units(
    connection: sa.Connection, account: str, symbol: str, session: date, listed: Sequence[tuple[str, date, float]]
) -> None:
    """What is handed over counts from the end of `session`: in its units, which the account shows no more after one."""
    rows = activities_of(connection, account, first=session + A_DAY)
    days = {row.session: row.kind for row in rows if row.symbol == symbol and row.kind in ("split", "delisting")}
    days |= {day: "split" for _, day, _ in listed if day > session}
    for day, kind in sorted(days.items()):
        raise InputError(
            f"A {kind} of {symbol} takes effect on {day}, after {session}, the session from which on it would count.",
            remedy=f"Hand it over after the close of {day}. {_STATE}",
            where=symbol,
        )
    quantities = books_at(connection, account).quantities.items()
    held = sum((qty for (owner, name), qty in quantities if owner is not None and name == symbol), ZERO)
    for why in unbooked_splits(connection, account, listed, {symbol: held}).values():
        raise InputError(f"{symbol}: {why}.", remedy=f"Have it recorded before anything is handed over. {_STATE}")


def _refuse_a_ratio(portfolio: str, symbol: str, shown: Decimal, there: Decimal) -> None:
    ratio = split_ratio(float(shown - there), float(shown))
    if ratio is not None:
        raise InputError(
            f"The portfolios own {_text(shown - there)} {symbol}, and the account holds {_text(shown)}: that is what a "
            f"{action(ratio)} leaves.",
            remedy=f"{_STATE} If it is none, say so: scizor adopt {portfolio} {symbol} --no-split.",
            where=symbol,
        )


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
