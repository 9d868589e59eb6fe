"""What a refusal is called at this door: HTTP status, Alpaca's code, message and extra fields.

What belongs here: the one table from the venue's words to the wire, and the errors of a malformed
request. What does not: when something is refused (`tickets` for the form, the venue for the rest).

Codes are reused for many causes, as they are at Alpaca; a word that the table does not know is answered
as a business rule (422/42210000) with the venue's own sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door.formats import number
from scizor_dagster.paper_exchange.venue_orders import Refused

FORBIDDEN = 40310000
NOT_FOUND = 40410000
MALFORMED = 40010001
BUSINESS_RULE = 42210000
TOO_MANY_REQUESTS = 42910000
INTERNAL = 50010000


class WireError(Exception):
    """A request that is answered with an error.

    Attributes:
        code: Alpaca's number, or None where it sends none (401, some 403).
        extras: Further fields of the body.
    """

    def __init__(self, http: int, code: int | None, message: str, **extras: Any) -> None:
        self.http = http
        self.code = code
        self.message = message
        self.extras = extras
        super().__init__(f"{http}/{code}: {message}")

    @property
    def body(self) -> dict[str, Any]:
        """As it goes out: figures as text."""
        body = {name: _plain(value) for name, value in self.extras.items()}
        return body | ({"code": self.code} if self.code else {}) | {"message": self.message}


@dataclass(frozen=True, slots=True)
class _Rule:
    """One refusal. `message` takes the figures of the refusal by name; None keeps the venue's own sentence."""

    http: int
    code: int
    message: str | None = None
    extras: tuple[str, ...] = ()


_TABLE: dict[str, _Rule] = {
    "insufficient_buying_power": _Rule(
        403, FORBIDDEN, "insufficient buying power", extras=("buying_power", "cost_basis")
    ),
    "insufficient_qty": _Rule(
        403,
        FORBIDDEN,
        "insufficient qty available for order (requested: {requested}, available: {available})",
        extras=("available", "existing_qty", "held_for_orders", "symbol", "related_orders"),
    ),
    "not_fractionable": _Rule(403, FORBIDDEN),
    "wash_trade": _Rule(
        403,
        FORBIDDEN,
        "potential wash trade detected. use complex orders",
        extras=("existing_order_id", "reject_reason"),
    ),
    "short_not_allowed": _Rule(403, FORBIDDEN, "account is not allowed to short"),
    "opposite_order_open": _Rule(403, FORBIDDEN),
    "trading_suspended": _Rule(403, FORBIDDEN, "new orders are rejected by user request"),
    "account_not_authorized": _Rule(403, FORBIDDEN, "account is not authorized to trade"),
    "fractional_disabled": _Rule(403, FORBIDDEN, "fractional trading is disabled for this account"),
    "below_minimum": _Rule(403, FORBIDDEN, "cost basis must be >= minimal amount of order 1"),
    "opg_window": _Rule(403, FORBIDDEN, "opg orders must be submitted after 7:00pm and before 9:28am"),
    "cls_window": _Rule(403, FORBIDDEN, "cls orders must be submitted after 7:00pm and before 3:55pm"),
    "not_tradable": _Rule(422, BUSINESS_RULE),
    "order_not_found": _Rule(404, NOT_FOUND),
    "duplicate_client_order_id": _Rule(422, MALFORMED, "client_order_id must be unique"),
    "invalid_client_order_id": _Rule(422, MALFORMED, "client_order_id must be no more than 128 characters"),
    "notional_below_minimum": _Rule(422, MALFORMED, "notional must be >= 1.00"),
    "invalid_price": _Rule(422, MALFORMED),
    "invalid_qty": _Rule(422, MALFORMED),
    "invalid_setting": _Rule(422, MALFORMED),
    "invalid_trail": _Rule(422, MALFORMED),
    "quantity_and_notional": _Rule(422, MALFORMED),
    "quantity_required": _Rule(422, MALFORMED),
    "stop_limit_prices_required": _Rule(422, MALFORMED),
    "stop_price_required": _Rule(422, MALFORMED),
    "trail_required": _Rule(422, MALFORMED),
    "invalid_time_in_force": _Rule(422, MALFORMED),
    "limit_price_required": _Rule(422, MALFORMED, "limit orders require a limit price"),
    "unexpected_price": _Rule(422, MALFORMED),
    "asset_not_found": _Rule(422, BUSINESS_RULE),
    "not_shortable": _Rule(422, BUSINESS_RULE),
    "hard_to_borrow": _Rule(422, BUSINESS_RULE),
    "fractional_short": _Rule(422, BUSINESS_RULE, "fractional orders cannot be sold short"),
    "fractional_not_day": _Rule(422, BUSINESS_RULE, "fractional orders must be DAY orders"),
    "fractional_not_simple": _Rule(422, BUSINESS_RULE, "fractional orders must be simple orders"),
    "notional_decimals": _Rule(422, BUSINESS_RULE, "notional value must be limited to 2 decimal places"),
    "sub_penny_increment": _Rule(422, BUSINESS_RULE),
    "bracket_not_entry": _Rule(422, BUSINESS_RULE, "bracket orders must be entry orders"),
    "bracket_prices": _Rule(422, BUSINESS_RULE, extras=("base_price",)),
    "oco_not_exit": _Rule(422, BUSINESS_RULE, "oco orders must be exit orders"),
    "stop_price_beyond_market": _Rule(422, BUSINESS_RULE, extras=("market_price", "stop_price")),
    "extended_hours": _Rule(422, BUSINESS_RULE, "extended hours order must be DAY or GTC limit orders"),
    "position_intent_mismatch": _Rule(422, BUSINESS_RULE),
    "replace_in_status": _Rule(422, BUSINESS_RULE, "cannot replace order in {status} status"),
    "already_replaced": _Rule(422, BUSINESS_RULE, "order already replaced"),
    "chain_not_replaced": _Rule(422, BUSINESS_RULE, "order chain not fully replaced"),
    "not_changed": _Rule(422, BUSINESS_RULE, "order parameters are not changed"),
    "qty_below_filled": _Rule(422, BUSINESS_RULE, "qty must be > filled_qty"),
    "advanced_qty": _Rule(422, BUSINESS_RULE, "qty cannot be changed for advanced orders"),
}


