"""A ledger is rebuilt once more: what the broker shows only now joins what was taken in before."""

from decimal import Decimal
from pathlib import Path

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.ledger.states import BatchState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from tests.execution.scenario import model, order, plan_of, resume, run
from tests.execution.test_rebuilding import _named, _rebuilt
from tests.ledgers import sqlite_ledger


def test_an_order_that_shows_late_reopens_the_batch_that_had_ended_without_it(ledger: Ledger, tmp_path: Path) -> None:
    old = Ledger.open(sqlite_ledger(tmp_path / "old"), synchronous="OFF")
    broker = model(old, steps=5)
    broker.has_data = set()
    buys = [order("a", "AAA", Side.BUY, "3", phase=1), order("c", "CCC", Side.BUY, "4", phase=1)]
    assert run(old, broker, _named(plan_of(buys))).state is ExecutionState.WORKING
    old.close()
    broker.committed = None
    late = broker.book.orders.pop()
    request = broker.book.requests.pop()
    broker.has_data = None
    assert len(_rebuilt(ledger, broker).orders) == 1
    assert resume(ledger, broker).state is ExecutionState.DONE

    broker.book.orders.append(late)
    broker.book.requests.append(request)
    assert _rebuilt(ledger, broker).orders == (late.client_order_id,)
    with ledger.read() as connection:
        (batch,) = batches_of(connection, "paper", "main")
        assert batch.state is BatchState.WORKING
    broker.book.steps.clear()
    resume(ledger, broker)
    with ledger.read() as connection:
        (batch,) = batches_of(connection, "paper", "main")
        assert batch.state is BatchState.DONE
        assert owned(connection, "paper", "main") == {"AAA": Decimal(3), "CCC": Decimal(4)}
        assert verify(connection) == []
    assert len(broker.sent()) == 2
