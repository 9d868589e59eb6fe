"""What the supported brokers take, as data: a plan can be made for one without a connection to it.

What belongs here: capabilities that hold for every account of a broker, and what an account's configuration
makes of them. What does not: what one account or instrument is allowed, which only the broker's answer says.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from scizor_dagster.brokers.protocol import Capabilities, OrderType, TimeInForce
from scizor_dagster.config import Account, PaperAccount

ALPACA_CAPABILITIES = Capabilities(
    fractional=True,
    quantity_decimals=9,
    short=True,
    order_types=frozenset(OrderType),
    min_notional=Decimal("1.10"),
    full_exit_below_minimum=True,
    unique_client_ids=True,
    max_client_id_length=128,
    times_in_force=frozenset({TimeInForce.DAY}),
    refuses_wash_trades=True,
    stop_distance=Decimal("0.01"),
    fractional_order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}),
    short_equity=Decimal(2000),
    visible_after=timedelta(minutes=2),
)
"""Fractions of nine decimals, as simple orders for the day; nothing below the minimum but a full exit.

The broker takes 1.00 and values an order at its own price when it arrives: one of 1.04 has been refused.
Orders for the auctions it grants to some accounts only, so that they are an account's choice.
"""

IBKR_CAPABILITIES = Capabilities(
    fractional=False,
    quantity_decimals=0,
    short=True,
    order_types=frozenset(OrderType),
    min_notional=Decimal(0),
    full_exit_below_minimum=True,
    unique_client_ids=False,
    max_client_id_length=48,
    times_in_force=frozenset(TimeInForce),
    refuses_wash_trades=False,
    stop_distance=Decimal("0.01"),
    tells_payments=False,
    sends_at_once=12,
    visible_after=timedelta(minutes=1),
    absent_looks=3,
)
"""Whole shares (a fraction is refused with error 10243). Order references are free text and not unique.

At a tenth of a second each, 48 messages a second take five orders under way at any time, and a busy TWS answers later.
"""

PAPER_CAPABILITIES = replace(
    ALPACA_CAPABILITIES, min_notional=Decimal(1), short_equity=Decimal(0), visible_after=timedelta(0)
)
"""The embedded exchange with its default rules: as Alpaca, with shorts at any equity, and nothing is shown late."""

BY_BROKER = {"alpaca": ALPACA_CAPABILITIES, "ibkr": IBKR_CAPABILITIES, "paper": PAPER_CAPABILITIES}


def account_capabilities(account: Account) -> Capabilities:
    """What the account's broker takes from it, by its configuration."""
    if isinstance(account, PaperAccount):
        return paper_capabilities(account)
    return with_auctions(BY_BROKER[account.broker], granted=account.auction_orders)


def with_auctions(capabilities: Capabilities, *, granted: bool) -> Capabilities:
    """The same, with orders for the auctions or without."""
    return replace(capabilities, times_in_force=frozenset(TimeInForce if granted else {TimeInForce.DAY}))


def paper_capabilities(account: PaperAccount) -> Capabilities:
    """What the embedded exchange takes from an account with these rules."""
    rules = account.exchange
    return replace(
        with_auctions(PAPER_CAPABILITIES, granted=account.auction_orders),
        fractional=rules.fractional,
        quantity_decimals=PAPER_CAPABILITIES.quantity_decimals if rules.fractional else 0,
        short=rules.short_selling,
        min_notional=Decimal(repr(rules.min_order_notional)),
    )
