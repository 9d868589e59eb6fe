"""Rows of a ledger that is built from the broker's own books."""

import json
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.ledger.batches import batch_of
from scizor_dagster.ledger.rebuilt import state_cash
from scizor_dagster.ledger.states import BatchState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from tests.execution.scenario import MONDAY, START

D = Decimal


def test_the_history_says_what_cash_a_person_has_stated_and_what_follows_from_it(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        state_cash(
            connection, "paper", "main", MONDAY, cash=D(500), starting_cash=D("512.5"), account_cash=D(9000), now=START
        )
    with ledger.read() as connection:
        (payload,) = connection.execute(sa.select(events.c.payload).where(events.c.kind == "cash_stated")).scalars()
        batch = batch_of(connection, "paper", "main", MONDAY)
    said = json.loads(payload)
    assert {name: said[name] for name in ("portfolio", "cash", "starting_cash", "opening")} == {
        "portfolio": "main", "cash": "500", "starting_cash": "512.5", "opening": "9000",
    }  # fmt: skip
    assert batch is not None
    assert (batch.state, batch.origin, batch.plan_id) == (BatchState.NOTHING_TO_DO, "rebuilt", "rebuilt")
