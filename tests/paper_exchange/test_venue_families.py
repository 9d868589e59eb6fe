"""Families at the venue where things happen in an unusual order: nothing crosses zero, grows, or trades too early."""

from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_orders import Amendment, Duration, OrderKind, Status
from tests.paper_exchange.market import DAY1, DAY2, INSTRUMENTS, bar
from tests.paper_exchange.venues import ALPACA, IBKR, THIN, at, make_venue

FLAT = {name: bar(100, 100, 100, 100, 10_000_000) for name in INSTRUMENTS if name != "NEW"}
THIN_DAY = {"AAA": bar(100, 110, 90, 103, 1000), "BBB": bar(100, 100, 100, 100, 1000)}


@pytest.fixture
def hall(tmp_path):
    """Sessions in which everything costs 100."""
    return make_venue(tmp_path, start=at("10:00"), bars={DAY1: FLAT, DAY2: FLAT})


@pytest.mark.parametrize(("side", "back", "profit", "loss"), [("buy", "sell", 101, 80), ("sell", "buy", 99, 120)])
def test_legs_close_no_more_than_is_left_of_what_their_entry_opened(tmp_path, side, back, profit, loss):
    hall = make_venue(tmp_path, start=at("09:30"), bars={DAY1: THIN_DAY, DAY2: FLAT}, rules=THIN)
    entry = hall.place(side=side, qty=20, duration="gtc", order_class="bracket", profit=profit, loss=loss)
    assert entry.status is Status.PARTIALLY_FILLED
    opened = entry.filled_qty
    hall.place(id="back", side=back, qty=opened)
    hall.to("16:00", DAY2)
    assert hall.order(entry.order_id).status is Status.FILLED
    fills = hall.venue.executions("alpaca-one", at("00:00"), at("23:59", DAY2))
    assert all((row.position_qty - row.side.sign * row.qty) * row.position_qty >= 0 for row in fills)
    assert sum(row.side.sign * row.qty for row in fills) == 0
    assert hall.venue.orders("alpaca-one") == []


def test_a_sale_for_an_amount_of_money_and_one_of_shares_do_not_sell_the_same_shares(tmp_path):
    day = {"AAA": bar(100, 110, 90, 103, 10_000_000)}
    hall = make_venue(tmp_path, start=at("10:00"), bars={DAY1: day, DAY2: day})
    hall.place(qty=10, kind="limit", limit=100)
    hall.to("17:00")
    hall.place(id="money", side="sell", notional="1000.00")
    exit_ = hall.place(id="shares", side="sell", qty=10, kind="limit", limit=104, duration="gtc")
    hall.to("16:00", DAY2)
    assert hall.held() == {}
    ended = hall.order(exit_.order_id)
    assert (ended.status, ended.filled_qty < 10) == (Status.CANCELED, True)


def test_an_order_of_a_group_never_grows_by_what_another_one_fills(tmp_path):
    hall = make_venue(tmp_path, start=at("09:29"), bars={DAY1: THIN_DAY}, rules=THIN)
    small = hall.place(IBKR, id="small", symbol="BBB", qty=50, kind="limit", limit=90, group="one")
    large = hall.place(IBKR, id="large", qty=100, kind="limit", limit=105, group="one")
    hall.to("10:00")
    filled = hall.order(large.order_id, IBKR).filled_qty
    assert 0 < filled < 50
    assert hall.order(small.order_id, IBKR).qty == 50 - filled
    hall.to("15:59")
    assert hall.order(large.order_id, IBKR).filled_qty >= 50
    assert hall.order(small.order_id, IBKR).status is Status.CANCELED


def test_a_child_for_the_closing_auction_trades_there_and_not_when_its_parent_fills(hall):
    hall.place(IBKR, id="parent")
    child = hall.place(IBKR, id="child", side="sell", duration="cls", parent="parent")
    assert child.status is Status.ACCEPTED
    waits = hall.place(IBKR, id="later", symbol="BBB", kind="limit", limit=99)
    late = hall.place(IBKR, id="late", symbol="BBB", side="sell", duration="cls", parent="later")
    hall.venue.amend(IBKR, waits.order_id, Amendment(limit_price=D(100)))
    hall.to("15:59")
    assert hall.held(IBKR) == {"AAA": D(10), "BBB": D(10)}
    hall.to("16:00")
    assert hall.held(IBKR) == {}
    assert {hall.order(row.order_id, IBKR).filled_at for row in (child, late)} == {at("16:00")}


