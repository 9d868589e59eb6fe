"""A person who sets a trading state, before a run or in the middle of it."""

from __future__ import annotations

from typing import Any

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import START

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def put(ledger: Ledger, state: TradingState, portfolio: str | None = "main", **changes: Any) -> bool:
    values: dict[str, Any] = {"reason": "a test", "actor": "ann", "now": START}
    with ledger.transaction() as connection:
        return set_state(connection, "paper", portfolio, state, **(values | changes))


class HaltingBroker:
    """A model broker during whose submit number `at` (from 1) a person sets a state."""

    def __init__(self, broker: ModelBroker, ledger: Ledger, at: int, state: TradingState) -> None:
        self._broker, self._ledger, self._at, self._state = broker, ledger, at, state
        self.submitted: list[OrderRequest] = []

    def submit(self, request: OrderRequest) -> BrokerOrder:
        self.submitted.append(request)
        answer = self._broker.submit(request)
        if len(self.submitted) == self._at:
            put(self._ledger, self._state)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)
