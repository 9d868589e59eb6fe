from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import OrderStatus
from scizor_dagster.instruments import split_quantity
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.model import Books, Rules, State
from scizor_dagster.paper_exchange.rules import Market
from tests.paper_exchange.market import DAY2, INSTRUMENTS, NOW, PRICES, request, state

MORNING = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)


def split(ratio: object, symbol: str = "AAA") -> SessionAction:
    return SessionAction(symbol, DAY2, "split", ratio=D(str(ratio)))


def dividend(amount: object, symbol: str = "AAA") -> SessionAction:
    return SessionAction(symbol, DAY2, "dividend", amount=D(str(amount)))


def morning(before: State, *actions: SessionAction, **marks: object) -> Books:
    books = Books(before)
    engine.begin_session(books, DAY2, actions, {name: D(str(price)) for name, price in marks.items()}, MORNING)
    return books


@pytest.mark.parametrize(("ratio", "qty", "last"), [(4, 40, 25), (D("0.1"), 1, 1000), (D("1.5"), 15, D("66.66666667"))])
def test_a_split_multiplies_the_position_and_divides_its_prices(ratio, qty, last):
    books = morning(state(AAA=10), split(ratio))
    position = books.positions["AAA"]
    assert (position.qty, position.last_price, position.average_price) == (qty, last, last)
    (activity,) = books.transition().activities
    assert (activity.kind, activity.qty_factor, activity.amount, activity.session) == (
        "split",
        ratio,
        0,
        DAY2,
    )


def test_a_split_leaves_a_fraction_as_it_is_to_nine_decimals():
    assert morning(state(AAA=7), split("0.25")).positions["AAA"].qty == D("1.75")
    assert split_quantity(D(3), D("0.3333333333333333")) == 1
    assert split_quantity(D(-1), D("0.3333333333333333")) == D("-0.333333333")


def test_an_order_that_rests_through_a_split_is_cancelled():
    books = Books(state(AAA=10))
    engine.place(books, request("sell", 10, session=DAY2), Market(INSTRUMENTS, PRICES), Rules(), NOW)
    engine.begin_session(books, DAY2, [split("0.1")], {}, MORNING)
    order = books.current("one")
    assert order is not None
    assert order.status is OrderStatus.CANCELED
    assert "split" in order.reason


@pytest.mark.parametrize(("held", "cash"), [("10", "100002.40"), ("-10", "99997.60"), ("0.3", "100000.07")])
def test_a_dividend_is_paid_on_what_was_held_before_and_by_who_is_short(held, cash):
    books = morning(state(AAA=held), dividend("0.24"))
    assert books.cash == D(cash)
    (activity,) = books.transition().activities
    assert (activity.kind, activity.amount) == ("dividend", D(cash) - 100_000)


def test_a_dividend_on_the_day_of_a_split_is_per_new_share():
    assert morning(state(AAA=10), dividend("0.10"), split(4)).cash == D("100004.00")


def test_actions_of_what_is_not_held_leave_no_trace():
    books = morning(state(), split(4), dividend(1))
    assert books.transition().activities == ()
    assert books.cash == 100_000


def test_the_last_price_of_the_morning_replaces_the_one_of_an_older_session():
    books = morning(state(AAA=10, BBB=5), split(4), AAA=26)
    assert books.positions["AAA"].last_price == 26
    assert books.positions["BBB"].last_price == 100
