"""One planner: whatever the kernel decides, the exact rules decide to the last unit, for the same reason."""

import os
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.errors import ScizorError
from scizor_dagster.planning import compiled
from scizor_dagster.planning.books import Decisions, plan_book, prepare
from scizor_dagster.planning.kernel_model import STACK
from scizor_dagster.planning.kernel_room import pairwise_sum
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import _planned, venue_of
from scizor_dagster.planning.rows import make_rows
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.sizing import size_rows
from tests.planning.array_books import case_of, decisions_of, exact_plan, lines_of
from tests.planning.books import ALPACA_LIKE, crowded_book, inputs_of, random_book, ruled_book

TORTURE = 100 if os.environ.get("SCIZOR_TORTURE") else 1
pytestmark = pytest.mark.timeout(14_400 if TORTURE > 1 else 300)


@pytest.fixture
def as_it_stands(monkeypatch):
    """The kernel as source, which is what coverage sees."""
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def planned(case, book) -> Decisions:
    return plan_book(book, case.weights, case.prices, case.counts, **case.session)


def outcome(work):
    """What comes out, or how it is refused."""
    try:
        return work()
    except ScizorError as error:
        return type(error), str(error)


@pytest.mark.parametrize("make", [random_book, ruled_book, crowded_book])
def test_a_plan_is_the_same_to_the_byte_whether_the_kernel_or_the_exact_rules_decide_it(make):
    for seed in range(400 * TORTURE):
        given = make(seed, shorts=seed % 2 == 1)
        by_kernel, exactly = (repr(outcome(lambda: _planned(*given, exactly=word))) for word in (False, True))  # noqa: B023
        assert by_kernel == exactly, seed


def test_arrays_are_decided_as_the_exact_rules_decide_the_same_numbers(as_it_stands):
    alone, settled = Counter(), Counter()
    for seed in range(1_000 * TORTURE):
        case = case_of(seed)
        book = prepare(case.instruments, case.rules, case.capabilities, currency=case.currency)
        decided = outcome(lambda: planned(case, book))  # noqa: B023
        if not isinstance(decided, Decisions):
            assert outcome(lambda: exact_plan(book, case)) == decided, seed  # noqa: B023
            continue
        found = decisions_of(case, decided)
        wanted = lines_of(exact_plan(book, case))
        for symbol, line in found.items():
            assert line == wanted.get(symbol, (Reason.ON_TARGET, 0, 0, 0)), (seed, symbol)
        settled[decided.settled == 0] += 1
        if decided.settled == 0:
            alone.update(reason for reason, *_ in found.values())
    # What is compared is the kernel, in most books without any help.
    assert settled[True] > settled[False]
    assert set(alone) >= {
        Reason.ON_TARGET, Reason.REBALANCE, Reason.OPEN, Reason.LIQUIDATE, Reason.CROSS_ZERO, Reason.DUST,
        Reason.BELOW_MIN_NOTIONAL, Reason.NO_PRICE, Reason.NOT_TRADABLE, Reason.NOT_SHORTABLE, Reason.INSIDE_BAND,
        Reason.NO_CASH, Reason.TURNOVER_CAP, Reason.PARTICIPATION_CAP, Reason.NO_VOLUME, Reason.PRICE_COLLAR,
        Reason.OVERRIDE, Reason.FIRST_PARCEL, Reason.FROZEN, Reason.QUARANTINED, Reason.CORPORATE_ACTION,
    }  # fmt: skip


def test_sums_are_those_of_numpy_to_the_last_bit():
    chance = np.random.default_rng(11)
    for size in (*range(140), 255, 256, 257, 1_000, 5_000, 8_193, 20_001):
        terms = chance.standard_normal(size) * 10 ** chance.uniform(-8, 8, size)
        assert pairwise_sum([*terms.tolist(), *([0.0] * STACK)], size) == float(terms.sum()), size


def test_sizing_alone_decides_rows_and_leaves_the_laws_of_the_book_aside():
    rules = PlanningRules(adjust_for_overflow=False, max_turnover=Decimal("0.1"))
    inputs = inputs_of({"A": "0.5", "B": "0.501"}, {"A": 7, "B": 9}, equity=1_000)
    rows = make_rows(inputs, rules, {})
    assert size_rows(rows, inputs, venue_of(rules, ALPACA_LIKE, inputs), Decimal(1), ()) == []
    assert [(row.reason, row.delta) for row in rows] == [
        (Reason.OPEN, Decimal("71.42")), (Reason.OPEN, Decimal("55.66"))
    ]  # fmt: skip
