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
    PlanningChoices,
    Portfolio,
    RiskRules,
    WeightRules,
)
from scizor_dagster.errors import ConfigError
from scizor_dagster.planning.quantities import plain


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
        max_share_per_order: Largest quantity of one order: what opens more is not ordered, what closes more is sliced.
        max_total_notional: Largest value of all orders together; above it the plan is refused.
        min_cash_buffer_pct: Share of equity that is never invested.
        limit_offset_pct: Distance of a limit price from the reference price, a fraction of it.
        tp_pct: Distance of a bracket's take-profit above the reference price, a fraction of it.
        sl_pct: Distance of a bracket's stop below the reference price, a fraction of it.
        tp_atr: The same distance in average true ranges; it takes the place of `tp_pct`.
        sl_atr: The same distance in average true ranges; it takes the place of `sl_pct`.
        max_weight: Largest absolute weight of one target; None for no limit.
        blacklist: Symbols that are never ordered; what is held of them is kept.
        overrides: (symbol, rule) of instruments that may not be bought, sold, enlarged or touched.

    The other attributes are those of `config.PlanningChoices`; None is `unlimited`.
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
    mode_on_buy: Literal["market", "limit", "bracket", "moo", "moc"] = "market"
    mode_on_sell: Literal["market", "limit", "moo", "moc"] = "market"
    limit_offset_pct: Decimal = Decimal("0.002")
    tp_pct: Decimal = Decimal("0.05")
    sl_pct: Decimal = Decimal("0.03")
    tp_atr: Decimal | None = None
    sl_atr: Decimal | None = None
    allow_short: bool = False
    max_weight: Decimal | None = None
    blacklist: tuple[str, ...] = ()
    client_order_id_prefix: str = "SCZ"
    sum_tolerance: Decimal = Decimal(str(SUM_TOLERANCE))
    band_absolute: Decimal = Decimal(0)
    band_relative: Decimal = Decimal(0)
    trade_to: Literal["target", "edge"] = "target"
    max_turnover: Decimal | None = None
    max_participation: Decimal | None = None
    max_price_move: Decimal | None = Decimal("0.5")
    price_collar: Decimal | None = None
    slippage_allowance_pct: Decimal = Decimal(0)
    first_parcel: bool = True
    manage_foreign: bool = False
    overrides: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        limit = self.max_notional_per_order
        if limit is not None and limit < 2 * self.min_order_notional:
            raise ConfigError(
                f"risk.max_notional_per_order = {limit} is less than twice "
                f"risk.fractional_shares.min_order_notional = {self.min_order_notional}, "
                "so an order could not be split into slices above the minimum.",
                remedy="Raise the maximum or lower the minimum.",
            )
        cost = self.slippage_allowance_pct * max(self.max_total_weight, Decimal(1))
        if cost and self.min_cash_buffer_pct + cost >= 1:
            raise ConfigError(
                f"planning.slippage_allowance_pct = {self.slippage_allowance_pct} of a book of up to "
                f"risk.fractional_shares.max_total_weight = {self.max_total_weight} would set aside all of the equity, "
                "so that nothing could ever be bought.",
                remedy="Lower the allowance, the maximum or risk.min_cash_buffer_pct.",
            )

    def as_text(self) -> str:
        """Canonical JSON: sorted keys, numbers as plain text. Equal rules give equal text."""
        values = {key: _plain(value) for key, value in asdict(self).items()}
        values["blacklist"] = sorted(self.blacklist)
        values["overrides"] = sorted(self.overrides)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


def rules_from(portfolio: Portfolio) -> PlanningRules:
    """The planning rules of a configured portfolio."""
    return rules_of(portfolio.risk, portfolio.planning, portfolio.execution, portfolio.weights, portfolio.idempotency)


def rules_of(
    risk: RiskRules,
    planning: PlanningChoices,
    execution: ExecutionRules,
    weights: WeightRules,
    idempotency: Idempotency,
) -> PlanningRules:
    """The planning rules that five sections of a configuration amount to.

    Raises:
        ConfigError: the largest slice is not at least twice the smallest order, or nothing could be bought.
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
        tp_atr=None if execution.tp_atr is None else exact(execution.tp_atr),
        sl_atr=None if execution.sl_atr is None else exact(execution.sl_atr),
        allow_short=weights.allow_short,
        max_weight=limit_of(weights.max_weight),
        blacklist=tuple(sorted(weights.blacklist)),
        client_order_id_prefix=idempotency.client_order_id_prefix,
        band_absolute=exact(planning.band_absolute),
        band_relative=exact(planning.band_relative),
        trade_to=planning.trade_to,
        max_turnover=limit_of(planning.max_turnover),
        max_participation=limit_of(planning.max_participation),
        max_price_move=limit_of(planning.max_price_move),
        price_collar=limit_of(planning.price_collar),
        slippage_allowance_pct=exact(planning.slippage_allowance_pct),
        first_parcel=planning.first_parcel,
        manage_foreign=planning.manage_foreign,
        overrides=tuple(sorted(planning.overrides.items())),
    )


def exact(value: float) -> Decimal:
    """The decimal number that a person wrote: 0.1 is 0.1, without binary noise."""
    return Decimal(repr(value))


def limit_of(value: float | str) -> Decimal | None:
    """A limit as configured: None where it is the word `unlimited`."""
    return None if value == UNLIMITED else exact(float(value))


def _plain(value: object) -> object:
    return plain(value) if isinstance(value, Decimal) else value
