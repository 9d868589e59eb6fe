"""Accounts and the exchange that a paper account trades on: the section `accounts`.

What belongs here: names, types and defaults. What does not: credentials (environment only).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import CurrencyCode, Model, Positive


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


class Account(Model):
    """One account.

    Attributes:
        auction_orders: Whether it may send orders for the opening and the closing auction; brokers grant it by
            account, so that it is off until somebody knows.
    """

    broker: Literal["paper"]
    currency: CurrencyCode = "USD"
    initial_cash: Positive
    auction_orders: bool = False
    exchange: PaperExchangeRules = PaperExchangeRules()
