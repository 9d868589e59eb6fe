"""Alpaca's rules at the venue: each row of the documents that it can break, by a ticket that breaks it."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.paper_exchange.venue_orders import House, Refused, Status
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from tests.paper_exchange.market import DAY1, DAY2, INSTRUMENTS, bar
from tests.paper_exchange.venues import ALPACA, BARE, at, make_venue

PRICE = 100
BARS = {DAY1: {name: bar(PRICE, PRICE, PRICE, PRICE, 1_000_000) for name in INSTRUMENTS if name != "NEW"}}


@pytest.fixture
def hall(tmp_path):
    """An open session in which everything costs 100."""
    return make_venue(tmp_path, start=at("10:00"), bars=BARS)


def refusal(hall, **facts):
    with pytest.raises(Refused) as caught:
        hall.place(**({"id": "refused"} | facts))
    assert hall.venue.order_by_client_id(ALPACA, str(facts.get("id", "refused"))) is None
    return caught.value


@pytest.mark.parametrize(
    ("code", "message", "facts"),
    [
        ("asset_not_found", 'asset "ZZZ" not found', {"symbol": "ZZZ"}),
        ("not_tradable", "not tradable", {"symbol": "SHUT"}),
        ("invalid_client_order_id", "no more than 128 characters", {"id": "x" * 129}),
        ("invalid_qty", "qty must be > 0", {"qty": 0}),
        ("invalid_qty", "no more than 9 decimal places", {"qty": "1.0000000001"}),
        ("limit_price_required", "limit orders require a limit price", {"kind": "limit"}),
        ("stop_price_required", "stop orders require a stop price", {"kind": "stop"}),
        ("stop_limit_prices_required", "both stop and limit", {"kind": "stop_limit", "stop": 101}),
        ("trail_required", "one of trail_price or trail_percent", {"kind": "trailing_stop"}),
        ("invalid_trail", "trail must be > 0", {"kind": "trailing_stop", "trail": 0}),
        ("unexpected_price", "no limit price", {"limit": 99}),
        ("unexpected_price", "take no trail", {"trail": 1}),
        ("invalid_price", "limit price must be > 0", {"kind": "limit", "limit": 0}),
        ("sub_penny_increment", "invalid limit_price 41.085. sub-penny", {"kind": "limit", "limit": "41.085"}),
        ("notional_below_minimum", "notional must be >= 1.00", {"notional": "0.99"}),
        ("notional_decimals", "limited to 2 decimal places", {"notional": "5.001"}),
        ("notional_kind", "market or limit", {"notional": 5, "kind": "stop", "stop": 101}),
        ("fractional_not_day", "must be DAY orders", {"qty": "1.5", "duration": "gtc", "kind": "limit", "limit": 90}),
        ("fractional_kind", "fractional orders must be", {"qty": "1.5", "kind": "trailing_stop", "trail": 1}),
        (
            "fractional_not_simple",
            "must be simple orders",
            {"qty": "1.5", "order_class": "bracket", "profit": 110, "loss": 90},
        ),
        ("fractional_short", "cannot be sold short", {"qty": "1.5", "side": "sell"}),
        ("not_fractionable", 'asset "WHOLE" is not fractionable', {"qty": "1.5", "symbol": "WHOLE"}),
        ("not_shortable", 'asset "HARD" cannot be sold short', {"side": "sell", "symbol": "HARD"}),
        ("hard_to_borrow", "only day orders", {"side": "sell", "symbol": "SCARCE", "duration": "gtc"}),
        ("no_price", "no price of NEW is known", {"symbol": "NEW"}),
        ("below_minimum", "minimal amount of order 1", {"qty": "0.005"}),
        ("insufficient_buying_power", "insufficient buying power", {"qty": 4001}),
        ("invalid_time_in_force", "for stop orders", {"kind": "stop", "stop": 101, "duration": "ioc"}),
        ("extended_hours", "DAY or GTC limit orders", {"extended_hours": True}),
        ("opg_window", "after 7:00pm and before 9:28am", {"duration": "opg"}),
        ("unexpected_legs", "simple orders take no", {"profit": 110}),
        ("bracket_incomplete", "take_profit.limit_price", {"order_class": "bracket", "loss": 90}),
        ("bracket_incomplete", "stop_loss.stop_price", {"order_class": "bracket", "profit": 110}),
        ("bracket_prices", "must be >", {"order_class": "bracket", "profit": 90, "loss": 95}),
        ("bracket_prices", "<= base_price - 0.01", {"order_class": "bracket", "profit": 110, "loss": 100}),
        ("bracket_prices", "must be <", {"order_class": "bracket", "profit": 110, "loss": 95, "side": "sell"}),
        ("oto_legs", "either", {"order_class": "oto"}),
        ("oco_kind", "must be limit", {"order_class": "oco", "profit": 110, "loss": 90}),
        (
            "oco_not_exit",
            "must be exit orders",
            {"order_class": "oco", "kind": "limit", "profit": 90, "loss": 110},
        ),
        (
            "position_intent_mismatch",
            "inferred: buy_to_open, specified: buy_to_close",
            {"intent": "buy_to_close"},
        ),
        ("stop_price_beyond_market", "less than current price", {"side": "sell", "kind": "stop", "stop": 100}),
    ],
)
def test_a_ticket_that_breaks_a_rule_is_refused_by_its_name(hall, code, message, facts):
    found = refusal(hall, **facts)
    assert found.code == code
    assert message in found.message


def test_a_refusal_for_buying_power_says_what_there_is_and_what_it_costs(hall):
    found = refusal(hall, qty=4001)
    assert found.details == {"buying_power": D(400_000), "cost_basis": D(400_100)}


def test_open_opening_orders_take_buying_power_and_give_it_back_when_they_end(hall):
    order = hall.place(qty=3000, kind="limit", limit=90)
    assert hall.venue.account(ALPACA).buying_power == D(400_000 - 270_000)
    assert refusal(hall, qty=1301).code == "insufficient_buying_power"
    hall.venue.cancel(ALPACA, order.order_id)
    assert hall.venue.account(ALPACA).buying_power == D(400_000)


def test_a_short_sale_is_valued_above_its_price(hall):
    assert refusal(hall, qty=3884, side="sell").code == "insufficient_buying_power"
    assert hall.place(qty=3883, side="sell").status is Status.FILLED


def test_selling_from_flat_opens_a_short_and_the_intent_says_so(hall):
    order = hall.place(side="sell")
    assert order.intent is PositionIntent.SELL_TO_OPEN
    [position] = hall.venue.positions(ALPACA)
    assert (position.qty, position.available) == (-10, -10)
    account = hall.venue.account(ALPACA)
    assert (account.short_market_value, account.equity) == (D(-1000), D(100_000))


@pytest.mark.parametrize("changes", [{"no_shorting": True}, {"max_margin_multiplier": 1}])
def test_an_account_that_may_not_short_is_told_so(hall, changes):
    hall.venue.change_settings(ALPACA, changes)
    assert refusal(hall, side="sell").code == "short_not_allowed"


def test_below_two_thousand_there_is_neither_margin_nor_short(tmp_path):
    poor = [VenueAccount(ALPACA, House.ALPACA, "USD", D(1999))]
    hall = make_venue(tmp_path, start=at("10:00"), bars=BARS, accounts=poor)
    assert hall.venue.account(ALPACA).buying_power == D(1999)
    assert refusal(hall, side="sell", qty=1).code == "short_not_allowed"


def test_an_order_never_crosses_zero(hall):
    hall.place()
    found = refusal(hall, side="sell", qty=15)
    assert (found.code, found.details["available"], found.details["existing_qty"]) == ("insufficient_qty", 10, 10)
    assert found.message == "insufficient qty available for order (requested: 15, available: 10)"


def test_shares_in_open_sell_orders_are_held(hall):
    hall.place()
    resting = hall.place(id="two", side="sell", qty=8, kind="limit", limit=110)
    found = refusal(hall, side="sell", qty=3, kind="limit", limit=111)
    assert found.details["held_for_orders"] == 8
    assert found.details["related_orders"] == (resting.order_id,)
    [position] = hall.venue.positions(ALPACA)
    assert (position.qty, position.available) == (10, 2)


def test_from_flat_orders_of_both_sides_cannot_open(hall):
    hall.place(kind="limit", limit=90)
    found = refusal(hall, side="sell", kind="limit", limit=110)
    assert (found.code, found.message) == (
        "opposite_order_open",
        "cannot open a short sell while a long buy order is open",
    )


@pytest.mark.parametrize(
    ("resting", "new", "reason"),
    [
        ({"kind": "stop", "stop": 90}, {"kind": "market"}, "opposite side market/stop order exists"),
        ({"kind": "stop", "stop": 90}, {"kind": "limit", "limit": 80}, "opposite side market/stop order exists"),
        ({"kind": "limit", "limit": 110}, {"kind": "market"}, "use complex/limit/stop_limit orders"),
        ({"kind": "limit", "limit": 110}, {"kind": "limit", "limit": 110}, "opposite side limit order exists"),
        ({"kind": "limit", "limit": 110}, {"kind": "limit", "limit": 109}, None),
        ({"kind": "trailing_stop", "trail": 9}, {"kind": "market"}, None),
        (
            {"kind": "stop", "stop": 90},
            {"order_class": "bracket", "profit": 120, "loss": 80},
            None,
        ),
    ],
)
def test_an_order_that_could_trade_with_its_own_is_refused_as_a_wash_trade(hall, resting, new, reason):
    hall.place()
    first = hall.place(id="two", side="sell", **resting)
    if reason is None:
        assert hall.place(id="three", **new).status in (Status.NEW, Status.FILLED)
        return
    found = refusal(hall, **new)
    assert found.code == "wash_trade"
    assert found.details["existing_order_id"] == first.order_id
    assert reason in found.details["reject_reason"]


def test_orders_of_the_same_side_may_repeat(hall):
    hall.place(kind="limit", limit=90)
    assert hall.place(id="two", kind="limit", limit=90).status is Status.NEW


def test_a_suspended_account_takes_no_order(hall):
    hall.venue.change_settings(ALPACA, {"suspend_trade": True})
    found = refusal(hall)
    assert (found.code, found.message) == ("trading_suspended", "new orders are rejected by user request")


def test_fractions_can_be_switched_off_but_what_is_held_can_be_sold(hall):
    hall.place(qty="1.5")
    hall.venue.change_settings(ALPACA, {"fractional_trading": False})
    assert refusal(hall, qty="0.5").code == "fractional_disabled"
    assert hall.place(id="out", side="sell", qty="1.5").status is Status.FILLED


def test_a_bracket_is_an_entry(hall):
    hall.place(side="sell")
    found = refusal(hall, order_class="bracket", profit=110, loss=90)
    assert (found.code, found.message) == ("bracket_not_entry", "bracket orders must be entry orders")


@pytest.mark.parametrize(
    ("clock", "duration", "code"),
    [
        ("09:27", "opg", None),
        ("09:28", "opg", "opg_window"),
        ("18:59", "opg", "opg_window"),
        ("19:00", "opg", None),
        ("15:49", "cls", None),
        ("15:50", "cls", "cls_window"),
        ("19:00", "cls", None),
    ],
)
def test_auction_orders_are_taken_in_their_windows(tmp_path, clock, duration, code):
    hall = make_venue(tmp_path, start=at(clock), bars=BARS)
    if code is None:
        assert hall.place(duration=duration).status is Status.ACCEPTED
    else:
        assert refusal(hall, duration=duration).code == code


def test_a_flat_account_shows_the_figures_that_alpaca_publishes(hall):
    account = hall.venue.account(ALPACA)
    assert (account.buying_power, account.regt_buying_power) == (D(400_000), D(200_000))
    assert account.non_marginable_buying_power == D(100_000)


def test_margins_follow_the_published_table(hall):
    hall.place(qty=100)
    account = hall.venue.account(ALPACA)
    assert (account.initial_margin, account.maintenance_margin) == (D(5000), D(3000))
    assert account.regt_buying_power == 2 * (account.equity - account.initial_margin)


def test_an_amount_of_money_cannot_sell_more_than_is_held(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"), bars=BARS, rules=replace(BARE, min_order_notional=D(1)))
    hall.place(qty=2)
    assert refusal(hall, side="sell", notional=201).code == "insufficient_qty"
    hall.place(id="out", side="sell", notional=150)
    assert hall.held() == {"AAA": D("0.5")}


def test_an_exit_for_an_amount_of_money_ends_at_zero_when_the_price_has_fallen(tmp_path):
    fallen = {**BARS, DAY2: {"AAA": bar(50, 50, 50, 50, 1_000_000)}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=fallen)
    hall.place(qty=10)
    hall.to("18:00")
    order = hall.place(id="out", side="sell", notional=900)
    hall.to("09:30", DAY2)
    order = hall.order(order.order_id)
    assert (order.status, order.filled_qty) == (Status.FILLED, 10)
    assert hall.held() == {}


def test_an_amount_of_money_beyond_all_measure_is_refused(hall):
    with pytest.raises(Refused, match="invalid_qty"):
        hall.place(notional="1e30")
