"""Where trials begin: a prepared ledger and book, of which each trial has copies, and the processes that act on them.

What belongs here: preparing, copying, and processes in general. What does not: what the processes do (`deaths`,
`runners`).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import Book
from tests.execution.scenario import D
from tests.torture.lines import Listing, Point
from tests.torture.parties import CASH, Kind, Store, Venue, copy_of
from tests.torture.scenarios import HELD, Clock
from tests.torture.wire import Caller, Ended, RemoteBroker, Shared, fork

Command = Callable[[Ledger, Any, Clock], Any]
STARTED = 30.0
"""Seconds on the clock when a trial begins. A lease of the preparation has not run out, and its holder is gone."""


class Beginning:
    """One situation with one kind of broker.

    Attributes:
        name: Names the situation and the kind; the ledger's template has it too.
        lines: The place and the point of every line that an undisturbed process executes in the first command.
    """

    def __init__(
        self,
        situation: str,
        kind: Kind,
        store: Store,
        prepare: Callable[[Ledger, Venue, Clock], None],
        commands: Sequence[Command],
    ) -> None:
        self.name = f"{situation} {kind.name}"
        self.kind = kind
        self.store = store
        self.shared = Shared()
        self.commands = tuple(commands)
        self._book = Book(CASH, {symbol: D(qty) for symbol, qty in HELD.items()})
        store.fresh("empty")
        prepare(store.ledger, self._venue(self._book, None), self.shared.clock)
        store.ledger.close()
        store.keep(self.name)
        for command in self.commands:
            # In this very process, so that the forked ones find every statement compiled.
            command(store.ledger, self.begin(None), self.shared.clock)
            store.ledger.close()
        self.lines: list[tuple[str, Point]] = self.run(self.begin(None), self._list).value
        gc.collect()
        gc.freeze()

    def begin(self, trial: Random | None) -> Venue:
        """The broker of a new trial, beside a fresh ledger; `trial` draws what goes wrong besides."""
        self.shared.reset()
        self.shared.move_to(STARTED)
        self.store.fresh(self.name)
        return self._venue(copy_of(self._book), trial)

    def start(self, venue: Venue, body: Callable[[Ledger, RemoteBroker], Any]) -> Caller:
        """A process with the ledger and the broker."""
        capabilities = venue.capabilities
        return fork(lambda wire: body(self.store.ledger, RemoteBroker(wire, capabilities)))

    def run(self, venue: Venue, body: Callable[[Ledger, RemoteBroker], Any]) -> Ended:
        """Such a process to its end, whichever that is.

        Raises:
            AssertionError: with what it raised itself.
        """
        return checked(self.start(venue, body).serve(venue))

    def _venue(self, book: Book, trial: Random | None) -> Venue:
        venue = Venue(self.kind, book, self.shared, trial)
        self.store.watch(venue)
        return venue

    def _list(self, ledger: Ledger, broker: RemoteBroker) -> list[tuple[str, Point]]:
        # As in those that are killed: a ledger that has passed the fork, and has yet to be connected to.
        ledger.close()
        listing = Listing()
        broker.on_answer = listing.mark
        self.commands[0](ledger, broker, self.shared.clock)
        sys.settrace(None)
        return listing.lines


def checked(ended: Ended) -> Ended:
    """The same, where the process did not end by an exception of its own."""
    assert not ended.crash, ended.crash
    return ended
