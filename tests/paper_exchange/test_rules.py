from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import OrderRequest, OrderType, TimeInForce
from scizor_dagster.paper_exchange.engine import place
from scizor_dagster.paper_exchange.model import Books, Rules, State
from scizor_dagster.paper_exchange.rules import Market
from scizor_dagster.paper_exchange.venue_orders import Refused
from tests.paper_exchange.market import DAY1, DAY2, INSTRUMENTS, NOW, PRICES, request, state

MARKET = Market(INSTRUMENTS, PRICES)
RULES = Rules()


def refusal(books: Books | State, order: OrderRequest, rules: Rules = RULES) -> str | None:
    """The code that the order is refused with, or None when it is taken."""
    books = Books(books) if isinstance(books, State) else books
    try:
        place(books, order, MARKET, rules, NOW)
    except Refused as error:
        return error.code if error.message else None
    return None


def resting(books: State, *orders: OrderRequest) -> Books:
    working = Books(books)
    for order in orders:
        place(working, order, MARKET, Rules(), NOW)
    return working


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (request(id=""), "invalid_client_order_id"),
        (request(id="x" * 129), "invalid_client_order_id"),
        (request(id="x" * 126, profit=110, stop=95), "invalid_client_order_id"),
        (request(symbol="NOSUCH"), "asset_not_found"),
        (request(symbol="SHUT"), "not_tradable"),
        (request(qty=0), "invalid_qty"),
        (request(qty=-1), "invalid_qty"),
        (request(qty="NaN"), "invalid_qty"),
        (request(qty="1E+30"), "invalid_qty"),
        (request(qty="1.0000000001"), "invalid_qty"),
        (request(qty="1.5", symbol="WHOLE"), "not_fractionable"),
        (request(qty="1.5", profit=110, stop=95), "fractional_not_simple"),
        (replace(request(), order_type=OrderType.LIMIT), "limit_price_required"),
        (replace(request(), limit_price=D(99)), "unexpected_price"),
        (replace(request(), stop_loss=D(99)), "unexpected_price"),
        (replace(request(), time_in_force=TimeInForce.OPG), "invalid_time_in_force"),
        (replace(request(), time_in_force=TimeInForce.CLS), "invalid_time_in_force"),
        (request(limit="99.005"), "sub_penny_increment"),
        (request(limit="0.00005"), "sub_penny_increment"),
        (request(limit="-1"), "invalid_price"),
        (request(limit="Infinity"), "invalid_price"),
        (request(profit=110), "bracket_incomplete"),
        (request(profit=95, stop=96), "bracket_prices"),
        (request(profit=110, stop=100), "bracket_prices"),
        (request(symbol="NEW"), "no_price"),
        (request(symbol="NEW", profit=110, stop=95), "no_price"),
        (request(qty="0.0099"), "below_minimum"),
        (request(qty=2001), "insufficient_buying_power"),
        (request(qty=2000, limit="100.01"), "insufficient_buying_power"),
        (request("sell", 1942, intent="sell_to_open"), "insufficient_buying_power"),
        (request("sell", 1, "HARD", intent="sell_to_open"), "not_shortable"),
        (request("sell", "1.5", intent="sell_to_open"), "fractional_short"),
        (request("sell", 1, intent="sell_to_close"), "position_intent_mismatch"),
        (request("buy", 1, intent="buy_to_close"), "position_intent_mismatch"),
    ],
)
def test_a_flat_account_is_refused_with_the_rule_that_is_broken(order, code):
    assert refusal(state(), order) == code


@pytest.mark.parametrize(
    "order",
    [
        request(),
        request(qty="0.123456789"),
        request(qty=2000),
        request(limit="99.01"),
        request(limit=2000),
        request(id="x" * 128),
        request(id="x" * 125, profit="110.5", stop="99.99"),
        request("sell", 1941, intent="sell_to_open"),
        request(qty=10, symbol="HARD"),
        request(qty="0.01"),
        request("sell", 5, intent="sell_to_open", profit=90, stop=110),
        request(session=DAY2),
    ],
)
def test_a_sound_order_is_taken(order):
    assert refusal(state(), order) is None


def test_a_limit_below_one_dollar_may_have_four_decimals():
    market = Market(INSTRUMENTS, {"AAA": D("0.5")})
    place(Books(state()), request(limit="0.4999"), market, Rules(), NOW)


@pytest.mark.parametrize("qty", ["10.1", "11", "150"])
def test_a_sale_of_more_than_is_held_is_refused_and_never_crosses_zero(qty):
    assert refusal(state(AAA=10), request("sell", qty)) == "insufficient_qty"


def test_a_cover_of_more_than_is_short_is_refused():
    assert refusal(state(AAA=-10), request("buy", 11, intent="buy_to_close")) == "insufficient_qty"
    assert refusal(state(AAA=-10), request("buy", 10, intent="buy_to_close")) is None


