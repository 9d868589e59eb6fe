"""Admission: once, whole, in order."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.batches import account_clock, admit, admitted_provenance, batch_of, batches_of, set_state
from scizor_dagster.ledger.known import admitted_sessions, last_ordered_session
from scizor_dagster.ledger.rows import intents_of, last_batch_of, open_batches
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import batches, events, orders
from scizor_dagster.ledger.verification import verify
from scizor_dagster.planning.model import Plan
from tests.execution.scenario import BEFORE, MONDAY, TUESDAY, order, plan_of

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
SELL = order("s", "AAA", Side.SELL, "5")
BUY = order("b", "CCC", Side.BUY, "7.25")


def _admit(ledger: Ledger, plan: Plan) -> bool:
    with ledger.transaction() as connection:
        return admit(connection, plan, starting_cash=Decimal("12.34"), now=NOW).created


def test_a_plan_becomes_a_batch_with_all_its_intents_and_moves_the_account_clock(ledger: Ledger) -> None:
    assert _admit(ledger, plan_of([SELL, BUY], buffer="9"))
    with ledger.read() as connection:
        batch = batch_of(connection, "paper", "main", MONDAY)
        assert batch is not None
        assert (batch.state, batch.cash_buffer, batch.starting_cash) == (
            BatchState.WORKING,
            9,
            Decimal("12.34"),
        )
        sell, buy = intents_of(connection, batch.batch_id)
        assert account_clock(connection, "paper") == MONDAY
    assert (sell.state, sell.final_qty) == (IntentState.READY, 5)
    assert (buy.state, buy.final_qty, buy.parameter_hash) == (IntentState.HELD, None, None)
    assert buy.planned_qty == Decimal("7.25")
    assert (sell.qty, buy.qty) == (5, Decimal("7.25"))


def test_the_same_plan_again_is_the_batch_that_exists(ledger: Ledger) -> None:
    assert _admit(ledger, plan_of([SELL]))
    assert not _admit(ledger, plan_of([SELL]))
    with ledger.read() as connection:
        assert len(batches_of(connection, "paper", "main")) == 1


def test_another_plan_for_the_session_must_be_asked_for_with_the_next_number(ledger: Ledger) -> None:
    _admit(ledger, plan_of([SELL]))
    with pytest.raises(LedgerError, match="batch number 2"):
        _admit(ledger, plan_of([BUY], plan_id="q"))


def test_a_replan_waits_for_the_end_of_the_batch_before_it(ledger: Ledger) -> None:
    _admit(ledger, plan_of([SELL]))
    replan = plan_of([BUY], plan_id="q", batch=2)
    with pytest.raises(LedgerError, match="still working"):
        _admit(ledger, replan)
    with ledger.transaction() as connection:
        batch = batch_of(connection, "paper", "main", MONDAY)
        assert batch is not None
        set_state(connection, batch, BatchState.DONE, now=NOW)
    assert _admit(ledger, replan)


def test_a_batch_number_is_never_left_out(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="not the next one"):
        _admit(ledger, plan_of([SELL], batch=2))


def test_a_session_before_the_account_clock_is_not_admitted(ledger: Ledger) -> None:
    _admit(ledger, plan_of([SELL], session=TUESDAY))
    with pytest.raises(LedgerError, match="one way through time"):
        _admit(ledger, plan_of([BUY], session=MONDAY))


def test_the_clock_moves_on_with_a_later_session_and_stays_within_one(ledger: Ledger) -> None:
    _admit(ledger, plan_of([], session=MONDAY))
    other = replace(plan_of([], session=MONDAY), portfolio="other")
    assert _admit(ledger, other)
    _admit(ledger, plan_of([], session=TUESDAY))
    with ledger.read() as connection:
        assert account_clock(connection, "paper") == TUESDAY


def test_a_plan_without_orders_is_a_batch_with_nothing_to_do(ledger: Ledger) -> None:
    _admit(ledger, plan_of([]))
    with ledger.read() as connection:
        batch = batch_of(connection, "paper", "main", MONDAY)
    assert batch is not None
    assert batch.state is BatchState.NOTHING_TO_DO


@pytest.mark.parametrize(
    ("orders", "problem"),
    [
        ([SELL, SELL], "twice"),
        ([SELL._replace(client_order_id="x" * 49)], "longer than 48"),
        ([BUY._replace(depends_on=("elsewhere",))], "depends on one outside"),
        ([SELL._replace(qty=Decimal(0))], "not positive"),
        ([SELL._replace(price_used=Decimal(-1))], "not positive"),
    ],
)
def test_a_plan_that_cannot_be_rows_is_refused_whole(ledger: Ledger, orders: list[object], problem: str) -> None:
    with pytest.raises(LedgerError, match=problem):
        _admit(ledger, plan_of([BUY]) if not orders else replace(plan_of([BUY]), orders=tuple(orders)))  # type: ignore[arg-type]
    with ledger.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(batches)).scalar() == 0


def test_an_id_that_an_earlier_session_has_used_is_refused_whole(ledger: Ledger) -> None:
    _admit(ledger, plan_of([SELL], session=BEFORE))
    with pytest.raises(LedgerError, match="already in the ledger"):
        _admit(ledger, plan_of([BUY, SELL], session=MONDAY))
    with ledger.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(orders)).scalar() == 1


def test_open_batches_are_those_of_the_account_of_whatever_portfolio_and_session_that_have_not_ended(
    ledger: Ledger,
) -> None:
    _admit(ledger, plan_of([SELL], session=BEFORE))
    _admit(ledger, replace(plan_of([BUY], session=MONDAY), portfolio="other"))
    _admit(ledger, plan_of([], session=TUESDAY))
    _admit(ledger, replace(plan_of([order("elsewhere", "AAA", Side.SELL, "5")]), account="real"))
    with ledger.transaction() as connection:
        found = open_batches(connection, "paper")
        assert [(batch.portfolio, batch.session) for batch in found] == [("main", BEFORE), ("other", MONDAY)]
        set_state(connection, found[0], BatchState.DONE, now=NOW)
        assert open_batches(connection, "paper") == found[1:]


def test_the_sessions_of_a_portfolio_are_those_that_it_has_a_batch_of_however_many(ledger: Ledger) -> None:
    _admit(ledger, plan_of([], session=BEFORE))
    _admit(ledger, plan_of([], session=MONDAY))
    _admit(ledger, plan_of([], session=MONDAY, batch=2, plan_id="q"))
    _admit(ledger, replace(plan_of([], session=TUESDAY), portfolio="other"))
    with ledger.read() as connection:
        assert admitted_sessions(connection, "paper", "main") == {BEFORE, MONDAY}
        assert admitted_sessions(connection, "real", "main") == set()


def test_the_latest_session_with_an_order_is_found_past_those_that_needed_none(ledger: Ledger) -> None:
    _admit(ledger, plan_of([SELL], session=BEFORE))
    _admit(ledger, plan_of([], session=MONDAY))
    _admit(ledger, plan_of([BUY], session=TUESDAY))
    with ledger.read() as connection:
        asked = [last_ordered_session(connection, "paper", "main", day) for day in (BEFORE, MONDAY, TUESDAY)]
        assert last_ordered_session(connection, "paper", "other", TUESDAY) is None
    assert asked == [BEFORE, BEFORE, TUESDAY]


def test_the_latest_batch_is_the_one_of_the_highest_number_in_the_latest_session(ledger: Ledger) -> None:
    _admit(ledger, plan_of([], session=BEFORE))
    _admit(ledger, plan_of([], session=MONDAY))
    _admit(ledger, plan_of([], session=MONDAY, batch=2, plan_id="q"))
    with ledger.read() as connection:
        found = [last_batch_of(connection, "paper", "main", before=day) for day in (None, TUESDAY, MONDAY, BEFORE)]
        assert last_batch_of(connection, "paper", "other") is None
    assert [row and (row.session, row.batch) for row in found] == [(MONDAY, 2), (MONDAY, 2), (BEFORE, 1), None]


def test_the_entry_that_admits_a_plan_seals_what_it_was_made_from_and_one_without_it_says_nothing(
    ledger: Ledger,
) -> None:
    plan = plan_of([SELL])
    _admit(ledger, plan)
    _admit(ledger, replace(plan_of([BUY], plan_id="q"), account="other", provenance=None))
    with ledger.read() as connection:
        assert plan.provenance is not None
        assert admitted_provenance(connection) == {plan.plan_id: plan.provenance}
    with ledger.transaction() as connection:
        altered = sa.update(events).where(events.c.kind == "batch_admitted", events.c.account == "paper")
        connection.execute(altered.values(payload=sa.func.replace(events.c.payload, '"1.0"', '"2.0"')))
    with ledger.read() as connection:
        assert verify(connection) == ["Event 1 (batch_admitted) was changed after it was written."]
