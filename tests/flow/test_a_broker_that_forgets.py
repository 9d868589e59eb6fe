"""Trading on and on at a broker that shows the executions and the ended orders of the current session alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import Broker, BrokerFill, BrokerOrder, Capabilities
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.passes import close_past, day_to_close
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import is_closed
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade

THIRD = date(2025, 3, 17)


class Forgetful:
    """The embedded exchange, which shows nothing from before `since`, as a TWS does."""

    since = FIRST

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._broker.capabilities, fills_from=self.since, orders_from=self.since)

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        if first < self.since:
            raise BrokerUnavailable(f"executions of {first} are asked for", remedy="Ask for later ones.")
        return self._broker.fills(first, last)

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        return self._broker.orders(session) if session >= self.since else ()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    opened = collected(tmp_path)
    real = Desk.broker
    monkeypatch.setattr(Desk, "broker", lambda desk, account, market: Forgetful(real(desk, account, market)))
    monkeypatch.setattr(Forgetful, "since", FIRST)
    return Desk(opened.settings, lambda: NOW)


def test_what_is_shown_no_more_keeps_nothing_from_trading_and_its_day_is_closed_by_what_is_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trade(desk, FIRST).state is ExecutionState.DONE
    _take_share(desk, "-1")
    monkeypatch.setattr(Forgetful, "since", SECOND)
    assert day_to_close(desk, "main", SECOND) == FIRST
    assert trade(desk, SECOND).state is ExecutionState.DONE
    with desk.ledger.read() as connection:
        assert [row.symbol for row in open_breaks(connection, "paper")] == ["AAPL"]
        assert not is_closed(connection, "paper", "main", FIRST)
    _take_share(desk, "1")
    monkeypatch.setattr(Forgetful, "since", THIRD)
    close_past(desk, "main", THIRD)
    close_past(desk, "main", THIRD)
    assert day_to_close(desk, "main", THIRD) is None
    with desk.ledger.read() as connection:
        assert is_closed(connection, "paper", "main", FIRST)


def _take_share(desk: Desk, more: str) -> None:
    change = f"CAST(CAST(qty AS REAL) + ({more}) AS TEXT)"
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE paper_positions SET qty = {change} WHERE symbol = 'AAPL'")
