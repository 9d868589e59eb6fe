"""Orders that are under way together: at a broker that takes several at once, each as if it were sent alone."""

from dataclasses import replace
from threading import Barrier, Lock

from scizor_dagster.brokers.protocol import BrokerOrder, Capabilities, OrderRequest, Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import model, order, plan_of, run

AT_ONCE = 3
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


class WideBroker(ModelBroker):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, sends_at_once=AT_ONCE)


def _wide(ledger: Ledger, *, unique: bool = True) -> ModelBroker:
    broker = model(ledger, unique=unique)
    broker.__class__ = WideBroker
    return broker


def test_orders_of_different_instruments_are_under_way_together(ledger: Ledger) -> None:
    broker = _wide(ledger)
    together = Together(broker, AT_ONCE)
    assert run(ledger, broker, plan_of(BUYS)).state is ExecutionState.DONE
    assert together.most == AT_ONCE
    assert sorted(broker.book.attempts) == sorted(row.client_order_id for row in BUYS)


def test_two_orders_of_one_instrument_are_never_under_way_together(ledger: Ledger) -> None:
    broker = _wide(ledger)
    together = Together(broker, 1)
    slices = [order("b", "CCC", Side.BUY, "2"), order("b-2", "CCC", Side.BUY, "2", slice_=2)]
    assert run(ledger, broker, plan_of(slices)).state is ExecutionState.DONE
    assert together.most == 1
    assert broker.book.attempts == ["b", "b-2"]


def test_an_unknown_order_among_several_freezes_its_instrument_and_the_others_go_on(ledger: Ledger) -> None:
    broker = _wide(ledger, unique=False)
    broker.submit_faults["bCCC"] = ["lost"]
    result = run(ledger, broker, plan_of(BUYS))
    states = {row.symbol: row.state.value for row in result.orders}
    assert (states["BBB"], states["CCC"], states["DDD"]) == ("filled", "unknown", "filled")
    assert sorted(broker.book.attempts) == ["bBBB", "bCCC", "bDDD"]
