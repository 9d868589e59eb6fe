"""Prices and quantities on both sides of a split come to the units of the session."""

from decimal import Decimal as D

import pytest

from scizor_dagster.analytics.costs import Execution, Known, OrderFacts, shortfall
from scizor_dagster.analytics.costs_units import Units, scaled_bar, scaled_price, scaled_quantity, units_between
from scizor_dagster.brokers.protocol import Side

SAME = Units(D(1), D(1))


def units(adjustment: str, used: str, stored: str | None, before: str = "1", after: str = "1") -> Units | str:
    close = None if stored is None else D(stored)
    return units_between(adjustment, price_used=D(used), stored_close=close, before=D(before), after=D(after))


@pytest.mark.parametrize(
    ("adjustment", "used", "stored", "before", "after", "found"),
    [
        ("raw", "400", "400", "1", "1", SAME),
        ("raw", "400", "400", "4", "1", Units(D(4), D(1))),
        ("raw", "400", "400", "1", "4", SAME),
        ("raw", "400", None, "4", "1", Units(D(4), D(1))),
        # A history that was adjusted before anything was planned on it.
        ("split", "100", "100", "4", "2", SAME),
        ("split", "100", "101", "1", "1", SAME),
        # Planned before the split was known, measured after the series was given anew.
        ("split", "400", "100", "4", "1", Units(D(4), D(1))),
        ("split", "400", "50", "4", "2", Units(D(4), D(2))),
        ("split", "100", "50", "1", "2", Units(D(1), D(2))),
        ("split", "100", None, "1", "1", SAME),
        ("total_return", "100", "100.005", "1", "1", SAME),
    ],
)
def test_units_follow_from_the_splits_and_from_what_the_close_is_now(
    adjustment: str, used: str, stored: str | None, before: str, after: str, found: Units
) -> None:
    assert units(adjustment, used, stored, before, after) == found


@pytest.mark.parametrize(
    ("adjustment", "used", "stored", "after"),
    [("split", "100", "70", "1"), ("total_return", "100", "99", "1"), ("split", "100", None, "2")],
)
def test_a_series_that_was_restated_by_something_unknown_has_no_units(
    adjustment: str, used: str, stored: str | None, after: str
) -> None:
    found = units(adjustment, used, stored, after=after)
    assert isinstance(found, str)
    assert found.startswith(f"the {adjustment}-adjusted series was restated since the plan")


def test_a_decision_before_a_split_is_worth_the_same_after_it() -> None:
    four = Units(D(4), D(1))
    assert (scaled_price(D(400), four), scaled_quantity(D(10), four)) == (D(100), D(40))
    assert scaled_bar(D(50), Units(D(1), D(2))) == D(100)


def test_a_dividend_that_a_later_buyer_misses_comes_off_the_decisions_price() -> None:
    assert scaled_price(D(100), SAME, D("1.25")) == D("98.75")


@pytest.mark.parametrize("ratio", ["3", "0.3333333333333333", "1.0145", "7"])
def test_the_parts_sum_exactly_also_in_units_that_do_not_divide(ratio: str) -> None:
    scale = Units(D(ratio), D(1))
    price, planned = scaled_price(D("101.37"), scale), scaled_quantity(D("137.5"), scale)
    facts = OrderFacts(
        Side.SELL, planned, [Execution(D("11.3"), D("33.1234"), D("0.37"))],
        {"decision": Known(price, ""), "arrival": Known(D("33.3"), ""), "close": Known(D("32.9"), "")},
        Known(D("1.7"), ""),
    )  # fmt: skip
    found = shortfall(facts)
    assert sum(amount for amount in found.parts.values() if amount is not None) == found.total
