"""The orders that decisions on arrays amount to, as a plan of the same decisions lists them.

What belongs here: from `plan_book`'s arrays to orders with legs, slices, types and prices. What does not: how a row is
written as orders (`orders`), and what is decided (`books`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import localcontext

from scizor_dagster.brokers.protocol import OrderType
from scizor_dagster.planning.books import PreparedBook, inputs_of
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.columns import quantity_of
from scizor_dagster.planning.decisions import Venue, closing_part
from scizor_dagster.planning.kernel_model import REASONS
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.planning.orders import bracket_prices, frees_cash, orders_of, sort_key
from scizor_dagster.planning.planner import venue_of
from scizor_dagster.planning.quantities import EXACT, ZERO
from scizor_dagster.planning.rows import Row, make_rows
from scizor_dagster.planning.sizing import is_whole


def orders_of_book(book: PreparedBook, ids: ClientOrderIds) -> tuple[PlannedOrder, ...]:
    """Orders of the decisions that `plan_book` has just left in the book's arrays, in the order of a plan.

    Args:
        book: After `plan_book`, and before its next session.
        ids: Of the session; the orders' ids are these, and no more than that.
    """
    places = book.columns["trade"].nonzero()[0].tolist()
    if not places:
        return ()
    with localcontext(EXACT):
        inputs = inputs_of(book, places)
        # What keeps a holding has decided already, and left no trade here.
        rows = {row.symbol: row for row in make_rows(inputs, replace(book.rules, max_price_move=None), {})}
        venue = venue_of(book.rules, book.capabilities, inputs)
        changed = [_changed(rows[book.instruments[place].symbol], book, place, venue) for place in places]
        after_sales = any(frees_cash(row) for row in changed)
        orders = [order for row in changed for order in orders_of(row, venue, ids, after_sales=after_sales)]
    return tuple(sorted(orders, key=sort_key))


def _changed(row: Row, book: PreparedBook, place: int, venue: Venue) -> Row:
    """The row with its change, as a plan has it when it writes its orders."""
    row.whole = is_whole(row, venue.rules)
    row.delta = quantity_of(int(book.columns["trade"][place]))
    row.target = row.current + row.delta if book.columns["target"][place] else ZERO
    row.reason = REASONS[int(book.columns["code"][place])]
    bracketed = venue.rules.mode_on_buy == "bracket" and OrderType.BRACKET in venue.capabilities.order_types
    if bracketed and row.delta > closing_part(row):
        row.bracket = bracket_prices(row, venue, None)
    return row
