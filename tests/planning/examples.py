"""What the examples of planning share: a plan from plain numbers, and what it does with one instrument."""

from dataclasses import replace
from decimal import Decimal

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of, line_of

WHOLE = PlanningRules(fractional=False)


def plan_of(weights, prices, holdings=(), rules=WHOLE, capabilities=ALPACA_CAPABILITIES, **others):
    return make_plan(inputs_of(weights, prices, holdings, **others), rules, capabilities)


def outcome(plan, symbol="A"):
    line = line_of(plan, symbol)
    return line.reason, [order.side.sign * order.qty for order in plan.orders if order.symbol == symbol]


def rules_of(base=WHOLE, **others):
    return replace(base, **{name: Decimal(str(v)) if isinstance(v, float) else v for name, v in others.items()})
