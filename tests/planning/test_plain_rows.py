"""Rows that no rule stands in the way of: what is decided at once is what the rules in their order decide."""

import random
from dataclasses import astuple, replace

import pytest

from scizor_dagster.planning.kernel_book import hold_laws
from scizor_dagster.planning.kernel_model import (
    BELOW_MIN_NOTIONAL,
    BOUND,
    CLEAR,
    INSIDE_BAND,
    LEFT,
    LOOSE,
    NEAR,
    NOISE,
    NONE,
    ON_TARGET,
    OPEN,
    REBALANCE,
    STACK,
    UNIT,
    UNSURE,
    Cells,
    Numbers,
    Session,
)
from scizor_dagster.planning.kernel_plain import decide_plain_rows, stand_plain_rows
from scizor_dagster.planning.kernel_rows import decide_row


def row_of(chance):
    price = round(chance.uniform(0.01, 500), 2)
    count = chance.choice([0, 0, chance.randrange(10**13), chance.randrange(10**4) * UNIT, -5 * UNIT])
    return Cells(
        weight=chance.choice([0.0, -0.01, 0.02, 0.5, chance.random(), count / UNIT * price / 1e5]),
        price=price,
        held=count / UNIT,
        count=count,
        ban=chance.choice([0] * 9 + [1]),
        special=chance.random() < 0.05,
        fractionable=chance.random() < 0.8,
        lot=chance.choice([UNIT, UNIT, 100 * UNIT]),
        parcel=chance.choice([0.0] * 9 + [500.0]),
        tick=chance.choice([0.0, 0.0, 0.05]),
        volume=chance.choice([1e4, 1e6, 1e12, float("nan")]),
    )


def rules_of(chance):
    return Numbers(
        minimum=chance.choice([0.0, 1.0, 57.5]),
        band_relative=chance.choice([0.0, 0.0, 0.02, 0.2]),
        max_participation=chance.choice([NONE, NONE, 0.02]),
        max_value=chance.choice([NONE, NONE, 20_000.0]),
        max_shares=chance.choice([NONE, NONE, 1_000.0]),
        fine=chance.choice([1, 10**5, UNIT]),
        order_unit=chance.choice([1, 10**5]),
        fractional=chance.random() < 0.8,
        to_edge=chance.random() < 0.1,
    )


def session_of(chance):
    lower = chance.choice([0.995e5, 10 ** chance.uniform(3, 7)])
    upper = chance.choice([0.0, lower * 1.01, lower * 0.99])
    return Session(
        equity=lower,
        lower=lower,
        lower_full=lower,
        upper=upper,
        upper_full=upper,
        band=chance.choice([0.0, 0.001]) * lower,
        near=chance.choice([NOISE, LOOSE]),
        shorts=chance.random() < 0.5,
    )


def test_what_is_decided_at_once_is_what_the_rules_in_their_order_decide():
    chance, codes, left = random.Random("plain rows"), {}, 0
    for trial in range(8_000):
        row, rules, session = row_of(chance), rules_of(chance), session_of(chance)
        plain, in_order = replace(row), replace(row)
        if not decide_plain_rows([plain], rules, session):
            codes[plain.code] = codes.get(plain.code, 0) + 1
        else:
            assert plain.mark == LEFT
            decide_row(plain, rules, session)
            left += 1
        decide_row(in_order, rules, session)
        assert repr(astuple(plain)) == repr(astuple(in_order)), trial
    assert left > 500
    assert set(codes) == {ON_TARGET, OPEN, REBALANCE, INSIDE_BAND, BELOW_MIN_NOTIONAL}


def test_a_target_beyond_what_units_count_is_left_to_the_rules_in_their_order():
    row, session = Cells(weight=1.0, price=0.01), Session(equity=1e17, lower=1e17)
    assert decide_plain_rows([row], Numbers(fractional=True, fine=1), session) == 1


def test_a_holding_of_more_units_than_a_float_has_is_the_same_number_as_in_machine_code():
    row = Cells(weight=0.5, price=10.0, count=1763667127536244091)
    assert row.count / UNIT != float(row.count) / UNIT
    stand_plain_rows([row], Numbers(), Session(equity=1e12), [0.0])
    assert row.held == float(row.count) / UNIT


def test_a_book_that_gives_way_to_its_cash_is_still_held_against_the_total_of_its_orders():
    def held_to(total):
        rows = [
            Cells(price=9.7, count=0, delta=shares * UNIT, target=shares * UNIT, code=OPEN, weight=0.5)
            for shares in (60, 55)
        ]
        room = [0.0] * (len(rows) + STACK)
        rules, session = Numbers(max_total=total), Session(equity=1_000.0, spare_cash=1_000.0)
        return hold_laws(rows, (rules,), (session,), room, [*room]), [row.trade // UNIT for row in rows]

    assert held_to(1_000.0) == (BOUND, [60, 43])
    assert held_to(900.0)[0] == UNSURE


@pytest.mark.parametrize(("band", "mark", "left"), [(9.0, CLEAR, 0), (10.0, NEAR, 1), (11.0, CLEAR, 0)])
def test_a_holding_at_the_edge_of_its_band_is_left_to_the_exact_rules(band, mark, left):
    row = Cells(weight=0.5, price=3.0, held=40 / 3, count=40 * UNIT // 3)
    rules, session = Numbers(fractional=True, fine=1), Session(equity=100.0, lower=100.0, band=band)
    assert decide_plain_rows([row], rules, session) == left
    decide_row(row, rules, session)
    assert row.mark == mark
