"""One function per limit: what the order would make of it, against what is allowed.

What belongs here: pure checks of one order in its context, and their order. What does not: the verdict
(`pre_trade`), and where facts come from.

A check returns None where it does not concern the order. A limit that is set and whose facts are not known
stops the order: a figure that is missing is not a figure within the limit. The limits of the book and those
that compare with equity concern opening orders alone: what closes takes risk off and is never held back by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeGuard

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.risk.breaks import OPEN_BREAK
from scizor_dagster.risk.context import OPENING, Decision, Finding, OrderToCheck, PreTradeContext, plain
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.trading_state import Standing, TradingState

ZERO = Decimal(0)
CONTINUITY = "continuity"
Check = Callable[[OrderToCheck, PreTradeContext, PreTradeLimits], Finding | None]


def standing_allows(order: OrderToCheck, standing: Standing) -> Finding | None:
    """The trading state alone: what is asked again right before each send."""
    closes = order.intent not in OPENING
    if standing.state is TradingState.ACTIVE or (standing.state is TradingState.REDUCING and closes):
        return None
    return Finding(
        "trading_state",
        standing.sentence,
        "closing orders" if standing.state is TradingState.REDUCING else "nothing",
        Decision.WAIT,
    )


def _positive(order: OrderToCheck, _: PreTradeContext, __: PreTradeLimits) -> Finding | None:
    if _is_amount(order.qty) and _is_amount(order.notional):
        return None
    return _stop("positive_quantity", f"{order.qty} shares worth {order.notional}", "more than zero")


def _limit_price(order: OrderToCheck, _: PreTradeContext, __: PreTradeLimits) -> Finding | None:
    if order.limit_price is None or _is_amount(order.limit_price):
        return None
    return _stop("limit_price", str(order.limit_price), "more than zero")


def _restricted(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.intent in OPENING and order.symbol in limits.restricted:
        return _stop("restricted", order.symbol, "no symbol of risk.limits.restricted")
    return None


def _allowed(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.intent in OPENING and limits.allowed is not None and order.symbol not in limits.allowed:
        return _stop("allowed", order.symbol, "only symbols of risk.limits.allowed")
    return None


def _share_limit(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    return _held("max_share_per_order", order.qty, limits.max_share_per_order)


def _notional_limit(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    return _held("max_notional_per_order", order.notional, limits.max_notional_per_order)


def _volume_share(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.intent not in OPENING or limits.max_adv_share is None:
        return None
    volume = context.facts.daily_volumes.get(order.symbol)
    if not _is_amount(volume):
        return _stop("max_adv_share", "no average daily volume is known", limits.max_adv_share)
    sent = context.traded.get((order.symbol, order.side), ZERO)
    return _share("max_adv_share", sent + order.qty, volume, limits.max_adv_share)


def _collar(order: OrderToCheck, _: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.limit_price is None or limits.price_collar is None:
        return None
    return _share("price_collar", abs(order.limit_price - order.price_used), order.price_used, limits.price_collar)


def _reference_price(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    """The price that sized the order against the one that is known now: a plan may be old, or in other units."""
    known = context.facts.prices.get(order.symbol)
    if known is None or limits.price_collar is None:
        return None
    if not _is_amount(known):
        return _stop("reference_price", f"a price of {known}", limits.price_collar)
    return _share("reference_price", abs(order.price_used - known), known, limits.price_collar)


def _price_age(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if limits.max_price_age_sessions is None:
        return None
    age = context.facts.price_ages.get(order.symbol)
    if age is None:
        return _stop("max_price_age_sessions", "no price is known", limits.max_price_age_sessions)
    return _held("max_price_age_sessions", Decimal(age), limits.max_price_age_sessions)


def _second_price(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    other = context.facts.second_prices.get(order.symbol)
    if other is None or limits.max_price_difference is None:
        return None
    if not _is_amount(other):
        return _stop("max_price_difference", f"a second price of {other}", limits.max_price_difference)
    return _share("max_price_difference", abs(order.price_used - other), other, limits.max_price_difference)


def _frozen(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    if order.symbol not in context.frozen:
        return None
    return Finding("instrument_frozen", context.frozen[order.symbol], "no unknown order", Decision.WAIT)


def _continuity(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    """Closing orders too: what would be sold in old shares is another part of the position than was meant."""
    why = context.facts.doubted.get(order.symbol)
    return Finding(CONTINUITY, why, "no suspected corporate action", Decision.WAIT) if why is not None else None


def crosses(order: OrderToCheck, opposite: str | None) -> Finding | None:
    """Whether the order could trade with one of the account's own: asked again right before each send.

    A broker refuses that as a wash trade, or lets it happen, and the market would be shown a trade with oneself.
    """
    if opposite is None:
        return None
    what = f"a {order.side} while order {opposite} of the other side is open in the account"
    return Finding("opposite_order", what, "no order of the other side", Decision.WAIT)


def agreed(order: OrderToCheck, breaks: Mapping[str | None, str]) -> Finding | None:
    """Whether an open break keeps the order back, closing ones too: asked again right before each send."""
    for key in (None, order.symbol):
        if key in breaks:
            return Finding(OPEN_BREAK, breaks[key], "no open break", Decision.WAIT)
    return None


def _breaks(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    return agreed(order, context.breaks)


def _opposite(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    return crosses(order, context.resting.get((order.symbol, order.side.opposite)))


def _ownership(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    """A close takes at most what is left of the position; a short opens only where nothing is held."""
    owned = context.owned.get(order.symbol, ZERO)
    under_way = context.closing.get(order.symbol, ZERO)
    if order.intent is PositionIntent.SELL_TO_CLOSE:
        return _held("owned_quantity", order.qty, max(owned - under_way, ZERO))
    if order.intent is PositionIntent.BUY_TO_CLOSE:
        return _held("short_quantity", order.qty, max(-owned - under_way, ZERO))
    if order.intent is PositionIntent.SELL_TO_OPEN and owned > 0:
        return _stop("crosses_zero", f"{owned} held", "nothing held")
    if order.intent is PositionIntent.BUY_TO_OPEN and owned < 0:
        return _stop("crosses_zero", f"{owned} held", "no short")
    return None


def _trading_state(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    return standing_allows(order, context.standing)


def _locks(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    if order.intent not in OPENING:
        return None
    for key in (None, order.symbol):
        if key in context.locks:
            return Finding("lock", context.locks[key], "no lock", Decision.WAIT)
    return None


def _equity_jump(_: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    limit, facts = limits.max_equity_jump, context.facts
    if limit is None or context.equity_accepted:
        return None
    if facts.equity is None or not facts.equity.is_finite() or not _is_amount(facts.equity_before):
        return Finding("max_equity_jump", "no equity to compare is known", limit, Decision.WAIT)
    before = facts.equity_before
    return _share("max_equity_jump", abs(facts.equity - before), before, limit, Decision.WAIT)


def _session_value(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    return _held("max_total_notional", context.session_notional + order.notional, limits.max_total_notional)


def _session_orders(_: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    return _held("max_session_orders", Decimal(context.session_orders + 1), limits.max_session_orders)


def _turnover(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    value = context.session_notional + order.notional
    return _of_equity("max_session_turnover", order, value, context, limits.max_session_turnover)


def _repeated(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    """One line of a plan is one decision, in however many slices and legs it goes out."""
    decisions = context.repeated.get((order.symbol, order.side), frozenset()) | {order.batch_id}
    return _held("max_repeated_orders", Decimal(len(decisions)), limits.max_repeated_orders, Decision.WAIT)


def _unpriced(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    """What cannot be valued is not worth nothing: where a limit sums the book, or the name, what opens waits."""
    summed = (limits.max_gross_value, limits.max_net_value, limits.max_sector_weight, limits.max_leverage)
    if order.intent not in OPENING or not context.book.unpriced:
        return None
    adds_to_it = limits.max_name_weight is not None and order.symbol in context.book.unpriced
    if summed == (None,) * len(summed) and not adds_to_it:
        return None
    return Finding("unpriced_holding", " ".join(context.book.unpriced), "a price for every holding", Decision.WAIT)


def _gross(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.intent not in OPENING:
        return None
    return _held("max_gross_value", context.book.gross_after(order.symbol, _signed(order)), limits.max_gross_value)


def _net(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    if order.intent not in OPENING:
        return None
    return _held("max_net_value", abs(context.book.net + _signed(order)), limits.max_net_value)


def _name(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    value = abs(context.book.values.get(order.symbol, ZERO) + _signed(order))
    return _of_equity("max_name_weight", order, value, context, limits.max_name_weight)


def _sector(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    value = context.book.sector_after(order.symbol, _signed(order))
    if value is None:
        return None
    return _of_equity("max_sector_weight", order, value, context, limits.max_sector_weight)


def _leverage(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    value = context.book.gross_after(order.symbol, _signed(order))
    return _of_equity("max_leverage", order, value, context, limits.max_leverage)


def _buying_power(order: OrderToCheck, context: PreTradeContext, _: PreTradeLimits) -> Finding | None:
    if order.intent not in OPENING:
        return None
    if context.buying_power is None:
        return _stop("buying_power", str(order.notional), "a figure from the broker, and there is none")
    return _held("buying_power", context.opening_notional + order.notional, context.buying_power)


def _order_rate(_: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Finding | None:
    count = Decimal(context.minute_orders + 1)
    return _held("max_orders_per_minute", count, limits.max_orders_per_minute, Decision.WAIT)


def _signed(order: OrderToCheck) -> Decimal:
    return order.notional * order.side.sign


def _of_equity(
    limit: str, order: OrderToCheck, value: Decimal, context: PreTradeContext, threshold: Decimal | None
) -> Finding | None:
    """A value as a share of equity; concerns what opens."""
    if threshold is None or order.intent not in OPENING:
        return None
    equity = context.facts.equity
    if not _is_amount(equity):
        known = "no equity is known" if equity is None else f"equity is {plain(equity)}"
        return _stop(limit, known, threshold)
    return _share(limit, value, equity, threshold)


def _is_amount(value: Decimal | None) -> TypeGuard[Decimal]:
    """Whether it is known, and a number above zero: a figure of a store may be none."""
    return value is not None and value.is_finite() and value > 0


def _held(limit: str, value: Decimal, threshold: Decimal | None, above: Decision = Decision.STOP) -> Finding | None:
    if threshold is None:
        return None
    return Finding(limit, value, threshold, Decision.PASS if value <= threshold else above)


def _share(limit: str, part: Decimal, whole: Decimal, threshold: Decimal, above: Decision = Decision.STOP) -> Finding:
    # Compared as a product: a quotient is rounded, and might be rounded down to the limit.
    return Finding(limit, part / whole, threshold, Decision.PASS if part <= threshold * whole else above)


def _stop(limit: str, value: str, threshold: Decimal | str) -> Finding:
    return Finding(limit, value, threshold, Decision.STOP)


CHECKS: tuple[Check, ...] = (
    _positive,
    _limit_price,
    _restricted,
    _allowed,
    _share_limit,
    _notional_limit,
    _volume_share,
    _collar,
    _reference_price,
    _price_age,
    _second_price,
    _frozen,
    _continuity,
    _breaks,
    _opposite,
    _trading_state,
    _equity_jump,
    _locks,
    _session_value,
    _session_orders,
    _turnover,
    _ownership,
    _unpriced,
    _gross,
    _net,
    _name,
    _sector,
    _leverage,
    _buying_power,
    _order_rate,
    _repeated,
)
"""What is wrong with the order itself first, then what makes it wait, then what all orders come to together."""
