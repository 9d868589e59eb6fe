"""1,448 orders that Alpaca refused, with its answers: none of their causes gets past the planner.

Each row of the log becomes a plan for the same change of the same instrument, given what its answer says of the
account. What Alpaca refuses is written here once more, apart from the planner, and is first held against the
row's own order: an oracle that does not recognise the recorded refusal would prove nothing.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of

CAUSES = {
    "fractional orders must be simple orders": "fractional_not_simple",
    "cost basis must be": "below_minimum",
    "insufficient qty available": "insufficient_qty",
    "is not fractionable": "not_fractionable",
    "is not active": "not_active",
    "client_order_id must be unique": "duplicate_id",
    "stop_loss.stop_price must be": "stop_price",
    "fractional orders cannot be sold short": "fractional_short",
    "bracket orders must be entry orders": "bracket_not_entry",
}
COUNTS = {
    "fractional_not_simple": 824, "below_minimum": 494, "insufficient_qty": 61, "not_fractionable": 43,
    "not_active": 13, "duplicate_id": 5, "stop_price": 4, "fractional_short": 3, "bracket_not_entry": 1,
}  # fmt: skip
EQUITY = Decimal(1_000_000)
RULES = PlanningRules(
    min_order_notional=Decimal(0), quantity_precision=9, mode_on_buy="bracket", allow_short=True, max_weight=None
)


@dataclass(frozen=True)
class Facts:
    """What is true of the account and the instrument when an order arrives."""

    price: Decimal
    held: Decimal = Decimal(0)
    held_for_orders: Decimal = Decimal(0)
    active: bool = True
    fractionable: bool = True
    known_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Order:
    client_order_id: str
    side: Side
    qty: Decimal
    kind: OrderType
    stop: Decimal | None


def refusal(order: Order, facts: Facts) -> str | None:
    """Alpaca's answer, in the order in which it checks."""
    fraction = order.qty % 1 != 0
    if order.client_order_id in facts.known_ids:
        return "duplicate_id"
    if not facts.active:
        return "not_active"
    if order.stop is not None and order.stop > facts.price - Decimal("0.01"):
        return "stop_price"
    if fraction and order.kind is OrderType.BRACKET:
        return "fractional_not_simple"
    if fraction and not facts.fractionable:
        return "not_fractionable"
    opens = facts.held * order.side.sign >= 0
    if order.kind is OrderType.BRACKET and not opens:
        return "bracket_not_entry"
    if opens and order.side is Side.SELL and fraction:
        return "fractional_short"
    if not opens and order.qty > abs(facts.held) - facts.held_for_orders:
        return "insufficient_qty"
    if opens and order.qty * facts.price < Decimal("1.05"):
        return "below_minimum"
    return None


def facts_of(row, cause) -> Facts:
    price, qty = Decimal(row["price_used"]), Decimal(row["qty"])
    answer = json.loads(row["error"][4:])
    facts = Facts(price, held=qty + 5 if row["side"] == "SELL" else Decimal(0))
    if cause == "insufficient_qty":
        # The answer gives a short position without its sign; an order only closes what is on the other side.
        held = Decimal(answer["existing_qty"]) * (1 if row["side"] == "SELL" else -1)
        return replace(facts, held=held, held_for_orders=Decimal(answer["held_for_orders"]))
    return {
        "not_fractionable": replace(facts, fractionable=False),
        "not_active": replace(facts, active=False),
        "duplicate_id": replace(facts, known_ids=frozenset({row["client_order_id"]})),
        "stop_price": replace(facts, price=Decimal(answer.get("base_price", "1"))),
        "fractional_short": replace(facts, held=Decimal(0)),
        "bracket_not_entry": replace(facts, held=-qty),
    }.get(cause, facts)


def order_of(row) -> Order:
    stop = Decimal(row["sl_price"]) if row["sl_price"] else None
    kind = OrderType(row["order_type"].lower())
    return Order(row["client_order_id"], Side(row["side"].lower()), Decimal(row["qty"]), kind, stop)


def plan_for(row, facts: Facts, cause: str):
    """A plan for the change that the row's order was meant to make."""
    symbol, side = row["symbol"], Side(row["side"].lower())
    wanted = facts.held + side.sign * Decimal(row["qty"])
    weight = (wanted * facts.price / EQUITY).quantize(Decimal("1e-15"))
    resting = []
    if facts.held_for_orders:
        resting.append(OpenOrder(symbol, side, facts.held_for_orders, protective=True, group="bracket"))
    if cause == "duplicate_id":
        resting.append(OpenOrder(symbol, side, Decimal(row["qty"])))
    instrument = Instrument(symbol, "XNYS", "USD", fractionable=facts.fractionable, tradable=facts.active)
    inputs = inputs_of(
        {symbol: weight}, {symbol: facts.price}, {symbol: facts.held}, equity=EQUITY,
        instruments={symbol: instrument}, open_orders=tuple(resting),
    )  # fmt: skip
    return make_plan(inputs, RULES, ALPACA_CAPABILITIES)


@pytest.fixture(scope="module")
def refused(reference_data):
    with (reference_data / "weights_finrl_trading" / "execution_log.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["status"] == "FAILED"]
    return [(row, next(name for words, name in CAUSES.items() if words in row["error"])) for row in rows]


def test_every_refusal_of_the_log_has_a_known_cause(refused):
    assert Counter(cause for _, cause in refused) == COUNTS
    assert sum(COUNTS.values()) == 1448


def test_what_alpaca_refuses_is_written_here_as_the_log_shows_it(refused):
    for row, cause in refused:
        assert refusal(order_of(row), facts_of(row, cause)) == cause, row


@pytest.mark.parametrize("cause", COUNTS)
def test_no_planned_order_would_be_refused(refused, cause):
    rows = [row for row, found in refused if found == cause]
    assert len(rows) == COUNTS[cause]
    for row in rows:
        facts = facts_of(row, cause)
        for order in plan_for(row, facts, cause).orders:
            made = Order(order.client_order_id, order.side, order.qty, order.order_type, order.stop_loss)
            after_first = replace(facts, held=Decimal(0)) if order.leg == 2 else facts
            assert refusal(made, after_first) is None, (row, order)


def test_the_plans_of_the_log_do_order_what_alpaca_takes(refused):
    # Guards the test above: a planner that orders nothing is never refused.
    ordered = Counter(cause for row, cause in refused if plan_for(row, facts_of(row, cause), cause).orders)
    assert ordered["fractional_not_simple"] == 824
    assert ordered["stop_price"] == 4
    assert ordered["bracket_not_entry"] == 1
    assert ordered["not_fractionable"] > 0
    assert not ordered["not_active"]
    assert not ordered["below_minimum"]
    assert not ordered["duplicate_id"]


def test_a_cover_is_no_bracket_and_a_sale_from_flat_is_whole(refused):
    cover = next(row for row, cause in refused if cause == "bracket_not_entry")
    order = plan_for(cover, facts_of(cover, "bracket_not_entry"), "").orders[0]
    assert (order.intent, order.order_type) == (PositionIntent.BUY_TO_CLOSE, OrderType.MARKET)
    for row, cause in refused:
        if cause == "fractional_short":
            assert all(made.qty % 1 == 0 for made in plan_for(row, facts_of(row, cause), cause).orders)
