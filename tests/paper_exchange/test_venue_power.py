"""No way around buying power at the venue: changed families, several exits of one position, children."""

from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.venue_orders import Amendment, Refused, Status
from tests.paper_exchange.market import DAY1, INSTRUMENTS, bar
from tests.paper_exchange.venues import ALPACA, IBKR, at, make_venue

BARS = {DAY1: {name: bar(100, 100, 100, 100, 10_000_000) for name in INSTRUMENTS if name != "NEW"}}


@pytest.fixture
def hall(tmp_path):
    """An open session in which everything costs 100."""
    return make_venue(tmp_path, start=at("10:00"), bars=BARS)


def refused(call) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code


def test_the_limit_of_a_bracket_cannot_be_raised_beyond_the_buying_power(hall):
    entry = hall.place(qty=40_000, kind="limit", limit=1, duration="gtc", order_class="bracket", profit=200, loss="0.5")
    change = Amendment(limit_price=D(120))
    code = refused(lambda: hall.venue.replace(ALPACA, entry.order_id, change))
    assert code == "insufficient_buying_power"
    assert hall.order(entry.order_id) == entry
    cheap = hall.venue.replace(ALPACA, entry.order_id, Amendment(limit_price=D(2)))
    assert cheap.status is Status.PENDING_NEW
    assert {row.parent_id for row in hall.all_orders() if row.parent_id} == {cheap.order_id}


def test_the_prices_of_a_brackets_legs_can_be_changed_before_there_is_a_position(hall):
    entry = hall.place(kind="limit", limit=90, duration="gtc", order_class="bracket", profit=200, loss=50)
    legs = [row for row in hall.all_orders() if row.parent_id == entry.order_id]
    for leg, change in zip(legs, (Amendment(limit_price=D(190)), Amendment(stop_price=D(60))), strict=True):
        assert hall.venue.replace(ALPACA, leg.order_id, change).status is Status.HELD


def test_what_resting_sales_sell_already_cannot_be_sold_again_without_selling_short(hall):
    hall.place(IBKR, symbol="HARD", qty=100)
    hall.place(IBKR, id="exit", symbol="HARD", side="sell", qty=100, kind="limit", limit=110)
    again = {"symbol": "HARD", "side": "sell", "qty": 100, "kind": "limit"}
    assert refused(lambda: hall.place(IBKR, id="again", limit=111, **again)) == "not_shortable"
    hall.place(IBKR, id="loss", symbol="AAA", qty=100)
    power = hall.venue.account(IBKR).buying_power
    for number in range(2):
        hall.place(IBKR, id=f"sale {number}", side="sell", qty=100, kind="limit", limit=110)
    # The first sale needs nothing; the second one is short, at its limit.
    assert hall.venue.account(IBKR).buying_power == power - 100 * D(110)
    code = refused(lambda: hall.place(IBKR, id="more", side="sell", qty=3_500, kind="limit", limit=110))
    assert code == "insufficient_buying_power"


def test_exits_of_one_group_sell_one_position(hall):
    hall.place(IBKR, symbol="HARD", qty=100)
    power = hall.venue.account(IBKR).buying_power
    exit_of = {"symbol": "HARD", "side": "sell", "qty": 100, "group": "exit", "duration": "gtc"}
    hall.place(IBKR, id="profit", kind="limit", limit=110, **exit_of)
    hall.place(IBKR, id="loss", kind="stop", stop=90, **exit_of)
    assert hall.venue.account(IBKR).buying_power == power


def test_a_child_sells_no_more_than_its_parent_buys_without_selling_short(hall):
    hall.place(IBKR, id="parent", symbol="HARD", qty=100, kind="limit", limit=90)
    child = {"symbol": "HARD", "side": "sell", "kind": "limit", "limit": 110, "parent": "parent"}
    assert refused(lambda: hall.place(IBKR, id="larger", qty=101, **child)) == "not_shortable"
    held = hall.place(IBKR, id="child", qty=100, **child)
    assert held.status is Status.HELD
    code = refused(lambda: hall.venue.amend(IBKR, held.order_id, Amendment(qty=D(101))))
    assert code == "not_shortable"


def test_a_child_that_buys_more_needs_buying_power(hall):
    hall.place(IBKR, id="parent", qty=100, kind="limit", limit=90)
    code = refused(lambda: hall.place(IBKR, id="more", qty=10_000, kind="limit", limit=100, parent="parent"))
    assert code == "insufficient_buying_power"
