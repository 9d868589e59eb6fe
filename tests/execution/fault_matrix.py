"""One cell of faults x calls: a rebalance while a call goes wrong, again while it still does, and again in calm.

What belongs here: the order of a cell, and what must hold after each of its runs, whichever way the orders go.
What does not: the faults of a way, and how they strike (its own test module).

A read is struck from the start (`before`) or once the broker has an order (`after`), every time until the calm; a
send or a cancel is struck once, before or after the broker has taken it, as its fault says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderStatus
from scizor_dagster.errors import ScizorError
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import IntentRow, intents_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import orders
from scizor_dagster.ledger.verification import verify

TROUBLED, CALM = 2, 12
"""Runs under the fault, and runs at most until everything is known again."""
WRITES = ("submit", "cancel")
_MAY_LIVE = frozenset(state for state in IntentState if state.at_broker)
_IN_DOUBT = (IntentState.SENDING, IntentState.UNKNOWN)


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class Cell(NamedTuple):
    """A fault, the call that it strikes, and when."""

    fault: str
    call: str
    when: When

    @property
    def name(self) -> str:
        return f"{self.call} {self.fault} {self.when}"


class Seen(NamedTuple):
    """An order as the exchange itself has it, whatever it tells."""

    name: str
    status: OrderStatus
    filled: Decimal


class Stage(Protocol):
    """One account at one broker, with a ledger of its own.

    Attributes:
        ledger: Opened, with the portfolio `main` on account `paper`.
        wanted: Ids of the plan's orders.
    """

    ledger: Ledger
    wanted: frozenset[str]

    def run(self) -> ExecutionResult: ...

    def seen(self) -> Sequence[Seen]: ...

    def held(self) -> dict[str, Decimal]: ...

    def calm(self) -> None:
        """From now on nothing goes wrong, and time may pass."""
        ...


@dataclass
class Tally:
    """Counts over many cells; the last four stay at zero."""

    cells: int = 0
    runs: int = 0
    strikes: int = 0
    runs_that_failed: int = 0
    unknown_orders_shown: int = 0
    duplicates: int = 0
    live_orders_recorded_as_ended: int = 0
    unknown_orders_not_shown: int = 0
    orders_lost: int = 0
    problems: list[str] = field(default_factory=list)

    def table(self) -> dict[str, int]:
        return {name.replace("_", " "): value for name, value in vars(self).items() if isinstance(value, int)}


def play(cell: Cell, stage: Stage, tally: Tally, *, then: Callable[[], Iterable[str]] = tuple) -> None:
    """Play one cell, and count; `then` is done while the fault still strikes, and says what was wrong with it."""
    before = len(tally.problems)
    tally.cells += 1
    for _ in range(TROUBLED):
        _run(stage, tally)
    tally.problems += then()
    stage.calm()
    for _ in range(CALM):
        result = _run(stage, tally)
        if result is not None and _settled(stage):
            break
    _check_end(stage, tally)
    tally.problems[before:] = [f"{cell.name}: {problem}" for problem in tally.problems[before:]]


def _run(stage: Stage, tally: Tally) -> ExecutionResult | None:
    tally.runs += 1
    result = None
    try:
        result = stage.run()
    except ScizorError as error:
        tally.runs_that_failed += 1
        if not error.remedy:
            tally.problems.append(f"no remedy: {error}")
    _check(stage, tally, result)
    return result


def _check(stage: Stage, tally: Tally, result: ExecutionResult | None) -> None:
    seen, rows = stage.seen(), _rows(stage.ledger)
    twice = [name for name, count in Counter(row.name for row in seen).items() if count > 1]
    tally.duplicates += len(twice)
    ended = [row for row in seen if not _agrees(row, rows.get(row.name))]
    tally.live_orders_recorded_as_ended += len(ended)
    in_doubt = [row for row in rows.values() if row.state in _IN_DOUBT]
    shown = [row for row in in_doubt if result is not None and _is_shown(row, result)]
    # A run that failed said so; what it left in doubt is shown by the next one that does not.
    hidden = [] if result is None else [row for row in in_doubt if row not in shown]
    tally.unknown_orders_shown += len(shown)
    tally.unknown_orders_not_shown += len(hidden)
    tally.problems += [f"{name} is at the broker twice" for name in twice]
    tally.problems += [f"{row} is {rows[row.name].state if row.name in rows else 'absent'} here" for row in ended]
    tally.problems += [f"{row.client_order_id} is {row.state} and not shown: {result}" for row in hidden]


def _agrees(seen: Seen, row: IntentRow | None) -> bool:
    if row is None:
        return False
    if not seen.status.terminal:
        return row.state in _MAY_LIVE
    return not seen.filled or row.state in _MAY_LIVE or row.filled_qty == seen.filled


def _is_shown(row: IntentRow, result: ExecutionResult) -> bool:
    told = any(row.client_order_id in note and "scizor run --portfolio" in note for note in result.notes)
    return told and any(
        order.client_order_id == row.client_order_id and order.state is IntentState.UNKNOWN for order in result.orders
    )


def _settled(stage: Stage) -> bool:
    """Whether the ledger says of every order what the exchange says, as far as anybody can know."""
    rows, seen = _rows(stage.ledger), {row.name: row for row in stage.seen()}
    return set(rows) == stage.wanted and all(
        _may_be_absent(row, waited_for=True) if name not in seen else _same(row, seen[name])
        for name, row in rows.items()
    )


def _same(row: IntentRow, seen: Seen) -> bool:
    if not seen.status.terminal:
        return row.state in (IntentState.WORKING, IntentState.PARTIALLY_FILLED) and row.filled_qty == seen.filled
    return row.state.value == seen.status.value and row.filled_qty == seen.filled


def _check_end(stage: Stage, tally: Tally) -> None:
    rows, seen = _rows(stage.ledger), {row.name: row for row in stage.seen()}
    waited_for = any(row.state in _MAY_LIVE for row in rows.values())
    lost = [
        name
        for name in sorted(stage.wanted)
        if (name in seen and not _same(rows[name], seen[name]))
        or (name not in seen and not (name in rows and _may_be_absent(rows[name], waited_for=waited_for)))
    ]
    tally.orders_lost += len(lost)
    tally.problems += [
        f"{name} ended as {rows[name].state if name in rows else 'nothing'}, at the broker {seen.get(name)}"
        for name in lost
    ]
    with stage.ledger.read() as connection:
        mine = {symbol: qty for symbol, qty in owned(connection, "paper", "main").items() if qty}
        tally.problems += [str(row) for row in verify(connection)]
    if mine != stage.held():
        tally.problems.append(f"the ledger owns {mine}, the broker holds {stage.held()}")


def _may_be_absent(row: IntentRow, *, waited_for: bool) -> bool:
    """Whether an order is rightly not at the broker: nobody knows of it, it waits for one that has not ended, or the
    adapter has refused it before it was sent, and says so (an account of which it does not know that it may trade).
    """
    refused_here = row.state is IntentState.REJECTED and "nothing was sent" in row.reason
    return row.state is IntentState.UNKNOWN or (row.state is IntentState.HELD and waited_for) or refused_here


def _rows(ledger: Ledger) -> dict[str, IntentRow]:
    with ledger.read() as connection:
        names = list(connection.execute(sa.select(orders.c.client_order_id)).scalars())
        return intents_by_id(connection, names)
