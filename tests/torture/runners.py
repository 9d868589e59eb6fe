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
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from scizor_dagster.errors import AccountBusy, LedgerError
from scizor_dagster.execution.executor import ExecutionState, cancel_open, execute
from scizor_dagster.ledger import backend
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.scenario import MONDAY, adopt, parts
from tests.torture.beginning import Beginning, Command, checked
from tests.torture.lines import Point, Strike
from tests.torture.parties import KINDS, LATEST, Files, Kind, Store, Venue
from tests.torture.scenarios import HELD, PLAN, Clock, holding, place, resting, resume, run_plan
from tests.torture.truth import check_at_any_moment, check_at_the_end
from tests.torture.wire import Caller, RemoteBroker, serve_together

PATIENCE = 8
LEASE = 120.0
"""Seconds after which a sleeper's account may be taken."""
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
    holding(ledger, venue, clock)
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


PAIRINGS = {
    pairing.name: pairing
    for pairing in (
        Pairing("same plan", holding, (run_plan, run_plan)),
        Pairing("same key", resting, (place, place)),
        Pairing("two portfolios", _for_two, (run_plan, run_other)),
        Pairing("run, follow and cancel", _halted, (run_plan, resume, cancel)),
        Pairing("sleeper", holding, (run_plan, run_plan), sleeps=True),
        Pairing("sleeper of two portfolios", _for_two, (run_plan, run_other), sleeps=True),
    )
}


class Table(Beginning):
    """One pairing with one kind of broker."""

    def __init__(self, pairing: Pairing, kind: Kind, store: Store) -> None:
        super().__init__(pairing.name, kind, store, pairing.prepare, pairing.commands)
        self.pairing = pairing

    def sit(self, venue: Venue, command: Command, asleep_at: Point | None = None) -> Caller:
        """A process that says what became of its command: the state it ended in, or why it did nothing."""

        def body(ledger: Ledger, broker: RemoteBroker) -> str:
            if self.pairing.sleeps:
                # Who sleeps in a transaction has everybody wait: here the others say so at once.
                backend.BUSY_TIMEOUT_MS = 50
            if asleep_at is not None:

                def tell(place: str) -> None:
                    self.shared.tell(place)
                    broker.say_stopping()

                broker.on_answer = Strike(asleep_at, signal.SIGSTOP, tell).mark
            try:
                result = command(ledger, broker, self.shared.clock)
            except AccountBusy as busy:
                return "busy" if busy.holder == "tester" else f"held by {busy.holder}"
            except LedgerError as failure:
                for word in ("was lost", "database is locked"):
                    if word in str(failure):
                        return word
                raise
            return str(getattr(result, "state", "canceled"))

        return self.start(venue, body)

    def settle(self, venue: Venue) -> None:
        """Each portfolio's own command until all has ended, and the judgement."""
        commands = [command for command in dict.fromkeys(self.commands) if command is not cancel]

        def body(ledger: Ledger, broker: RemoteBroker) -> None:
            for run in range(PATIENCE):
                states = [command(ledger, broker, self.shared.clock).state for command in commands]
                # What a sleeper has sent when it woke may have been proven absent before. It is taken back by a look
                # that is shown it.
                looked = run > 0 or not self.pairing.sleeps
                if looked:
                    check_at_any_moment(ledger, broker.truth(), self.kind)
                if looked and set(states) == {ExecutionState.DONE}:
                    break
                broker.wait(LATEST + 1)
                if run == 1:
                    broker.close_session(MONDAY)
            broker.wait(LATEST + 1)
            for command in commands:
                command(ledger, broker, self.shared.clock)
            check_at_the_end(ledger, broker.truth(), self.kind)

        self.run(venue, body)


def round_of(table: Table, number: int, seed: int) -> Counter[str]:
    """One round; how its processes ended, and how often a sleeper sent when it woke."""
    draw = Random(f"{seed} {table.name} {number}")
    venue = table.begin(draw)
    commands = list(table.pairing.commands)
    if table.pairing.sleeps:
        found = _sleeping(table, venue, draw)
    else:
        draw.shuffle(commands)
        callers = [table.sit(venue, command) for command in commands]
        serve_together(callers, venue)
        found = Counter(checked(caller.ended).value for caller in callers)
        assert found["busy"] < len(callers), "each held the account against the other"
        assert not found["was lost"], "an account was taken from the living"
    table.settle(venue)
    return found


def _sleeping(table: Table, venue: Venue, draw: Random) -> Counter[str]:
    sleeper, *others = table.pairing.commands
    # Half of the sleepers fall asleep around a send.
    near = table.lines if draw.random() < 0.5 else [row for row in table.lines if row[0].startswith(SENDING)]
    caller = table.sit(venue, sleeper, draw.choice(near)[1])
    caller.serve(venue)
    if not caller.stopped:
        return Counter([checked(caller.ended).value])
    place = table.shared.place
    # Before its lease runs out nobody can have the account; afterwards everybody can.
    early = draw.random() < 0.2
    table.shared.advance(1 if early else LEASE + 1)
    found: Counter[str] = Counter()
    for command in others * draw.choice([1, 2]):
        found[checked(table.sit(venue, command).serve(venue)).value] += 1
        table.shared.advance(draw.choice([0, LATEST + 1]))
    before = len(venue.book.attempts)
    # Asleep within a send it sends still, whatever has become of its order; the laws that follow are about that.
    venue.committed = None
    caller.wake()
    woken = checked(caller.serve(venue)).value
    found[f"woken: {woken}"] += 1
    if woken == "was lost" and len(venue.book.attempts) > before:
        found["sent when woken"] += len(venue.book.attempts) - before
        assert len(venue.book.attempts) - before <= venue.sends_at_once, place
    return found


def rounds(count: int, seed: int, store: Store) -> dict[str, Counter[str]]:
    """`count` rounds, spread over every pairing and kind; how the processes of each pairing ended.

    Raises:
        AssertionError: naming the round that did not hold, and how to run it alone.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in PAIRINGS}
    tables = [(pairing, kind) for pairing in PAIRINGS for kind in KINDS]
    for nth, (pairing, kind) in enumerate(tables):
        table = Table(PAIRINGS[pairing], KINDS[kind], store)
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
            said: Any = round_of(Table(PAIRINGS[pairing], KINDS[kind], store), int(number), int(seed))
        else:
            said = rounds(int(arguments[0]), int(arguments[1]), store)
        sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