def wire_error(refusal: Refused, *, first_is_open: bool = False) -> WireError:
    """A refusal of the venue as this door says it.

    A repeated client order id has one code while the first order is open, and another once it has ended.
    """
    rule = _TABLE.get(refusal.code, _Rule(422, BUSINESS_RULE))
    code = rule.code
    if refusal.code == "duplicate_client_order_id" and first_is_open:
        code = BUSINESS_RULE
    known = {name: refusal.details.get(name) for name in rule.extras}
    extras = {name: value for name, value in known.items() if value not in (None, (), [])}
    return WireError(rule.http, code, _message(rule, refusal), **extras)


def _message(rule: _Rule, refusal: Refused) -> str:
    if rule.message is None:
        return refusal.message
    try:
        return rule.message.format(**{name: _plain(value) for name, value in refusal.details.items()})
    except KeyError:
        return refusal.message


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    return list(value) if isinstance(value, tuple) else value


def malformed(message: str) -> WireError:
    return WireError(422, MALFORMED, message)


def business_rule(message: str, **extras: Any) -> WireError:
    return WireError(422, BUSINESS_RULE, message, **extras)


def order_not_found(what: str) -> WireError:
    return WireError(404, NOT_FOUND, f"order not found for {what}")


def position_not_found() -> WireError:
    return WireError(404, NOT_FOUND, "position does not exist")


def asset_not_found(what: str) -> WireError:
    return WireError(404, NOT_FOUND, f"asset not found for {what}")


def unauthorized() -> WireError:
    return WireError(401, None, "unauthorized.")


def forbidden() -> WireError:
    return WireError(403, None, "forbidden.")


def endpoint_not_found() -> WireError:
    return WireError(404, NOT_FOUND, "endpoint not found")


def internal_error(http: int) -> WireError:
    return WireError(http, INTERNAL, "internal server error occurred")


def rate_limit_exceeded() -> WireError:
    return WireError(429, TOO_MANY_REQUESTS, "rate limit exceeded")
