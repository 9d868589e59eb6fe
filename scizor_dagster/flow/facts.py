"""What a plan must know beside weights, prices and its own book: the account around it, and past bars.

What belongs here: reading them from broker, ledger and lake, each only where a rule asks for it. What
does not: what the rules make of them (`planning`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import Broker, BrokerOrder, Capabilities
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.holdings import foreign, owned_by_others
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.rows import intents_by_id, intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.market_data.trading_facts import average_volumes, previous_closes, true_ranges
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules


@dataclass(frozen=True)
class AccountBeside:
    """The account around a portfolio.

    Attributes:
        foreign: Signed quantities that the account holds and no portfolio owns.
        siblings: Signed quantities that the account's other portfolios own.
        open_orders: Orders that may still fill: the portfolio's own, and those that no portfolio sent.
        sibling_orders: Orders of the account's other portfolios that may still fill.
    """

    foreign: Mapping[str, Decimal]
    siblings: Mapping[str, Decimal]
    open_orders: tuple[OpenOrder, ...]
    sibling_orders: tuple[OpenOrder, ...]

    def around(self, inputs: PlanInputs, near: Set[str] | None = None) -> PlanInputs:
        """The inputs of a plan with the account around it; of its other portfolios only what is of `near`."""
        orders = (order for order in self.sibling_orders if near is None or order.symbol in near)
        return replace(
            inputs,
            foreign=self.foreign,
            siblings={symbol: qty for symbol, qty in self.siblings.items() if near is None or symbol in near},
            open_orders=(*self.open_orders, *orders),
        )


def account_beside(desk: Desk, portfolio: str, broker: Broker) -> AccountBeside:
    """Read the account at the broker, and take off what the ledger knows of.

    An order of unknown outcome freezes its instrument, so that it and what it may have filled are not counted
    here.

    Raises:
        BrokerUnavailable: the broker cannot be read; that is not an empty account.
    """
    account = desk.portfolio(portfolio).account
    positions, orders = broker.positions(), broker.open_orders()
    with desk.ledger.read() as connection:
        frozen = frozen_symbols(connection, account)
        unowned = foreign(connection, account, positions)
        others = owned_by_others(connection, account, portfolio)
        known = intents_by_id(connection, [order.parent_client_order_id or order.client_order_id for order in orders])
        unsent = intents_in(connection, account, (IntentState.HELD, IntentState.READY))
    ids = {order.client_order_id for order in orders}
    owners = {name: intent.portfolio for name, intent in known.items()}
    # Orders of the session that wait to be sent: of a manual order, or of a rebalance beside one.
    mine = [
        OpenOrder(row.symbol, row.side, row.qty)
        for row in unsent
        if row.portfolio == portfolio and row.symbol not in frozen and row.client_order_id not in ids
    ]
    theirs: list[OpenOrder] = []
    for order in orders:
        # A leg whose entry is still open holds nothing yet.
        if order.parent_client_order_id in ids or order.symbol in frozen:
            continue
        owner = owners.get(order.parent_client_order_id or order.client_order_id)
        (mine if owner in (None, portfolio) else theirs).append(_open_order(order, own=owner == portfolio))
    return AccountBeside(
        _without(unowned, frozen), _without(others, frozen), open_orders=tuple(mine), sibling_orders=tuple(theirs)
    )


def shorts_allowed(broker: Broker, rules: PlanningRules) -> bool | None:
    """Whether the account's equity is what its broker asks of short sales; None where nothing asks for it.

    It is the account's and not the portfolio's. Only the answer is an input of the plan, not the equity, which
    moves with every price.
    """
    least = broker.capabilities.short_equity
    return broker.account().equity >= least if rules.allow_short and least else None


def _without(quantities: Mapping[str, Decimal], frozen: Collection[str]) -> dict[str, Decimal]:
    return {symbol: quantity for symbol, quantity in quantities.items() if symbol not in frozen}


def _open_order(order: BrokerOrder, *, own: bool) -> OpenOrder:
    parent = order.parent_client_order_id
    return OpenOrder(order.symbol, order.side, order.qty - order.filled_qty, own, parent is not None, parent or "")


def with_account(
    inputs: PlanInputs, beside: AccountBeside, rules: PlanningRules, capabilities: Capabilities
) -> PlanInputs:
    """The inputs with the account around them, as far as it has a say in the plan.

    Of the other portfolios only what changes a line counts: a plan stands until it is executed, and what they
    trade in the meantime is no reason to make it anew unless it is in this plan's way.
    """
    if inputs.manual is not None:
        return beside.around(inputs, frozenset({inputs.manual.symbol}))
    named = beside.siblings.keys() | {order.symbol for order in beside.sibling_orders}
    alone = beside.around(inputs, frozenset())
    if named.isdisjoint({*inputs.holdings, *(target.symbol for target in inputs.targets)}):
        return alone
    before = {line.symbol: line for line in make_plan(alone, rules, capabilities).lines}
    after = make_plan(beside.around(inputs), rules, capabilities).lines
    changed = {line.symbol for line in after if line != before.get(line.symbol)}
    return beside.around(inputs, changed & named)


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
