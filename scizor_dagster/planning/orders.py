"""Orders of a decided row: legs, slices, types and prices.

What belongs here: how a change of quantity is written as orders that the broker takes. What does
not: whether there is a change (`decisions`, `fit`).

Order types: a fraction is a market order for the day, or a limit order where the broker takes such. Whole
quantities follow `mode_on_buy` and `mode_on_sell` where the broker has the type and the exchange its auction;
the line says where they could not. An auction is only for orders that wait for nothing: what is released by a
sale, or by the first leg of a crossing, would miss it and is a market order. A bracket only opens (a broker
refuses it as an exit), only whole shares and only where its prices are valid; otherwise the order is a market
order. A limit price is rounded to the price step on the cautious side (a buy down, a sale up), so that neither
ever gives more than the stated offset or the price collar; a bracket's take-profit is rounded down and its stop
up, so that it never risks more.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.model import ORDERING_REASONS, PlannedOrder
from scizor_dagster.planning.quantities import ZERO, plain, tick_down, tick_up
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules

Prices = tuple[OrderType, TimeInForce, Decimal | None, Decimal | None, Decimal | None]
"""Order type, time in force, limit price, take-profit and stop-loss."""
_MARKET: Prices = (OrderType.MARKET, TimeInForce.DAY, None, None, None)
_AUCTIONS = {"moo": TimeInForce.OPG, "moc": TimeInForce.CLS}


def frees_cash(row: Row) -> bool:
    """Whether the row's first leg sells what is held: orders that need cash wait for it."""
    return row.reason in ORDERING_REASONS and row.current > 0 and row.side is Side.SELL


def orders_of(row: Row, venue: Venue, ids: ClientOrderIds, *, after_sales: bool) -> list[PlannedOrder]:
    """Every order of a row: leg by leg, slice by slice. `after_sales`: whether any row of the plan frees cash."""
    orders: list[PlannedOrder] = []
    depends_on: tuple[str, ...] = ()
    for leg, (quantity, opens) in enumerate(venue.legs(row), start=1):
        waits = bool(depends_on) or (after_sales and not frees_cash(row))
        pieces = venue.pieces(row, quantity, opens=opens)
        made = _leg(row, venue, ids, leg, pieces, depends_on, waits=waits)
        depends_on = tuple(order.client_order_id for order in made)
        orders += made
    return orders


def _leg(
    row: Row,
    venue: Venue,
    ids: ClientOrderIds,
    leg: int,
    pieces: tuple[Decimal, ...] | None,
    depends_on: tuple[str, ...],
    *,
    waits: bool,
) -> list[PlannedOrder]:
    price = row.usable_price
    assert price is not None, row.symbol
    assert pieces is not None, row.symbol
    side, intent = row.side, _intent(row, leg)
    phase = 1 if intent is PositionIntent.SELL_TO_CLOSE else 2
    made = []
    for number, piece in enumerate(pieces, start=1):
        kind, lasting, limit, take_profit, stop_loss = price_order(row, venue, intent, piece, waits=waits)
        made.append(
            PlannedOrder(
                ids.make(row.symbol, side, leg, number),
                row.symbol,
                row.instrument_id,
                side,
                piece,
                kind,
                lasting,
                intent,
                price,
                leg,
                number,
                phase,
                row.reason,
                depends_on,
                limit,
                take_profit,
                stop_loss,
            )
        )
    return made


def _intent(row: Row, leg: int) -> PositionIntent:
    closes = leg == 1 and bool(row.current) and row.current.is_signed() is (row.side is Side.BUY)
    if row.side is Side.BUY:
        return PositionIntent.BUY_TO_CLOSE if closes else PositionIntent.BUY_TO_OPEN
    return PositionIntent.SELL_TO_CLOSE if closes else PositionIntent.SELL_TO_OPEN


