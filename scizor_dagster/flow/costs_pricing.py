"""One order of the plan and the ledger, and the market around it, as a row of costs.

What belongs here: which price is which benchmark, and in which units. What does not: reading (`costs_orders`,
`costs_market`), the arithmetic (`analytics.costs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from scizor_dagster.analytics.costs import BENCHMARKS, Execution, Known, OrderFacts, shortfall
from scizor_dagster.analytics.costs_model import CostModel
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.analytics.costs_units import Units, scaled_bar, scaled_price, scaled_quantity, units_between
from scizor_dagster.flow.costs_learning import AT_OPEN, LAST_EXECUTION
from scizor_dagster.flow.costs_market import SymbolMarket
from scizor_dagster.flow.costs_orders import MeasuredOrder

ZERO, ONE = Decimal(0), Decimal(1)
EARLIER_OPEN = "session open, before it was sent"
TRIGGER = "trigger"


@dataclass(frozen=True, slots=True)
class Place:
    """What all orders of a session have in common."""

    portfolio: str
    session: date
    before: date
    venue: str
    currency: str
    model: CostModel


def order_cost(place: Place, order: MeasuredOrder, market: SymbolMarket) -> OrderCost:
    """What the order cost, against what its portfolio's model said that it would."""
    units = _units(place, order, market)
    scale = Units(ONE, ONE) if isinstance(units, str) else units
    dividend = _dividend(place, order, market, scale)
    # What an exit was for is known from what it filled: it is of the session already.
    planned, sent = (
        qty if order.is_exit else scaled_quantity(qty, scale) for qty in (order.planned_qty, order.sent_qty)
    )
    facts = OrderFacts(
        side=order.side,
        planned_qty=planned,
        fills=[Execution(row.qty, row.price, row.fee) for row in order.fills],
        prices=_prices(place, order, market, units, dividend),
        half_spread_bps=market.half_spread_bps,
        replanned=None if order.replaced_by is None else _decision(place, order.replaced_by, market),
    )
    cost = shortfall(facts)
    adv = None if market.adv is None else market.adv * float(market.split_ratio(place.before, place.session))
    estimate = _estimate(place.model, facts, market, adv)
    arrival, decision = facts.price("arrival"), facts.price("decision")
    value = {name: facts.price(name).value for name in BENCHMARKS}
    bps = cost.total_bps
    return OrderCost(
        portfolio=place.portfolio,
        session=place.session,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        kind="exit" if order.is_exit else "order",
        order_type=order.order_type,
        state=order.state,
        reason=order.reason,
        venue=place.venue,
        currency=place.currency,
        planned_qty=facts.planned_qty,
        sent_qty=sent,
        filled_qty=cost.filled_qty,
        unit_factor=scale.shares,
        dividend=dividend,
        decision_price=decision.value,
        decision_source=decision.source,
        arrival_price=arrival.value,
        arrival_source=arrival.source,
        open_price=value["open"],
        close_price=value["close"],
        vwap_price=value["vwap"],
        decision_value=cost.decision_value,
        filled_value=cost.filled_value,
        **{part.value: amount for part, amount in cost.parts.items()},  # type: ignore[arg-type]
        total=cost.total,
        unknown=cost.reasons,
        left_out=cost.left_out,
        total_bps=None if bps is None else float(bps),
        **{f"against_{name}": cost.against.get(name) for name in BENCHMARKS},  # type: ignore[arg-type]
        half_spread_bps=facts.half_spread_bps.value,
        spread_source=facts.half_spread_bps.source,
        adv=adv,
        volatility=market.volatility,
        estimated_spread=estimate[0],
        estimated_impact=estimate[1],
        estimated_fees=estimate[2],
        model_session=place.model.session,
        adjustment=market.adjustment,
        synthetic=market.synthetic,
        replanned_qty=cost.replanned_qty,
    )


def _decision(place: Place, order: MeasuredOrder, market: SymbolMarket) -> Known:
    """What the order was decided on, in the session's units."""
    units = _units(place, order, market)
    if isinstance(units, str):
        return Known(None, units)
    return _prices(place, order, market, units, _dividend(place, order, market, units))["decision"]


def _dividend(place: Place, order: MeasuredOrder, market: SymbolMarket, scale: Units) -> Decimal:
    """Per share, gone ex between decision and session, of prices that still have it."""
    if order.is_exit or market.adjustment == "total_return" or scale.bars != ONE:
        return ZERO
    since = order.priced_on or place.before
    return sum((paid for day, paid in market.dividends if since < day <= place.session), ZERO)


def _units(place: Place, order: MeasuredOrder, market: SymbolMarket) -> Units | str:
    """Units of the decision and the bar against the fills; a trigger is in those of its own session."""
    since = order.priced_on or place.before
    decided_on_close = not order.is_exit and order.price_used is not None
    return units_between(
        market.adjustment,
        price_used=order.price_used or ONE,
        stored_close=market.closes.get(order.price_of or since) if decided_on_close else None,
        before=market.split_ratio(since, place.session),
        after=market.split_ratio(place.session),
    )


def _prices(
    place: Place, order: MeasuredOrder, market: SymbolMarket, units: Units | str, dividend: Decimal
) -> dict[str, Known]:
    """The benchmarks in the session's units, each with where it is from."""
    if isinstance(units, str):
        return {name: Known(None, units) for name in BENCHMARKS}
    found = {
        name: Known(scaled_bar(market.bar[name], units), AT_OPEN if name == "open" else "session close")
        if market.bar
        else Known(None, f"there is no bar of {place.session}")
        for name in ("open", "close")
    }
    found["vwap"] = Known(None, "bars have no volume-weighted price")
    decided = order.price_used
    found["decision"] = Known(None if decided is None else scaled_price(decided, units, dividend), order.price_source)
    found["arrival"] = _arrival(order, found)
    return found


def _arrival(order: MeasuredOrder, found: Mapping[str, Known]) -> Known:
    """The price when the order was sent: the latest one that is recorded of that moment."""
    if order.is_exit:
        return Known(found["decision"].value, TRIGGER if found["decision"].value is not None else order.price_source)
    if order.sent is None:
        return Known(None, "it was never sent" if not order.sent_qty else "when it was sent is not recorded")
    if order.sent.last_price is not None:
        return Known(order.sent.last_price, LAST_EXECUTION)
    if found["open"].value is None:
        return found["open"]
    return Known(found["open"].value, AT_OPEN if order.sent.at is None else EARLIER_OPEN)


def _estimate(
    model: CostModel, facts: OrderFacts, market: SymbolMarket, adv: float | None
) -> tuple[float | None, float | None, float | None]:
    """Spread, impact and fees of the planned order, in money; None where a figure that it needs is not known."""
    decision, half = facts.price("decision").value, facts.half_spread_bps.value
    if decision is None:
        return None, None, None
    found = model.estimate(
        facts.side,
        float(facts.planned_qty),
        float(decision),
        np.nan if adv is None else adv,
        np.nan if market.volatility is None else market.volatility,
        np.nan if half is None else float(half) * 2 / 10_000,
    )
    spread, impact, fees = (
        float(part) if np.isfinite(part) else None for part in (found.spread, found.impact, found.fees)
    )
    return spread, impact, fees
