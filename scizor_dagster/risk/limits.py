"""The limits that stop an order, as the pre-trade check reads them.

What belongs here: the numbers, how they come out of the configuration, and their hash. What does not: the
checks (`pre_trade`), and the limits that shape a plan instead of stopping an order (`planning.rules`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import ConfigError
from scizor_dagster.risk.states import TradingState

if TYPE_CHECKING:
    from scizor_dagster.config import RiskRules

UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTradeLimits:
    """Each number is positive, or None where the configuration says `unlimited`; none has a default.

    Money is in the portfolio's currency; shares, collars, jumps and losses are fractions.

    Attributes:
        max_share_per_order: Shares in one order.
        max_notional_per_order: Value of one order at the price that sized it.
        max_adv_share: Share of the instrument's average daily volume in one order.
        price_collar: Distance of a limit price from the price that sized the order.
        max_price_age_sessions: Sessions since the price that sized the order.
        max_price_difference: Between that price and a second source's, where there is one.
        max_total_notional: Value of all orders that a portfolio sends in one session.
        max_session_orders: Their number.
        max_session_turnover: Their value, as a share of equity.
        max_orders_per_minute: Orders of the session sent within one minute.
        max_repeated_orders: Orders of one symbol and side in the session, since the last resume.
        max_gross_value: Sum of the positions' absolute values after an opening order.
        max_net_value: Absolute value of their signed sum.
        max_name_weight: One position's absolute value, as a share of equity.
        max_sector_weight: One sector's gross value, as a share of equity.
        max_leverage: Gross value over equity.
        max_equity_jump: Change of equity, up or down, against the one measured before.
        max_day_loss: Loss of the newest session.
        max_drawdown: Fall from the highest equity.
        on_loss: The state that the two losses lead to.
        restricted: Symbols that nothing opens.
        allowed: The symbols that alone may be opened; None is every one.
    """

    max_share_per_order: Decimal | None
    max_notional_per_order: Decimal | None
    max_adv_share: Decimal | None
    price_collar: Decimal | None
    max_price_age_sessions: Decimal | None
    max_price_difference: Decimal | None
    max_total_notional: Decimal | None
    max_session_orders: Decimal | None
    max_session_turnover: Decimal | None
    max_orders_per_minute: Decimal | None
    max_repeated_orders: Decimal | None
    max_gross_value: Decimal | None
    max_net_value: Decimal | None
    max_name_weight: Decimal | None
    max_sector_weight: Decimal | None
    max_leverage: Decimal | None
    max_equity_jump: Decimal | None
    max_day_loss: Decimal | None
    max_drawdown: Decimal | None
    on_loss: TradingState
    restricted: frozenset[str]
    allowed: frozenset[str] | None

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value: Decimal | None = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise ConfigError(
                    f"The limit '{name}' is {value}.", remedy="Give a positive number, or the word unlimited."
                )
        if self.on_loss is TradingState.ACTIVE:
            raise ConfigError("A loss cannot lead to 'active'.", remedy="Set on_loss to reducing or halted.")

    def as_text(self) -> dict[str, str]:
        """Every limit by name, as a person writes it."""
        return {name: _text(value) for name, value in asdict(self).items()}

    @property
    def hash(self) -> str:
        """SHA-256 over all of them as a JSON object, by name in the order of the alphabet; hexadecimal."""
        return hashlib.sha256(json.dumps(self.as_text(), sort_keys=True).encode()).hexdigest()


NUMBERS = tuple(field.name for field in fields(PreTradeLimits) if field.type == "Decimal | None")
"""Names of the limits that are numbers."""


def limits_from(
    risk: RiskRules, allowed: Collection[str] | None = None, restricted: Collection[str] | None = None
) -> PreTradeLimits:
    """The limits of a portfolio's `risk` section.

    `allowed` are the symbols that `risk.limits.allowed` comes to, None where it is `unlimited`; `restricted` those
    that `risk.limits.restricted` comes to as orders carry them, None for the tickers as they are written.
    """
    values = {**risk.limits.model_dump(), **{name: getattr(risk, name) for name in _OF_THE_SECTION}}
    return PreTradeLimits(
        **{name: _decimal(values[name]) for name in NUMBERS},
        on_loss=TradingState(risk.limits.on_loss),
        restricted=frozenset(risk.limits.restricted if restricted is None else restricted),
        allowed=None if allowed is None else frozenset(allowed),
    )


_OF_THE_SECTION = ("max_share_per_order", "max_notional_per_order", "max_total_notional")


def _decimal(value: float | str) -> Decimal | None:
    return None if isinstance(value, str) else Decimal(str(value))


def _text(value: Any) -> str:
    if value is None:
        return UNLIMITED
    if isinstance(value, frozenset):
        return " ".join(sorted(value)) or "none"
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
