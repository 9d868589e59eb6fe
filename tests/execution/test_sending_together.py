"""Orders that are under way together: at a broker that takes several at once, each as if it were sent alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, Side
from scizor_dagster.execution import drive
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import D, model, order, plan_of, run

AT_ONCE = 3
MANY = 33
"""More than Python puts to work at once by itself."""
NAMES = ("BBB", "CCC", "DDD")
BUYS = [order(f"b{name}", name, Side.BUY, "2") for name in NAMES]


class Together:
    """Lets a send through only once so many are under way; `most` is how many ever were."""

    def __init__(self, broker: ModelBroker, parties: int) -> None:
        self._submit, self._book = broker.submit, Lock()
        self._gate = Barrier(parties, timeout=10)
        self._under_way, self.most = 0, 0
        broker.submit = self  # type: ignore[method-assign,assignment]

    def __call__(self, request: OrderRequest) -> BrokerOrder:
        with self._book:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        self._gate.wait()
        with self._book:
            self._under_way -= 1
            return self._submit(request)


def _wide(ledger: Ledger, *, at_once: int = AT_ONCE, **changes: Any) -> ModelBroker:
    broker = model(ledger, **changes)
    broker.sends_at_once = at_once
    return broker


@pytest.mark.parametrize("at_once", [AT_ONCE, MANY])
def test_orders_of_different_instruments_are_under_way_together(ledger: Ledger, at_once: int) -> None:
    names = [f"N{number}" for number in range(at_once)]
    broker = _wide(ledger, at_once=at_once, prices=dict.fromkeys(names, D(5)))
    together = Together(broker, at_once)
    buys = [order(f"b{name}", name, Side.BUY, "2", price=D(5)) for name in names]
    assert run(ledger, broker, plan_of(buys)).state is ExecutionState.DONE
    assert together.most == at_once
    assert sorted(broker.book.attempts) == sorted(row.client_order_id for row in buys)


class Reluctant:
    """A pool that does nothing before it must: what is handed to it stays under way until somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pending: dict[Future[Any], Callable[[], Any]] = {}
        self.together: list[list[str]] = [[]]
        monkeypatch.setattr(drive, "ThreadPoolExecutor", lambda _: self)
        monkeypatch.setattr(drive, "wait", self.wait)

    def __enter__(self) -> Reluctant:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, send: Callable[..., Any], run: Any, intent: IntentRow, settings: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.pending[future] = lambda: send(run, intent, settings)
        self.together[-1].append(intent.client_order_id)
        return future

    def wait(self, futures: Iterable[Future[Any]], **_: Any) -> Any:
        done = set(futures)
        for future in [one for one in self.pending if one in done]:
            future.set_result(self.pending.pop(future)())
        self.together.append([])
        return SimpleNamespace(done=done)


def test_two_orders_of_one_instrument_are_never_under_way_together(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, pool = _wide(ledger), Reluctant(monkeypatch)
    slices = [order(f"b-{n}", "CCC", Side.BUY, "2", slice_=n) for n in (1, 2)]
    plan = plan_of([order("d", "DDD", Side.BUY, "2"), *slices, order("a", "AAA", Side.BUY, "1")])
    assert run(ledger, broker, plan).state is ExecutionState.DONE
    assert [names for names in pool.together if names] == [["d", "b-1"], ["b-2", "a"]]
    assert broker.book.attempts == ["d", "b-1", "b-2", "a"]


def test_an_unknown_order_among_several_freezes_its_instrument_and_the_others_go_on(ledger: Ledger) -> None:
    broker = _wide(ledger, unique=False)
    broker.submit_faults["bCCC"] = ["lost"]
    result = run(ledger, broker, plan_of(BUYS))
    states = {row.symbol: row.state.value for row in result.orders}
    assert (states["BBB"], states["CCC"], states["DDD"]) == ("filled", "unknown", "filled")
    assert sorted(broker.book.attempts) == ["bBBB", "bCCC", "bDDD"]