def test_quantity_in_open_sales_is_not_available_twice():
    books = resting(state(AAA=10), request("sell", 7, id="first"))
    assert refusal(books, request("sell", 4)) == "insufficient_qty"
    assert refusal(books, request("sell", 3)) is None


def test_a_full_exit_is_exempt_from_the_minimum_and_from_fractionability():
    assert refusal(state(AAA="0.001"), request("sell", "0.001")) is None
    assert refusal(state(WHOLE="3.5"), request("sell", "3.5", "WHOLE")) is None
    assert refusal(state(WHOLE="3.5"), request("sell", "1.5", "WHOLE")) == "not_fractionable"


def test_a_close_needs_no_buying_power():
    assert refusal(state(cash=-1000, AAA=10), request("sell", 10)) is None


def test_fractions_and_shorts_can_be_switched_off():
    assert refusal(state(), request(qty="1.5"), Rules(fractional=False)) == "not_fractionable"
    order = request("sell", 1, intent="sell_to_open")
    assert refusal(state(), order, Rules(short_selling=False)) == "short_not_allowed"


def test_an_opposite_order_is_a_potential_wash_trade():
    books = resting(state(AAA=10), request("sell", 5, id="first"))
    assert refusal(books, request("buy", 5)) == "wash_trade"
    assert refusal(books, request("buy", 5, limit=90)) == "wash_trade"


def test_limits_of_both_sides_that_do_not_meet_may_rest_together():
    books = resting(state(AAA=10), request("sell", 5, id="first", limit=105))
    assert refusal(books, request("buy", 5, limit=105)) == "wash_trade"
    assert refusal(books, request("buy", 5, limit="104.99")) is None


def test_a_bracket_is_exempt_from_the_wash_rule():
    books = resting(state(AAA=10), request("sell", 5, id="first"))
    assert refusal(books, request("buy", 5, profit=110, stop=95)) is None


def test_from_flat_orders_of_both_sides_would_open_both_ways_and_are_refused():
    books = resting(state(), request("buy", 5, id="first", profit=110, stop=95))
    assert refusal(books, request("sell", 5, limit=200, intent="sell_to_open")) == "opposite_order_open"


def test_same_side_orders_are_not_refused():
    books = resting(state(), request("buy", 5, id="first"))
    assert refusal(books, request("buy", 5)) is None


def test_open_orders_and_positions_reduce_buying_power():
    """2 x 100 000 equity, less 50 000 of positions, less 100 000 resting, leaves 50 000."""
    books = resting(state(cash=50_000, AAA=500), request("buy", 1000, "BBB", id="first"))
    assert refusal(books, request("buy", "500.01")) == "insufficient_buying_power"
    assert refusal(books, request("buy", 500)) is None


def test_a_bracket_may_only_open():
    order = request("sell", 5, intent="sell_to_close", profit=90, stop=110)
    assert refusal(state(AAA=10), order) == "bracket_not_entry"


def test_a_session_that_has_closed_takes_no_order():
    closed = replace(state(), session=DAY2, step=3)
    assert refusal(closed, request(session=DAY1)) == "session_closed"
    assert refusal(closed, request(session=DAY2)) == "session_closed"
    assert refusal(replace(closed, step=2), request(session=DAY2)) is None


def test_a_refusal_leaves_the_books_as_they_were():
    books = Books(state())
    assert refusal(books, request(qty=5000)) == "insufficient_buying_power"
    assert books.state() == state()


def test_auctions_take_whole_market_orders_before_they_are_held_and_only_where_they_are_switched_on():
    open_rules = replace(RULES, auction_orders=True)
    opening = replace(request(), time_in_force=TimeInForce.OPG)
    closing = replace(request(), time_in_force=TimeInForce.CLS)
    listed = {**INSTRUMENTS, "ASX": replace(INSTRUMENTS["AAA"], symbol="ASX", mic="XASX")}
    market = Market(listed, {**PRICES, "ASX": D(10)})
    after_open = replace(state(), session=DAY1, step=1)

    def answer(order: OrderRequest, books: State | None = None, rules: Rules = open_rules) -> str | None:
        try:
            place(Books(books or state()), order, market, rules, NOW)
        except Refused as error:
            return error.code
        return None

    assert (answer(opening), answer(closing)) == (None, None)
    assert answer(opening, rules=RULES) == "invalid_time_in_force"
    assert answer(replace(opening, symbol="ASX")) == "invalid_time_in_force"
    assert answer(replace(request(limit=99), time_in_force=TimeInForce.OPG)) == "invalid_time_in_force"
    assert answer(replace(request(qty="1.5"), time_in_force=TimeInForce.CLS)) == "fractional_not_day"
    assert answer(opening, after_open) == "auction_over"
    assert answer(closing, after_open) is None
