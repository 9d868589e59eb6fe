"""Accounts, at a broker or on the embedded exchange: the section `accounts`.

What belongs here: names, types and defaults. What does not: how a broker is reached (`connections`), and
credentials (environment only).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scizor_dagster.config.base import CurrencyCode, Model, Positive
from scizor_dagster.config.connections import AccountId, AlpacaConnection, Environment, IbkrConnection

BROKERS = ("paper", "alpaca", "ibkr")
_PAPER_PREFIX = {"alpaca": "PA", "ibkr": "D"}


class PaperExchangeRules(Model):
    """The embedded exchange: how it fills. Basis points are of the price."""

    half_spread_bps: Annotated[float, Field(ge=0.0, le=1000.0)] = 1.0
    impact_bps: Annotated[float, Field(ge=0.0, le=1000.0)] = 5.0
    """Price impact at 100 % of a step's volume; grows with the square root of participation."""
    max_participation: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Share of the bar's volume that one account may take in one step; the rest waits (a partial fill)."""
    margin_multiplier: Annotated[int, Field(ge=1, le=4)] = 2
    min_order_notional: Annotated[float, Field(ge=0.0)] = 1.0
    short_selling: bool = True
    fractional: bool = True
    faults: Annotated[str, Field(min_length=1)] | None = None
    """A script of what goes wrong with calls of this account, for rehearsals; relative to the configuration."""


class _AnyAccount(Model):
    """What accounts have in common.

    Attributes:
        initial_cash: Cash of the account before its first session here; capital is given out of it, and
            reconciliation counts cash from it.
        auction_orders: Whether it may send orders for the opening and the closing auction; brokers grant it by
            account, so that it is off until somebody knows.
    """

    currency: CurrencyCode = "USD"
    initial_cash: Positive
    auction_orders: bool = False


class PaperAccount(_AnyAccount):
    """An account at the embedded exchange."""

    broker: Literal["paper"]
    exchange: PaperExchangeRules = PaperExchangeRules()


class AlpacaAccount(_AnyAccount, AlpacaConnection):
    """An account at Alpaca, pinned by its number and environment."""

    broker: Literal["alpaca"]
    environment: Environment
    account_id: AccountId

    @model_validator(mode="after")
    def _one_kind(self) -> AlpacaAccount:
        _check_prefix(self.broker, self.environment, self.account_id)
        return self


class IbkrAccount(_AnyAccount, IbkrConnection):
    """An account at Interactive Brokers, pinned by its id and environment.

    Attributes:
        fx: What buys are paid from: `own` is the account's cash in `currency`; `borrow` counts what it holds in other
            currencies too, and the broker lends against it. Scizor trades no currency by itself.
    """

    broker: Literal["ibkr"]
    environment: Environment
    fx: Literal["own", "borrow"] = "own"

    @model_validator(mode="after")
    def _one_kind(self) -> IbkrAccount:
        _check_prefix(self.broker, self.environment, self.account_id)
        return self


Account = PaperAccount | AlpacaAccount | IbkrAccount


def _check_prefix(broker: str, environment: Environment, account_id: str) -> None:
    prefix = _PAPER_PREFIX[broker]
    if account_id.startswith(prefix) != (environment == "paper"):
        raise ValueError(
            f"account {account_id} is not a {environment} account: at {broker} the id of a paper account, and of no "
            f"other, begins with {prefix}"
        )
