"""One session from the open to the close: fills, partial fills, brackets, expiries."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import OrderRequest, OrderStatus, TimeInForce
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.model import Books, Order, Rules, State
from scizor_dagster.paper_exchange.rules import Market
from scizor_dagster.paper_exchange.venue_orders import Refused
from tests.paper_exchange.market import DAY1, FREE, INSTRUMENTS, NOW, PRICES, bar, request, state

TIMES = engine.StepTimes(datetime(2024, 3, 4, 14, 30, tzinfo=UTC), datetime(2024, 3, 4, 21, 0, tzinfo=UTC))
TENTH = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D("0.1"))


class Session:
    """Books on the morning of a session, with its bars."""

    def __init__(self, before: State, *orders: OrderRequest, rules: Rules = FREE, **bars: SessionBar) -> None:
        self.rules, self.bars = rules, bars
        self.books = Books(before)
        engine.begin_session(self.books, DAY1, (), {}, TIMES.open)
        for order in orders:
            self.place(order)

    def place(self, order: OrderRequest) -> None:
        engine.place(self.books, order, Market(INSTRUMENTS, PRICES), self.rules, NOW)

    def run(self, steps: int = 3) -> "Session":
        for _ in range(steps):
            engine.run_step(self.books, self.bars, self.rules, INSTRUMENTS, TIMES)
        return self

    def order(self, name: str = "one") -> Order:
        found = self.books.current(name)
        assert found is not None
        return found

    @property
    def fills(self) -> list[tuple[str, D, D]]:
        return [(fill.client_order_id, fill.qty, fill.price) for fill in self.books.transition().fills]


def test_an_order_of_the_morning_fills_in_the_opening_auction():
    session = Session(state(), request(), AAA=bar()).run(1)
    assert session.fills == [("one", D(10), D(100))]
    assert session.order().status is OrderStatus.FILLED
    assert session.books.cash == D(99_000)
    assert session.books.state().held("AAA") == 10


def test_an_order_between_steps_is_matched_by_the_next_one():
    session = Session(state(AAA=10), request("sell", 10), AAA=bar(), BBB=bar(close=107)).run(1)
    session.place(request("buy", 5, "BBB", id="released"))
    session.run(1)
    assert session.fills == [("one", D(10), D(100)), ("released", D(5), D("102.3334"))]


def test_what_the_volume_does_not_give_waits_for_the_next_step():
    session = Session(state(), request(qty=250), rules=TENTH, AAA=bar()).run(1)
    assert (session.order().status, session.order().filled_qty) == (OrderStatus.PARTIALLY_FILLED, D(100))
    session.run(2)
    assert [fill[1] for fill in session.fills] == [100, 100, 50]
    assert session.order().average_price == D(101)


def test_a_day_order_keeps_its_filled_part_when_it_expires():
    session = Session(state(), request(qty=400), rules=TENTH, AAA=bar()).run()
    order = session.order()
    assert (order.status, order.filled_qty) == (OrderStatus.EXPIRED, D(300))
    assert "300 of 400" in order.reason
    assert session.books.state().held("AAA") == 300


def test_orders_of_one_account_share_the_volume_of_a_step():
    session = Session(state(), request(qty=80), request(qty=80, id="two"), rules=TENTH, AAA=bar()).run(1)
    assert session.fills == [("one", D(80), D(100)), ("two", D(20), D(100))]


def test_an_instrument_without_a_bar_trades_nothing_and_says_so():
    session = Session(state(), request(), BBB=bar()).run(2)
    assert session.order().status is OrderStatus.ACCEPTED
    session.run(1)
    assert session.order().status is OrderStatus.EXPIRED
    assert session.order().reason == "no trade in this session"
    assert session.fills == []


def test_a_limit_that_is_not_reached_expires_and_names_its_price():
    session = Session(state(), request(limit=80), AAA=bar()).run()
    assert session.order().reason == "the limit 80 was not reached"


def test_orders_for_a_later_session_are_left_alone():
    later = request(session=DAY1.replace(day=5))
    session = Session(state(), later, AAA=bar()).run()
    assert session.order().status is OrderStatus.ACCEPTED


def test_a_session_that_closes_without_trading_expires_its_orders():
    session = Session(state(), request())
    engine.close_session(session.books, TIMES.close)
    assert session.order().reason == "the session had no trading"


def test_positions_are_marked_at_the_price_of_the_step():
    session = Session(state(BBB=10), BBB=bar()).run(1)
    assert session.books.positions["BBB"].last_price == 100
    assert session.run(2).books.positions["BBB"].last_price == 103


def test_steps_happen_at_the_open_at_half_time_and_at_the_close():
    session = Session(state(), request(qty=250), rules=TENTH, AAA=bar()).run()
    instants = [fill.executed_at for fill in session.books.transition().fills]
    assert instants == [TIMES.open, datetime(2024, 3, 4, 17, 45, tzinfo=UTC), TIMES.close]


def bracket(**prices: object) -> OrderRequest:
    return request(**({"profit": 108, "stop": 95} | prices))


def test_legs_rest_with_ids_of_their_own_until_the_entry_has_filled():
    session = Session(state(), bracket(), AAA=bar())
    legs = [order for order in session.books.orders.values() if order.parent == "one"]
    assert [(leg.client_order_id, leg.side, leg.qty) for leg in legs] == [
        ("one.tp", "sell", D(10)),
        ("one.sl", "sell", D(10)),
    ]
    session.run(1)
    assert session.fills == [("one", D(10), D(100))]
    assert session.order("one.tp").status is OrderStatus.ACCEPTED


@pytest.mark.parametrize(
    ("values", "winner", "loser", "price"),
    [
        ({"high": 109, "low": 99}, "one.tp", "one.sl", D(108)),
        ({"high": 101, "low": 94}, "one.sl", "one.tp", D(95)),
        ({"high": 109, "low": 94}, "one.sl", "one.tp", D(95)),
    ],
)
def test_one_leg_fills_and_cancels_the_other_and_the_stop_wins_a_tie(values, winner, loser, price):
    session = Session(state(), bracket(), AAA=bar(**({"close": 100} | values))).run(2)
    assert session.fills[1] == (winner, D(10), price)
    assert session.order(winner).status is OrderStatus.FILLED
    assert session.order(loser).status is OrderStatus.CANCELED
    assert session.books.state().positions == {}
    assert session.books.orders == {}


def test_legs_that_are_not_reached_expire_at_the_close_and_the_position_stays():
    session = Session(state(), bracket(profit=120, stop=80), AAA=bar()).run()
    assert {session.order(f"one.{leg}").status for leg in ("tp", "sl")} == {OrderStatus.EXPIRED}
    assert session.books.state().held("AAA") == 10


def test_the_days_extremes_before_an_entry_do_not_trigger_its_legs():
    session = Session(state(), AAA=bar(high=120, low=80, close=100)).run(1)
    session.place(bracket())
    session.run(2)
    assert [fill[0] for fill in session.fills] == ["one"]


def test_legs_of_an_entry_that_fills_in_part_never_live():
    session = Session(state(), bracket(qty=400), rules=TENTH, AAA=bar(low=50, high=200)).run()
    assert {fill[0] for fill in session.fills} == {"one"}
    assert session.order("one.sl").reason == "the entry did not fill entirely"


def test_a_take_profit_that_fills_in_part_leaves_its_stop_the_rest():
    entry = bracket(qty=100, profit=101, stop=50)
    session = Session(state(), entry, rules=TENTH, AAA=bar(close=45, low=60)).run(1)
    session.bars = {"AAA": bar(close=45, low=60, volume=900)}
    session.run(1)
    assert session.fills[1] == ("one.tp", D(30), D(101))
    assert session.order("one.sl").qty == 70
    session.run(1)
    assert session.fills[2] == ("one.sl", D(30), D(45))
    assert session.order("one.tp").status is OrderStatus.CANCELED
    assert session.books.state().held("AAA") == 40


def test_a_triggered_stop_stays_a_market_order_for_the_rest():
    session = Session(state(), bracket(qty=100, stop=95), rules=TENTH, AAA=bar(low=94, close=104))
    session.run(1)
    session.bars = {"AAA": bar(low=94, close=104, volume=1200)}
    session.run(2)
    assert [(name, qty) for name, qty, _ in session.fills[1:]] == [("one.sl", D(40)), ("one.sl", D(40))]
    assert session.fills[2][2] == 104


def test_a_short_bracket_is_covered_by_its_legs():
    session = Session(state(), request("sell", 10, intent="sell_to_open", profit=92, stop=120), AAA=bar(low=91)).run(2)
    assert session.fills[1] == ("one.tp", D(10), D(92))
    assert session.books.cash == D(100_080)


def test_cancelling_a_leg_ends_the_whole_bracket():
    session = Session(state(), bracket(), AAA=bar()).run(1)
    engine.cancel(session.books, "one.tp", NOW)
    assert session.books.orders == {}
    assert session.order().status is OrderStatus.FILLED


def test_cancelling_an_entry_ends_its_legs():
    session = Session(state(), bracket(), request("buy", 1, id="other"), AAA=bar())
    engine.cancel(session.books, "one", NOW)
    assert list(session.books.orders) == ["other"]


def test_an_order_that_has_ended_cannot_be_cancelled():
    session = Session(state(), request(), AAA=bar()).run(1)
    with pytest.raises(Refused, match="order_not_open"):
        engine.cancel(session.books, "one", NOW)


AUCTIONS = replace(FREE, auction_orders=True)


def on_open(**words: object) -> OrderRequest:
    return replace(request(**words), time_in_force=TimeInForce.OPG)


def on_close(**words: object) -> OrderRequest:
    return replace(request(**words), time_in_force=TimeInForce.CLS)


def test_market_orders_for_the_auctions_fill_at_the_open_and_at_the_close():
    orders = (on_close(id="close"), on_open(id="open"), request(id="day"))
    session = Session(state(), *orders, rules=AUCTIONS, AAA=bar(open_=100, close=103)).run()
    assert session.fills == [("open", D(10), D(100)), ("day", D(10), D(100)), ("close", D(10), D(103))]


def test_an_auction_fill_pays_spread_and_impact_as_any_other():
    rules = replace(AUCTIONS, half_spread_bps=D(10))
    session = Session(state(), on_open(id="open"), on_close(id="close"), rules=rules, AAA=bar()).run()
    assert [price for _, _, price in session.fills] == [D("100.1"), D("103.103")]


@pytest.mark.parametrize(("make", "step", "filled"), [(on_open, 1, 100), (on_close, 3, 100)])
def test_what_an_auction_does_not_fill_expires_with_it(make, step, filled):
    rules = replace(AUCTIONS, max_participation=D("0.1"))
    session = Session(state(), make(qty=250), rules=rules, AAA=bar()).run(step - 1)
    assert session.order().status is OrderStatus.ACCEPTED
    session.run(1)
    assert (session.order().status, session.order().filled_qty) == (OrderStatus.EXPIRED, D(filled))
    assert session.books.orders == {}
    assert "100 of 250" in session.order().reason


def test_an_auction_order_in_what_does_not_trade_expires():
    session = Session(state(), on_open(), rules=AUCTIONS, BBB=bar()).run(1)
    assert (session.order().status, session.order().reason) == (OrderStatus.EXPIRED, engine.NO_TRADE)


def test_an_order_for_the_closing_auction_is_taken_until_the_last_step():
    session = Session(state(), rules=AUCTIONS, AAA=bar(close=107)).run(2)
    session.place(on_close())
    assert session.run(1).fills == [("one", D(10), D(107))]
