"""What looking at the venue shows and costs: nothing that is still to come, and no question asked twice."""

from decimal import Decimal as D

import pytest

from scizor_dagster.paper_exchange.venue_orders import Refused
from tests.paper_exchange.market import DAY1, DAY2, bar
from tests.paper_exchange.venues import ALPACA, IBKR, at, make_venue


def test_a_quote_does_not_tell_the_volume_that_is_still_to_come(tmp_path):
    shown = []
    for volume in (1_000, 9_000_000):
        folder = tmp_path / str(volume)
        folder.mkdir()
        days = {DAY1: {"AAA": bar(volume=50_000)}, DAY2: {"AAA": bar(volume=volume)}}
        hall = make_venue(folder, start=at("09:30", DAY2), bars=days)
        quote = hall.venue.quote("AAA")
        assert quote is not None
        shown.append((quote.bid_size, quote.ask_size, quote.day_volume))
    assert shown == [(500, 500, 0), (500, 500, 0)]


def test_bars_that_are_not_there_are_asked_for_once_a_look_however_many_orders_rest(tmp_path):
    hall = make_venue(tmp_path, start=at("10:00"), bars={DAY1: {"AAA": bar(volume=10_000_000)}})
    for number in range(30):
        hall.place(id=str(number), kind="limit", limit=50 + number, duration="gtc")
    hall.place(id="held")
    hall.to("10:00", DAY2)
    hall.data.asked.clear()
    hall.venue.account(ALPACA)
    hall.venue.positions(ALPACA)
    assert len([day for day in hall.data.asked if day == DAY2]) <= 2
    hall.data.sessions[DAY2] = {"AAA": bar(200, 200, 200, 200, 1000)}
    [position] = hall.venue.positions(ALPACA)
    assert position.price == 200


def test_a_halt_and_its_end_hold_from_their_instant_on_also_after_a_restart(tmp_path):
    def fills(restarts: bool) -> list[object]:
        folder = tmp_path / str(restarts)
        folder.mkdir()
        hall = make_venue(folder, start=at("10:00"), bars={DAY1: {"BBB": bar(100, 100, 100, 100, 1_000_000)}})
        hall.venue.halt("BBB")
        hall.venue.halt("BBB")
        hall.place(symbol="BBB")
        hall.to("12:00")
        hall.venue.resume("BBB")
        if restarts:
            hall = make_venue(folder, start=at("12:00"), ledger=hall.ledger, data=hall.data)
        hall.to("13:00")
        return [row.at for row in hall.venue.executions(ALPACA, at("09:00"), at("16:00"))]

    assert fills(restarts=False) == fills(restarts=True) == [at("12:01")]


@pytest.mark.parametrize("price", [105, 90])
def test_a_corrected_sale_makes_the_profit_of_its_new_price(tmp_path, price):
    hall = make_venue(tmp_path, start=at("10:00"), bars={DAY1: {"AAA": bar(100, 100, 100, 100, 1_000_000)}})
    for number, side in enumerate(("buy", "sell")):
        hall.place(IBKR, id=str(number), side=side)
    sale = hall.venue.executions(IBKR, at("09:00"), at("16:00"))[-1]
    hall.venue.correct(IBKR, sale.execution_id, D(10), D(price))
    profit = sum(row.realized_pnl for row in hall.venue.executions(IBKR, at("09:00"), at("16:00")))
    assert profit == hall.venue.account(IBKR).equity - 100_000
    with pytest.raises(Refused, match="execution_not_found"):
        hall.venue.correct(IBKR, "nothing", D(10), D(price))


def test_a_venue_whose_clock_is_behind_anothers_goes_on_where_the_books_stand(tmp_path):
    days = {day: {"AAA": bar(volume=10_000_000)} for day in (DAY1, DAY2)}
    ahead = make_venue(tmp_path, start=at("10:00"), bars=days)
    behind = make_venue(tmp_path, start=at("10:00"), bars=days, ledger=ahead.ledger)
    ahead.to("11:00", DAY2)
    ahead.place(id="ahead")
    before = behind.venue.now()
    late = behind.place(id="behind")
    assert (before, late.submitted_at, behind.venue.now()) == (at("10:00"), at("11:00", DAY2), at("11:00", DAY2))
    assert behind.venue.account(ALPACA) == ahead.venue.account(ALPACA)
    instants = [row.at for row in ahead.venue.executions(ALPACA, at("00:00"), at("23:00", DAY2))]
    assert instants == [at("11:00", DAY2)] * 2
