from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import OrderStatus, Side
from scizor_dagster.paper_exchange.matching import execution, step_capacity, step_prices
from scizor_dagster.paper_exchange.model import Order, Role, Rules, StepKind
from tests.paper_exchange.market import DAY1, FREE, bar

AT = datetime(2024, 3, 4, tzinfo=UTC)


def order(
    side: Side, qty: object, kind: StepKind = StepKind.MARKET, limit: object = None, stop: object = None
) -> Order:
    return Order(
        1,
        "one",
        "O1",
        "AAA",
        side,
        D(str(qty)),
        kind,
        Role.SIMPLE,
        DAY1,
        OrderStatus.ACCEPTED,
        AT,
        AT,
        limit_price=None if limit is None else D(str(limit)),
        stop_price=None if stop is None else D(str(stop)),
    )


def price(one: Order, step: int, rules: Rules = FREE, **values: object) -> D | None:
    prices = step_prices(bar(**values), step)
    done = execution(one, prices, step_capacity(prices, rules), 1, rules)
    return done.price if done else None


@pytest.mark.parametrize(("step", "expected"), [(1, D(100)), (2, D(101)), (3, D(103))])
def test_a_market_order_trades_at_the_open_the_typical_price_and_the_close(step, expected):
    assert price(order(Side.BUY, 1), step) == expected


@pytest.mark.parametrize(("side", "expected"), [(Side.BUY, D("100.0600")), (Side.SELL, D("99.9400"))])
def test_spread_and_impact_go_against_the_account(side, expected):
    """1 bp half spread and 10 bp x sqrt(250 / 1000) impact on a price of 100."""
    rules = Rules(half_spread_bps=D(1), impact_bps=D(10), max_participation=D(1))
    assert price(order(side, 250), 1, rules) == expected


def test_execution_prices_are_rounded_to_four_decimals_against_the_account():
    rules = Rules(half_spread_bps=D("0.003"), impact_bps=D(0), max_participation=D(1))
    assert price(order(Side.BUY, 1), 1, rules) == D("100.0001")
    assert price(order(Side.SELL, 1), 1, rules) == D("99.9999")


def test_a_sale_never_trades_below_the_smallest_price():
    rules = Rules(half_spread_bps=D(1000), impact_bps=D(0), max_participation=D(1))
    assert price(order(Side.SELL, 1), 1, rules, open_="0.0001", low="0.0001") == D("0.0001")


@pytest.mark.parametrize(
    ("side", "limit", "step", "expected"),
    [
        (Side.BUY, 105, 1, 100),
        (Side.BUY, 99, 1, None),
        (Side.BUY, 95, 2, 95),
        (Side.BUY, 102, 2, 101),
        (Side.BUY, 89, 2, None),
        (Side.BUY, 102, 3, None),
        (Side.BUY, 103, 3, 103),
        (Side.SELL, 95, 1, 100),
        (Side.SELL, 101, 1, None),
        (Side.SELL, 108, 2, 108),
        (Side.SELL, 100, 2, 101),
        (Side.SELL, 111, 2, None),
        (Side.SELL, 104, 3, None),
        (Side.SELL, 103, 3, 103),
    ],
)
def test_a_limit_fills_where_the_step_touches_it_at_the_limit_or_better(side, limit, step, expected):
    assert price(order(side, 1, StepKind.LIMIT, limit), step) == (None if expected is None else D(expected))


def test_slippage_never_carries_a_limit_beyond_its_price():
    rules = Rules(half_spread_bps=D(500), impact_bps=D(0), max_participation=D(1))
    assert price(order(Side.BUY, 1, StepKind.LIMIT, 101), 1, rules) == D(101)
    assert price(order(Side.SELL, 1, StepKind.LIMIT, 99), 1, rules) == D(99)


@pytest.mark.parametrize(("opened", "expected"), [(100, 97), (95, 95)])
def test_a_triggered_stop_sells_at_its_price_or_beyond_it_after_a_gap(opened, expected):
    assert price(order(Side.SELL, 1, StepKind.STOP, stop=97), 2, open_=opened) == D(expected)


def test_a_step_gives_at_most_its_share_of_a_third_of_the_volume():
    rules = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D("0.1"))
    prices = step_prices(bar(volume=3000), 1)
    whole = execution(order(Side.BUY, 500), prices, step_capacity(prices, rules), 1, rules)
    fraction = execution(order(Side.BUY, "500.5"), prices, D("33.3333333333"), 1, rules)
    assert whole is not None
    assert whole.qty == 100
    assert fraction is not None
    assert fraction.qty == D("33.333333333")


def test_a_whole_order_fills_in_whole_lots():
    prices = step_prices(bar(), 1)
    done = execution(order(Side.BUY, 40), prices, D("27.9"), 10, FREE)
    assert done is not None
    assert done.qty == 20


def test_a_bar_without_volume_trades_nothing():
    assert price(order(Side.BUY, 1), 1, volume=0) is None


def test_a_fee_is_rounded_up_to_whole_cents():
    prices = step_prices(bar(), 1)
    done = execution(
        order(Side.BUY, 1), prices, D(10), 1, Rules(half_spread_bps=D(0), impact_bps=D(0), fee_bps=D("0.51"))
    )
    assert done is not None
    assert done.fee == D("0.01")
