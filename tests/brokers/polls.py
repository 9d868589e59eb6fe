"""One poll of execution by itself, over whichever adapter: for tests that count what it costs."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.tracking import poll
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import settings

ORDERS = 1200


def poll_twice(
    ledger: Ledger, broker: Broker, sessions: Sequence[date], now: datetime, counted: Callable[[], int]
) -> tuple[int, int]:
    """Messages of a run's first poll, which looks for what came late as well, and of the one after it."""
    identity = broker.identity()
    with lease(ledger, "paper", "test", lambda: now, timedelta(hours=1)) as held:
        run = Run(
            ledger=ledger,
            broker=broker,
            identity=identity,
            account="paper",
            portfolio="main",
            clock=lambda: now,
            settings=settings(),
            lease=held,
        )
        begun = counted()
        poll(run, sessions)
        between = counted()
        poll(run, sessions)
        return between - begun, counted() - between
