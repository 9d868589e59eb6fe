"""The limits that stop an order, as the pre-trade check reads them.

What belongs here: the numbers and how they come out of the configuration. What does not: the checks
(`pre_trade`), and the limits that shape a plan instead of stopping an order (`planning.rules`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.errors import ConfigError

if TYPE_CHECKING:
    from scizor_dagster.config import RiskRules


@dataclass(frozen=True, slots=True)
class PreTradeLimits:
    """Each limit is a positive number, or None where the configuration says `unlimited`.

    Attributes:
        max_share_per_order: Shares in one order.
        max_notional_per_order: Value of one order at the price that sized it.
        max_total_notional: Value of all orders that a portfolio sends in one session.
    """

    max_share_per_order: Decimal | None
    max_notional_per_order: Decimal | None
    max_total_notional: Decimal | None

    def __post_init__(self) -> None:
        for name in ("max_share_per_order", "max_notional_per_order", "max_total_notional"):
            value: Decimal | None = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise ConfigError(
                    f"The limit '{name}' is {value}.", remedy="Give a positive number, or the word unlimited."
                )


def limits_from(risk: RiskRules) -> PreTradeLimits:
    """The limits of a portfolio's `risk` section."""
    return PreTradeLimits(
        max_share_per_order=_decimal(risk.max_share_per_order),
        max_notional_per_order=_decimal(risk.max_notional_per_order),
        max_total_notional=_decimal(risk.max_total_notional),
    )


def _decimal(value: float | str) -> Decimal | None:
    return None if isinstance(value, str) else Decimal(str(value))
