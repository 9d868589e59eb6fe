"""Random lists of orders against each limit in turn: whatever passes, never comes to more than is allowed.

The sums are done here a second time, from the orders that passed alone, without the package's own books.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.risk.book import Book
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.limits import NUMBERS, PreTradeLimits
from scizor_dagster.risk.pre_trade import OPENING, Decision, PreTradeContext, check_order
from tests.execution.scenario import UNLIMITED
from tests.risk.orders import FREE, D, Order

LISTS = 10_000 if os.environ.get("SCIZOR_TORTURE") else 500
"""`make torture` tries ten thousand lists per limit; the suite a sample of them."""
SYMBOLS = ("AAA", "BBB", "CCC")
SECTORS = {"AAA": "Energy", "BBB": "Energy"}
PRICES = {"AAA": D("12.5"), "BBB": D("101.37"), "CCC": D("0.83")}
EQUITY, VOLUME = D(20_000), D(5_000)


def _order(chance: random.Random) -> Order:
    symbol = chance.choice(SYMBOLS)
    price = PRICES[symbol]
    limit = chance.choice([None, price * D(chance.randint(80, 120)) / 100])
    intent, qty = chance.choice(list(PositionIntent)), D(chance.randint(1, 4_000_000)) / 1000
    return Order(symbol, intent, qty, price, limit, batch_id=chance.choice("1234"))


def _context(chance: random.Random) -> PreTradeContext:
    owned = {symbol: D(chance.randint(-300, 300)) for symbol in SYMBOLS}
    facts = MarketFacts(
        equity=EQUITY,
        equity_before=D(chance.randint(10_000, 40_000)),
        prices=PRICES,
        price_ages={symbol: chance.randint(0, 8) for symbol in SYMBOLS},
        second_prices={"AAA": D(chance.randint(100, 150)) / 10},
        daily_volumes=dict.fromkeys(SYMBOLS, VOLUME),
        sectors=SECTORS,
    )
    return replace(FREE, owned=owned, facts=facts, book=Book.of(owned, PRICES, SECTORS))


def _values(orders: list[Order], context: PreTradeContext) -> dict[str, Decimal]:
    """Signed value by symbol once all that opens has filled and nothing that closes."""
    values = {symbol: qty * PRICES[symbol] for symbol, qty in context.owned.items()}
    for order in orders:
        if order.intent in OPENING:
            values[order.symbol] += order.qty * PRICES[order.symbol] * order.side.sign
    return values


def _opened(orders: list[Order]) -> set[str]:
    return {order.symbol for order in orders if order.intent in OPENING}


def _traded(orders: list[Order]) -> Decimal:
    return sum((order.qty * order.price_used for order in orders), D(0))


def _gross(orders: list[Order], context: PreTradeContext) -> Decimal:
    return sum((abs(value) for value in _values(orders, context).values()), D(0)) if _opened(orders) else D(0)


def _net(orders: list[Order], context: PreTradeContext) -> Decimal:
    return abs(sum(_values(orders, context).values(), D(0))) if orders and orders[-1].intent in OPENING else D(0)


def _name(orders: list[Order], context: PreTradeContext) -> Decimal:
    return max((abs(_values(orders, context)[symbol]) for symbol in _opened(orders)), default=D(0)) / EQUITY


def _sector(orders: list[Order], context: PreTradeContext) -> Decimal:
    if not _opened(orders) & set(SECTORS):
        return D(0)
    return sum((abs(_values(orders, context)[symbol]) for symbol in SECTORS), D(0)) / EQUITY


def _turnover(orders: list[Order], _: PreTradeContext) -> Decimal:
    return _traded(orders) / EQUITY if orders and orders[-1].intent in OPENING else D(0)


def _each(figure: Callable[[Order, PreTradeContext], Decimal]) -> Callable[[list[Order], PreTradeContext], Decimal]:
    return lambda orders, context: max((figure(order, context) for order in orders), default=D(0))


def _jump(orders: list[Order], context: PreTradeContext) -> Decimal:
    before = context.facts.equity_before
    assert before is not None
    return abs(EQUITY - before) / before if orders else D(0)


def _apart(order: Order, context: PreTradeContext) -> Decimal:
    other = context.facts.second_prices.get(order.symbol)
    return D(0) if other is None else abs(order.price_used - other) / other


def _volume_share(orders: list[Order], _: PreTradeContext) -> Decimal:
    """What the last order brings its side of the symbol to; closing orders count and always pass."""
    if not orders or orders[-1].intent not in OPENING:
        return D(0)
    last = orders[-1]
    return sum((row.qty for row in orders if (row.symbol, row.side) == (last.symbol, last.side)), D(0)) / VOLUME


def _repeated(orders: list[Order], _: PreTradeContext) -> Decimal:
    decisions = {(order.symbol, order.side, order.batch_id) for order in orders}
    return D(max(Counter((symbol, side) for symbol, side, _ in decisions).values(), default=0))


FIGURES: dict[str, tuple[Callable[[list[Order], PreTradeContext], Decimal], tuple[str, str]]] = {
    "max_share_per_order": (_each(lambda order, _: order.qty), ("100", "4000")),
    "max_notional_per_order": (_each(lambda order, _: order.qty * order.price_used), ("500", "50000")),
    "max_adv_share": (_volume_share, ("0.05", "0.8")),
    "price_collar": (
        _each(lambda order, _: abs((order.limit_price or order.price_used) / order.price_used - 1)),
        ("0.05", "0.2"),
    ),
    "max_price_age_sessions": (_each(lambda order, known: D(known.facts.price_ages[order.symbol])), ("1", "7")),
    "max_price_difference": (_each(_apart), ("0.01", "0.2")),
    "max_total_notional": (lambda orders, _: _traded(orders), ("1000", "100000")),
    "max_session_orders": (lambda orders, _: D(len(orders)), ("1", "5")),
    "max_session_turnover": (_turnover, ("0.1", "5")),
    "max_orders_per_minute": (lambda orders, _: D(len(orders)), ("1", "5")),
    "max_repeated_orders": (_repeated, ("1", "3")),
    "max_gross_value": (_gross, ("5000", "100000")),
    "max_net_value": (_net, ("5000", "100000")),
    "max_name_weight": (_name, ("0.2", "3")),
    "max_sector_weight": (_sector, ("0.5", "4")),
    "max_leverage": (lambda orders, known: _gross(orders, known) / EQUITY, ("0.5", "5")),
    "max_equity_jump": (_jump, ("0.05", "0.5")),
}
"""Of each limit: what the orders that passed come to, and the range that its value is drawn from."""


def _passed(chance: random.Random, context: PreTradeContext, rules: PreTradeLimits, check: Any) -> int:
    passed: list[Order] = []
    for order in (_order(chance) for _ in range(chance.randint(1, 6))):
        if check_order(order, context, rules).decision is Decision.PASS:
            context = context.after(order)
            passed.append(order)
            check(passed)
    return len(passed)


@pytest.mark.parametrize("name", FIGURES)
def test_no_random_list_passes_above_the_limit_and_not_every_list_is_stopped(name: str, record_property: Any) -> None:
    figure, (low, high) = FIGURES[name]
    chance = random.Random(f"lists of {name}")
    passed = 0
    for _ in range(LISTS):
        context = _context(chance)
        limit = D(chance.uniform(float(low), float(high))).quantize(D("0.0001"))

        def within(orders: list[Order], context: PreTradeContext = context, limit: Decimal = limit) -> None:
            assert figure(orders, context) <= limit, (orders, context.owned, limit)

        passed += _passed(chance, context, replace(UNLIMITED, **{name: limit}), within)
    record_property("lists", LISTS)
    record_property("orders that passed", passed)
    assert passed > LISTS / 20


def test_every_limit_of_an_order_has_its_random_lists() -> None:
    assert set(NUMBERS) - set(FIGURES) == {"max_day_loss", "max_drawdown"}
