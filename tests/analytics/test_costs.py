"""The parts of an order's cost: worked examples from the literature, and what must hold for any order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal as D
from decimal import Inexact, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.analytics.costs import BENCHMARKS, PARTS, Execution, Known, OrderFacts, Part, in_bps, shortfall
from scizor_dagster.brokers.protocol import Side


def order(
    side: Side,
    planned: str,
    fills: Sequence[tuple[str, str, str]],
    prices: Mapping[str, str | None],
    half_spread: str | None = "0",
) -> OrderFacts:
    return OrderFacts(
        side,
        D(planned),
        [Execution(D(qty), D(price), D(fee)) for qty, price, fee in fills],
        {name: Known(None if price is None else D(price), f"no {name}") for name, price in prices.items()},
        Known(None if half_spread is None else D(half_spread), "no spread"),
    )


def total_of(amounts: Iterable[D | None]) -> D:
    """An exact sum: the usual 28 digits round what has been taken apart without rounding."""
    with localcontext(prec=200):
        return sum((amount for amount in amounts if amount is not None), D(0))


def in_parts(facts: OrderFacts) -> dict[str, D | None]:
    return {part.value: amount for part, amount in shortfall(facts).parts.items()}


def test_the_textbook_purchase_that_filled_in_part_costs_87_basis_points() -> None:
    """CFA Institute, "Execution of Portfolio Decisions" (2007): Impulse Robotics.

    Decided at 10.00, sent a day later at 10.05, 700 of 1,000 shares bought at 10.07 for fees of 14, the rest given up
    at a close of 10.08: delay 0.35 %, realised loss 0.14 %, fees 0.14 %, missed 0.24 %, together 0.87 %.
    """
    prices = {"decision": "10.00", "arrival": "10.05", "close": "10.08"}
    found = shortfall(order(Side.BUY, "1000", [("700", "10.07", "14")], prices))
    assert found.parts == {
        Part.DELAY: D(35), Part.SPREAD: 0, Part.IMPACT: D(14), Part.FEES: D(14), Part.MISSED: D(24),
    }  # fmt: skip
    assert (found.total, found.total_bps, found.left_out, found.reasons) == (D(87), D(87), (), {})
    bps = {part: in_bps(amount, found.decision_value) for part, amount in found.parts.items()}
    assert bps == {Part.DELAY: 35, Part.SPREAD: 0, Part.IMPACT: 14, Part.FEES: 14, Part.MISSED: 24}


def test_an_order_that_filled_whole_costs_what_perold_calls_the_execution_cost() -> None:
    """Perold (1988): without an unfilled rest, the shortfall is the execution cost alone.

    Sold at 49.50 on a decision at 50: half a point on 100 shares, and 5 of fees.
    """
    found = shortfall(
        order(Side.SELL, "100", [("100", "49.50", "5")], {"decision": "50", "arrival": "50", "close": "48"}, "40")
    )
    assert found.total == D(55)
    assert (found.parts[Part.SPREAD], found.parts[Part.IMPACT], found.parts[Part.MISSED]) == (D(20), D(30), D(0))
    assert found.against == {"decision": D(50), "arrival": D(50), "close": D(-150)}
    assert found.slippage == D(50)


def test_an_order_that_was_never_sent_costs_what_it_missed_and_nothing_else() -> None:
    for side, missed in ((Side.BUY, D(200)), (Side.SELL, D(-200))):
        found = shortfall(order(side, "100", [], {"decision": "50", "close": "52"}, None))
        assert found.parts[Part.MISSED] == found.total == missed
        assert {found.parts[part] for part in PARTS if part is not Part.MISSED} == {D(0)}
        assert (found.left_out, found.reasons) == ((), {})


def test_a_better_price_is_a_negative_cost() -> None:
    prices = {"decision": "50", "arrival": "49", "close": "50"}
    assert in_parts(order(Side.BUY, "10", [("10", "48.90", "0")], prices, "10")) == {
        "delay": D(-10), "spread": D("0.49"), "impact": D("-1.49"), "fees": 0, "missed": 0,
    }  # fmt: skip


def test_shares_that_were_filled_beyond_the_plan_are_set_against_the_close_as_well() -> None:
    found = shortfall(order(Side.BUY, "10", [("12", "50", "0")], {"decision": "50", "arrival": "50", "close": "49"}))
    assert found.parts[Part.MISSED] == D(2), "two shares too many lost 1 each"
    assert found.total == D(2)


def test_an_execution_that_was_taken_back_leaves_its_quantity_missed() -> None:
    prices = {"decision": "50", "arrival": "50", "close": "51"}
    busted = order(Side.BUY, "10", [("0", "50", "0"), ("4", "50", "1")], prices)
    assert in_parts(busted)["missed"] == D(6)
    assert shortfall(busted).total == D(7)


def test_what_a_later_plan_took_over_is_missed_up_to_its_price_and_decided_on_no_more() -> None:
    prices = {"decision": "50", "arrival": "50", "close": "60"}
    taken_over = replace(order(Side.BUY, "10", [("4", "50", "0")], prices), replanned=Known(D(52), "later plan"))
    found = shortfall(taken_over)
    assert (found.parts[Part.MISSED], found.total, found.replanned_qty) == (D(12), D(12), D(6))
    assert (found.decision_value, found.total_bps) == (D(200), D(600))
    unknown = shortfall(replace(taken_over, replanned=Known(None, "nobody knows")))
    assert (unknown.reasons, unknown.left_out) == ({Part.MISSED: "nobody knows"}, (Part.MISSED,))


def test_without_an_arrival_price_the_parts_are_unknown_and_the_whole_is_not() -> None:
    found = shortfall(order(Side.BUY, "10", [("10", "51", "1")], {"decision": "50", "close": "52", "arrival": None}))
    assert [found.parts[part] for part in PARTS] == [None, None, None, D(1), D(0)]
    assert set(found.reasons.values()) == {"no arrival"}
    assert (found.total, found.left_out) == (D(11), ())
    assert found.slippage is None


def test_without_a_spread_impact_is_not_told_apart_from_it() -> None:
    found = shortfall(
        order(Side.BUY, "10", [("10", "51", "0")], {"decision": "50", "arrival": "50.5", "close": "52"}, None)
    )
    assert found.reasons == {Part.SPREAD: "no spread", Part.IMPACT: "no spread"}
    assert (found.parts[Part.DELAY], found.total, found.slippage) == (D(5), D(10), D(5))


def test_without_a_close_the_total_says_that_it_leaves_out_what_was_missed() -> None:
    found = shortfall(order(Side.BUY, "10", [("4", "51", "1")], {"decision": "50", "arrival": "50", "close": None}))
    assert (found.total, found.left_out, found.reasons) == (D(5), (Part.MISSED,), {Part.MISSED: "no close"})


def test_without_a_decision_price_the_total_says_that_it_leaves_out_the_delay() -> None:
    found = shortfall(order(Side.BUY, "10", [("10", "51", "1")], {"decision": None, "arrival": "50", "close": "52"}))
    assert (found.total, found.left_out, found.reasons) == (D(11), (Part.DELAY,), {Part.DELAY: "no decision"})
    assert found.decision_value is found.total_bps is None


@pytest.mark.parametrize(
    ("fills", "left_out"),
    [([("10", "51", "1")], (Part.DELAY, Part.SPREAD, Part.IMPACT)), ([], (Part.MISSED,))],
)
def test_where_nothing_can_be_priced_there_is_no_total(fills: list[tuple[str, str, str]], left_out: object) -> None:
    found = shortfall(order(Side.BUY, "10", fills, {}))
    assert (found.total, found.left_out) == (None, left_out)
    assert all("there is no" in reason for reason in found.reasons.values())


def test_a_figure_with_more_digits_than_money_has_is_refused_and_not_rounded() -> None:
    with pytest.raises(Inexact):
        shortfall(order(Side.BUY, "1." + "3" * 60, [("1", "1", "0")], {"decision": "1." + "7" * 70, "close": "2"}))


def test_nothing_decided_has_no_basis_points() -> None:
    assert in_bps(D(1), D(0)) is None


def amounts(places: int, top: int) -> st.SearchStrategy[D]:
    return st.integers(1, top * 10**places).map(lambda number: D(number).scaleb(-places))


PRICES = amounts(4, 5000)
QUANTITIES = amounts(9, 10**6)

FILLS = st.lists(
    st.builds(Execution, st.one_of(st.just(D(0)), QUANTITIES), PRICES, st.decimals(-1, 1000, places=2)), max_size=6
)
ORDERS = st.builds(
    OrderFacts,
    st.sampled_from(Side),
    QUANTITIES,
    FILLS,
    st.fixed_dictionaries({name: st.builds(Known, PRICES, st.just("")) for name in BENCHMARKS}),
    st.builds(Known, st.decimals(0, 500, places=4), st.just("")),
)


@given(ORDERS)
@settings(max_examples=200, deadline=None)
def test_the_parts_sum_to_the_paper_portfolios_gain_less_the_real_ones(facts: OrderFacts) -> None:
    found = shortfall(facts)
    sign, decision, close = facts.side.sign, facts.prices["decision"].value, facts.prices["close"].value
    assert decision is not None
    assert close is not None
    with localcontext(prec=200):
        paper = sign * facts.planned_qty * (close - decision)
        real = sum((sign * fill.qty * (close - fill.price) - fill.fee for fill in facts.fills), D(0))
        shortfall_of_real = paper - real
    assert total_of(found.parts.values()) == found.total == shortfall_of_real
    assert found.left_out == ()


@given(ORDERS, st.sets(st.sampled_from(("decision", "arrival", "close", "spread"))))
@settings(max_examples=200, deadline=None)
def test_what_is_not_known_is_named_and_never_counted_as_nothing(facts: OrderFacts, missing: set[str]) -> None:
    prices = {name: Known(None, f"no {name}") if name in missing else known for name, known in facts.prices.items()}
    spread = Known(None, "no spread") if "spread" in missing else facts.half_spread_bps
    found = shortfall(OrderFacts(facts.side, facts.planned_qty, facts.fills, prices, spread))
    assert set(found.reasons) == {part for part, amount in found.parts.items() if amount is None}
    assert set(found.left_out) <= set(found.reasons)
    assert set(found.reasons.values()) <= {f"no {name}" for name in missing}
    whole = shortfall(facts)
    for part, amount in found.parts.items():
        assert amount in (None, whole.parts[part]), part
    if found.total is not None:
        assert total_of([found.total, *(whole.parts[part] for part in found.left_out)]) == whole.total


@given(ORDERS)
@settings(max_examples=100, deadline=None)
def test_the_other_side_of_the_same_trade_has_the_opposite_cost_before_fees(facts: OrderFacts) -> None:
    mirrored = shortfall(
        OrderFacts(facts.side.opposite, facts.planned_qty, facts.fills, facts.prices, facts.half_spread_bps)
    )
    found = shortfall(facts)
    assert total_of([found.total, mirrored.total]) == 2 * total_of(fill.fee for fill in facts.fills)


@given(ORDERS, st.lists(st.tuples(QUANTITIES, FILLS, PRICES, st.sampled_from(Side)), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_plans_in_the_place_of_each_other_sum_to_what_a_paper_portfolio_of_them_gains(
    facts: OrderFacts, later: list[tuple[D, list[Execution], D, Side]]
) -> None:
    """At each plan's price the paper portfolio trades the new plan, and gives up what is left of the one before."""
    chain = [facts]
    for qty, fills, price, side in later:
        decided = Known(price, "")
        chain[-1] = replace(chain[-1], replanned=decided)
        chain.append(OrderFacts(side, qty, fills, {**facts.prices, "decision": decided}, facts.half_spread_bps))
    close = facts.prices["close"].value
    assert close is not None
    total, given_up = [], D(0)
    with localcontext(prec=200):
        for each in chain:
            decision = each.prices["decision"].value
            assert decision is not None
            traded = each.side.sign * each.planned_qty - given_up
            filled = sum((fill.qty for fill in each.fills), D(0))
            given_up = each.side.sign * (each.planned_qty - filled)
            real = sum((each.side.sign * fill.qty * (close - fill.price) - fill.fee for fill in each.fills), D(0))
            total.append(traded * (close - decision) - real)
    assert total_of(shortfall(each).total for each in chain) == total_of(total)
