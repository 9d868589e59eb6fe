"""Which price is which benchmark: splits, dividends, moments of sending, exits, and what is missing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from scizor_dagster.analytics.costs import Known, Part
from scizor_dagster.analytics.costs_model import ASSUMED
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.flow.costs_market import SymbolMarket
from scizor_dagster.flow.costs_orders import Entry, MeasuredOrder, SendTimes, Sent, replaced
from scizor_dagster.flow.costs_pricing import Place, order_cost
from scizor_dagster.ledger.rows import FillRow

BEFORE, SESSION, LATER = date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5)
OPEN, CLOSE = datetime(2025, 3, 4, 14, 30, tzinfo=UTC), datetime(2025, 3, 4, 21, tzinfo=UTC)
PLACE = Place("main", SESSION, BEFORE, "paper", "USD", ASSUMED)
AT_OPEN = Sent(None, None)
MARKET = SymbolMarket(
    bar={"open": D(51), "high": D(54), "low": D(50), "close": D(53)},
    closes={BEFORE: D(50)},
    adv=10_000.0,
    volatility=0.02,
    half_spread_bps=Known(D(10), "venue"),
)


def fill(qty: str, price: str, fee: str = "0") -> FillRow:
    return FillRow(
        "paper", f"F{qty}@{price}", "main", "id", "AAA", Side.BUY, D(qty), D(price), D(fee), SESSION, OPEN, OPEN
    )


def an_order(
    fills: Sequence[FillRow], planned: str = "100", sent: Sent | None = AT_OPEN, **other: Any
) -> MeasuredOrder:
    order = MeasuredOrder(
        "id", "AAA", Side.BUY, "market", "filled", "", D(planned), D(planned), D(50), BEFORE, BEFORE, "close",
        tuple(fills), sent,
    )  # fmt: skip
    return replace(order, **other)


def money(cost: OrderCost) -> list[object]:
    return [cost.delay, cost.spread, cost.impact, cost.fees, cost.missed, cost.total]


def test_an_order_sent_before_the_open_arrives_at_the_open() -> None:
    cost = order_cost(PLACE, an_order([fill("100", "51.20", "1")]), MARKET)
    assert money(cost) == [D(100), D("5.1"), D("14.9"), D(1), 0, D(121)]
    assert (cost.arrival_price, cost.arrival_source, cost.spread_source) == (D(51), "session open", "venue")
    assert cost.total_bps == 242.0
    assert (cost.against_open, cost.against_close, cost.against_vwap) == (D(20), D(-180), None)
    assert (cost.size, cost.estimated_spread, cost.estimated_impact) == (0.01, pytest.approx(5), pytest.approx(10))


def test_an_order_released_smaller_than_planned_misses_the_rest_of_the_plan() -> None:
    cost = order_cost(PLACE, an_order([fill("60", "51")], sent_qty=D(60)), MARKET)
    assert (cost.missed_qty, cost.missed, cost.sent_qty) == (D(40), D(120), D(60))
    assert cost.decision_value == D(5000)


def test_what_is_left_of_an_order_that_was_planned_again_is_missed_up_to_the_later_decision() -> None:
    orders = [an_order([fill("60", "51")]), an_order([], symbol="BBB"), an_order([], price_used=D("50.50"))]
    first, other, second = replaced([*orders], [1, 1, 3])
    assert (first.replaced_by, other.replaced_by, second.replaced_by) == (orders[2], None, None)
    cost = order_cost(PLACE, first, MARKET)
    assert (cost.replanned_qty, cost.missed_qty, cost.missed) == (D(40), 0, D(20))
    assert cost.decision_value == D(3000)


def test_a_later_decision_is_in_the_units_of_the_session_or_not_known() -> None:
    later = an_order([], price_used=D(26), priced_on=SESSION)
    halved = replace(MARKET, splits=[(SESSION, D(2))])
    cost = order_cost(PLACE, an_order([], replaced_by=later), halved)
    assert (cost.replanned_qty, cost.decision_price, cost.missed) == (D(200), D(25), D(200))
    nobodys = order_cost(
        PLACE, an_order([], replaced_by=replace(later, price_used=None, price_source="unplanned")), MARKET
    )
    assert (nobodys.missed, nobodys.unknown[Part.MISSED]) == (None, "unplanned")


@pytest.mark.parametrize("state", ["blocked", "dropped", "rejected", "not_admitted"])
def test_an_order_that_never_went_out_costs_what_the_market_did_without_it(state: str) -> None:
    cost = order_cost(PLACE, an_order([], sent=None, sent_qty=D(0), state=state), MARKET)
    assert money(cost) == [0, 0, 0, 0, D(300), D(300)]
    assert (cost.arrival_price, cost.arrival_source, cost.state) == (None, "it was never sent", state)


def test_an_order_sent_in_the_session_arrives_at_the_last_execution_that_was_recorded() -> None:
    cost = order_cost(PLACE, an_order([fill("100", "52")], sent=Sent(OPEN + timedelta(hours=1), D("51.90"))), MARKET)
    assert (cost.arrival_price, cost.arrival_source) == (D("51.90"), "last execution before it was sent")
    assert (cost.delay, cost.against_arrival) == (D(190), D(10))


def test_without_such_an_execution_it_arrives_at_the_open_and_says_so() -> None:
    cost = order_cost(PLACE, an_order([fill("100", "52")], sent=Sent(OPEN + timedelta(hours=1), None)), MARKET)
    assert (cost.arrival_price, cost.arrival_source) == (D(51), "session open, before it was sent")


def test_an_order_whose_send_nobody_recorded_has_no_arrival_and_a_whole_cost() -> None:
    cost = order_cost(PLACE, an_order([fill("100", "52")], sent=None), MARKET)
    assert money(cost) == [None, None, None, 0, 0, D(200)]
    assert set(cost.unknown.values()) == {"when it was sent is not recorded"}
    assert cost.left_out == ()


def test_without_a_bar_of_the_session_nothing_stands_for_its_prices() -> None:
    cost = order_cost(PLACE, an_order([fill("60", "52", "1")]), replace(MARKET, bar={}))
    assert money(cost) == [None, None, None, D(1), None, D(121)]
    assert cost.unknown == dict.fromkeys(
        (Part.DELAY, Part.SPREAD, Part.IMPACT, Part.MISSED), "there is no bar of 2025-03-04"
    )
    assert cost.left_out == (Part.MISSED,)


def test_an_order_of_which_no_plan_is_known_has_a_cost_against_arrival_alone() -> None:
    order = an_order([fill("100", "51.5")], price_used=None, price_source="taken from the broker's books")
    cost = order_cost(PLACE, order, MARKET)
    assert (cost.total, cost.left_out, cost.total_bps) == (D(50), (Part.DELAY,), None)
    assert cost.unknown == {Part.DELAY: "taken from the broker's books"}
    assert (cost.estimated_spread, cost.estimated_impact, cost.estimated_fees) == (None, None, None)


def test_a_split_between_decision_and_session_is_no_cost() -> None:
    """Planned 100 at 200; four for one; the broker fills 400 at 50: that is what was meant."""
    market = replace(MARKET, splits=[(SESSION, D(4))], closes={BEFORE: D(200)})
    cost = order_cost(PLACE, an_order([fill("400", "51")], price_used=D(200)), market)
    assert (cost.planned_qty, cost.decision_price, cost.unit_factor) == (D(400), D(50), D(4))
    assert money(cost) == [D(400), D("20.4"), D("-20.4"), 0, 0, D(400)]
    assert cost.adv == 40_000.0, "in new shares, too"


def test_an_order_that_the_broker_left_at_its_old_number_of_shares_missed_the_rest() -> None:
    market = replace(MARKET, splits=[(SESSION, D(4))], closes={BEFORE: D(200)})
    cost = order_cost(PLACE, an_order([fill("100", "51")], price_used=D(200)), market)
    assert (cost.missed_qty, cost.missed) == (D(300), D(900))


def test_a_split_after_the_session_changes_nothing_of_a_raw_series() -> None:
    later = replace(MARKET, splits=[(LATER, D(4))])
    assert order_cost(PLACE, an_order([fill("100", "51")]), later) == order_cost(
        PLACE, an_order([fill("100", "51")]), MARKET
    )


def test_an_adjusted_series_given_anew_is_brought_back_to_what_was_traded() -> None:
    market = replace(
        MARKET, adjustment="split", splits=[(LATER, D(2))], closes={BEFORE: D(25)},
        bar={"open": D("25.5"), "high": D(27), "low": D(25), "close": D("26.5")},
    )  # fmt: skip
    again = order_cost(PLACE, an_order([fill("100", "51.20", "1")]), market)
    assert money(again) == money(order_cost(PLACE, an_order([fill("100", "51.20", "1")]), MARKET))


def test_an_adjusted_series_restated_by_something_unknown_gives_no_benchmark() -> None:
    market = replace(MARKET, adjustment="total_return", closes={BEFORE: D("49.3")})
    cost = order_cost(PLACE, an_order([fill("100", "51")]), market)
    assert (cost.total, cost.decision_price, cost.open_price) == (None, None, None)
    assert all("restated since the plan" in reason for reason in cost.unknown.values())


def test_a_dividend_that_goes_ex_before_the_fill_is_no_gain_of_a_purchase() -> None:
    market = replace(MARKET, dividends=[(SESSION, D(1)), (LATER, D(9))])
    cost = order_cost(PLACE, an_order([fill("100", "51")]), market)
    assert (cost.dividend, cost.decision_price, cost.delay) == (D(1), D(49), D(200))


@pytest.mark.parametrize(("price", "level", "word"), [("47.90", "48", "stop-loss"), ("55.10", "55", "take-profit")])
def test_an_exit_is_set_against_its_own_trigger(price: str, level: str, word: str) -> None:
    exit_ = an_order(
        [fill("100", price, "1")], sent=None, side=Side.SELL, price_used=D(level), price_source=word, is_exit=True,
        priced_on=SESSION, price_of=None,
    )  # fmt: skip
    cost = order_cost(PLACE, exit_, replace(MARKET, dividends=[(SESSION, D(1))]))
    assert (cost.kind, cost.decision_source, cost.arrival_source, cost.dividend) == ("exit", word, "trigger", 0)
    assert (cost.delay, cost.missed, cost.total) == (0, 0, (D(level) - D(price)) * 100 + 1)


def test_the_trigger_of_an_exit_from_before_a_split_is_in_new_shares() -> None:
    exit_ = an_order(
        [fill("400", "47.90")], "400", None, side=Side.SELL, price_used=D(192), is_exit=True, priced_on=BEFORE,
    )  # fmt: skip
    cost = order_cost(PLACE, exit_, replace(MARKET, splits=[(SESSION, D(4))]))
    assert (cost.decision_price, cost.filled_qty, cost.planned_qty) == (D(48), D(400), D(400))


def send(seq: int, name: str, at: datetime) -> Entry:
    return Entry(seq, at, name, "intent_sending", {})


def filled(seq: int, name: str, symbol: str, executed: datetime, price: str, qty: str = "1") -> Entry:
    said = {"client_order_id": name, "symbol": symbol, "executed_at": executed.isoformat(), "price": price, "qty": qty}
    return Entry(seq, executed + timedelta(seconds=5), name, "fill", said)


def sent(*entries: Entry, symbol: str = "AAA") -> Sent | None:
    return SendTimes(entries, OPEN, CLOSE).sent("b", symbol)


def test_by_the_clock_an_order_is_sent_before_the_open_or_in_the_session() -> None:
    noon = OPEN + timedelta(hours=3)
    assert sent(send(1, "b", OPEN - timedelta(hours=1))) == AT_OPEN
    assert sent(send(1, "b", noon)) == Sent(noon, None)
    assert sent() is None


def test_what_was_executed_before_a_send_is_the_last_price_of_its_instrument_alone() -> None:
    noon = OPEN + timedelta(hours=3)
    before = [filled(1, "a", "AAA", OPEN, "51"), filled(2, "a", "AAA", noon - timedelta(hours=1), "52")]
    others = [filled(3, "c", "BBB", noon, "9"), filled(4, "a", "AAA", noon, "60", qty="0")]
    assert sent(*before, *others, send(5, "b", noon)) == Sent(noon, D(52))
    assert sent(*before, send(5, "b", noon), filled(6, "b", "AAA", noon, "99")) == Sent(noon, D(52))
    assert sent(*before, *others, send(5, "b", noon), symbol="CCC") == Sent(noon, None)


def test_in_a_replay_the_executions_recorded_before_a_send_tell_the_venues_time() -> None:
    after = CLOSE + timedelta(days=30)
    midday = OPEN + timedelta(hours=3)
    assert sent(send(1, "b", after)) == AT_OPEN
    assert sent(filled(1, "a", "BBB", OPEN, "9"), send(2, "b", after)) == AT_OPEN
    assert sent(filled(1, "a", "BBB", midday, "9"), send(2, "b", after)) == Sent(midday, None)


def test_an_order_that_was_sent_again_was_sent_when_it_was_sent_first() -> None:
    assert sent(send(1, "b", OPEN - timedelta(hours=1)), send(2, "b", OPEN + timedelta(hours=1))) == AT_OPEN
