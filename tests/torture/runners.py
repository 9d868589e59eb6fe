"""Rounds of two and three processes on one account: started together, or one that sleeps while another takes over.

python -m tests.torture.runners 40 7                     rounds, seed: of every pairing over all kinds of brokers
python -m tests.torture.runners sleeper accepting-twice 12 7   one round: pairing, kind, number, seed
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from scizor_dagster.errors import AccountBusy, LedgerError
from scizor_dagster.execution.executor import ExecutionState, cancel_open, execute
from scizor_dagster.ledger import store as ledger_store
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.model_broker import Book
from tests.execution.scenario import MONDAY, D, adopt, parts
from tests.torture.lines import Listing, Point, Strike
from tests.torture.parties import CASH, KINDS, LATEST, Files, Kind, Store, Venue, copy_of
from tests.torture.scenarios import HELD, PLAN, Clock, holding, resting, resume, run_plan
from tests.torture.truth import check_at_any_moment, check_at_the_end
from tests.torture.wire import Caller, RemoteBroker, Shared, fork, say_stopping, serve_together

Command = Callable[[Ledger, Any, Clock], Any]
PATIENCE = 8
LEASE = 120.0
"""Seconds after which a sleeper's account may be taken."""
STARTED = 30
SENDING = "execution/submission.py"


def _other_plan() -> Plan:
    """The same instruments for another portfolio."""
    named = [row._replace(client_order_id=f"o-{row.client_order_id}") for row in PLAN.orders]
    orders = [row._replace(depends_on=tuple(f"o-{name}" for name in row.depends_on)) for row in named]
    return replace(PLAN, plan_id="q".ljust(64, "0"), portfolio="other", orders=tuple(orders))


OTHER = _other_plan()


def run_other(ledger: Ledger, broker: Any, clock: Clock) -> Any:
    return execute(OTHER, **parts(ledger, broker, clock=clock, portfolio="other"))


def cancel(ledger: Ledger, broker: Any, clock: Clock) -> Any:
    return cancel_open(**parts(ledger, broker, clock=clock))


