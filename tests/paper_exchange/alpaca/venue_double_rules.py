"""What the small exchange of `venue_double` refuses, in the venue's words."""

from decimal import Decimal as D
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.paper_exchange.venue import (
    Amendment,
    Duration,
    OrderClass,
    OrderKind,
    Refused,
    Status,
    Ticket,
    VenueOrder,
)

MINUTES_930 = 9 * 60 + 28
MINUTES_1550 = 15 * 60 + 50
MINUTES_1900 = 19 * 60


def remaining_power(venue: Any, account: str, equity: D, gross: D) -> D:
    """Multiplier x equity less positions less open opening orders at the last price or their limit."""
    reserved = sum(
        (
            row.remaining * (row.ticket.limit_price or venue.prices[row.ticket.symbol])
            for row in venue.open_rows(account)
            if row.status is not Status.HELD and row.intent.value.endswith("_to_open")
        ),
        D(0),
    )
    return venue.settings[account].max_margin_multiplier * equity - gross - reserved


def check_ticket(venue: Any, account: str, ticket: Ticket) -> PositionIntent:
    """The intent that the order has. Raises `Refused` with the first rule that it breaks."""
    settings = venue.settings[account]
    if settings.suspend_trade:
        raise Refused("trading_suspended", "new orders are rejected by user request")
    if venue.order_by_client_id(account, ticket.client_order_id) is not None:
        raise Refused("duplicate_client_order_id", "client_order_id must be unique")
    listing = venue.listing(ticket.symbol)
    if listing is None:
        raise Refused("asset_not_found", f'asset "{ticket.symbol}" not found')
    _form(venue, ticket)
    _fractions(listing.instrument, settings, ticket)
    _wash(venue, account, ticket)
    intent = _intent(venue, account, ticket)
    if intent.value.endswith("_to_open"):
        _opening(venue, account, ticket, listing, intent)
    elif ticket.order_class in (OrderClass.BRACKET, OrderClass.OTO):
        raise Refused("bracket_not_entry", "bracket orders must be entry orders")
    return intent


def check_change(order: VenueOrder, changes: Amendment) -> None:
    """Raise `Refused` where an open order may not be replaced so."""
    if order.status in (Status.ACCEPTED, Status.PENDING_NEW, Status.PENDING_CANCEL):
        raise Refused("replace_in_status", f"cannot replace order in {order.status} status", status=order.status.value)
    if changes == Amendment():
        raise Refused("not_changed", "order parameters are not changed")
    if changes.qty is not None and changes.qty <= order.filled_qty:
        raise Refused("qty_below_filled", "qty must be > filled_qty")
    if changes.qty is not None and order.ticket.order_class is not OrderClass.SIMPLE:
        raise Refused("advanced_qty", "qty cannot be changed for advanced orders")


def _form(venue: Any, ticket: Ticket) -> None:
    for name, price in (("limit_price", ticket.limit_price), ("stop_price", ticket.stop_price)):
        if price is not None and price % (D("0.01") if price >= 1 else D("0.0001")):
            problem = f"invalid {name} {price:f}. sub-penny increment does not fulfill minimum pricing criteria"
            raise Refused("sub_penny_increment", problem)
    if ticket.extended_hours and ticket.kind is not OrderKind.LIMIT:
        raise Refused("extended_hours", "extended hours order must be DAY or GTC limit orders")
    price = venue.prices[ticket.symbol]
    if ticket.kind is OrderKind.STOP and ticket.side is Side.SELL and ticket.stop_price >= price:
        figures = {"market_price": price, "stop_price": ticket.stop_price}
        raise Refused("stop_price_beyond_market", "stop price must be less than current price", **figures)
    local = venue.at.astimezone(venue.calendar.timezone)
    minutes = local.hour * 60 + local.minute
    if ticket.duration is Duration.OPG and MINUTES_930 <= minutes < MINUTES_1900:
        raise Refused("opg_window", "opg window")
    if ticket.duration is Duration.CLS and MINUTES_1550 <= minutes < MINUTES_1900:
        raise Refused("cls_window", "cls window")
    if ticket.order_class is OrderClass.BRACKET:
        profit, loss = ticket.legs[0].limit_price, ticket.legs[1].stop_price
        word = ">" if ticket.side is Side.BUY else "<"
        if (profit - loss) * ticket.side.sign <= 0:
            raise Refused("bracket_prices", f"take_profit.limit_price must be {word} stop_loss.stop_price")
        if (price - loss) * ticket.side.sign < D("0.01"):
            problem = "stop_loss.stop_price must be <= base_price - 0.01"
            raise Refused("bracket_prices", problem, base_price=price)


