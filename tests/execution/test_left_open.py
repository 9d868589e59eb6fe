"""What a halt must leave at the broker, as it is told to a person."""

from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.cancelling import StillOpen, left_open
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import MONDAY, D, model, order, plan_of, resume, run


def test_of_an_order_that_has_filled_in_part_the_rest_is_open_with_its_own_reason_or_the_common_one(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([order("a", "CCC", Side.BUY, "10"), order("b", "DDD", Side.BUY, "2")]))
    broker.fill("a", D(4), session=MONDAY)
    resume(ledger, broker)
    with ledger.read() as connection:
        rows = intents_of(connection, batches_of(connection, "paper", "main")[0].batch_id)
    assert left_open(rows, {"a": "it was filling"}, "a run holds the account") == (
        StillOpen("a", "main", "CCC", Side.BUY, Decimal(6), "it was filling"),
        StillOpen("b", "main", "DDD", Side.BUY, Decimal(2), "a run holds the account"),
    )
