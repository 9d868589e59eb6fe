"""A restated series is told from an equal one, a corrected one and rounding."""

from datetime import date

import pytest

from scizor_dagster.market_data.overlap import compare
from tests.market_data.support import XNYS, flat_bars

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 9))
PRICES = ["open", "high", "low", "close"]


def _scaled(frame, symbol, factor, decimals=None):
    result = frame.copy()
    rows = result["symbol"] == symbol
    result.loc[rows, PRICES] = result.loc[rows, PRICES] * factor
    if decimals is not None:
        result.loc[rows, PRICES] = result.loc[rows, PRICES].round(decimals)
    return result


@pytest.fixture
def stored():
    return flat_bars(["A", "B"], SESSIONS, price=57.31)


def test_equal_bars_are_neither_restated_nor_differing(stored):
    found = compare(stored, stored.copy())
    assert (found.restated, found.differing) == ({}, ())


@pytest.mark.parametrize("factor", [0.5, 0.25, 10.0, 1 / 3, 0.9967])
@pytest.mark.parametrize("decimals", [None, 2, 4])
def test_a_constant_factor_is_found_through_rounding(stored, factor, decimals):
    found = compare(stored, _scaled(stored, "A", factor, decimals))
    assert list(found.restated) == ["A"]
    assert found.restated["A"].factor == pytest.approx(factor, rel=1e-3)
    assert found.restated["A"].sessions == len(SESSIONS)


def test_one_corrected_price_is_differing_and_no_factor(stored):
    fetched = stored.copy()
    fetched.loc[2, "close"] += 0.07
    found = compare(stored, fetched)
    assert (found.restated, found.differing) == ({}, ("A",))


def test_a_factor_of_closes_alone_is_no_restatement(stored):
    fetched = stored.copy()
    fetched.loc[fetched["symbol"] == "B", "close"] *= 0.5
    assert compare(stored, fetched).differing == ("B",)


def test_one_session_proves_no_factor(stored):
    few = stored.groupby("symbol").head(1)
    assert compare(few, _scaled(few, "A", 0.5)).restated == {}


def test_sessions_that_only_one_side_has_do_not_count(stored):
    found = compare(stored.head(3), _scaled(stored, "A", 0.5))
    assert found.restated["A"].sessions == 3


def test_float_noise_is_equal(stored):
    found = compare(stored, _scaled(stored, "A", 1 + 1e-8))
    assert (found.restated, found.differing) == ({}, ())
