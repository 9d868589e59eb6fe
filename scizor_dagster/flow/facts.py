"""What a plan must know beside weights, prices and its own book: the account around it, and past bars.

What belongs here: reading them from broker, ledger and lake, each only where a rule asks for it. What
does not: what the rules make of them (`planning`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import Broker, BrokerOrder
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.holdings import foreign
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.rows import IntentRow, intents_by_id
from scizor_dagster.market_data.trading_facts import average_volumes, previous_closes, true_ranges
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.rules import PlanningRules


@dataclass(frozen=True)
class AccountBeside:
    """The account around a portfolio.

    Attributes:
        foreign: Signed quantities that the account holds and no portfolio owns.
        open_orders: Orders that may still fill: the portfolio's own, and those that no portfolio sent.
    """

    foreign: Mapping[str, Decimal]
    open_orders: tuple[OpenOrder, ...]

    @property
    def inputs(self) -> dict[str, Any]:
        return {"foreign": self.foreign, "open_orders": self.open_orders}


def account_beside(desk: Desk, portfolio: str, broker: Broker) -> AccountBeside:
    """Read the account at the broker, and take off what the ledger knows of.

    An order of unknown outcome freezes its instrument, so that it and what it may have filled are not counted
    here. Orders of the account's other portfolios concern their own holdings alone.

    Raises:
        BrokerUnavailable: the broker cannot be read; that is not an empty account.
    """
    account = desk.portfolio(portfolio).account
    positions, orders = broker.positions(), broker.open_orders()
    with desk.ledger.read() as connection:
        frozen = frozen_symbols(connection, account)
        others = foreign(connection, account, positions)
        known = intents_by_id(connection, [order.parent_client_order_id or order.client_order_id for order in orders])
    ids = {order.client_order_id for order in orders}
    # A leg whose entry is still open holds nothing yet.
    live = [order for order in orders if order.parent_client_order_id not in ids and order.symbol not in frozen]
    return AccountBeside(
        {symbol: quantity for symbol, quantity in others.items() if symbol not in frozen},
        tuple(made for order in live if (made := _open_order(order, known, portfolio)) is not None),
    )


def shorts_allowed(broker: Broker, rules: PlanningRules) -> bool | None:
    """Whether the account's equity is what its broker asks of short sales; None where nothing asks for it.

    It is the account's and not the portfolio's. Only the answer is an input of the plan, not the equity, which
    moves with every price.
    """
    least = broker.capabilities.short_equity
    return broker.account().equity >= least if rules.allow_short and least else None


def _open_order(order: BrokerOrder, known: Mapping[str, IntentRow], portfolio: str) -> OpenOrder | None:
    parent = order.parent_client_order_id
    intent = known.get(parent or order.client_order_id)
    if intent is not None and intent.portfolio != portfolio:
        return None
    remaining = order.qty - order.filled_qty
    return OpenOrder(order.symbol, order.side, remaining, intent is not None, parent is not None, parent or "")


def facts_for(lake: Lake, market: str, inputs: PlanInputs, rules: PlanningRules) -> dict[str, Any]:
    """The numbers from past bars that `rules` ask for, as inputs of the plan."""
    assert inputs.priced_on is not None, inputs.portfolio
    facts: dict[str, Any] = {}
    if rules.max_price_move is not None:
        facts["previous_prices"] = previous_closes(lake, market, inputs.priced_on)
    if rules.max_participation is not None:
        facts["adv"] = average_volumes(lake, market, inputs.priced_on)
    if rules.mode_on_buy == "bracket" and (rules.tp_atr is not None or rules.sl_atr is not None):
        facts["atr"] = true_ranges(lake, market, inputs.priced_on)
    return facts
