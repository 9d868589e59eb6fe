"""Orders of decisions on arrays: those that a plan of the same numbers has, slice by slice."""

import os
from decimal import localcontext

import pytest

from scizor_dagster.errors import InputError, RiskLimitBreached
from scizor_dagster.planning import compiled
from scizor_dagster.planning.book_orders import orders_of_book
from scizor_dagster.planning.books import plan_book, prepare
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.quantities import EXACT
from tests.planning.array_books import case_of, exact_plan
from tests.planning.books import SESSION

TRIALS = 4_000 if os.environ.get("SCIZOR_TORTURE") else 250


@pytest.fixture(autouse=True)
def as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def ids():
    return ClientOrderIds("TST", account="a", session=SESSION, portfolio="p", plan_id="x", batch=1)


def written(orders):
    """Orders without what names the plan that they are of."""
    number = {order.client_order_id: index for index, order in enumerate(orders)}
    return [
        order._replace(client_order_id="", depends_on=tuple(number[name] for name in order.depends_on))
        for order in orders
    ]


def both(seed):
    case = case_of(seed)
    book = prepare(case.instruments, case.rules, case.capabilities, currency=case.currency)
    plan_book(book, case.weights, case.prices, case.counts, **case.session)
    mine = orders_of_book(book, ids())
    with localcontext(EXACT):
        return mine, exact_plan(book, case).orders


def test_random_books_have_the_orders_of_their_plans():
    seen = 0
    for seed in range(TRIALS):
        try:
            mine, plans = both(seed)
        except (InputError, RiskLimitBreached):
            continue
        assert written(mine) == written(plans), seed
        seen += len(mine)
    assert seen > TRIALS
