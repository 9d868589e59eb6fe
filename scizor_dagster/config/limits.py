"""Limits and protections: the sections `risk.limits` and `risk.protections`.

What belongs here: names, types, units and the defaults of the whole section. What does not: what a limit
stops (`risk.pre_trade`), and what a protection looks at (`risk.protections`).

`risk.limits` is there as a whole or not at all: without it `DEFAULT_LIMITS` hold, inside it no key may be
missing. A new limit is therefore never taken for unlimited where nobody has thought of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from scizor_dagster.config.base import UNLIMITED, Limit, Model, Positive
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import check_symbol

Sessions = Annotated[int, Field(ge=1, le=260)]


def _ticker(value: str) -> str:
    """A list that forbids must not be read past: a name that no order can carry is refused, not ignored."""
    try:
        return check_symbol(value)
    except InputError as wrong:
        raise ValueError(str(wrong)) from wrong


Ticker = Annotated[str, AfterValidator(_ticker)]


class LimitRules(Model):
    """Each limit is a positive number or `unlimited`. Shares and differences are fractions.

    Attributes:
        restricted: Tickers, or `TICKER.MIC`, that no order may open or add to; one may be in no universe yet.
        allowed: Symbols, or universe files of the market (`*.csv`), that alone may be opened.
        on_loss: The trading state that a breach of `max_day_loss` or `max_drawdown` leads to.
    """

    max_adv_share: Limit
    price_collar: Limit
    max_price_age_sessions: Limit
    max_price_difference: Limit
    max_session_orders: Limit
    max_session_turnover: Limit
    max_orders_per_minute: Limit
    max_repeated_orders: Limit
    max_gross_value: Limit
    max_net_value: Limit
    max_name_weight: Limit
    max_sector_weight: Limit
    max_leverage: Limit
    max_equity_jump: Limit
    max_day_loss: Limit
    max_drawdown: Limit
    on_loss: Literal["reducing", "halted"]
    restricted: tuple[Ticker, ...]
    allowed: tuple[str, ...] | Literal["unlimited"]


DEFAULT_LIMITS = LimitRules(
    max_adv_share=0.25,
    price_collar=0.1,
    max_price_age_sessions=30.0,
    max_price_difference=0.05,
    max_session_orders=5000.0,
    max_session_turnover=4.0,
    max_orders_per_minute=2000.0,
    max_repeated_orders=100.0,
    max_gross_value=UNLIMITED,
    max_net_value=UNLIMITED,
    max_name_weight=1.0,
    max_sector_weight=2.0,
    max_leverage=2.0,
    max_equity_jump=0.5,
    max_day_loss=0.2,
    max_drawdown=0.5,
    on_loss="reducing",
    restricted=(),
    allowed=UNLIMITED,
)


class Cooldown(Model):
    """After a full exit with a loss, the instrument is not opened again for `sessions` sessions."""

    kind: Literal["cooldown"]
    sessions: Sessions


class StoplossGuard(Model):
    """After `count` losing exits within `lookback_sessions`, nothing opens for `lock_sessions`."""

    kind: Literal["stoploss_guard"]
    count: Annotated[int, Field(ge=1)]
    lookback_sessions: Sessions
    lock_sessions: Sessions


class MaxDrawdown(Model):
    """Where equity has fallen by more than `threshold` within the lookback, nothing opens for `lock_sessions`."""

    kind: Literal["max_drawdown"]
    threshold: Annotated[Positive, Field(lt=1.0)]
    lookback_sessions: Sessions
    lock_sessions: Sessions


Protection = Annotated[Cooldown | StoplossGuard | MaxDrawdown, Field(discriminator="kind")]