def _fractions(instrument: Any, settings: Any, ticket: Ticket) -> None:
    if ticket.qty is not None and ticket.qty % 1 == 0:
        return
    if not settings.fractional_trading:
        raise Refused("fractional_disabled", "fractional trading is disabled for this account")
    if not instrument.fractionable:
        raise Refused("not_fractionable", f'asset "{ticket.symbol}" is not fractionable')
    if ticket.duration is not Duration.DAY:
        raise Refused("fractional_not_day", "fractional orders must be DAY orders")
    if ticket.order_class is not OrderClass.SIMPLE:
        raise Refused("fractional_not_simple", "fractional orders must be simple orders")


def _wash(venue: Any, account: str, ticket: Ticket) -> None:
    if ticket.order_class is not OrderClass.SIMPLE:
        return
    for row in venue.open_rows(account):
        other = row.ticket
        if other.symbol != ticket.symbol or other.side is ticket.side or other.order_class is not OrderClass.SIMPLE:
            continue
        limits = {ticket.side: ticket.limit_price, other.side: other.limit_price}
        buy, sell = limits[Side.BUY], limits[Side.SELL]
        if buy is not None and sell is not None and buy < sell:
            continue
        kind = "limit order exists. use complex/limit/stop_limit orders" if other.limit_price else None
        raise Refused(
            "wash_trade",
            "potential wash trade detected",
            existing_order_id=row.order_id,
            reject_reason=f"opposite side {kind or 'market/stop order exists'}",
        )


def _intent(venue: Any, account: str, ticket: Ticket) -> PositionIntent:
    held, side = venue.held(account, ticket.symbol), ticket.side
    if ticket.order_class is OrderClass.OCO and held * side.sign >= 0:
        raise Refused("oco_not_exit", "oco orders must be exit orders")
    if held * side.sign >= 0:
        found = PositionIntent.BUY_TO_OPEN if side is Side.BUY else PositionIntent.SELL_TO_OPEN
    else:
        found = PositionIntent.BUY_TO_CLOSE if side is Side.BUY else PositionIntent.SELL_TO_CLOSE
        available = abs(venue.available(account, ticket.symbol))
        if ticket.qty is not None and ticket.qty > available:
            related = [row.order_id for row in venue.open_rows(account) if row.ticket.side is side]
            figures = {"requested": ticket.qty, "available": available, "existing_qty": abs(held)}
            raise Refused(
                "insufficient_qty",
                "insufficient qty",
                **figures,
                held_for_orders=abs(held) - available,
                symbol=ticket.symbol,
                **({"related_orders": related} if related else {}),
            )
    if ticket.intent not in (None, found):
        problem = f"position intent mismatch, inferred: {found.value}, specified: {ticket.intent.value}"
        raise Refused("position_intent_mismatch", problem)
    return found


def _opening(venue: Any, account: str, ticket: Ticket, listing: Any, intent: PositionIntent) -> None:
    if intent is PositionIntent.SELL_TO_OPEN:
        if ticket.qty is None or ticket.qty % 1:
            raise Refused("fractional_short", "fractional orders cannot be sold short")
        if venue.settings[account].no_shorting:
            raise Refused("short_not_allowed", "account is not allowed to short")
        if not listing.instrument.shortable:
            raise Refused("not_shortable", f'asset "{ticket.symbol}" cannot be sold short')
        if not listing.easy_to_borrow and ticket.duration is not Duration.DAY:
            problem = f'only day orders are allowed for hard-to-borrow asset "{ticket.symbol}"'
            raise Refused("hard_to_borrow", problem)
    price = ticket.limit_price or venue.prices[ticket.symbol]
    cost = ticket.notional if ticket.notional is not None else ticket.qty * price
    if cost < 1:
        raise Refused("below_minimum", "too small")
    power = venue.account(account).buying_power
    if cost > power:
        raise Refused("insufficient_buying_power", "too much", buying_power=power, cost_basis=cost)
    for row in venue.open_rows(account):
        if row.ticket.symbol == ticket.symbol and row.ticket.side is not ticket.side:
            flat = venue.held(account, ticket.symbol) == 0
            if flat and row.status is not Status.HELD and row.intent.value.endswith("_to_open"):
                words = ("long buy", "short sell") if ticket.side is Side.BUY else ("short sell", "long buy")
                problem = f"cannot open a {words[0]} while a {words[1]} order is open"
                raise Refused("opposite_order_open", problem)
