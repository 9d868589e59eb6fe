"""A gate that stops a whole run leaves a row that says which one it was; a plan that is refused stops no run."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity, Side
from scizor_dagster.errors import RiskLimitBreached, WrongAccount
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.risk.events import risk_events_of, stops_recorded
from tests.execution.scenario import MONDAY, clock, model, order, plan_of, run
from tests.risk.orders import limits

RULES = limits(max_notional_per_order="500")


def _stopped_by(ledger: Ledger, error: Exception) -> list[tuple[str | None, ...]]:
    """The rows that an error within the gates leaves; it goes on."""
    with (
        pytest.raises(type(error)) as caught,
        stops_recorded(ledger, clock, "paper", "main", MONDAY, RULES),
        ledger.transaction(),
    ):
        raise error
    assert caught.value is error
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        rows = risk_events_of(connection, "paper")
    return [(row.limit, row.value, row.threshold, row.verdict, row.client_order_id, row.limits_hash) for row in rows]


def test_a_gate_that_stops_a_run_is_one_row_however_often_it_does(ledger: Ledger) -> None:
    for _ in range(2):
        stop = RiskLimitBreached("No.", remedy="Wait.", limit="broker_clock", value="9 s apart", threshold="5 s")
        assert _stopped_by(ledger, stop) == [("broker_clock", "9 s apart", "5 s", "stopped", None, RULES.hash)]
    with ledger.read() as connection:
        kept = connection.execute(sa.select(events.c.payload).where(events.c.kind == "verdict")).scalar_one()
    assert json.loads(kept) == {"portfolio": "main", "limit": "broker_clock", "verdict": "stopped"}


def test_a_plan_that_is_refused_stops_no_run_and_leaves_no_row(ledger: Ledger) -> None:
    assert _stopped_by(ledger, RiskLimitBreached("Too much.", remedy="Plan less.")) == []


def test_an_error_that_is_no_gate_leaves_no_row(ledger: Ledger) -> None:
    assert _stopped_by(ledger, ValueError("something else")) == []


def test_a_broker_that_is_another_one_stops_the_run_before_anything_and_is_named_in_its_row(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.identity = lambda: BrokerIdentity("model", "paper", "M2")  # type: ignore[method-assign]
    with pytest.raises(WrongAccount):
        run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    with ledger.read() as connection:
        (row,) = risk_events_of(connection, "paper", MONDAY)
    assert (row.limit, row.verdict, row.client_order_id) == ("account_identity", "stopped", None)
    assert ("M2" in row.value, "M1" in row.threshold) == (True, True)
    assert broker.book.attempts == []
