"""A ledger built from the broker's own books: what was sent and what became of it, when our record of it is lost.

What belongs here: taking orders, fills, activities and positions of one account into the ledger. What does not: asking
a person (`cli`), and whose order it was where the ids do not say (`portfolio_of`).

* An order whose id one of our plans made (`planning.client_order_ids`) becomes an order of a batch of origin
  `rebuilt`, in the state that the broker shows. It is never sent again: a batch of that session and number exists,
  so that its plan is not admitted a second time.
* Fills and activities are taken as every poll takes them, fills of foreign orders without a portfolio.
* What the broker holds beyond all that is from before what it shows. It stays foreign, unless a person has it adopted,
  and says what cash the portfolio has beside it: neither can be known from the broker's books.

What is in the ledger already stays as it is, so that one restored from an older backup is completed, and a rebuild that
was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Broker, BrokerOrder
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution import gates
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.drive import settle
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.execution.tracking import poll
from scizor_dagster.ledger.adoptions import adopt as adopt_position
from scizor_dagster.ledger.holdings import cash_flow, foreign, owned
from scizor_dagster.ledger.intents import fix_quantity, move
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rebuilt import ORIGIN, UNKNOWN_FORM, state_cash, take_batch
from scizor_dagster.ledger.rows import batches_of, fills_of, first_batch_of, intents_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.client_order_ids import IdParts, parse_id
from scizor_dagster.sessions import Clock

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Position:
    """A holding after the rebuild, signed. `foreign` is what no portfolio owns of it."""

    symbol: str
    at_broker: Decimal
    owned: Decimal
    adopted: Decimal
    foreign: Decimal


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild has taken in.

    Attributes:
        orders: Ids that were not in the ledger before.
        strangers: Ids that a plan made, of which nobody knows whose they are; left out.
    """

    account: str
    first: date
    last: date
    orders: tuple[str, ...]
    strangers: tuple[str, ...]
    fills: int
    positions: tuple[Position, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    order: BrokerOrder
    parts: IdParts
    portfolio: str


def rebuild_account(
    *,
    ledger: Ledger,
    broker: Broker,
    account: str,
    portfolio: str,
    portfolio_of: Callable[[str], str | None],
    sessions: Sequence[date],
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    prefix: str,
    instrument_ids: Mapping[str, str],
    adopt: bool,
    cash: Decimal | None,
    actor: str,
) -> Rebuilt:
    """Take the account's `sessions` (ascending) into the ledger; see the module.

    `portfolio` owns what is adopted, and `cash` is what it has beside that now, in its market's currency;
    `portfolio_of` says whose order an id is, or None where nobody knows; `prefix` begins our ids.

    Raises:
        WrongAccount, AccountBusy, BrokerUnavailable, LedgerError: as for `executor.execute`.
    """
    answers = Answers(broker)
    identity = gates.check_identity(answers, settings)
    with lease(ledger, account, holder, clock) as held:
        run = Run(ledger, answers, identity, account, portfolio, clock, settings, held)
        shown = [order for session in sessions for order in answers.orders(session)]
        named = [(order, parts) for order in shown if (parts := parse_id(order.client_order_id)) is not None]
        mine = [(order, parts) for order, parts in named if parts.prefix == prefix and not order.parent_client_order_id]
        found = [_Found(order, parts, whose) for order, parts in mine if (whose := portfolio_of(order.client_order_id))]
        taken = _take_unsent(run, found) + _take_orders(run, found, instrument_ids)
        before = _count_fills(run)
        poll(run, sessions)
        fills = _count_fills(run) - before
        adopted = _adopt(run, sessions, cash, actor) if adopt and cash is not None else {}
        _settle(run, {(item.portfolio, item.parts.session) for item in found})
        positions = _positions(run, adopted)
    strangers = {order.client_order_id for order, _ in mine} - {item.order.client_order_id for item in found}
    return Rebuilt(
        account, sessions[0], sessions[-1], tuple(taken), tuple(sorted(strangers)), fills, positions, tuple(run.notes)
    )


def _take_unsent(run: Run, found: Sequence[_Found]) -> list[str]:
    """Orders that wait here to be sent, and that the broker has: they were sent after the backup was made."""
    orders_by_id = {item.order.client_order_id: item.order for item in found}
    with run.ledger.read() as connection:
        known = intents_by_id(connection, list(orders_by_id))
    taken = [name for name, row in sorted(known.items()) if row.state in (IntentState.HELD, IntentState.READY)]
    with run.write() as connection:
        for name in taken:
            row, order = known[name], orders_by_id[name]
            fixed = fix_quantity(row, order.qty) if row.final_qty is None else {}
            row = move(connection, row, IntentState.READY, now=run.now(), **fixed)
            row = move(connection, row, IntentState.SENDING, now=run.now(), reason=UNKNOWN_FORM)
            move(connection, row, IntentState.WORKING, now=run.now(), broker_order_id=order.broker_order_id)
    return taken


def _take_orders(run: Run, found: Sequence[_Found], instrument_ids: Mapping[str, str]) -> list[str]:
    groups: dict[tuple[str, date, int], list[BrokerOrder]] = {}
    with run.ledger.read() as connection:
        known = intents_by_id(connection, [item.order.client_order_id for item in found])
    for item in found:
        if item.order.client_order_id not in known:
            groups.setdefault((item.portfolio, item.parts.session, item.parts.batch), []).append(item.order)
    taken = []
    for (portfolio, session, number), new in sorted(groups.items()):
        with run.write() as connection:
            first = first_batch_of(connection, run.account, portfolio)
            cash = first.starting_cash if first is not None else run.settings.starting_cash
            take_batch(
                connection,
                run.account,
                portfolio,
                session,
                number,
                new,
                instrument_ids=instrument_ids,
                starting_cash=cash,
                now=run.now(),
            )
        taken += [order.client_order_id for order in new]
    return taken


def _count_fills(run: Run) -> int:
    with run.ledger.read() as connection:
        return len(fills_of(connection, run.account))


def _adopt(run: Run, sessions: Sequence[date], cash: Decimal, actor: str) -> dict[str, Decimal]:
    """Let the portfolio own what nobody does, and begin with what leaves it `cash` now."""
    session, account_cash = sessions[-1], _cash_of_what_is_recorded(run, sessions)
    held = {row.symbol: row for row in run.broker.positions()}
    adopted: dict[str, Decimal] = {}
    with run.write() as connection:
        for symbol, qty in foreign(connection, run.account, held.values()).items():
            row = held.get(symbol)
            price = row.average_price or row.market_price if row is not None else None
            adopt_position(
                connection,
                run.account,
                run.portfolio,
                symbol,
                qty,
                price=price or ZERO,
                session=session,
                actor=actor,
                now=run.now(),
            )
            adopted[symbol] = qty
        _begin_with(connection, run, session, cash, account_cash)
    return adopted


def _cash_of_what_is_recorded(run: Run, sessions: Sequence[date]) -> Decimal:
    """The account's cash at a moment of which every execution is in the ledger."""
    for _ in range(run.settings.max_rounds):
        found = run.broker.account().cash
        if not poll(run, sessions).changed:
            return found
    raise BrokerUnavailable(
        "Orders fill while their money is counted.",
        remedy="What was taken in stays. Rebuild again once they have ended.",
        where=f"account {run.account}",
    )


def _begin_with(connection: sa.Connection, run: Run, session: date, cash: Decimal, account_cash: Decimal) -> None:
    first = first_batch_of(connection, run.account, run.portfolio)
    if first is not None and first.origin != ORIGIN:
        run.note(
            f"Portfolio '{run.portfolio}' began with {first.starting_cash:,.2f}, as the ledger knows; it stays so."
        )
        return
    starting = cash - cash_flow(connection, run.account, run.portfolio)
    state_cash(
        connection,
        run.account,
        run.portfolio,
        session,
        cash=cash,
        starting_cash=starting,
        account_cash=account_cash,
        now=run.now(),
    )
    run.note(
        f"Portfolio '{run.portfolio}' began with {starting:,.2f}, so that it has {cash:,.2f} now, and account "
        f"'{run.account}' has {account_cash:,.2f}. From now on both are counted from there: what the configuration "
        "says of its capital and of initial_cash is not compared any more."
    )


def _settle(run: Run, places: set[tuple[str, date]]) -> None:
    for portfolio, session in sorted(places):
        with run.ledger.read() as connection:
            found = [b for b in batches_of(connection, run.account, portfolio, session) if b.origin == ORIGIN]
        for batch in found:
            settle(run, batch, (), over=False)


def _positions(run: Run, adopted: Mapping[str, Decimal]) -> tuple[Position, ...]:
    held = run.broker.positions()
    at_broker = {row.symbol: row.qty for row in held}
    with run.ledger.read() as connection:
        rest = foreign(connection, run.account, held)
        mine = owned(connection, run.account, run.portfolio)
    symbols = sorted({*at_broker, *mine, *rest})
    return tuple(
        Position(
            symbol,
            at_broker.get(symbol, ZERO),
            at_broker.get(symbol, ZERO) - rest.get(symbol, ZERO),
            adopted.get(symbol, ZERO),
            rest.get(symbol, ZERO),
        )
        for symbol in symbols
    )