def price_order(row: Row, venue: Venue, intent: PositionIntent, quantity: Decimal, *, waits: bool) -> Prices:
    """Order type of one slice, with its time in force and its prices; a note says where a wish is not met."""
    mode = mode_of(row, venue)
    if mode == "market":
        return _MARKET
    if mode == "bracket" and intent is not PositionIntent.BUY_TO_OPEN:
        return _MARKET
    fraction = quantity % 1 != 0
    if mode == "limit" and OrderType.LIMIT in _kinds(venue, fraction=fraction):
        return (OrderType.LIMIT, TimeInForce.DAY, limit_price(row, venue), None, None)
    if fraction:
        return _market_instead(row, mode, f"{plain(quantity)} is no whole number of shares, and a fraction takes none")
    if mode == "bracket":
        if row.bracket is None:
            return _market_instead(row, mode, "its prices would not be valid, or the broker has none")
        return (OrderType.BRACKET, TimeInForce.DAY, None, *row.bracket)
    if mode in _AUCTIONS:
        assert row.instrument is not None, row.symbol
        lasting = _AUCTIONS[mode]
        if lasting not in venue.capabilities.times_in_force or not row.instrument.exchange.auctions:
            return _market_instead(row, mode, "the account or the exchange takes none for this auction")
        if waits:
            return _market_instead(row, mode, "it waits for other orders of the plan and would miss the auction")
        return (OrderType.MARKET, lasting, None, None, None)
    return _market_instead(row, mode, "the broker has none")


def mode_of(row: Row, venue: Venue) -> str:
    """The mode that the rules set for the row's side."""
    return venue.rules.mode_on_buy if row.side is Side.BUY else venue.rules.mode_on_sell


def _kinds(venue: Venue, *, fraction: bool) -> frozenset[OrderType]:
    return venue.capabilities.fractional_order_types if fraction else venue.capabilities.order_types


def _market_instead(row: Row, mode: str, why: str) -> Prices:
    note = f"Market order instead of {mode}: {why}."
    if note not in row.note:
        row.add_note(note)
    return _MARKET


def limit_offset(rules: PlanningRules) -> Decimal:
    """The most that a limit may give beyond the reference price, a fraction of it."""
    return rules.limit_offset_pct if rules.price_collar is None else min(rules.limit_offset_pct, rules.price_collar)


def limit_price(row: Row, venue: Venue) -> Decimal:
    """Limit of an order: what was asked for, or off the reference price by the offset, within the collar, on a step."""
    price, instrument = row.usable_price, row.instrument
    assert price is not None, row.symbol
    assert instrument is not None, row.symbol
    if row.limit is not None:
        return row.limit
    wanted = price * (1 + row.side.sign * limit_offset(venue.rules))
    step = instrument.price_step(wanted)
    return tick_down(wanted, step) if row.side is Side.BUY else tick_up(wanted, step)


def bracket_prices(row: Row, venue: Venue, atr: Decimal | None) -> tuple[Decimal, Decimal] | None:
    """Take-profit and stop of a purchase; None where they would not lie on both sides of the price.

    A distance is a share of the price, or a multiple of `atr`, the average true range, where the rules say so.
    """
    price, instrument, rules = row.usable_price, row.instrument, venue.rules
    assert price is not None, row.symbol
    assert instrument is not None, row.symbol
    if atr is None and (rules.tp_atr is not None or rules.sl_atr is not None):
        return None
    spread = atr or ZERO
    above = price * rules.tp_pct if rules.tp_atr is None else spread * rules.tp_atr
    below = price * rules.sl_pct if rules.sl_atr is None else spread * rules.sl_atr
    if below >= price:
        return None
    take_profit = tick_down(price + above, instrument.price_step(price + above))
    stop_loss = tick_up(price - below, instrument.price_step(price - below))
    distance = max(venue.capabilities.stop_distance, instrument.price_step(price))
    if take_profit > price and ZERO < stop_loss <= price - distance:
        return take_profit, stop_loss
    return None


def sort_key(order: PlannedOrder) -> tuple[int, str, int, int]:
    """Sales of what is held first, then by symbol: the order in which a plan lists its orders."""
    return (order.phase, order.symbol, order.leg, order.slice)
