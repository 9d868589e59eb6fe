"""What the supported brokers take, as data: a plan can be made for one without a connection to it.

What belongs here: capabilities that hold for every account of a broker. What does not: what one account
or instrument is allowed, which only the broker's answer says.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from scizor_dagster.brokers.protocol import Capabilities, OrderType, TimeInForce

ALPACA_CAPABILITIES = Capabilities(
    fractional=True,
    quantity_decimals=9,
    short=True,
    order_types=frozenset(OrderType),
    min_notional=Decimal("1.10"),
    full_exit_below_minimum=True,
    unique_client_ids=True,
    max_client_id_length=128,
    times_in_force=frozenset(TimeInForce),
    refuses_wash_trades=True,
    stop_distance=Decimal("0.01"),
    fractional_order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}),
    short_equity=Decimal(2000),
)
"""Fractions of nine decimals, as simple orders for the day; nothing below the minimum but a full exit.

The broker takes 1.00 and values an order at its own price when it arrives: one of 1.04 has been refused.
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
)
"""Whole shares (a fraction is refused with error 10243). Order references are free text and not unique."""

PAPER_CAPABILITIES = replace(
    ALPACA_CAPABILITIES,
    min_notional=Decimal(1),
    times_in_force=frozenset({TimeInForce.DAY}),
    short_equity=Decimal(0),
)
"""The embedded exchange with its default rules: as Alpaca, for the day only, and with shorts at any equity."""

BY_BROKER = {"alpaca": ALPACA_CAPABILITIES, "ibkr": IBKR_CAPABILITIES, "paper": PAPER_CAPABILITIES}
