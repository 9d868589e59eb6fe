"""Executions that the broker states otherwise than before, or no more: which are news, and what a person is told.

What belongs here: telling news from repetition, noticing what a list has dropped and whose order has become known, and
the consequences of a reversal beside the order's own state. What does not: the rows (`ledger.executions`), and the
order's state (`tracking`).

A reversal sends nothing, ever: the next plan starts from what is really held. Until a person has looked, or a week is
over, the portfolio opens nothing more in the instrument; closing it is not held back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger.executions import FillNews, newer
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.risk.locks import DueLock, store_locks

ZERO = Decimal(0)
REVERSED = "execution_reversed"
"""Kind of the lock that a reversal sets."""
LOCKED_FOR = timedelta(days=7)


def fill_news(stated: Iterable[BrokerFill], known: Mapping[str, FillRow]) -> list[FillNews]:
    """What is new of the executions that a broker states, each once, in its newest revision."""
    found = _newest(stated).items()
    return [FillNews(fill, known.get(name)) for name, fill in found if newer(fill, known.get(name))]


def _newest(stated: Iterable[BrokerFill]) -> dict[str, BrokerFill]:
    found: dict[str, BrokerFill] = {}
    for fill in stated:
        if newer(fill, found.get(fill.fill_id)):
            found[fill.fill_id] = fill
    return found


def dropped_fills(
    known: Iterable[FillRow],
    listed: Sequence[BrokerFill],
    orders: Mapping[str, BrokerOrder],
    first: date,
    last: date,
) -> list[BrokerFill]:
    """Recorded executions that a list without them takes back, each as a fill of nothing.

    A list that lacks one proves nothing by itself: it counts where the broker's order, read apart, has filled exactly
    what the rest of the list adds up to.
    """
    there = {fill.fill_id for fill in listed}
    missing = [row for row in known if row.qty != 0 and row.fill_id not in there and first <= row.session <= last]
    if not missing:
        return []
    left: dict[str, Decimal] = {}
    for fill in _newest(listed).values():
        left[fill.client_order_id] = left.get(fill.client_order_id, ZERO) + fill.qty
    return [
        replace(_as_recorded(row), qty=ZERO, fee=ZERO)
        for row in missing
        if row.client_order_id in orders
        and orders[row.client_order_id].filled_qty == left.get(row.client_order_id, ZERO)
    ]


def claimed_fills(
    unowned: Iterable[FillRow], owners: Mapping[str, IntentRow], adopted: Mapping[str, datetime]
) -> list[FillNews]:
    """Executions that were recorded while nobody here knew their order, and whose order is known by now.

    A ledger that was lost meets them so before it is built anew. What a person has let a portfolio own since then
    (`adopted`, the last time by symbol) is owned already.
    """
    return [
        FillNews(_as_recorded(row), row)
        for row in unowned
        if row.client_order_id in owners and not (row.symbol in adopted and adopted[row.symbol] >= row.recorded_at)
    ]


def _as_recorded(row: FillRow) -> BrokerFill:
    return BrokerFill(
        fill_id=row.fill_id,
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        side=row.side,
        qty=row.qty,
        price=row.price,
        fee=row.fee,
        session=row.session,
        executed_at=row.executed_at,
        revision=row.revision,
    )


def tell(connection: sa.Connection, run: Run, news: FillNews, portfolio: str | None, session: date) -> None:
    """Say what was restated, and lock the instrument of a portfolio that has shares taken back, from `session` on."""
    fill, before = news.fill, news.before
    was = "never seen here" if before is None else f"recorded as {_text(before)}"
    if news.takes_back or news.is_restated:
        what = "took back" if fill.qty == 0 else "corrected"
        now = "" if fill.qty == 0 else f"; it is {_text(fill)} now"
        run.note(f"{fill.symbol}: the broker {what} execution {fill.fill_id} of {fill.client_order_id}, {was}{now}.")
    if not news.takes_back or portfolio is None:
        return
    reason = f"the broker took back an execution of {fill.client_order_id} ({was}); nothing was sent because of it"
    stated = f"{fill.fill_id}: {_text(fill)}"
    until = session + LOCKED_FOR
    lock = DueLock(fill.symbol, REVERSED, reason, session, until, stated, "as it was recorded", anew=True)
    store_locks(connection, run.account, portfolio, [lock], now=run.now())
    run.note(
        f"Portfolio '{portfolio}' opens nothing in {fill.symbol} until {lock.until_session.isoformat()}. Compare with "
        f"the broker's statement, then see: scizor risk locks --portfolio {portfolio}."
    )


def _text(fill: BrokerFill | FillRow) -> str:
    return f"{fill.side} {fill.qty.normalize():f} at {fill.price.normalize():f}"