def test_a_child_for_the_opening_auction_waits_for_the_next_one(hall):
    parent = hall.place(IBKR, id="parent", kind="limit", limit=99)
    child = hall.place(IBKR, id="child", side="sell", duration="opg", parent="parent")
    hall.venue.amend(IBKR, parent.order_id, Amendment(limit_price=D(100)))
    hall.to("16:00")
    assert hall.held(IBKR) == {"AAA": D(10)}
    hall.to("09:30", DAY2)
    assert hall.order(child.order_id, IBKR).filled_at == at("09:30", DAY2)


@pytest.mark.parametrize("duration", ["ioc", "fok"])
def test_a_child_that_cannot_fill_at_once_ends_at_once(hall, duration):
    parent = hall.place(IBKR, id="parent", kind="limit", limit=99)
    child = hall.place(IBKR, id="child", side="sell", kind="limit", limit=101, duration=duration, parent="parent")
    hall.venue.amend(IBKR, parent.order_id, Amendment(limit_price=D(100)))
    hall.to("10:01")
    assert hall.order(child.order_id, IBKR).status is Status.CANCELED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"kind": "limit", "limit": 90}, {"kind": "market"}),
        ({"kind": "stop", "stop": 110}, {"kind": "market"}),
        ({"kind": "limit", "limit": 90}, {"kind": "stop", "stop_price": D(110)}),
        ({"kind": "stop_limit", "limit": 111, "stop": 110}, {"kind": "limit", "limit_price": D(90)}),
        ({"kind": "trailing_stop", "trail": 5}, {"kind": "limit", "limit_price": D(90)}),
    ],
)
def test_an_order_may_become_one_of_another_kind_in_place(hall, old, new):
    order = hall.place(IBKR, **old)
    changed = hall.venue.amend(IBKR, order.order_id, Amendment(**{**new, "kind": OrderKind(new["kind"])}))
    assert changed.ticket.kind == new["kind"]
    assert hall.order(order.order_id, IBKR).status is (Status.FILLED if new["kind"] == "market" else Status.NEW)


def test_events_of_changed_orders_come_in_the_same_order_after_a_restart(tmp_path):
    def reasons(restarts: bool) -> list[str]:
        folder = tmp_path / str(restarts)
        folder.mkdir()
        hall = make_venue(folder, start=at("10:00"), bars={DAY1: FLAT, DAY2: FLAT})
        hall.data.events.append(SessionAction("AAA", DAY2, "split", ratio=D(2)))
        rows = [hall.place(IBKR, id=name, kind="limit", limit=90, duration="gtc") for name in ("one", "two")]
        hall.venue.amend(IBKR, rows[0].order_id, Amendment(limit_price=D(91)))
        if restarts:
            hall = make_venue(folder, start=at("10:00"), ledger=hall.ledger, data=hall.data)
        hall.to("09:30", DAY2)
        return [event.order.ticket.client_order_id for event in hall.events[-2:]]

    assert reasons(restarts=False) == reasons(restarts=True)


def test_an_order_that_becomes_one_for_the_close_waits_for_it(hall):
    replaced = hall.place(kind="limit", limit=90)
    change = Amendment(limit_price=D(101), duration=Duration.CLS)
    new = hall.venue.replace(ALPACA, replaced.order_id, change)
    amended = hall.place(IBKR, kind="limit", limit=90)
    hall.venue.amend(IBKR, amended.order_id, change)
    hall.to("15:59")
    assert hall.held() == hall.held(IBKR) == {}
    hall.to("16:00")
    for order, account in ((new, ALPACA), (amended, IBKR)):
        assert hall.order(order.order_id, account).filled_at == at("16:00")


def test_an_order_for_the_close_may_become_one_for_now(hall):
    order = hall.place(IBKR, duration="cls")
    hall.venue.amend(IBKR, order.order_id, Amendment(duration=Duration.DAY))
    assert hall.order(order.order_id, IBKR).filled_at == at("10:00")


def test_an_order_that_becomes_one_at_once_fills_or_ends(hall):
    order = hall.place(IBKR, kind="limit", limit=90)
    hall.venue.amend(IBKR, order.order_id, Amendment(limit_price=D(91), duration=Duration.IOC))
    assert hall.order(order.order_id, IBKR).status is Status.CANCELED
