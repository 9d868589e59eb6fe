"""A portfolio's recorded sessions as one side of a comparison, out of ledger and lake.

What belongs here: orders with their fills, and the books at the closes. What does not: the backtest beside it
(`parity_sides`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.backtest.model import History
from scizor_dagster.backtest.parity import Deal, Key, Told, ToldDay, ToldOrder
from scizor_dagster.backtest.venue_market import VenueMarket
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import book_before, book_through
from scizor_dagster.ledger.holdings import share_of
from scizor_dagster.ledger.rows import FillRow, activities_of, batches_of, fills_for_orders, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.matching import step_prices

ZERO = Decimal(0)
AUCTION = 0.02
"""Share of a session's hours at either end within which a fill is compared with the open, or the close."""


def recorded_run(desk: Desk, portfolio: str, history: History, row: int, market: VenueMarket) -> Told:
    """Orders, fills and closes of the sessions from `row` of the history on, as the ledger has them."""
    settings = desk.portfolio(portfolio)
    days = history.sessions[row:]
    with desk.ledger.read() as connection:
        batches = batches_of(connection, settings.account, portfolio, first=days[0], last=days[-1])
        numbers = {batch.batch_id: batch.batch for batch in batches}
        intents = [intent for name in numbers for intent in intents_of(connection, name)]
        fills = fills_for_orders(connection, settings.account, [intent.client_order_id for intent in intents])
    reasons = _reasons(desk, portfolio, days)
    bars = {day: market.bars(row + at) or {} for at, day in enumerate(days)}
    orders = [
        ToldOrder(
            key=Key(intent.session, intent.symbol, intent.side, intent.leg, intent.slice, numbers[intent.batch_id]),
            phase=intent.phase,
            reason=reasons.get(intent.client_order_id, ""),
            reference=intent.price_used,
            planned=intent.planned_qty,
            final=intent.final_qty,
            state=intent.state.value,
            deals=tuple(
                Deal(fill.qty, fill.price, fill.fee, _mid(desk, settings.market, fill, bars[intent.session]))
                for fill in fills.get(intent.client_order_id, ())
            ),
            # Until it ends, an intent says why it was planned.
            note=intent.reason if intent.state.terminal and intent.state is not IntentState.FILLED else "",
        )
        for intent in intents
    ]
    return Told(tuple(orders), _days(desk, portfolio, history, row))


def _reasons(desk: Desk, portfolio: str, days: Sequence[date]) -> dict[str, str]:
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT client_order_id, reason FROM planned_orders WHERE portfolio = ? AND session BETWEEN ? AND ?",
            [portfolio, days[0], days[-1]],
        ).fetchall()
    return dict(rows)


def _days(desk: Desk, portfolio: str, history: History, row: int) -> tuple[ToldDay, ...]:
    """The portfolio at the closes, by the ledger's books; the day before the first one comes first."""
    settings = desk.portfolio(portfolio)
    first, days = history.sessions[row], history.sessions[row:]
    with desk.ledger.read() as connection:
        income: dict[date, Decimal] = {}
        for item in activities_of(connection, settings.account, first=first, last=days[-1]):
            # Other money is the account's, and no portfolio's.
            if item.symbol is not None and item.amount:
                share = share_of(connection, settings.account, portfolio, item.symbol, item.session)
                income[item.session] = income.get(item.session, ZERO) + item.amount * share
    closes = last_closes(desk.lake, settings.market, history.sessions[row - 1])
    book = book_before(desk, portfolio, first, closes)
    prices = {symbol: close.price for symbol, close in closes_of(closes).items()}
    told = [ToldDay(history.sessions[row - 1], book.cash, book.valuation.equity, book.holdings, prices)]
    for day in days:
        closes = last_closes(desk.lake, settings.market, day)
        book = book_through(desk, portfolio, day, closes)
        prices = {symbol: close.price for symbol, close in closes_of(closes).items()}
        paid = income.get(day, ZERO)
        told.append(ToldDay(day, book.cash, book.valuation.equity, book.holdings, prices, paid))
    return tuple(told)


def _mid(desk: Desk, market: str, fill: FillRow, bars: Mapping[str, SessionBar]) -> Decimal | None:
    """The market's price around a fill: open and close at their times, else the bar's typical price."""
    bar = bars.get(fill.symbol)
    if bar is None:
        return None
    calendar = desk.calendar(market)
    opens, closes = calendar.open_at(fill.session), calendar.close_at(fill.session)
    at: datetime = fill.executed_at
    share = (at - opens) / (closes - opens)
    return step_prices(bar, 1 if share <= AUCTION else 3 if share >= 1 - AUCTION else 2).price
