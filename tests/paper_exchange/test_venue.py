"""The continuous venue: orders meet a price path at the venue's instants, and events tell of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.errors import InputError, WrongAccount
from scizor_dagster.paper_exchange.clocks import Manual, RealTime, Replay
from scizor_dagster.paper_exchange.listings import list_instruments
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.venue_orders import EventKind, House, Mishap, OrderQuery, Refused, Status
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from tests.paper_exchange.market import DAY1, DAY2, DAY3, bar
from tests.paper_exchange.venues import ALPACA, IBKR, at, make_venue, ticket


def kinds(hall, order=None):
    return [event.kind.value for event in hall.events if order is None or event.order.order_id == order.order_id]


def test_a_market_order_in_an_open_session_fills_at_once_at_the_path(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    # Half way from 100 to 90, which is reached a third into the session.
    order = hall.place()
    assert (order.status, order.average_price) == (Status.FILLED, D(95))
    assert kinds(hall) == ["pending_new", "new", "fill"]
    assert [event.number for event in hall.events] == [1, 2, 3]
    assert hall.venue.account(ALPACA).cash == D(100_000) - 950
    assert hall.held() == {"AAA": D(10)}


def test_the_answer_to_a_placing_is_the_order_as_it_was_taken(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    taken = hall.venue.place(ALPACA, ticket())
    assert (taken.status, taken.filled_qty) == (Status.PENDING_NEW, 0)


def test_an_order_before_the_open_is_accepted_and_fills_at_the_open(tmp_path):
    hall = make_venue(tmp_path)
    order = hall.place()
    assert order.status is Status.ACCEPTED
    hall.to("09:30")
    order = hall.order(order.order_id)
    assert (order.status, order.average_price, order.filled_at) == (Status.FILLED, D(100), at("09:30"))
    assert kinds(hall) == ["accepted", "new", "fill"]


def test_the_path_goes_by_the_low_first_when_the_close_is_not_below_the_open(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    prices = {}
    for clock in ("09:30", "11:40", "13:50", "16:00"):
        hall.to(clock)
        quote = hall.venue.quote("AAA")
        assert quote is not None
        prices[clock] = quote.last
    assert prices == {"09:30": 100, "11:40": 90, "13:50": 110, "16:00": 103}


def test_the_path_goes_by_the_high_first_when_the_close_is_below_the_open(tmp_path):
    hall = make_venue(tmp_path, start=at("11:40"), bars={DAY1: {"AAA": bar(100, 110, 90, 97)}})
    quote = hall.venue.quote("AAA")
    assert quote is not None
    assert (quote.last, quote.day_high, quote.day_low, quote.day_volume) == (110, 110, 100, 1000)


def test_a_quote_shows_nothing_of_what_is_still_to_come(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    quote = hall.venue.quote("AAA")
    assert quote is not None
    assert (quote.day_low, quote.day_high) == (95, 100)
    running = hall.venue.bars(["AAA"], DAY1, DAY3)["AAA"]
    assert [(row.session, row.low, row.high, row.close) for row in running] == [(DAY1, 95, 100, 95)]


def test_the_spread_lies_around_the_path_on_ticks(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"), rules=Rules(half_spread_bps=D(2)))
    quote = hall.venue.quote("AAA")
    assert quote is not None
    assert (quote.bid, quote.ask) == (D("94.98"), D("95.02"))


def test_a_limit_rests_until_the_path_reaches_it_and_fills_at_its_limit(tmp_path):
    hall = make_venue(tmp_path, start=at("09:31"))
    order = hall.place(kind="limit", limit="92.50")
    assert order.status is Status.NEW
    hall.to("11:00")
    assert hall.order(order.order_id).status is Status.NEW
    hall.to("11:30")
    order = hall.order(order.order_id)
    # 92.50 is passed at 11:07:30, on the way to 90 at 11:40.
    assert (order.average_price, order.filled_at) == (D("92.5"), at("11:08"))


def test_a_limit_that_is_marketable_on_arrival_fills_at_the_touch(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    assert hall.place(kind="limit", limit=99).average_price == D(95)


def test_a_stop_that_sells_trades_from_its_stop_on(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    hall.place()
    order = hall.place(side="sell", id="stop", kind="stop", stop=94)
    hall.to("16:00")
    order = hall.order(order.order_id)
    assert (order.status, order.average_price) == (Status.FILLED, D(94))
    assert hall.held() == {}


def test_a_stop_gaps_to_the_open(tmp_path):
    gap = {DAY1: {"AAA": bar(100, 100, 100, 100, 10_000)}, DAY2: {"AAA": bar(80, 85, 75, 82, 10_000)}}
    hall = make_venue(tmp_path, start=at("10:00"), bars=gap)
    hall.place()
    order = hall.place(side="sell", id="stop", kind="stop", stop=94, duration="gtc")
    hall.to("10:00", DAY2)
    assert hall.order(order.order_id).average_price == D(80)


def test_a_day_order_expires_at_the_close(tmp_path):
    hall = make_venue(tmp_path)
    order = hall.place(kind="limit", limit=80)
    hall.to("16:00")
    order = hall.order(order.order_id)
    assert (order.status, order.expired_at) == (Status.EXPIRED, at("16:00"))
    assert order.reason == "its price was not reached"


def test_an_order_after_the_close_is_for_the_next_session(tmp_path):
    hall = make_venue(tmp_path, start=at("17:00"))
    order = hall.place()
    assert (order.status, order.expires_at) == (Status.ACCEPTED, at("16:00", DAY2))
    hall.to("09:30", DAY2)
    assert hall.order(order.order_id).status is Status.FILLED


def test_the_account_takes_its_share_of_the_volume_and_the_rest_waits(tmp_path):
    rules = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D("0.1"), opening_share=D("0.05"))
    hall = make_venue(tmp_path, start=at("09:30"), bars={DAY1: {"BBB": bar(100, 100, 100, 100, 10_000)}}, rules=rules)
    order = hall.place(qty=500, symbol="BBB")
    # At the open 5 % of the volume count as traded: 50 shares are the account's.
    assert (order.status, order.filled_qty) == (Status.PARTIALLY_FILLED, 50)
    hall.to("12:45")
    assert hall.order(order.order_id).filled_qty == 500
    assert kinds(hall, order)[:3] == ["pending_new", "new", "partial_fill"]
    assert kinds(hall, order)[-1] == "fill"


def test_what_happens_does_not_depend_on_how_often_the_books_are_brought_forward(tmp_path):
    rules = Rules(max_participation=D("0.01"), partial_fill_share=D("0.5"), seed=7)

    def outcome(name, clocks):
        (tmp_path / name).mkdir()
        hall = make_venue(tmp_path / name, start=at("09:47:13"), rules=rules)
        hall.place(qty=300)
        hall.place(id="limit", kind="limit", limit="91.37", qty=100)
        hall.place(id="trail", symbol="BBB", qty=5)
        hall.place(id="trailing", side="sell", symbol="BBB", kind="trailing_stop", trail=1, qty=5)
        for clock in clocks:
            hall.to(clock)
        return [(event.kind, event.at, event.order, event.execution) for event in hall.events]

    often = [f"{hour}:{minute:02}:{second}" for hour in range(10, 16) for minute in (3, 17, 59) for second in (10, 31)]
    assert outcome("often", [*often, "16:00"]) == outcome("once", ["16:00"])


def test_a_session_without_its_bars_is_not_matched_until_they_are_there(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"), bars={})
    order = hall.place()
    assert order.status is Status.ACCEPTED
    quote = hall.venue.quote("AAA")
    assert quote is not None
    assert (quote.last, quote.at < at("09:30")) == (D(100), True)
    hall.to("18:00")
    assert hall.order(order.order_id).status is Status.ACCEPTED
    hall.data.sessions[DAY1] = {"AAA": bar(volume=1_000_000)}
    hall.venue.run()
    order = hall.order(order.order_id)
    # As if the bar had been there: 30 of 130 minutes on the way from 100 to 90, and then up to a tick.
    assert (order.status, order.filled_at, order.average_price) == (Status.FILLED, at("10:00"), D("97.7"))


def test_a_session_that_passed_without_trading_ends_its_orders(tmp_path):
    hall = make_venue(tmp_path, bars={DAY2: {"AAA": bar()}})
    order = hall.place()
    hall.to("16:00")
    assert hall.order(order.order_id).status is Status.EXPIRED


def test_a_restart_in_the_middle_goes_on_as_if_nothing_had_been(tmp_path):
    rules = Rules(max_participation=D("0.001"))

    def outcome(name, restart):
        (tmp_path / name).mkdir()
        hall = make_venue(tmp_path / name, start=at("09:40"), rules=rules)
        first = hall.place(qty=500)
        hall.place(id="stop", kind="stop", stop=108, qty=20, duration="gtc")
        hall.to("10:05:30")
        if restart:
            hall.ledger.close()
            hall = make_venue(tmp_path / name, start=at("10:05:30"), rules=rules, ledger=hall.ledger)
        hall.to("12:00", DAY2)
        orders = [(row.ticket.client_order_id, row) for row in hall.all_orders()]
        fills = hall.venue.executions(ALPACA, at("00:00"), at("23:00", DAY3))
        return orders, fills, hall.venue.account(ALPACA), first.order_id

    assert outcome("one", restart=True) == outcome("two", restart=False)


def test_a_cancel_ends_an_open_order_once(tmp_path):
    hall = make_venue(tmp_path)
    order = hall.place()
    assert hall.venue.cancel(ALPACA, order.order_id).status is Status.CANCELED
    with pytest.raises(Refused, match="order_not_open"):
        hall.venue.cancel(ALPACA, order.order_id)
    with pytest.raises(Refused, match="order_not_found"):
        hall.venue.cancel(ALPACA, "no such order")
    assert kinds(hall) == ["accepted", "canceled"]


def test_a_client_order_id_is_unique_for_ever_and_the_refusal_says_whether_the_first_is_open(tmp_path):
    hall = make_venue(tmp_path)
    order = hall.place()
    with pytest.raises(Refused, match="must be unique") as refusal:
        hall.place()
    assert refusal.value.details == {"is_open": True, "existing_order_id": order.order_id}
    hall.venue.cancel(ALPACA, order.order_id)
    with pytest.raises(Refused) as refusal:
        hall.place()
    assert refusal.value.details["is_open"] is False
    assert hall.place(account=IBKR).ticket.client_order_id == "one"


def test_a_refused_order_leaves_nothing_behind(tmp_path):
    hall = make_venue(tmp_path)
    with pytest.raises(Refused, match="insufficient_buying_power"):
        hall.place(qty=100_000)
    assert hall.events == []
    assert hall.place().number == 1


def test_orders_are_found_by_state_symbol_and_instant(tmp_path):
    hall = make_venue(tmp_path, start=at("09:31"))
    hall.place()
    hall.clock.advance(timedelta(seconds=1))
    waiting = hall.place(id="two", kind="limit", limit=50)
    hall.clock.advance(timedelta(seconds=1))
    other = hall.place(id="three", symbol="BBB", kind="limit", limit=50)
    assert [row.order_id for row in hall.venue.orders(ALPACA)] == [other.order_id, waiting.order_id]
    assert [row.ticket.client_order_id for row in hall.venue.orders(ALPACA, OrderQuery(state="closed"))] == ["one"]
    after = OrderQuery(state="all", after=waiting.submitted_at)
    assert [row.order_id for row in hall.venue.orders(ALPACA, after)] == [other.order_id]
    named = OrderQuery(state="all", symbols=frozenset({"AAA"}), ascending=True, limit=1)
    assert [row.ticket.client_order_id for row in hall.venue.orders(ALPACA, named)] == ["one"]
    assert hall.venue.order_by_client_id(ALPACA, "two") == waiting


def test_last_equity_rolls_at_the_next_session_and_not_at_the_close(tmp_path):
    hall = make_venue(tmp_path, start=at("09:30"))
    hall.place()
    hall.to("20:00")
    account = hall.venue.account(ALPACA)
    assert (account.equity, account.last_equity) == (D(100_030), D(100_000))
    hall.to("09:30", DAY2)
    assert hall.venue.account(ALPACA).last_equity == D(100_030)
    [position] = hall.venue.positions(ALPACA)
    assert (position.price, position.last_day_price) == (D(100), D(103))


def test_an_early_close_ends_the_day_orders_early(tmp_path):
    eve = date(2024, 7, 3)
    hall = make_venue(tmp_path, start=at("09:00", eve), bars={eve: {"AAA": bar()}})
    order = hall.place(kind="limit", limit=80)
    hall.to("13:00", eve)
    assert hall.order(order.order_id).expired_at == at("13:00", eve)


def test_a_halted_instrument_does_not_trade_until_it_is_resumed(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"))
    hall.venue.halt("BBB")
    order = hall.place(symbol="BBB")
    hall.to("11:00")
    assert hall.order(order.order_id).status is Status.NEW
    hall.venue.resume("BBB")
    hall.to("11:01")
    assert hall.order(order.order_id).filled_at == at("11:01")


def test_an_order_may_be_rejected_after_it_was_accepted(tmp_path):
    hall = make_venue(tmp_path)
    order = hall.place()
    rejected = hall.venue.strike(ALPACA, order.order_id, Mishap.REJECT)
    assert (rejected.status, rejected.failed_at) == (Status.REJECTED, at("08:00"))
    assert hall.events[-1].kind is EventKind.REJECTED


def test_a_bust_takes_an_execution_back(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))
    hall.place()
    [fill] = hall.venue.executions(ALPACA, at("00:00"), at("23:00"))
    busted = hall.venue.correct(ALPACA, fill.execution_id, D(0), fill.price)
    assert (busted.qty, busted.correction) == (0, 2)
    assert hall.held() == {}
    assert hall.venue.account(ALPACA).cash == D(100_000)
    assert [row.correction for row in hall.venue.executions(ALPACA, at("00:00"), at("23:00"))] == [2]


def test_an_account_is_opened_as_it_was_or_not_at_all(tmp_path):
    hall = make_venue(tmp_path)
    other = [VenueAccount(ALPACA, House.IBKR, "USD", D(100_000))]
    with pytest.raises(WrongAccount, match="was opened at alpaca") as caught:
        make_venue(tmp_path, ledger=hall.ledger, accounts=other)
    assert (caught.value.limit, caught.value.threshold) == ("account_opening", "ibkr 100000 USD")
    with pytest.raises(InputError, match="no account 'nobody'"):
        hall.venue.account("nobody")


def test_the_next_instant_is_the_next_minute_while_orders_are_open_and_the_open_otherwise(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00:10"))
    assert hall.venue.run() == at("09:30", DAY2)
    hall.place(kind="limit", limit=50)
    assert hall.venue.run() == at("10:01")


def test_a_listener_is_told_until_it_leaves_and_its_failure_undoes_nothing(tmp_path, caplog):
    hall = make_venue(tmp_path)
    told = []

    def fails(event):
        told.append(event.number)
        raise RuntimeError("gone")

    leave = hall.venue.subscribe(ALPACA, fails)
    order = hall.place()
    leave()
    hall.venue.cancel(ALPACA, order.order_id)
    assert told == [1]
    assert "A listener of account alpaca-one failed on event 1" in caplog.text


def test_clocks_never_go_back():
    instants = iter([at("10:00"), at("09:00"), at("11:00")])
    clock = RealTime(lambda: next(instants))
    assert [clock.now() for _ in range(3)] == [at("10:00"), at("10:00"), at("11:00")]
    manual = Manual(at("10:00"))
    with pytest.raises(InputError, match="does not go back"):
        manual.move_to(at("09:00"))


def test_a_replay_runs_at_its_speed_and_stands_at_its_end():
    seconds = iter([100.0, 101.0, 500.0])
    clock = Replay(at("10:00"), at("11:00"), 60.0, lambda: next(seconds))
    assert [clock.now(), clock.now()] == [at("10:01"), at("11:00")]
    with pytest.raises(InputError, match="does not move"):
        Replay(at("10:00"), at("11:00"), 0.0, lambda: 0.0)
    with pytest.raises(InputError, match="ends"):
        Replay(at("11:00"), at("10:00"), 1.0, lambda: 0.0)


def test_calls_from_many_threads_lose_nothing(tmp_path):
    hall = make_venue(tmp_path, start=at("10:35"))

    def trade(worker):
        for number in range(5):
            hall.venue.place(ALPACA if worker % 2 else IBKR, ticket(id=f"{worker}-{number}", qty=1, symbol="BBB"))
            hall.venue.account(ALPACA)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trade, range(4)))
    assert hall.held(ALPACA) == hall.held(IBKR) == {"BBB": 10}
    for account in (ALPACA, IBKR):
        own = [event.number for event in hall.events if event.account == account]
        assert own == list(range(1, 31))


def test_two_venues_on_one_ledger_see_each_other(tmp_path):
    first = make_venue(tmp_path, start=at("10:35"))
    second = make_venue(tmp_path, start=at("10:35"), ledger=first.ledger, data=first.data)
    order = first.place(kind="limit", limit=92)
    assert second.order(order.order_id) == order
    second.venue.cancel(ALPACA, order.order_id)
    with pytest.raises(Refused, match="order_not_open"):
        first.venue.cancel(ALPACA, order.order_id)
    second.place(id="two")
    assert first.held() == {"AAA": 10}


def test_an_instrument_keeps_its_ids_over_a_rename(tmp_path):
    hall = make_venue(tmp_path)
    listing = hall.venue.listing("AAA")
    assert listing is not None
    assert hall.venue.listing("ZZZ") is None
    renamed = list_instruments({"ABC": replace(listing.instrument, symbol="ABC")}, {"ABC": "AAA"})["ABC"]
    assert (renamed.asset_id, renamed.contract_id) == (listing.asset_id, listing.contract_id)
    assert len({row.contract_id for row in hall.venue.listings()}) == len(hall.venue.listings())


def test_what_has_no_price_has_no_quote(tmp_path):
    hall = make_venue(tmp_path)
    assert hall.venue.quote("NEW") is None
    assert hall.venue.quote("ZZZ") is None


def test_bars_of_years_are_asked_for_once_and_show_nothing_that_is_to_come(tmp_path):
    hall = make_venue(tmp_path, start=at("12:00", DAY2))
    before = len(hall.data.asked)
    shown = hall.venue.bars(["AAA", "BBB", "NOTHERE"], date(2019, 1, 1), DAY3)
    assert len(hall.data.asked) - before <= 1, "no session is read by itself but the running one"
    assert {symbol: [row.session for row in rows] for symbol, rows in shown.items()} == {
        "AAA": [DAY1, DAY2],
        "BBB": [DAY1, DAY2],
    }
    assert (shown["AAA"][0].close, shown["AAA"][1].high) == (103, 100)
