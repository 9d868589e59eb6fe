"""Interactive Brokers' rules at the venue."""

from decimal import Decimal as D

import pytest

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.house_ibkr import ASX_COMMISSION, US_COMMISSION
from scizor_dagster.paper_exchange.venue_orders import House, OrderKind, Refused, Status
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from tests.paper_exchange.market import DAY1, INSTRUMENTS, bar
from tests.paper_exchange.venues import IBKR, THIN, at, make_venue

BARS = {DAY1: {name: bar(100, 100, 100, 100, 1_000_000) for name in INSTRUMENTS if name != "NEW"}}


@pytest.fixture
def hall(tmp_path):
    """An open session in which everything costs 100."""
    return make_venue(tmp_path, start=at("10:00"), bars=BARS)


def place(hall, **facts):
    return hall.place(account=IBKR, **facts)


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("asset_not_found", {"symbol": "ZZZ"}),
        ("not_tradable", {"symbol": "SHUT"}),
        ("fractional_quantity", {"qty": "1.5"}),
        ("cash_quantity", {"notional": 100}),
        ("invalid_qty", {"qty": 0}),
        ("price_not_on_tick", {"kind": "limit", "limit": "99.001"}),
        ("unexpected_legs", {"profit": 110, "loss": 90}),
        ("insufficient_buying_power", {"qty": 4001}),
        ("not_shortable", {"side": "sell", "symbol": "HARD"}),
        ("no_price", {"symbol": "NEW"}),
        ("parent_not_found", {"parent": "nobody"}),
        ("invalid_time_in_force", {"duration": "opg", "kind": "stop", "stop": 101}),
    ],
)
def test_a_ticket_that_breaks_a_rule_is_refused_by_its_name(hall, code, facts):
    with pytest.raises(Refused) as caught:
        place(hall, **facts)
    assert caught.value.code == code
    assert hall.all_orders(IBKR) == []


def test_one_order_may_cross_zero(hall):
    place(hall)
    order = place(hall, id="flip", side="sell", qty=25)
    assert order.status is Status.FILLED
    assert hall.held(IBKR) == {"AAA": D(-15)}
    [position] = hall.venue.positions(IBKR)
    assert position.average_price == D(100)


def test_only_what_opens_needs_buying_power(hall):
    place(hall, qty=3900)
    assert place(hall, id="flip", side="sell", qty=7000).status is Status.FILLED


def test_opposite_orders_stand_side_by_side(hall):
    place(hall, kind="limit", limit=90)
    assert place(hall, id="two", side="sell", kind="limit", limit=110).status is Status.NEW


def test_no_more_than_twenty_orders_stand_on_one_side_of_a_contract(hall):
    for number in range(20):
        place(hall, id=str(number), qty=1, kind="limit", limit=90)
    with pytest.raises(Refused, match="too_many_orders"):
        place(hall, id="last", qty=1, kind="limit", limit=90)
    assert place(hall, id="other side", qty=1, side="sell", kind="limit", limit=110).status is Status.NEW


def test_children_wait_for_their_parent_and_end_each_other(tmp_path):
    rows = {DAY1: {"AAA": bar(100, 110, 90, 103, 1_000_000)}}
    hall = make_venue(tmp_path, start=at("09:30"), bars=rows)
    place(hall, kind="limit", limit=95)
    profit = place(hall, id="profit", side="sell", kind="limit", limit=108, parent="one", group="g", duration="gtc")
    loss = place(hall, id="loss", side="sell", kind="stop", stop=85, parent="one", group="g", duration="gtc")
    assert (profit.status, loss.status) == (Status.HELD, Status.HELD)
    hall.to("12:00")
    assert {row.ticket.kind: row.status for row in hall.all_orders(IBKR)} == {
        OrderKind.LIMIT: Status.NEW,
        OrderKind.STOP: Status.NEW,
    }
    hall.to("16:00")
    assert hall.order(profit.order_id, IBKR).average_price == D(108)
    assert hall.order(loss.order_id, IBKR).status is Status.CANCELED


def test_cancelling_one_of_a_group_leaves_the_others(hall):
    profit = place(hall, side="sell", kind="limit", limit=110, group="g")
    loss = place(hall, id="two", side="sell", kind="stop", stop=90, group="g")
    hall.venue.cancel(IBKR, profit.order_id)
    assert hall.order(loss.order_id, IBKR).status is Status.NEW


def test_a_child_of_a_parent_that_has_filled_is_live_at_once(hall):
    place(hall)
    child = place(hall, id="child", side="sell", kind="limit", limit=110, parent="one")
    assert child.status is Status.NEW


def test_the_commission_is_charged_by_the_order_and_not_by_the_fill(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"), bars={DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}}, rules=THIN)
    place(hall, qty=500)
    hall.to("16:00")
    fills = hall.venue.executions(IBKR, at("00:00"), at("23:00"))
    assert len(fills) > 2
    assert sum(fill.commission for fill in fills) == D("2.50")
    assert fills[0].commission == D("1.00")


@pytest.mark.parametrize(
    ("table", "qty", "value", "commission"),
    [
        (US_COMMISSION, 100, 10_000, "1.00"),
        (US_COMMISSION, 1000, 100_000, "5.00"),
        (US_COMMISSION, 10, 20, "0.20"),
        (ASX_COMMISSION, 10, 500, "6.00"),
        (ASX_COMMISSION, 1000, 100_000, "80.00"),
    ],
)
def test_the_published_commissions(table, qty, value, commission):
    assert table.of(D(qty), D(value)) == D(commission)


def test_the_profit_of_a_fill_is_at_average_cost_and_after_commission(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    place(hall, qty=100)
    hall.to("13:50")
    place(hall, id="out", side="sell", qty=100)
    last = hall.venue.executions(IBKR, at("00:00"), at("23:00"))[-1]
    assert last.realized_pnl == 100 * (110 - 95) - D("1.00")
    assert (last.position_qty, last.leaves_qty, last.cumulative_qty) == (0, 0, 100)


def test_an_exchange_without_auctions_takes_no_order_for_one(tmp_path):
    bhp = {"BHP": Instrument("BHP", "XASX", "AUD")}
    account = [VenueAccount(IBKR, House.IBKR, "AUD", D(100_000))]
    hall = make_venue(tmp_path, instruments=bhp, accounts=account, calendar="XASX", bars={})
    hall.data.prices = {"BHP": D("45.10")}
    with pytest.raises(Refused, match="invalid_time_in_force"):
        place(hall, symbol="BHP", duration="opg")
    with pytest.raises(Refused, match="price_not_on_tick"):
        place(hall, symbol="BHP", kind="limit", limit="45.005")
    assert place(hall, symbol="BHP", kind="limit", limit="1.005").status is Status.ACCEPTED


def test_an_account_shows_the_number_of_a_paper_account(tmp_path):
    named = [VenueAccount("rehearsal", House.IBKR, "USD", D(100_000)), VenueAccount(IBKR, House.IBKR, "USD", D(5000))]
    hall = make_venue(tmp_path, accounts=named)
    numbers = [hall.venue.account(row.name).account_id for row in named]
    assert numbers[1] == IBKR
    assert numbers[0].startswith("DU")
    assert len(numbers[0]) == 9
