"""The pre-trade check: each limit at its edge, and everything under way counted at once."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.errors import ConfigError
from scizor_dagster.risk.limits import PreTradeLimits, limits_from
from scizor_dagster.risk.pre_trade import OPENING, Decision, PreTradeContext, check_order

D = Decimal
TEN, FIVE = D(10), D(5)
UNLIMITED = PreTradeLimits(None, None, None)
FREE = PreTradeContext(owned={}, closing={}, session_notional=D(0), opening_notional=D(0), buying_power=D(1_000_000))


@dataclass(frozen=True)
class Order:
    symbol: str = "AAA"
    intent: PositionIntent = PositionIntent.BUY_TO_OPEN
    qty: Decimal = TEN
    price: Decimal = FIVE

    @property
    def notional(self) -> Decimal:
        return self.qty * self.price


def _verdict(order: Order, context: PreTradeContext = FREE, limits: PreTradeLimits = UNLIMITED) -> tuple[str, str]:
    verdict = check_order(order, context, limits)
    return verdict.decision.value, verdict.limit


PASSED = ("passed", "")


def test_an_order_within_every_limit_passes() -> None:
    assert _verdict(Order()) == PASSED
    assert check_order(Order(), FREE, UNLIMITED).sentence == "passed"


@pytest.mark.parametrize("order", [Order(qty=D(0)), Order(qty=D(-1)), Order(price=D(0)), Order(qty=D("NaN"))])
def test_a_quantity_or_value_that_is_not_positive_is_stopped(order: Order) -> None:
    assert _verdict(order) == ("stopped", "positive_quantity")


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (PreTradeLimits(D(10), None, None), "max_share_per_order"),
        (PreTradeLimits(None, D(50), None), "max_notional_per_order"),
        (PreTradeLimits(None, None, D(50)), "max_total_notional"),
    ],
)
def test_a_limit_lets_its_own_figure_through_and_nothing_above_it(limits: PreTradeLimits, name: str) -> None:
    assert _verdict(Order(), limits=limits) == PASSED
    assert _verdict(Order(qty=D("10.0001")), limits=limits) == ("stopped", name)


def test_the_session_limit_counts_what_was_sent_before() -> None:
    limits = PreTradeLimits(None, None, D(100))
    sent = replace(FREE, session_notional=D(51))
    verdict = check_order(Order(), sent, limits)
    assert (verdict.decision, verdict.value, verdict.threshold) == (Decision.STOP, "101", "100")
    assert verdict.sentence == "max_total_notional: 101 against 100 allowed"


def test_a_sale_takes_at_most_what_is_owned_and_not_already_being_sold() -> None:
    sale = Order(intent=PositionIntent.SELL_TO_CLOSE, qty=D(4))
    assert _verdict(sale) == ("stopped", "owned_quantity")
    assert _verdict(sale, replace(FREE, owned={"AAA": D(10)}, closing={"AAA": D(6)})) == PASSED
    assert _verdict(sale, replace(FREE, owned={"AAA": D(10)}, closing={"AAA": D("6.01")})) == (
        "stopped",
        "owned_quantity",
    )
    assert _verdict(sale, replace(FREE, owned={"AAA": D(-10)})) == ("stopped", "owned_quantity")


def test_a_cover_takes_at_most_what_is_short() -> None:
    cover = Order(intent=PositionIntent.BUY_TO_CLOSE, qty=D(4))
    assert _verdict(cover, replace(FREE, owned={"AAA": D(-4)})) == PASSED
    assert _verdict(cover, replace(FREE, owned={"AAA": D(-4)}, closing={"AAA": D(1)})) == (
        "stopped",
        "short_quantity",
    )
    assert _verdict(cover, replace(FREE, owned={"AAA": D(4)})) == ("stopped", "short_quantity")


def test_nothing_opens_across_zero() -> None:
    short = Order(intent=PositionIntent.SELL_TO_OPEN)
    assert _verdict(short) == PASSED
    assert _verdict(short, replace(FREE, owned={"AAA": D("0.1")})) == ("stopped", "crosses_zero")
    assert _verdict(Order(), replace(FREE, owned={"AAA": D("-0.1")})) == ("stopped", "crosses_zero")


def test_buying_power_bounds_what_opens_with_all_orders_under_way_counted() -> None:
    assert _verdict(Order(), replace(FREE, buying_power=D(50))) == PASSED
    assert _verdict(Order(), replace(FREE, buying_power=D(50), opening_notional=D("0.01"))) == (
        "stopped",
        "buying_power",
    )
    close = Order(intent=PositionIntent.SELL_TO_CLOSE)
    assert _verdict(close, replace(FREE, buying_power=D(0), owned={"AAA": D(10)})) == PASSED


def test_a_buying_power_that_was_not_read_is_not_taken_for_enough() -> None:
    assert _verdict(Order(), replace(FREE, buying_power=None)) == ("stopped", "buying_power")


def test_a_frozen_instrument_waits_and_is_not_stopped_for_good() -> None:
    frozen = replace(FREE, frozen={"AAA": "order x is unknown"})
    assert _verdict(Order(), frozen) == ("waiting", "instrument_frozen")
    assert _verdict(Order(symbol="BBB"), frozen) == PASSED


def test_a_limit_is_a_positive_number_or_unlimited() -> None:
    for wrong in (D(0), D(-1), D("NaN"), D("Infinity")):
        with pytest.raises(ConfigError, match="max_total_notional"):
            PreTradeLimits(None, None, wrong)


def test_the_configuration_gives_the_limits_exactly() -> None:
    from scizor_dagster.config import FractionalShares, RiskRules

    fractional = FractionalShares(
        enabled=True,
        min_order_notional=1.0,
        quantity_precision=2,
        max_total_weight=1.0,
        adjust_for_overflow=True,
    )
    rules = RiskRules(
        fractional_shares=fractional,
        max_notional_per_order=0.1,
        max_share_per_order="unlimited",
        max_total_notional=25000.5,
        min_cash_buffer_pct=0.02,
    )
    assert limits_from(rules) == PreTradeLimits(None, D("0.1"), D("25000.5"))


amounts = st.decimals(min_value="0.0001", max_value="1000", places=4)
orders = st.builds(
    Order,
    symbol=st.sampled_from(["AAA", "BBB"]),
    intent=st.sampled_from(list(PositionIntent)),
    qty=amounts,
    price=amounts,
)


@given(
    st.lists(orders, max_size=12),
    st.tuples(*[st.none() | amounts] * 3),
    st.dictionaries(st.sampled_from(["AAA", "BBB"]), st.decimals("-500", "500", places=4)),
    amounts,
)
def test_no_list_of_orders_gets_past_any_limit_together(
    wanted: list[Order], limits: tuple[Decimal | None, ...], owned: dict[str, Decimal], power: Decimal
) -> None:
    rules = PreTradeLimits(*limits)
    context = PreTradeContext(owned, {}, D(0), D(0), power)
    passed: list[Order] = []
    for order in wanted:
        if check_order(order, context, rules).decision is Decision.PASS:
            context = context.after(order)
            passed.append(order)
    assert all(rules.max_share_per_order is None or order.qty <= rules.max_share_per_order for order in passed)
    assert all(
        rules.max_notional_per_order is None or order.notional <= rules.max_notional_per_order for order in passed
    )
    assert rules.max_total_notional is None or sum(order.notional for order in passed) <= rules.max_total_notional
    assert sum(order.notional for order in passed if order.intent in OPENING) <= power
    for symbol in ("AAA", "BBB"):
        closed = sum(order.qty for order in passed if order.symbol == symbol and order.intent not in OPENING)
        assert closed <= abs(owned.get(symbol, D(0)))
