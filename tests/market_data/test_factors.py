"""Adjustment factors of one symbol, by hand."""

from datetime import date

import pytest

from scizor_dagster.market_data.factors import BEGINNING, ExDay, symbol_factors

D1, D2, D3, D4 = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4), date(2024, 1, 5)


def _day(ex, ratio=1.0, amount=0.0, previous=D1, close=100.0):
    return ExDay("A", ex, ratio, amount, previous, close)


def test_a_symbol_without_actions_has_the_factor_one_from_the_beginning():
    (only,) = symbol_factors([])[0]
    assert (only.first_session, only.split, only.total_return) == (BEGINNING, 1.0, 1.0)


def test_a_split_divides_what_was_before_it():
    before, after = symbol_factors([_day(D2, ratio=4.0)])[0]
    assert (before.split, before.total_return, after.split, after.first_session) == (0.25, 0.25, 1.0, D2)


def test_a_reverse_split_multiplies_what_was_before_it():
    assert symbol_factors([_day(D2, ratio=0.1)])[0][0].split == pytest.approx(10.0)


def test_a_dividend_lowers_only_the_total_return_factor():
    before, after = symbol_factors([_day(D2, amount=2.0)])[0]
    assert (before.split, before.total_return) == (1.0, 0.98)
    assert (after.split, after.total_return) == (1.0, 1.0)


def test_factors_of_several_actions_multiply():
    days = [_day(D2, amount=1.0), _day(D3, ratio=2.0), _day(D4, amount=1.0, previous=D3, close=50.0)]
    factors = symbol_factors(days)[0]
    assert [f.first_session for f in factors] == [BEGINNING, D2, D3, D4]
    assert [f.split for f in factors] == [0.5, 0.5, 1.0, 1.0]
    assert [f.total_return for f in factors] == pytest.approx([0.99 * 0.5 * 0.98, 0.5 * 0.98, 0.98, 1.0])


def test_a_dividend_on_the_day_of_a_split_is_per_new_share():
    before = symbol_factors([_day(D2, ratio=2.0, amount=1.0, close=100.0)])[0][0]
    assert before.total_return == pytest.approx(0.5 * (1 - 1.0 / 50.0))


def test_a_close_from_before_a_split_in_a_halt_is_restated():
    days = [_day(D2, ratio=2.0, previous=D1, close=100.0), _day(D3, amount=1.0, previous=D1, close=100.0)]
    assert symbol_factors(days)[0][0].total_return == pytest.approx(0.5 * (1 - 1.0 / 50.0))


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (_day(D2, amount=1.0, previous=None, close=None), "no bar before it"),
        (_day(D2, amount=100.0), "pays 100 on a close of 100"),
    ],
)
def test_a_dividend_without_a_usable_close_is_reported_and_makes_no_factor(day, words):
    factors, skipped = symbol_factors([day])
    assert {f.total_return for f in factors} == {1.0}
    assert words in skipped[0].reason
