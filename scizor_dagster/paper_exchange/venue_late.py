"""Corporate actions that become known after an account at the venue has entered their session.

What belongs here: bringing the rules of `late`, which reckons from histories, to `VenueBooks`. What does
not: which actions are lacking and what they do (`late`), and actions of a morning (`venue_overnight`).

Asked on entering a session, so that what was collected in an evening is in the books on the next morning.
An instrument whose history does not add up to what is held, because it was renamed, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.late import KNOWN_WITHIN, History, apply_late, missing, position_of
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import LAST_STEP, Activity, Books, Fill, Position, State
from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_orders import ZERO, Execution
from scizor_dagster.paper_exchange.venue_overnight import end_resting
from scizor_dagster.paper_exchange.venue_views import NonTrade

Histories = Callable[[Collection[str]], tuple[Sequence[Execution], Sequence[NonTrade]]]
"""Every stored execution and activity of some symbols."""
_ENDING = ("split", "delisting")


def put_right(
    books: VenueBooks, market: MarketView, firsts: Mapping[str, date], stored: Histories, at: datetime
) -> None:
    """Put in what the books lack of the actions that are known by now.

    Args:
        books: Books that have just entered a session.
        market: Where actions come from.
        firsts: Session of the first fill of every instrument that the account has traded.
        stored: The account's past.
        at: The instant at which it becomes known.
    """
    if not firsts:
        return
    first = max(min(firsts.values()), books.session - KNOWN_WITHIN)
    # On the morning of its first fill nothing of an instrument is held.
    known = [row for row in market.actions(first, books.session, firsts) if row.session > firsts[row.symbol]]
    if not known:
        return
    histories = _histories({row.symbol for row in known}, books, stored)
    lacking = missing([row for row in known if row.symbol in histories], histories)
    if lacking:
        _apply(books, market, lacking, histories, at)


def _histories(symbols: Collection[str], books: VenueBooks, stored: Histories) -> dict[str, History]:
    executions, activities = stored(symbols)
    fills = [_fill(row) for row in (*executions, *books.executions)]
    rows = [_activity(row) for row in (*activities, *books.activities)]
    found = {
        symbol: History(
            tuple(fill for fill in fills if fill.symbol == symbol), tuple(row for row in rows if row.symbol == symbol)
        )
        for symbol in symbols
    }
    return {name: row for name, row in found.items() if position_of(name, row).qty == books.held(name)}


def _apply(
    books: VenueBooks,
    market: MarketView,
    lacking: Sequence[SessionAction],
    histories: Mapping[str, History],
    at: datetime,
) -> None:
    prices = {row.symbol: market.mark(row.symbol, books.session, at) for row in lacking}
    reckoned = Books(_state(books))
    apply_late(reckoned, lacking, histories, {name: row for name, row in prices.items() if row is not None}, at)
    for action in lacking:
        if action.kind in _ENDING:
            end_resting(books, action.symbol, f"{action.kind} of session {action.session}, known only now", at)
    for activity in reckoned.transition().activities:
        symbol = activity.symbol or ""
        position = reckoned.positions.get(symbol)
        qty, average = (position.qty, position.average_price) if position else (ZERO, ZERO)
        moved = qty - books.held(symbol) if activity.kind in _ENDING else ZERO
        books.record(
            activity.kind,
            at,
            symbol,
            activity.description,
            session=activity.session,
            amount=activity.amount,
            qty=moved,
            per_share=activity.qty_factor,
        )
        if activity.kind in _ENDING:
            books.hold(symbol, qty, average)


def _state(books: VenueBooks) -> State:
    positions = {
        row.symbol: Position(row.symbol, row.qty, row.average_price, row.average_price)
        for row in books.positions.values()
    }
    return State(books.account, books.before.currency, books.cash, books.session, LAST_STEP, positions=positions)


def _fill(row: Execution) -> Fill:
    return Fill(
        row.execution_id, row.order_id, row.symbol, row.side, row.qty, row.price, row.commission, row.session, row.at
    )


def _activity(row: NonTrade) -> Activity:
    factor: Decimal | None = row.per_share if row.kind == "split" else None
    if row.kind == "delisting":
        factor = ZERO
    return Activity(row.activity_id, row.kind, row.session, row.symbol, row.amount, factor, row.description)
