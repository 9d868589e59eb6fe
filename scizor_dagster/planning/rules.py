"""The rules of sizing and order construction, as plain exact numbers.

What belongs here: one frozen value that the planner reads, and its making from a portfolio's
configuration. What does not: rules files for `scizor plan` (`rules_file`), limits that look at more
than one plan (`risk`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Literal

from scizor_dagster.config import (
    SUM_TOLERANCE,
    UNLIMITED,
    ExecutionRules,
    Idempotency,
    Portfolio,
    RiskRules,
    WeightRules,
)
from scizor_dagster.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PlanningRules:
    """How weights become orders. The defaults are a plain rebalance without limits.

    Attributes:
        fractional: Whether targets may be fractions of a share.
        min_order_notional: Smallest value of an order, in the plan's currency.
        quantity_precision: Decimals of a fractional target quantity.
        max_total_weight: Largest gross weight, the sum of absolute weights.
        adjust_for_overflow: Scale weights that exceed the maximum by at most `sum_tolerance` down to it.
        max_notional_per_order: Largest value of one slice; None splits nothing.
        max_share_per_order: Largest quantity of an instrument's order; above it nothing is ordered.
        max_total_notional: Largest value of all orders together; above it the plan is refused.
        min_cash_buffer_pct: Share of equity that is never invested.
        limit_offset_pct: Distance of a limit price from the reference price, a fraction of it.
        tp_pct: Distance of a bracket's take-profit above the reference price, a fraction of it.
        sl_pct: Distance of a bracket's stop below the reference price, a fraction of it.
        max_weight: Largest absolute weight of one target; None for no limit.
        blacklist: Symbols that are never ordered; what is held of them is kept.
    """

    fractional: bool = True
    min_order_notional: Decimal = Decimal(1)
    quantity_precision: int = 2
    max_total_weight: Decimal = Decimal(1)
    adjust_for_overflow: bool = True
    max_notional_per_order: Decimal | None = None
    max_share_per_order: Decimal | None = None
    max_total_notional: Decimal | None = None
    min_cash_buffer_pct: Decimal = Decimal(0)
    mode_on_buy: Literal["market", "limit", "bracket"] = "market"
    mode_on_sell: Literal["market", "limit"] = "market"
    limit_offset_pct: Decimal = Decimal("0.002")
    tp_pct: Decimal = Decimal("0.05")
    sl_pct: Decimal = Decimal("0.03")
    allow_short: bool = False
    max_weight: Decimal | None = None
    blacklist: tuple[str, ...] = ()
    client_order_id_prefix: str = "SCZ"
    sum_tolerance: Decimal = Decimal(str(SUM_TOLERANCE))

    def __post_init__(self) -> None:
        limit = self.max_notional_per_order
        if limit is not None and limit < 2 * self.min_order_notional:
            raise ConfigError(
                f"risk.max_notional_per_order = {limit} is less than twice "
                f"risk.fractional_shares.min_order_notional = {self.min_order_notional}, "
                "so an order could not be split into slices above the minimum.",
                remedy="Raise the maximum or lower the minimum.",
            )

    def as_text(self) -> str:
        """Canonical JSON: sorted keys, numbers as plain text. Equal rules give equal text."""
        values = {key: _plain(value) for key, value in asdict(self).items()}
        values["blacklist"] = sorted(self.blacklist)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


def rules_from(portfolio: Portfolio) -> PlanningRules:
    """The planning rules of a configured portfolio."""
    return rules_of(portfolio.risk, portfolio.execution, portfolio.weights, portfolio.idempotency)


def rules_of(
    risk: RiskRules, execution: ExecutionRules, weights: WeightRules, idempotency: Idempotency
) -> PlanningRules:
    """The planning rules that four sections of a configuration amount to.

    Raises:
        ConfigError: the largest slice is not at least twice the smallest order.
    """
    fractional = risk.fractional_shares
    return PlanningRules(
        fractional=fractional.enabled,
        min_order_notional=exact(fractional.min_order_notional),
        quantity_precision=fractional.quantity_precision,
        max_total_weight=exact(fractional.max_total_weight),
        adjust_for_overflow=fractional.adjust_for_overflow,
        max_notional_per_order=limit_of(risk.max_notional_per_order),
        max_share_per_order=limit_of(risk.max_share_per_order),
        max_total_notional=limit_of(risk.max_total_notional),
        min_cash_buffer_pct=exact(risk.min_cash_buffer_pct),
        mode_on_buy=execution.mode_on_buy,
        mode_on_sell=execution.mode_on_sell,
        limit_offset_pct=exact(execution.limit_offset_pct),
        tp_pct=exact(execution.tp_pct),
        sl_pct=exact(execution.sl_pct),
        allow_short=weights.allow_short,
        max_weight=limit_of(weights.max_weight),
        blacklist=tuple(sorted(weights.blacklist)),
        client_order_id_prefix=idempotency.client_order_id_prefix,
    )


def exact(value: float) -> Decimal:
    """The decimal number that a person wrote: 0.1 is 0.1, without binary noise."""
    return Decimal(repr(value))


def limit_of(value: float | str) -> Decimal | None:
    """A limit as configured: None where it is the word `unlimited`."""
    return None if value == UNLIMITED else exact(float(value))


def _plain(value: object) -> object:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
