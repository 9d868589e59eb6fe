"""Corporate actions at the venue: positions, cash and resting orders on the morning of the ex session."""

from datetime import date
from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_orders import Amendment, EventKind, Refused, Status
from tests.paper_exchange.market import DAY1, DAY2, DAY3, INSTRUMENTS, bar
from tests.paper_exchange.venues import ALPACA, IBKR, at, make_venue


def split_hall(tmp_path, ratio, *, price=100):
    after = D(price) / D(str(ratio))
    rows = {
        DAY1: {"AAA": bar(price, price, price, price, 1_000_000)},
        DAY2: {"AAA": bar(after, after, after, after, 1_000_000)},
    }
    hall = make_venue(tmp_path, start=at("10:00"), bars=rows)
    hall.data.events.append(SessionAction("AAA", DAY2, "split", ratio=D(str(ratio))))
    return hall


def test_a_forward_split_changes_the_position_and_the_orders_that_alpaca_adjusts(tmp_path):
    hall = split_hall(tmp_path, 4)
    hall.place(qty=10)
    stop = hall.place(id="stop", side="sell", kind="stop", stop=81, duration="gtc", qty=5)
    other = hall.place(id="limit", side="sell", kind="limit", limit=120, duration="gtc", qty=2)
    hall.to("09:30", DAY2)
    [position] = hall.venue.positions(ALPACA)
    assert (position.qty, position.average_price, position.price) == (40, 25, 25)
    stop = hall.order(stop.order_id)
    assert (stop.qty, stop.ticket.stop_price) == (20, D("20.25"))
    untouched = hall.order(other.order_id)
    assert (untouched.qty, untouched.ticket.limit_price) == (2, 120)
    assert [event.kind for event in hall.events if event.order.order_id == stop.order_id][-1] is EventKind.RESTATED
    assert hall.venue.account(ALPACA).equity == D(100_000)
    [activity] = hall.venue.activities(ALPACA, DAY1, DAY2)
    assert (activity.kind, activity.qty, activity.amount) == ("split", 30, 0)


def test_a_resting_buy_keeps_its_value_over_a_split_and_a_leg_is_left_as_it_was(tmp_path):
    hall = split_hall(tmp_path, 2)
    resting = hall.place(kind="limit", limit="90.01", duration="gtc", qty=7)
    hall.place(id="entry", order_class="bracket", profit=150, loss=20, duration="gtc")
    hall.to("09:30", DAY2)
    resting = hall.order(resting.order_id)
    assert (resting.qty, resting.ticket.limit_price) == (14, D(45))
    legs = [row.qty for row in hall.all_orders() if row.parent_id]
    assert legs == [10, 10]


def test_a_reverse_split_ends_what_rests(tmp_path):
    hall = split_hall(tmp_path, "0.1", price=10)
    hall.place(qty=105)
    order = hall.place(id="two", side="sell", kind="limit", limit=20, qty=100, duration="gtc")
    hall.to("09:30", DAY2)
    assert hall.order(order.order_id).status is Status.CANCELED
    assert hall.held() == {"AAA": D("10.5")}


def test_every_split_ends_what_rests_at_interactive_brokers(tmp_path):
    hall = split_hall(tmp_path, 4)
    order = hall.place(account=IBKR, kind="limit", limit=90, duration="gtc")
    hall.to("09:30", DAY2)
    assert hall.order(order.order_id, IBKR).status is Status.CANCELED


@pytest.mark.parametrize(("side", "cash"), [("buy", "5.00"), ("sell", "-5.00")])
def test_a_dividend_is_paid_on_the_morning_and_lowers_resting_orders(tmp_path, side, cash):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.data.events.append(SessionAction("AAA", DAY2, "dividend", amount=D("0.50")))
    hall.place(side=side)
    before = hall.venue.account(ALPACA).cash
    order = hall.place(
        id="two", symbol="AAA", side=side, kind="limit", limit=80 if side == "buy" else 120, duration="gtc"
    )
    hall.to("09:30", DAY2)
    assert hall.venue.account(ALPACA).cash - before == D(cash)
    # Only a limit that buys moves with the price.
    assert hall.order(order.order_id).ticket.limit_price == (D("79.5") if side == "buy" else D(120))


