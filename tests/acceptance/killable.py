"""A process that runs `scizor` and dies by SIGKILL at a named point of the run.

The product has no hook for this: the point is laid around one of its own functions before the command
starts. `none` runs to the end. A point that is never reached lets the run end as well, so a test must
see the signal.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import scizor_dagster.definitions  # noqa: F401  (imported once, before the processes are forked)
from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, Side
from scizor_dagster.cli import app
from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.execution import drive
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.tracking import Poll
from scizor_dagster.flow.collecting import history_config
from scizor_dagster.jobnames import name_for
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning import frames
from scizor_dagster.settings import Settings

_ADMITTED = "SELECT count(*) FROM batches WHERE state = 'working'"
_BUYS_FILLED = (
    "SELECT count(*) FROM paper_fills WHERE side = 'buy' "
    "AND session = (SELECT session FROM batches WHERE state = 'working')"
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def while_the_plan_is_written() -> None:
    """The plan's head and lines are in the lake's open transaction, its orders are not."""
    original = frames.replace_rows

    def mortal(cursor: Any, table: str, *arguments: Any) -> int:
        if table == "planned_orders":
            die()
        return original(cursor, table, *arguments)

    frames.replace_rows = mortal


def after_the_plan_is_admitted() -> None:
    """The batch with all its intents is committed; nothing is cleared or sent."""
    _after_commit(_ADMITTED)


def after_a_sale_is_accepted() -> None:
    """The exchange has the third sale, and the ledger says `sending`."""
    _at_submit(Side.SELL, 3, after=True)


def between_the_release_and_the_buys() -> None:
    """Factor and quantities of the buys are committed, none of them is sent."""
    _at_submit(Side.BUY, 1, after=False)


def after_the_fills_and_before_they_are_recorded() -> None:
    """The exchange has filled a buy; the ledger has not polled it since."""
    original = drive.poll

    def mortal(run: Run, sessions: Sequence[date]) -> Poll:
        with run.ledger.read() as connection:
            if _count(connection, _BUYS_FILLED):
                die()
        return original(run, sessions)

    drive.poll = mortal


POINTS: dict[str, Callable[[], None]] = {
    point.__name__: point
    for point in (
        while_the_plan_is_written,
        after_the_plan_is_admitted,
        after_a_sale_is_accepted,
        between_the_release_and_the_buys,
        after_the_fills_and_before_they_are_recorded,
    )
}


def _at_submit(side: Side, number: int, *, after: bool) -> None:
    original = PaperBroker.submit
    numbers = iter(range(1, 1_000))

    def mortal(self: PaperBroker, order: OrderRequest) -> BrokerOrder:
        last = order.side is side and next(numbers) == number
        if last and not after:
            die()
        answer = original(self, order)
        if last:
            die()
        return answer

    PaperBroker.submit = mortal  # type: ignore[method-assign]


def _after_commit(due: str) -> None:
    original = Ledger.transaction

    @contextmanager
    def mortal(self: Ledger) -> Iterator[sa.Connection]:
        with original(self) as connection:
            yield connection
            is_due = _count(connection, due)
        if is_due:
            die()

    Ledger.transaction = mortal  # type: ignore[method-assign]


def _count(connection: sa.Connection, query: str) -> int:
    return int(connection.execute(sa.text(query)).scalar_one())


def scizor(environment: Mapping[str, str], said: Path, point: str, arguments: Sequence[str]) -> None:
    """Be the command `scizor`: its environment, its arguments, its output (in the file `said`), its exit code."""
    os.environ.update(environment)
    with said.open("w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    if point != "none":
        POINTS[point]()
    sys.argv = ["scizor", *arguments]
    app.main()


def collect(environment: Mapping[str, str], through: date) -> None:
    """Collect the sample market from the first session of its year to `through`."""
    os.environ.update(environment)
    year = str(through.year)
    with JobRunner.open(Settings.from_environment(os.environ)) as runner:
        job = name_for("collect_history", "us", ["us"])
        runner.run(job, partition_range=(year, year), config=history_config("us", through))
