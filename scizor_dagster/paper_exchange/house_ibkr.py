"""Interactive Brokers' habits: what it refuses, what it allows, what it charges.

What belongs here: its rules over one ticket and one change. What does not: rules that every house
shares (`order_entry`), and the wire (`tws_door`), which turns codes into numbers.

An order may cross zero; ids and references are the client's; fractions of a share are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.buying_power import order_value
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.order_entry import (
    Entry,
    check_price,
    check_prices,
    check_quantity,
    held_for_orders,
    listed,
    priced,
)
from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_margin import (
    LEAST_MARGIN_EQUITY,
    MarginRates,
    buying_power,
    equity,
    opening_qty,
)
from scizor_dagster.paper_exchange.venue_orders import ZERO, Amendment, Duration, OrderKind, Refused, Status, VenueOrder

MOST_ORDERS_A_SIDE = 20
"""Active orders per contract, side and account (TWS API, order limitations)."""
_MULTIPLIER = 4
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Commission:
    """What an order costs.

    Attributes:
        per_share: In the instrument's currency.
        of_value: Part of the order's value.
        least: Smallest commission of an order.
        most_of_value: Largest commission, as a part of the order's value; it goes before `least`.
    """

    per_share: Decimal = ZERO
    of_value: Decimal = ZERO
    least: Decimal = ZERO
    most_of_value: Decimal | None = None

    def of(self, qty: Decimal, value: Decimal) -> Decimal:
        charged = max(self.least, qty * self.per_share + value * self.of_value)
        if self.most_of_value is not None:
            charged = min(charged, value * self.most_of_value)
        return charged.quantize(_CENT, ROUND_HALF_UP)


US_COMMISSION = Commission(per_share=Decimal("0.005"), least=Decimal(1), most_of_value=Decimal("0.01"))
"""Fixed pricing, US stocks and ETFs: USD 0.005 a share, at least 1.00, at most 1 % of the trade's value
(interactivebrokers.com, Commissions Stocks, North America)."""
ASX_COMMISSION = Commission(of_value=Decimal("0.0008"), least=Decimal(6))
"""Fixed pricing, Australian stocks and ETFs: 0.08 % of the value, at least AUD 6.00
(interactivebrokers.com.au, Commissions Stocks, Asia-Pacific); a what-if of one BHP has shown 6.60 with tax."""
_COMMISSIONS = {"XASX": ASX_COMMISSION}


def _quarter(price: Decimal) -> Decimal:  # noqa: ARG001
    return Decimal("0.25")


def _short_maintenance(price: Decimal) -> Decimal:  # noqa: ARG001
    return Decimal("0.3")


class IbkrRules:
    """See the module. `rates` are those of a Reg T margin account by day."""

    rates = MarginRates(Decimal("0.25"), _quarter, _short_maintenance)
    may_cross_zero = True

    def check(self, entry: Entry) -> PositionIntent:
        """What the order does first. Raises `Refused` with the first rule that it breaks."""
        ticket = entry.ticket
        _kind_of_order(entry)
        check_quantity(ticket)
        if entry.is_fractional:
            raise Refused("fractional_quantity", "fractional-sized order cannot be placed via API")
        trails = ticket.kind is OrderKind.TRAILING_STOP
        check_prices(replace(ticket, stop_price=None) if trails else ticket)
        for name, price in priced(ticket):
            check_tick(name, price, entry.instrument)
        if len(list(entry.others(ticket.side))) >= MOST_ORDERS_A_SIDE:
            raise Refused("too_many_orders", f"no more than {MOST_ORDERS_A_SIDE} active orders per side and contract")
        self._check_opening(entry)
        if entry.held * ticket.side.sign >= 0:
            return PositionIntent.BUY_TO_OPEN if ticket.side is Side.BUY else PositionIntent.SELL_TO_OPEN
        return PositionIntent.BUY_TO_CLOSE if ticket.side is Side.BUY else PositionIntent.SELL_TO_CLOSE

    def _check_opening(self, entry: Entry) -> None:
        ticket = entry.ticket
        assert ticket.qty is not None
        qty = opening_qty(ticket.side, ticket.qty, _held_by_then(entry))
        if qty == 0:
            return
        if ticket.side is Side.SELL:
            _short(entry)
        if entry.ask is None:
            raise Refused("no_price", f"no price of {ticket.symbol} is known; an opening order cannot be valued")
        marks = cache(entry.marks)
        worth = equity(entry.books, marks)
        power = buying_power(entry.books, marks, self.multiplier(entry.books, worth))
        # What the same order closes is free for what it opens.
        power += (ticket.qty - qty) * (entry.price or entry.ask)
        value = order_value(ticket.side, qty, ticket.limit_price, entry.ask)
        if value > power:
            raise Refused(
                "insufficient_buying_power",
                "your account has insufficient buying power for this order",
                buying_power=power,
                cost_basis=value,
            )

    def check_change(self, order: VenueOrder, changes: Amendment, market: MarketView) -> None:
        """Raise `Refused` where an order may not be changed so."""
        if order.status is Status.FILLED:
            raise Refused("order_filled", "cannot modify a filled order")
        if order.status.terminal:
            raise Refused("order_not_open", "the order is not open", status=order.status.value)
        instrument = listed(market, order.ticket.symbol)
        if changes.qty is not None:
            if not changes.qty.is_finite() or changes.qty <= 0:
                raise Refused("invalid_qty", "order size must be above zero")
            if changes.qty % instrument.lot != 0:
                raise Refused("fractional_quantity", "fractional-sized order cannot be placed via API")
            if changes.qty <= order.filled_qty:
                raise Refused("qty_below_filled", "the quantity has filled already")
        for name, price in (("limit_price", changes.limit_price), ("stop_price", changes.stop_price)):
            if price is not None:
                check_tick(name, price, instrument)

    def multiplier(self, books: VenueBooks, equity: Decimal) -> int:  # noqa: ARG002
        return 1 if equity < LEAST_MARGIN_EQUITY else _MULTIPLIER

    def commission(self, instrument: Instrument, qty: Decimal, value: Decimal) -> Decimal:
        return _COMMISSIONS.get(instrument.mic, US_COMMISSION).of(qty, value)

    def limit_of(self, order: VenueOrder) -> Decimal | None:
        return order.ticket.limit_price


def check_tick(name: str, price: Decimal, instrument: Instrument) -> None:
    check_price(name, price)
    step = instrument.price_step(price)
    if price % step != 0:
        raise Refused(
            "price_not_on_tick",
            f"the {name.replace('_', ' ')} {price:f} does not conform to the minimum price variation {step:f}",
        )


def _kind_of_order(entry: Entry) -> None:
    ticket = entry.ticket
    if not entry.instrument.tradable:
        raise Refused("not_tradable", f"no trading permission for {ticket.symbol}")
    if ticket.notional is not None:
        raise Refused("cash_quantity", "cash quantity cannot be used for this order")
    if ticket.legs:
        raise Refused("unexpected_legs", "attached orders are sent one by one, with their parent's id")
    auction = ticket.duration in (Duration.OPG, Duration.CLS)
    if auction and not entry.instrument.exchange.auctions:
        raise Refused("invalid_time_in_force", f"{ticket.duration} is not taken on this exchange")
    if auction and ticket.kind not in (OrderKind.MARKET, OrderKind.LIMIT):
        raise Refused("invalid_time_in_force", f"{ticket.duration} is not taken for {ticket.kind} orders")


def _held_by_then(entry: Entry) -> Decimal:
    """The position that the ticket will meet: after its parent, and after what rests on its own side.

    A child closes what its parent opens; two sales of one position are a sale and a short sale.
    """
    ticket, books = entry.ticket, entry.books
    related = {
        row.order_id for row in books.orders.values() if ticket.group is not None and row.ticket.group == ticket.group
    }
    resting, _ = held_for_orders(books, ticket.symbol, ticket.side, entry.family | related)
    held = entry.held + ticket.side.sign * resting
    parent = next((row for row in books.orders.values() if row.ticket.client_order_id == ticket.parent), None)
    if parent is not None and parent.ticket.side is not ticket.side:
        held += parent.ticket.side.sign * parent.remaining
    return held


def _short(entry: Entry) -> None:
    poor = equity(entry.books, entry.marks) < LEAST_MARGIN_EQUITY
    if poor or not entry.rules.short_selling or entry.books.settings.no_shorting:
        raise Refused("short_not_allowed", "the account may not sell short")
    if not entry.instrument.shortable:
        raise Refused("not_shortable", f"no shares of {entry.ticket.symbol} are available to sell short")