def test_a_delisting_settles_the_position_in_cash_and_ends_its_orders(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    hall.data.events.append(SessionAction("AAA", DAY2, "delisting", amount=D(103)))
    hall.place()
    order = hall.place(id="two", side="sell", kind="limit", limit=150, duration="gtc")
    hall.to("09:30", DAY2)
    assert hall.held() == {}
    assert hall.order(order.order_id).status is Status.CANCELED
    assert hall.venue.account(ALPACA).cash == D(100_000) - 1000 + 1030


def test_a_rename_carries_the_position_and_its_orders_to_the_new_symbol(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.data.events.append(SessionAction("AAA", DAY2, "rename", new_symbol="BBB"))
    hall.place()
    order = hall.place(id="two", side="sell", kind="limit", limit=150, duration="gtc")
    hall.to("09:30", DAY2)
    assert hall.held() == {"BBB": 10}
    order = hall.order(order.order_id)
    assert (order.ticket.symbol, order.status) == ("BBB", Status.NEW)
    assert [row.kind for row in hall.venue.activities(ALPACA, DAY1, DAY2)] == ["rename"]


def test_a_rename_to_what_is_not_listed_leaves_the_position_where_it_is_seen(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.data.events.append(SessionAction("AAA", DAY2, "rename", new_symbol="ZZZ"))
    hall.place()
    hall.to("09:30", DAY2)
    assert hall.held() == {"AAA": 10}


def test_an_action_on_a_day_without_a_session_takes_effect_at_the_next_open(tmp_path):
    friday, saturday, monday = date(2024, 3, 8), date(2024, 3, 9), date(2024, 3, 11)
    rows = {friday: {"AAA": bar()}, monday: {"AAA": bar()}}
    hall = make_venue(tmp_path, start=at("10:00", friday), bars=rows)
    hall.data.events.append(SessionAction("AAA", saturday, "dividend", amount=D(1)))
    hall.place()
    hall.to("09:30", monday)
    [activity] = hall.venue.activities(ALPACA, friday, monday)
    assert (activity.session, activity.at, activity.amount) == (saturday, at("09:30", monday), D(10))


def test_a_split_that_is_known_late_is_put_in_on_the_next_morning_once(tmp_path):
    quarter = bar(25, 25, 25, 25, 1_000_000)
    rows = {DAY1: {"AAA": bar(100, 100, 100, 100, 1_000_000)}, DAY2: {"AAA": quarter}, DAY3: {"AAA": quarter}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=rows)
    hall.place()
    hall.to("18:00", DAY2)
    assert hall.held() == {"AAA": 10}
    order = hall.place(id="two", side="sell", kind="limit", limit=30, duration="gtc")
    hall.data.events.append(SessionAction("AAA", DAY2, "split", ratio=D(4)))
    hall.to("09:30", DAY3)
    hall.to("12:00", DAY3)
    [position] = hall.venue.positions(ALPACA)
    assert (position.qty, position.average_price) == (40, 25)
    assert hall.order(order.order_id).status is Status.CANCELED
    [activity] = hall.venue.activities(ALPACA, DAY1, DAY3)
    assert (activity.kind, activity.session, activity.qty) == ("split", DAY2, 30)


def test_a_dividend_that_is_known_late_is_paid_on_what_was_held_then(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.place()
    hall.to("10:00", DAY2)
    hall.place(id="out", side="sell", qty=4)
    hall.data.events.append(SessionAction("AAA", DAY2, "dividend", amount=D(1)))
    before = hall.venue.account(ALPACA).cash
    hall.to("09:30", DAY3)
    assert hall.venue.account(ALPACA).cash - before == D(10)


def test_what_was_applied_in_time_is_not_put_in_again(tmp_path):
    hall = split_hall(tmp_path, 4)
    hall.data.sessions[DAY3] = {"AAA": bar(25, 25, 25, 25, 1_000_000)}
    hall.data.events.append(SessionAction("AAA", DAY2, "dividend", amount=D("0.10")))
    hall.place(qty=10)
    hall.to("09:30", DAY2)
    hall.to("16:00", DAY3)
    assert [(row.kind, row.amount) for row in hall.venue.activities(ALPACA, DAY1, DAY3)] == [
        ("split", 0),
        ("dividend", D(4)),
    ]


def test_names_that_change_hands_in_one_night_carry_their_own_positions(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"))
    # AAA takes the name that BBB gives away.
    for old, new in (("AAA", "BBB"), ("BBB", "NEW")):
        hall.data.events.append(SessionAction(old, DAY2, "rename", new_symbol=new))
    hall.place(qty=10)
    hall.place(id="two", symbol="BBB", qty=7)
    order = hall.place(id="three", symbol="BBB", side="sell", kind="limit", limit=150, duration="gtc", qty=2)
    hall.to("09:30", DAY2)
    assert hall.held() == {"BBB": 10, "NEW": 7}
    assert hall.order(order.order_id).ticket.symbol == "NEW"


def test_a_rename_to_what_is_held_already_loses_no_share(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    hall.data.events.append(SessionAction("BBB", DAY2, "rename", new_symbol="WHOLE"))
    hall.place(symbol="BBB", qty=10)
    hall.place(id="two", symbol="WHOLE", qty=30)
    hall.to("09:30", DAY2)
    [position] = hall.venue.positions(ALPACA)
    assert (position.symbol, position.qty, position.average_price) == ("WHOLE", 40, 100)


@pytest.mark.parametrize("trail", [{"trail": 8}, {"percent": 8}])
def test_a_trailing_stop_is_not_triggered_by_a_split(tmp_path, trail):
    hall = split_hall(tmp_path, 4)
    hall.place(qty=10)
    stop = hall.place(id="stop", side="sell", kind="trailing_stop", duration="gtc", **trail)
    hall.to("15:00", DAY2)
    stop = hall.order(stop.order_id)
    assert (stop.status, stop.qty, stop.high_water_mark) == (Status.NEW, 40, 25)
    assert stop.ticket.trail_price in (None, 2)


def test_a_dividend_lowers_the_mark_of_a_trailing_stop(tmp_path):
    flat = {
        day: {"AAA": bar(100 - 3 * number, 100, 97, 100 - 3 * number, 1_000_000)}
        for number, day in enumerate((DAY1, DAY2))
    }
    hall = make_venue(tmp_path, start=at("10:00"), bars=flat)
    hall.data.events.append(SessionAction("AAA", DAY2, "dividend", amount=D(3)))
    hall.place(qty=10)
    hall.to("20:00")
    stop = hall.place(id="stop", side="sell", kind="trailing_stop", duration="gtc", trail="3.5")
    hall.to("09:30", DAY2)
    assert hall.order(stop.order_id).status is Status.NEW


@pytest.mark.parametrize("account", [ALPACA, IBKR])
@pytest.mark.parametrize("kind", [{"kind": "split", "ratio": D(2)}, {"kind": "dividend", "amount": D(1)}])
def test_an_action_of_what_is_not_listed_any_more_ends_its_orders_and_nothing_else(tmp_path, account, kind):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.place(account, symbol="BBB")
    order = hall.place(account, id="two", symbol="BBB", kind="limit", limit=90, duration="gtc")
    listed = {name: row for name, row in INSTRUMENTS.items() if name != "BBB"}
    hall.data.events.append(SessionAction("BBB", DAY2, **kind))
    hall = make_venue(tmp_path, start=at("10:00"), ledger=hall.ledger, data=hall.data, instruments=listed)
    change = hall.venue.replace if account == ALPACA else hall.venue.amend
    with pytest.raises(Refused, match="asset_not_found"):
        change(account, order.order_id, Amendment(limit_price=D(91)))
    hall.to("09:31", DAY2)
    assert hall.order(order.order_id, account).status is Status.CANCELED
    assert list(hall.held(account)) == ["BBB"]
