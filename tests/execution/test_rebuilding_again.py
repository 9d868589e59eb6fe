"""A ledger is rebuilt once more: what the broker shows only now joins what was taken in before."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.adoptions import adopt as adopt_position
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.ledger.states import BatchState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from tests.execution.scenario import BEFORE, MONDAY, START, TUESDAY, D, adopt, model, order, plan_of, resume, run
from tests.execution.test_rebuilding import _named, _rebuilt
from tests.ledgers import sqlite_ledger, url_of


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


@pytest.mark.parametrize("by", ["a rebuild", "an adoption"])
@pytest.mark.parametrize("side", list(Side))
def test_what_an_order_that_was_lost_with_the_ledger_has_moved_is_not_ordered_again_in_a_later_session(
    ledger: Ledger, tmp_path: Path, side: Side, by: str
) -> None:
    """Resumed without a rebuild: nobody owns what was bought since the backup, and a plan buys it once more."""
    old = Ledger.open(sqlite_ledger(tmp_path / "old"), synchronous="OFF")
    for each in (old, ledger):
        with each.transaction() as connection:
            before = {"price": D(100), "session": BEFORE, "actor": "test", "now": START - timedelta(days=3)}
            adopt_position(connection, "paper", "main", "AAA", D(40), **before)
    broker = model(old, positions={"AAA": D(40)})
    symbol, held = "AAA" if side is Side.SELL else "CCC", {"AAA": "40"}
    lost = _named(plan_of([order("a", symbol, side, "4")], held=held))
    assert run(old, broker, lost).counts == {"filled": 1}
    old.close()
    broker.watch(url_of(ledger))
    again, rows = order("b", symbol, side, "4"), {"session": TUESDAY, "held": held, "plan_id": "q"}
    with pytest.raises(LedgerError, match=r"1 order\(s\) of 2026-03-02 which this ledger has not sent"):
        run(ledger, broker, _named(plan_of([again], **rows)))
    assert len(broker.book.attempts) == 1
    if by == "a rebuild":
        _rebuilt(ledger, broker)
    else:
        adopt(ledger, symbol, f"{4 * side.sign}", session=MONDAY)
    sale = order("s", "AAA", Side.SELL, "1")
    rows["held"] = {"AAA": f"{broker.book.positions['AAA']}"}
    assert run(ledger, broker, _named(plan_of([sale], **rows))).counts == {"filled": 1}
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == {n: q for n, q in broker.book.positions.items() if q}
        assert verify(connection) == []
