"""Many orders in groups: what is added up, what is left out, and that groups sum to the whole."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.analytics.costs import PARTS, Part
from scizor_dagster.analytics.costs_model import ASSUMED
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.analytics.costs_summary import GROUPINGS, all_costs, group_costs, size_bucket, worst_orders
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.flow.costs_pricing import Place, order_cost
from tests.analytics.test_costs_pricing import MARKET, an_order, fill

FIRST = date(2025, 3, 28)


def cost(number: int = 0, qty: str = "100", price: str = "51.20", day: int = 0, **other: Any) -> OrderCost:
    session = FIRST + timedelta(days=day)
    place = Place("main", session, session - timedelta(days=1), "paper", "USD", ASSUMED)
    row = order_cost(place, an_order([fill(qty, price, "1")] if D(qty) else []), MARKET)
    return replace(row, client_order_id=f"o{number}", **other)


def test_groups_are_weighted_by_what_was_decided_on() -> None:
    small = replace(cost(1, symbol="AAA"), decision_value=D(1000), total=D(10))
    large = replace(cost(2, symbol="AAA"), decision_value=D(9000), total=D(-30))
    (group,) = group_costs([small, large], "symbol")
    assert (group.label, group.orders, group.total, group.total_bps) == ("AAA", 2, D(-20), D(-20))


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("session", ["2025-03-28", "2025-04-01"]),
        ("month", ["2025-03", "2025-04"]),
        ("symbol", ["AAA", "BBB"]),
        ("side", ["buy", "sell"]),
        ("order_type", ["exit", "market"]),
        ("size", ["0.1 to 1 %", "unknown"]),
        ("state", ["filled", "working"]),
    ],
)
def test_orders_are_grouped_by_what_they_have_in_common(by: str, labels: list[str]) -> None:
    rows = [
        replace(cost(1), adv=20_000.0),
        cost(2, day=4, symbol="BBB", side=Side.SELL, kind="exit", adv=None, state="working"),
    ]
    assert [group.label for group in group_costs(rows, by)] == labels


def test_sizes_are_shares_of_the_average_daily_volume() -> None:
    assert [size_bucket(replace(cost(), adv=adv)) for adv in (1e6, 5e4, 5e3, 1.2e3, 500, None, 0.0)] == [
        "below 0.1 %", "0.1 to 1 %", "1 to 5 %", "5 to 10 %", "10 % and more", "unknown", "unknown",
    ]  # fmt: skip


def test_an_order_without_a_known_cost_is_counted_and_in_no_sum() -> None:
    known, unknown = cost(1), replace(cost(2), total=None, left_out=(Part.DELAY, Part.SPREAD, Part.IMPACT))
    group = all_costs([known, unknown])
    assert (group.orders, group.unpriced, group.incomplete) == (2, 1, 1)
    assert (group.total, group.decision_value) == (known.total, known.decision_value)


def test_nothing_has_no_basis_points() -> None:
    nothing = all_costs([])
    assert (nothing.orders, nothing.total, nothing.total_bps, nothing.estimated_bps) == (0, 0, None, None)


def test_an_order_is_divided_among_the_strategies_by_what_they_wanted() -> None:
    row, gone = cost(1), cost(2, symbol="ZZZ")
    shares = {(row.session, row.symbol): {"trend": D("0.2"), "value": D("-0.1"), "idle": D(0)}}
    groups = {group.label: group for group in group_costs([row, gone], "strategy", shares)}
    assert set(groups) == {"trend", "value", "unknown"}
    assert groups["trend"].total == pytest.approx(row.total * 2 / 3)
    assert groups["trend"].total + groups["value"].total == row.total
    assert groups["unknown"].total == gone.total


def test_estimates_are_set_against_what_came_of_the_same_orders() -> None:
    whole, half, unsent = cost(1), cost(2, qty="50"), cost(3, qty="0")
    group = all_costs([whole, half, unsent])
    assert whole.against_arrival is not None
    assert half.against_arrival is not None
    assert group.realised == whole.against_arrival + half.against_arrival + 2
    assert float(group.estimated) == pytest.approx((5 + 10) * 1.5)
    assert group.estimated_value == whole.filled_value + half.filled_value


def test_the_worst_orders_come_first_and_gains_are_none_of_them() -> None:
    rows = [replace(cost(number), total=total) for number, total in enumerate([D(5), None, D(-3), D(9)])]
    assert [row.total for row in worst_orders(rows, 5)] == [9, 5]
    assert len(worst_orders(rows, 1)) == 1


@given(
    st.lists(
        st.builds(
            cost,
            st.integers(0, 50),
            st.sampled_from(["0", "37.5", "100"]),
            st.decimals(1, 99, places=4).map(str),
            st.integers(0, 40),
            symbol=st.sampled_from(["AAA", "BBB", "CCC"]),
            side=st.sampled_from(Side),
        ),
        max_size=12,
    ),
    st.sampled_from(GROUPINGS),
)
@settings(max_examples=40, deadline=None)
def test_whatever_they_are_grouped_by_the_groups_sum_to_the_whole(rows: list[OrderCost], by: str) -> None:
    shares = {(row.session, row.symbol): {"a": D("0.3"), "b": D("0.1"), "c": D("0.3")} for row in rows}
    groups, whole = group_costs(rows, by, shares), all_costs(rows)
    assert sum((group.total for group in groups), D(0)) == pytest.approx(whole.total, abs=D("1e-12"))
    assert sum((group.decision_value for group in groups), D(0)) == pytest.approx(whole.decision_value, abs=D("1e-9"))
    for part in PARTS:
        assert sum((group.parts[part] for group in groups), D(0)) == pytest.approx(whole.parts[part], abs=D("1e-12"))
