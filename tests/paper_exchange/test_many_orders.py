"""An account with many orders: lists that are cut where they are read, and many cancels in one change."""

from datetime import timedelta
from itertools import product

import pytest

from scizor_dagster.paper_exchange.venue_orders import EventKind, OrderQuery, Refused, Status
from tests.paper_exchange.venues import ALPACA, Hall, at, make_venue

FAR = {"profit": 150, "loss": 50, "order_class": "bracket"}


@pytest.fixture
def hall(tmp_path) -> Hall:
    """Brackets that have filled, rest and were canceled, a chain of replacements, and simple orders between them."""
    hall = make_venue(tmp_path, start=at("10:00"))
    for number in range(3):
        hall.clock.move_to(hall.clock.now() + timedelta(seconds=1))
        hall.place(id=f"filled-{number}", **FAR)
        hall.place(id=f"resting-{number}", kind="limit", limit=51, **FAR)
        hall.place(id=f"simple-{number}", symbol="BBB", kind="limit", limit=50)
    gone = hall.place(id="gone", kind="limit", limit=51, **FAR)
    hall.venue.cancel(ALPACA, gone.order_id)
    return hall


@pytest.mark.parametrize(
    ("state", "symbols", "ascending"), product(["open", "closed", "all"], [[], ["AAA"], ["BBB"]], [True, False])
)
def test_what_is_rolled_up_is_what_hangs_on_nothing_else_in_the_answer(hall, state, symbols, ascending):
    query = {"state": state, "symbols": frozenset(symbols), "ascending": ascending}
    every = hall.venue.orders(ALPACA, OrderQuery(**query))
    ids = {row.order_id for row in every}
    expected = [row for row in every if row.parent_id not in ids]
    assert hall.venue.orders(ALPACA, OrderQuery(**query, rolled_up=True)) == expected
    assert hall.venue.orders(ALPACA, OrderQuery(**query, rolled_up=True, limit=3)) == expected[:3]


def test_a_place_in_the_list_is_a_bound_also_among_orders_of_one_instant(hall):
    rows = hall.venue.orders(ALPACA, OrderQuery(state="all", ascending=True))
    assert len({row.submitted_at for row in rows}) < len(rows)
    for index, row in enumerate(rows):
        place = (row.submitted_at, row.number)
        above = OrderQuery(state="all", ascending=True, above=place)
        assert hall.venue.orders(ALPACA, above) == rows[index + 1 :]
        assert hall.venue.orders(ALPACA, OrderQuery(state="all", ascending=True, below=place)) == rows[:index]


def test_the_legs_of_some_orders_are_found_by_their_parents(hall):
    rows = hall.venue.orders(ALPACA, OrderQuery(state="all"))
    parents = {row.order_id for row in rows if row.ticket.client_order_id in ("filled-1", "gone")}
    found = hall.venue.orders(ALPACA, OrderQuery(state="all", parents=frozenset(parents)))
    assert [row for row in rows if row.parent_id in parents] == found
    assert len(found) == 4


def test_many_are_canceled_in_one_change_as_one_after_the_other_would_be(hall):
    rows = hall.venue.orders(ALPACA, OrderQuery(ascending=True))
    before = hall.venue.account(ALPACA)
    version = hall.venue._store._cached[ALPACA].version
    ended = hall.venue.cancel_many(ALPACA, [row.order_id for row in rows])
    assert hall.venue._store._cached[ALPACA].version == version + 1
    assert {row.status for row in ended} == {Status.CANCELED}
    # A family ends with the first of it.
    assert len(ended) == 3 + 3 + 3
    assert hall.venue.orders(ALPACA) == []
    assert hall.venue.account(ALPACA).buying_power > before.buying_power
    told = [event.order.order_id for event in hall.events if event.kind is EventKind.CANCELED]
    assert set(told) >= {row.order_id for row in rows}
    assert len(told) == len(set(told))


def test_what_has_ended_and_what_there_is_not_is_passed_over(hall):
    (row, *_) = hall.venue.orders(ALPACA, OrderQuery(symbols=frozenset({"BBB"})))
    hall.venue.cancel(ALPACA, row.order_id)
    assert hall.venue.cancel_many(ALPACA, [row.order_id, "nowhere"]) == []
    with pytest.raises(Refused):
        hall.venue.cancel(ALPACA, row.order_id)
