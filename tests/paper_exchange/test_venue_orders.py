"""Kinds, durations, classes and changes of orders at the venue."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.venue_orders import Amendment, Duration, Mishap, OrderKind, Refused, Status
from tests.paper_exchange.market import DAY1, DAY2, DAY3, bar
from tests.paper_exchange.venues import ALPACA, IBKR, THIN, at, make_venue, ticket

QUIET = {day: {"BBB": bar(100, 100, 100, 100, 1_000_000)} for day in (DAY1, DAY2, DAY3)}


def statuses(hall, account=ALPACA):
    return {row.ticket.kind.value: row.status.value for row in hall.all_orders(account)}


def test_a_stop_limit_waits_at_its_limit_once_its_stop_is_touched(tmp_path):
    gap = {DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}, DAY2: {"AAA": bar(80, 95, 75, 90, 10_000)}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=gap)
    hall.place()
    order = hall.place(side="sell", id="stop", kind="stop_limit", stop=94, limit=92, duration="gtc")
    hall.to("09:31", DAY2)
    waiting = hall.order(order.order_id)
    assert (waiting.triggered, waiting.status) == (True, Status.NEW)
    hall.to("16:00", DAY2)
    assert hall.order(order.order_id).average_price == D(92)


def test_a_stop_that_buys_at_alpaca_pays_at_most_its_collar(tmp_path):
    gap = {DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}, DAY2: {"AAA": bar(120, 120, 103, 104, 10_000)}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=gap)
    order = hall.place(kind="stop", stop=102, duration="gtc")
    other = hall.place(account=IBKR, kind="stop", stop=102, duration="gtc")
    hall.to("09:30", DAY2)
    # 2.5 % above 102 is 104.55: the open at 120 is beyond it.
    assert hall.order(order.order_id).status is Status.NEW
    assert hall.order(other.order_id, IBKR).average_price == D(120)
    hall.to("16:00", DAY2)
    assert hall.order(order.order_id).average_price == D("104.55")


def test_a_trailing_stop_follows_the_best_price_and_trades_from_where_it_stands(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    hall.place()
    order = hall.place(side="sell", id="trail", kind="trailing_stop", trail=5, duration="gtc")
    assert hall.order(order.order_id).high_water_mark == D(100)
    hall.to("12:00")
    # The low of 90 comes first, and 95 is passed on the way to it.
    assert hall.order(order.order_id).average_price == D(95)


def test_a_trailing_percentage_is_of_the_best_price(tmp_path):
    hall = make_venue(tmp_path, start=at("11:40"))
    hall.place()
    order = hall.venue.place(ALPACA, ticket("sell", id="trail", kind="trailing_stop", percent=5))
    assert order.high_water_mark == hall.venue.quote("AAA").last, (
        "an order that is live says at once from where it trails"
    )
    hall.to("13:50")
    assert hall.order(order.order_id).high_water_mark == D(110)
    hall.to("16:00")
    assert hall.order(order.order_id).average_price == D("104.5")


def test_an_order_at_once_takes_what_there_is_and_ends(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"), rules=THIN, bars={DAY1: {"BBB": bar(100, 100, 100, 100, 10_000)}})
    some = hall.place(qty=80, symbol="BBB", duration="ioc")
    assert (some.status, some.filled_qty) == (Status.CANCELED, 50)
    none = hall.place(account=IBKR, qty=80, symbol="BBB", duration="fok")
    assert (none.status, none.filled_qty) == (Status.CANCELED, 0)
    all_of_it = hall.place(account=IBKR, id="two", qty=50, symbol="BBB", duration="fok")
    assert all_of_it.status is Status.FILLED


def test_an_order_for_an_auction_trades_in_it_or_not_at_all(tmp_path):
    hall = make_venue(tmp_path)
    opening = hall.place(duration="opg")
    dear = hall.place(id="dear", duration="opg", kind="limit", limit=99)
    closing = hall.place(id="close", duration="cls")
    hall.to("09:30")
    assert hall.order(opening.order_id).average_price == D(100)
    assert hall.order(dear.order_id).status is Status.CANCELED
    assert hall.order(closing.order_id).status is Status.ACCEPTED
    hall.to("16:00")
    closing = hall.order(closing.order_id)
    assert (closing.average_price, closing.filled_at) == (D(103), at("16:00"))


def test_a_good_till_cancelled_order_lives_over_sessions_and_ninety_days_at_alpaca(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"), bars=QUIET)
    order = hall.place(kind="limit", limit=50, symbol="BBB", duration="gtc")
    other = hall.place(account=IBKR, kind="limit", limit=50, symbol="BBB", duration="gtc")
    hall.to("18:00", DAY2)
    assert hall.order(order.order_id).status is Status.NEW
    # 16:15 in New York, by then on summer time.
    assert hall.order(order.order_id).expires_at == at("16:15", DAY1.replace(month=6, day=2))
    assert hall.order(other.order_id, IBKR).expires_at is None


def test_an_order_for_an_amount_of_money_buys_the_shares_of_its_price(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    order = hall.place(notional="500.00")
    assert (order.qty, order.filled_qty, order.status) == (D("5.263157894"),) * 2 + (Status.FILLED,)
    waiting = hall.place(id="later", notional="500.00", kind="limit", limit=91)
    assert waiting.qty is None


def bracket(hall, **more):
    facts = {"order_class": "bracket", "profit": 108, "loss": 85, "duration": "gtc"} | more
    return hall.place(**facts)


@pytest.mark.parametrize("clock", ["08:00", "10:00"])
def test_an_amount_of_money_pays_for_the_spread_and_the_impact_of_its_shares_too(tmp_path, clock):
    dear = Rules(half_spread_bps=D(10), impact_bps=D(300), max_participation=D(1), opening_share=D(1))
    hall = make_venue(tmp_path, start=at(clock), bars={DAY1: {"AAA": bar(100, 110, 90, 103, 2000)}}, rules=dear)
    hall.place(notional="50000.00")
    hall.to("11:00")
    [fill] = hall.venue.executions(ALPACA, at("08:00"), at("16:00"))
    assert D(49_990) < fill.qty * fill.price <= 50_000


def test_the_legs_of_a_bracket_wake_when_the_entry_has_filled(tmp_path):
    hall = make_venue(tmp_path)
    entry = bracket(hall)
    assert statuses(hall) == {"market": "accepted", "limit": "held", "stop": "held"}
    hall.to("09:30")
    assert statuses(hall) == {"market": "filled", "limit": "new", "stop": "held"}
    legs = [row for row in hall.all_orders() if row.parent_id == entry.order_id]
    assert len({row.ticket.client_order_id for row in legs}) == 2
    [position] = hall.venue.positions(ALPACA)
    # Both legs hold one quantity.
    assert position.available == 0


def test_one_leg_fills_and_the_other_ends(tmp_path):
    hall = make_venue(tmp_path)
    bracket(hall)
    hall.to("16:00")
    assert statuses(hall) == {"market": "filled", "limit": "filled", "stop": "canceled"}
    assert hall.held() == {}


def test_the_sleeping_stop_of_a_bracket_watches_its_price(tmp_path):
    hall = make_venue(tmp_path)
    bracket(hall, loss=92)
    hall.to("16:00")
    assert statuses(hall) == {"market": "filled", "limit": "canceled", "stop": "filled"}
    stop = next(row for row in hall.all_orders() if row.ticket.kind is OrderKind.STOP)
    assert stop.average_price == D(92)


def test_what_the_take_profit_has_sold_the_stop_no_longer_holds(tmp_path):
    rows = {DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}, DAY2: {"AAA": bar(100, 100, 50, 100, 1_000)}}
    rows[DAY1]["AAA"] = bar(100, 110, 99, 109, 1_200)
    hall = make_venue(tmp_path, bars=rows, rules=replace(THIN, opening_share=D(1)))
    bracket(hall, qty=100, profit=105, loss=90)
    hall.to("16:00")
    profit, stop = (row for row in hall.all_orders() if row.parent_id)
    assert (profit.filled_qty, stop.qty) == (20, 80)


def test_cancelling_one_order_of_a_bracket_ends_all_of_it(tmp_path):
    hall = make_venue(tmp_path)
    bracket(hall)
    leg = next(row for row in hall.all_orders() if row.ticket.kind is OrderKind.LIMIT)
    hall.venue.cancel(ALPACA, leg.order_id)
    assert set(statuses(hall).values()) == {"canceled"}


def test_the_legs_of_an_entry_that_expires_end_with_it(tmp_path):
    hall = make_venue(tmp_path)
    bracket(hall, kind="limit", limit=89, duration="day")
    hall.to("16:00")
    assert [row.status.value for row in hall.all_orders()] == ["expired", "canceled", "canceled"]


def test_one_cancels_the_other(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    hall.place()
    exit_ = hall.place(id="oco", side="sell", kind="limit", profit=108, loss=92, order_class="oco", duration="gtc")
    stop = hall.all_orders()[-1]
    assert (exit_.status, exit_.ticket.limit_price, stop.status) == (Status.NEW, D(108), Status.HELD)
    hall.to("16:00")
    assert hall.order(exit_.order_id).status is Status.CANCELED
    assert hall.order(stop.order_id).average_price == D(92)


def test_an_oco_placed_in_the_evening_watches_the_next_open(tmp_path):
    rows = {DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}, DAY2: {"AAA": bar(80, 85, 75, 82, 10_000)}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=rows)
    hall.place()
    hall.to("18:00")
    hall.place(id="oco", side="sell", kind="limit", profit=108, loss=92, order_class="oco", duration="gtc")
    hall.to("09:30", DAY2)
    assert hall.all_orders()[-1].average_price == D(80)
    assert hall.held() == {}


def test_one_triggers_the_other(tmp_path):
    hall = make_venue(tmp_path)
    hall.place(order_class="oto", loss=85, duration="gtc")
    assert statuses(hall) == {"market": "accepted", "stop": "held"}
    hall.to("09:30")
    assert statuses(hall) == {"market": "filled", "stop": "new"}


def test_a_replacement_takes_the_place_of_an_order(tmp_path):
    hall = make_venue(tmp_path, start=at("09:31"))
    order = hall.place(kind="limit", limit=85)
    new = hall.venue.replace(ALPACA, order.order_id, Amendment(limit_price=D(95), qty=D(12)))
    old, new = hall.order(order.order_id), hall.order(new.order_id)
    assert (old.status, old.replaced_by, new.replaces) == (Status.REPLACED, new.order_id, old.order_id)
    assert (new.created_at, new.qty, new.ticket.limit_price) == (old.created_at, 12, 95)
    assert new.ticket.client_order_id not in ("", "one")
    hall.to("16:00")
    assert hall.order(new.order_id).average_price == D(95)
    with pytest.raises(Refused, match="already_replaced"):
        hall.venue.replace(ALPACA, order.order_id, Amendment(qty=D(3)))


def test_a_replacement_carries_what_has_filled(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"), rules=THIN, bars={DAY1: {"BBB": bar(100, 100, 100, 100, 10_000)}})
    order = hall.place(kind="limit", limit=100, symbol="BBB", qty=500)
    assert order.filled_qty == 50
    with pytest.raises(Refused, match="qty_below_filled"):
        hall.venue.replace(ALPACA, order.order_id, Amendment(qty=D(50)))
    new = hall.venue.replace(ALPACA, order.order_id, Amendment(qty=D(60)), "second")
    assert (new.qty, new.filled_qty, new.remaining, new.ticket.client_order_id) == (60, 50, 10, "second")
    hall.to("16:00")
    assert hall.held() == {"BBB": 60}


@pytest.mark.parametrize(
    ("code", "clock", "changes"),
    [
        ("replace_in_status", "08:00", Amendment(qty=D(5))),
        ("not_changed", "09:31", Amendment(qty=D(10))),
        ("invalid_qty", "09:31", Amendment(qty=D("1.5"))),
        ("sub_penny_increment", "09:31", Amendment(limit_price=D("85.001"))),
        ("insufficient_buying_power", "09:31", Amendment(qty=D(100_000))),
    ],
)
def test_a_replacement_is_refused_and_leaves_the_order_alone(tmp_path, code, clock, changes):
    hall = make_venue(tmp_path, start=at(clock))
    order = hall.place(kind="limit", limit=85)
    with pytest.raises(Refused, match=code):
        hall.venue.replace(ALPACA, order.order_id, changes)
    assert hall.order(order.order_id) == order


def test_the_price_of_a_leg_can_be_replaced_and_its_quantity_cannot(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    bracket(hall)
    stop = hall.all_orders()[-1]
    with pytest.raises(Refused, match="advanced_qty"):
        hall.venue.replace(ALPACA, stop.order_id, Amendment(qty=D(3)))
    new = hall.venue.replace(ALPACA, stop.order_id, Amendment(stop_price=D(93)))
    assert (new.status, new.parent_id) == (Status.HELD, stop.parent_id)
    hall.to("16:00")
    assert hall.order(new.order_id).average_price == D(93)
    assert hall.held() == {}


def test_an_amendment_changes_an_order_in_place(tmp_path):
    hall = make_venue(tmp_path, start=at("09:31"))
    order = hall.place(account=IBKR, kind="limit", limit=85)
    changes = Amendment(limit_price=D(95), qty=D(12), duration=Duration.GTC, reference="mine")
    changed = hall.venue.amend(IBKR, order.order_id, changes)
    assert (changed.order_id, changed.qty, changed.ticket.reference) == (order.order_id, 12, "mine")
    assert changed.expires_at is None
    hall.to("16:00")
    assert hall.order(order.order_id, IBKR).average_price == D(95)


def test_an_amendment_that_makes_an_order_marketable_fills_it_at_once(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    order = hall.place(account=IBKR, kind="limit", limit=85)
    hall.venue.amend(IBKR, order.order_id, Amendment(limit_price=D(96)))
    assert hall.order(order.order_id, IBKR).average_price == D(95)
    with pytest.raises(Refused, match="order_filled"):
        hall.venue.amend(IBKR, order.order_id, Amendment(limit_price=D(97)))


@pytest.mark.parametrize(
    ("mishap", "status", "filled"),
    [
        (Mishap.REJECT, Status.REJECTED, 0),
        (Mishap.FILL, Status.FILLED, 10),
        (Mishap.PARTIAL_CANCEL, Status.CANCELED, 5),
        (Mishap.STICK, Status.PENDING_NEW, 0),
    ],
)
def test_a_mishap_befalls_an_order_before_it_could_fill(tmp_path, mishap, status, filled):
    hall = make_venue(tmp_path, start=at("10:35"))
    taken = hall.venue.place(ALPACA, ticket(), mishap)
    assert taken.status is Status.PENDING_NEW
    hall.to("16:00")
    order = hall.order(taken.order_id)
    assert (order.status, order.filled_qty) == (status, filled)


def test_the_cancel_of_a_stuck_order_stays_pending(tmp_path):
    hall = make_venue(tmp_path, start=at("09:31"))
    order = hall.place(kind="limit", limit=95)
    hall.venue.strike(ALPACA, order.order_id, Mishap.STICK)
    assert hall.venue.cancel(ALPACA, order.order_id).status is Status.PENDING_CANCEL
    hall.to("10:00", DAY2)
    assert hall.order(order.order_id).status is Status.PENDING_CANCEL


def test_a_preview_shows_the_account_with_the_order_filled_and_changes_nothing(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    before, after = hall.venue.preview(IBKR, ticket(qty=100))
    assert (before.initial_margin, after.initial_margin) == (0, 100 * 95 * D("0.25"))
    assert after.cash == D(100_000) - 9_500 - 1
    assert hall.venue.account(IBKR) == before
    assert hall.all_orders(IBKR) == []
    with pytest.raises(Refused, match="price_not_on_tick"):
        hall.venue.preview(IBKR, ticket(kind="limit", limit="95.001"))


def test_settings_are_changed_by_name_or_not_at_all(tmp_path):
    hall = make_venue(tmp_path)
    assert hall.venue.change_settings(ALPACA, {"suspend_trade": True}).suspend_trade
    for changes in ({"suspend_trade": 1}, {"max_margin_multiplier": 3}, {"color": "red"}, {"no_shorting": "yes"}):
        with pytest.raises(Refused, match="invalid_setting"):
            hall.venue.change_settings(ALPACA, changes)
    assert hall.venue.account(ALPACA).settings.suspend_trade