def _for_two(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    holding(ledger)
    for symbol, qty in HELD.items():
        adopt(ledger, symbol, qty, portfolio="other")
        venue.book.positions[symbol] *= 2


def _halted(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    """Sales rest at the broker, and a person has halted the account and wants them back."""
    resting(ledger, venue, clock)
    with ledger.transaction() as connection:
        set_state(
            connection, "paper", None, TradingState.HALTED, reason="look", actor="t", now=clock(), cancel_open=True
        )


@dataclass(frozen=True)
class Pairing:
    """Attributes:
    prepare: Brings ledger and book to the beginning.
    commands: What the processes do that start together.
    sleeps: Whether the first one is stopped at a line, and woken when the others have ended.
    """

    name: str
    prepare: Callable[[Ledger, Venue, Clock], None]
    commands: tuple[Command, ...]
    sleeps: bool = False


def nothing(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    holding(ledger)


PAIRINGS = {
    pairing.name: pairing
    for pairing in (
        Pairing("same plan", nothing, (run_plan, run_plan)),
        Pairing("two portfolios", _for_two, (run_plan, run_other)),
        Pairing("run, follow and cancel", _halted, (run_plan, resume, cancel)),
        Pairing("sleeper", nothing, (run_plan, run_plan), sleeps=True),
        Pairing("sleeper of two portfolios", _for_two, (run_plan, run_other), sleeps=True),
    )
}


@dataclass
class Table:
    """One pairing with one kind of broker, prepared."""

    pairing: Pairing
    kind: Kind
    store: Store
    shared: Shared = field(default_factory=Shared)
    book: Book = field(default_factory=lambda: Book(CASH, {symbol: D(qty) for symbol, qty in HELD.items()}))
    lines: list[tuple[str, Point]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.pairing.name} {self.kind.name}"

    def prepare(self) -> None:
        self.store.fresh("empty")
        self.shared.reset()
        venue = Venue(self.kind, self.book, self.shared, None)
        self.pairing.prepare(self.store.ledger, venue, self.shared.clock)
        self.store.ledger.close()
        self.store.keep(self.name)
        for command in self.pairing.commands:
            # In this very process, so that the forked ones find every statement compiled.
            command(self.store.ledger, self.begin(None), self.shared.clock)
            self.store.ledger.close()
        if self.pairing.sleeps:
            self.lines = self._listed()

    def begin(self, trial: Random | None) -> Venue:
        self.shared.reset()
        self.shared.move_to(STARTED)
        self.store.fresh(self.name)
        venue = Venue(self.kind, copy_of(self.book), self.shared, trial)
        self.store.watch(venue)
        return venue

    def start(self, venue: Venue, command: Command, asleep_at: Point | None = None) -> Caller:
        """A process that says what became of its command: the state it ended in, or why it did nothing."""
        capabilities = venue.capabilities

        def body(wire: Any) -> str:
            broker = RemoteBroker(wire, capabilities)
            # Who sleeps in a transaction has everybody wait: the others say so at once here.
            ledger_store.BUSY_TIMEOUT_MS = 50 if self.pairing.sleeps else ledger_store.BUSY_TIMEOUT_MS
            if asleep_at is not None:

                def tell(place: str) -> None:
                    self.shared.tell(place)
                    say_stopping(wire)

                broker.on_answer = Strike(asleep_at, signal.SIGSTOP, tell).mark
            try:
                result = command(self.store.ledger, broker, self.shared.clock)
            except AccountBusy as busy:
                return "busy" if busy.holder == "tester" else f"held by {busy.holder}"
            except LedgerError as failure:
                for word in ("was lost", "database is locked"):
                    if word in str(failure):
                        return word
                raise
            return str(getattr(result, "state", "canceled"))

        return fork(body)

    def settle(self, venue: Venue) -> None:
        """Each portfolio's own command until all has ended, and the judgement."""

        def body(wire: Any) -> None:
            broker, ledger = RemoteBroker(wire, venue.capabilities), self.store.ledger
            commands = [command for command in dict.fromkeys(self.pairing.commands) if command is not cancel]
            for run in range(PATIENCE):
                check_at_any_moment(ledger, broker.truth(), self.kind)
                states = [command(ledger, broker, self.shared.clock).state for command in commands]
                if set(states) == {ExecutionState.DONE}:
                    break
                broker.wait(LATEST + 1)
                if run == 1:
                    broker.close_session(MONDAY)
            broker.wait(LATEST + 1)
            for command in commands:
                command(ledger, broker, self.shared.clock)
            check_at_the_end(ledger, broker.truth(), self.kind)

        self.checked(fork(body).serve(venue))

    def checked(self, ended: Any) -> Any:
        assert not ended.crash, ended.crash
        assert ended.status == 0, f"ended with {ended.status}"
        return ended.value

    def _listed(self) -> list[tuple[str, Point]]:
        venue = self.begin(None)
        capabilities = venue.capabilities

        def body(wire: Any) -> list[tuple[str, Point]]:
            broker, listing = RemoteBroker(wire, capabilities), Listing()
            broker.on_answer = listing.mark
            self.pairing.commands[0](self.store.ledger, broker, self.shared.clock)
            sys.settrace(None)
            return listing.lines

        found: list[tuple[str, Point]] = self.checked(fork(body).serve(venue))
        return found


def round_of(table: Table, number: int, seed: int) -> Counter[str]:
    """One round; how its processes ended, and how often a sleeper sent when it woke."""
    draw = Random(f"{seed} {table.name} {number}")
    venue = table.begin(draw)
    commands = list(table.pairing.commands)
    if table.pairing.sleeps:
        found = _sleeping(table, venue, draw)
    else:
        draw.shuffle(commands)
        callers = [table.start(venue, command) for command in commands]
        serve_together(callers, venue)
        found = Counter(table.checked(caller.ended) for caller in callers)
        assert found["busy"] < len(callers), "each held the account against the other"
        assert not found["was lost"], "an account was taken from the living"
    table.settle(venue)
    return found


def _sleeping(table: Table, venue: Venue, draw: Random) -> Counter[str]:
    sleeper, *others = table.pairing.commands
    # Half of the sleepers fall asleep around a send.
    near = table.lines if draw.random() < 0.5 else [row for row in table.lines if row[0].startswith(SENDING)]
    caller = table.start(venue, sleeper, draw.choice(near)[1])
    caller.serve(venue)
    if not caller.stopped:
        return Counter([table.checked(caller.ended)])
    place = table.shared.place
    # Before its lease runs out nobody can have the account; afterwards everybody can.
    early = draw.random() < 0.2
    table.shared.advance(1 if early else LEASE + 1)
    found: Counter[str] = Counter()
    for command in others * draw.choice([1, 2]):
        found[table.checked(table.start(venue, command).serve(venue))] += 1
        table.shared.advance(draw.choice([0, LATEST + 1]))
    before = len(venue.book.attempts)
    # Asleep within a send it sends still, whatever has become of its order; the laws that follow are about that.
    venue.committed = None
    caller.wake()
    woken = table.checked(caller.serve(venue))
    found[f"woken: {woken}"] += 1
    if woken == "was lost" and len(venue.book.attempts) > before:
        found["sent when woken"] += len(venue.book.attempts) - before
        assert len(venue.book.attempts) - before <= venue.sends_at_once, place
    return found


def table_of(pairing: str, kind: str, store: Store) -> Table:
    table = Table(PAIRINGS[pairing], KINDS[kind], store)
    table.prepare()
    return table


def rounds(count: int, seed: int, store: Store) -> dict[str, Counter[str]]:
    """`count` rounds, spread over every pairing and kind; how the processes of each pairing ended.

    Raises:
        AssertionError: naming the round that did not hold, and how to run it alone.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in PAIRINGS}
    tables = [(pairing, kind) for pairing in PAIRINGS for kind in KINDS]
    for nth, (pairing, kind) in enumerate(tables):
        table = table_of(pairing, kind, store)
        for number in range(count // len(tables) + (nth < count % len(tables))):
            try:
                found[pairing] += round_of(table, number, seed)
            except AssertionError as failure:
                again = f"python -m tests.torture.runners '{pairing}' {kind} {number} {seed}"
                raise AssertionError(f"{failure}\nasleep at {table.shared.place}; alone: {again}") from failure
            found[pairing]["rounds"] += 1
    return found


def main(arguments: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Files(Path(folder))
        if arguments[0] in PAIRINGS:
            pairing, kind, number, seed = arguments
            said: Any = round_of(table_of(pairing, kind, store), int(number), int(seed))
        else:
            said = rounds(int(arguments[0]), int(arguments[1]), store)
        sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
