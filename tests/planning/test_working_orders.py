"""What is open counts: against the cash, the room, the caps, and in the laws of the finished plan."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.laws import book_after
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from tests.planning.books import crowded_books, inputs_of, line_of
from tests.planning.examples import WHOLE, outcome, plan_of, rules_of

BUY, SELL = Side.BUY, Side.SELL


def test_what_an_unpriced_holding_is_worth_follows_from_the_cash_and_not_from_what_is_on_order():
    # Equity 100,000: 40,000 of cash, 20,000 in B, so that X without a price is worth 40,000.
    open_buy = (OpenOrder("B", BUY, Decimal(1000)),)
    inputs = inputs_of(
        {"A": "0.3", "B": "0.3", "X": "0.4"}, {"A": 10, "B": 10}, {"B": 2000, "X": 5}, cash=Decimal(40_000),
        open_orders=open_buy,
    )  # fmt: skip
    plan = make_plan(inputs, WHOLE, ALPACA_CAPABILITIES)
    assert outcome(plan, "X") == (Reason.NO_PRICE, [])
    assert outcome(plan) == (Reason.OPEN, [3000])
    assert outcome(plan, "B") == (Reason.ON_TARGET, [])
    tight = make_plan(replace(inputs, cash=Decimal(20_000)), WHOLE, ALPACA_CAPABILITIES)
    assert not any("scaled" in note for note in plan.notes)
    assert any("all other weights were scaled by 0.666667" in note for note in tight.notes)


def test_nothing_is_bought_while_an_open_purchase_has_no_price_to_count_it_at():
    working = (OpenOrder("X", BUY, Decimal(100)),)
    plan = plan_of({"A": "0.3", "B": "0.1"}, {"A": 10, "B": 10}, {"B": 2000}, open_orders=working, cash=Decimal(80_000))
    assert outcome(plan) == (Reason.NO_CASH, [])
    assert "the open purchase of X" in line_of(plan, "A").note
    assert outcome(plan, "B") == (Reason.REBALANCE, [-1000])
    sale = (OpenOrder("X", SELL, Decimal(100)),)
    selling = plan_of({"A": "0.3"}, {"A": 10}, {"X": 300}, open_orders=sale)
    assert outcome(selling) == (Reason.OPEN, [3000])


def test_the_share_of_volume_counts_what_open_orders_trade():
    working = (OpenOrder("A", BUY, Decimal(150)),)
    volumes = {"A": Decimal(4000)}
    plan = plan_of({"A": "0.1"}, {"A": 10}, {}, rules_of(max_participation=0.1), adv=volumes, open_orders=working)
    assert outcome(plan) == (Reason.REBALANCE, [250])
    assert "Open orders trade 150 of them." in line_of(plan, "A").note
    full = (OpenOrder("A", BUY, Decimal(400)),)
    plan = plan_of({"A": "0.1"}, {"A": 10}, {}, rules_of(max_participation=0.1), adv=volumes, open_orders=full)
    assert outcome(plan) == (Reason.PARTICIPATION_CAP, [])


def test_the_book_after_a_plan_counts_what_its_open_orders_bring():
    working = (OpenOrder("A", BUY, Decimal(6000)),)
    plan = plan_of({"A": "0.6", "B": "0.4"}, {"A": 10, "B": 10}, {}, open_orders=working)
    assert line_of(plan, "A").working_qty == 6000
    after = book_after(plan, Decimal(1))
    assert (after.net, after.gross) == (100_000, 100_000)
    assert after.fits
    dearer = replace(plan, equity=Decimal(90_000))
    assert not book_after(dearer, Decimal(1)).fits


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.one_of(crowded_books(), crowded_books(shorts=True)))
def test_every_plan_beside_open_orders_fits_its_book(book):
    inputs, rules, capabilities = book
    assert book_after(make_plan(inputs, rules, capabilities), rules.max_total_weight).fits


def asx(weight, quote, holdings, *orders):
    named = {"A": Instrument("A", "XASX", "AUD", fractionable=False)}
    inputs = inputs_of({"A": weight}, {"A": quote}, holdings, instruments=named, open_orders=orders)
    return make_plan(replace(inputs, currency="AUD"), WHOLE, IBKR_CAPABILITIES)


def test_a_first_parcel_that_is_on_order_does_not_make_the_rest_a_later_one():
    # The open purchase may never fill: the rest must be a first parcel of its own, and is not the whole again.
    working = OpenOrder("A", BUY, Decimal(600))
    assert outcome(asx("0.0100", 1, {}, working)) == (Reason.FIRST_PARCEL, [])
    assert outcome(asx("0.0120", 1, {}, working)) == (Reason.REBALANCE, [600])
    assert outcome(asx("0.0100", 1, {"A": 100}, working)) == (Reason.REBALANCE, [300])


def test_a_holding_that_an_open_sale_ends_needs_a_first_parcel_again():
    sale = OpenOrder("A", SELL, Decimal(100))
    assert outcome(asx("0.0040", 1, {"A": 100}, sale)) == (Reason.FIRST_PARCEL, [])
    assert outcome(asx("0.0060", 1, {"A": 100}, sale)) == (Reason.OPEN, [600])
    part = OpenOrder("A", SELL, Decimal(60))
    assert outcome(asx("0.0040", 1, {"A": 100}, part)) == (Reason.REBALANCE, [360])


def test_own_open_orders_that_cancel_each_other_bring_nothing_and_still_count_as_trades():
    both = (OpenOrder("A", BUY, Decimal(100)), OpenOrder("A", SELL, Decimal(100)))
    plan = plan_of(
        {"A": "0.1"}, {"A": 10}, {"A": 1000}, rules_of(max_turnover=0.5), IBKR_CAPABILITIES, open_orders=both
    )
    line = line_of(plan, "A")
    assert (line.reason, line.working_qty, line.note) == (Reason.ON_TARGET, 0, "")
    capped = plan_of(
        {"A": "0.1", "B": "0.5"}, {"A": 10, "B": 10}, {"A": 1000}, rules_of(max_turnover=0.05), IBKR_CAPABILITIES,
        open_orders=both,
    )  # fmt: skip
    # 5,000 may be traded, and the two open orders trade 2,000 of them.
    assert outcome(capped, "B") == (Reason.OPEN, [300])
