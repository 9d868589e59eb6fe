"""Trials of a server's death: a rebalance whose ledger lies on a real Postgres, struck by one blow after the other.

After every blow the journal is compared: what was acknowledged, kept outside of the database, with what the server
still has; and what has reached the broker with what the journal says was committed before. Then the run goes on with
what is left of its connections, or another one begins with none. A campaign is drawn from a seed; each trial names
itself so that it can be run alone:

    python -m tests.torture.server_deaths 500 7           a campaign: blows, seed
    python -m tests.torture.server_deaths 500 7 31        the same, its trial 31 alone
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from threading import Lock
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.lease import DEFAULT_TTL, lease_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify
from tests.execution.model_broker import Book
from tests.execution.scenario import MONDAY, D, order, plan_of
from tests.postgres import Server, running
from tests.torture.blows import AT_ANY_TIME, MOMENTS, OPENING, RESOLVING, SENDING, Blow, Hand, Kind
from tests.torture.parties import CASH, KINDS, Venue, copy_of
from tests.torture.parties import Kind as BrokerKind
from tests.torture.scenarios import HELD, compared, holding, run_plan
from tests.torture.server_wire import HeldWire, When, held_wire
from tests.torture.truth import check_at_any_moment, check_at_the_end, facts
from tests.torture.wire import Shared

DEEPEST = 10
"""Blows of one trial, at most."""
SMALL = plan_of(
    [
        order("s-aaa", "AAA", Side.SELL, "15.5"),
        order("s-bbb", "BBB", Side.SELL, "10"),
        order("b-ccc", "CCC", Side.BUY, "160.25"),
    ],
    held=HELD,
    buffer="100",
)
"""Two sales, and a buy for more than the cash that comes in."""
PATIENCE = 8
BROKERS = ("deduplicating", "accepting-twice")
_ONCE = ("taking the lease", "committing the intents", "giving the lease back")
_OFTEN = ("committing the verdicts", "marking as sending", "recording the reply", "recording fills", "driving on")
MARKED = f"intent_{IntentState.SENDING.value}"
_ENTRIES = sa.select(events.c.seq, events.c.hash, events.c.kind, events.c.client_order_id)


class Journal:
    """Every entry of the ledger's history whose commit was acknowledged; no server has it."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[str, str, str | None]] = {}
        self._marks: Counter[str] = Counter()
        self._one_at_a_time = Lock()

    @property
    def last(self) -> int:
        return max(self._entries, default=0)

    def acknowledged(self, rows: Sequence[sa.Row[Any]]) -> None:
        with self._one_at_a_time:
            for seq, seal, kind, name in rows:
                if seq not in self._entries and kind == MARKED:
                    self._marks[name] += 1
                self._entries[seq] = (seal, kind, name)

    def marks(self, client_order_id: str) -> int:
        """How often the order's mark, without which it may not be sent, was acknowledged."""
        return self._marks[client_order_id]

    def check_kept(self, connection: sa.Connection) -> int:
        """How many there are; none of them may be missing, or another one than it was."""
        kept = {row.seq: (row.hash, row.kind, row.client_order_id) for row in connection.execute(_ENTRIES)}
        lost = {seq: entry for seq, entry in self._entries.items() if kept.get(seq) != entry}
        assert not lost, f"acknowledged, and lost: {lost}"
        return len(self._entries)


class JournaledLedger(Ledger):
    """A ledger that notes outside of its database what was acknowledged."""

    journal: Journal | None = None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with super().transaction() as connection:
            yield connection
            since = _ENTRIES.where(events.c.seq > self.journal.last) if self.journal else None
            rows = connection.execute(since).all() if since is not None else []
        if self.journal:
            self.journal.acknowledged(rows)


class StruckBroker:
    """The broker, before and after whose sends a blow may fall. An order that was not committed must not reach it."""

    def __init__(self, venue: Venue, hand: Hand, journal: Journal) -> None:
        self._venue = venue
        self._hand = hand
        self._journal = journal

    def submit(self, order: OrderRequest) -> BrokerOrder:
        self._hand.sending(When.UNREAD)
        name = order.client_order_id
        sent = Counter(self._venue.book.attempts)[name]
        assert self._journal.marks(name) > sent, f"{name} was sent, and its mark was not acknowledged"
        try:
            answer: BrokerOrder = self._venue.answer("submit", (order,))
        finally:
            self._hand.sending(When.ANSWERED)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name == "capabilities":
            return self._venue.capabilities
        return lambda *arguments: self._venue.answer(name, arguments)


@dataclass
class Stage:
    """The server, the wire to it, and the rebalance with one kind of broker, kept as a template."""

    server: Server
    wire: HeldWire
    hand: Hand
    kind: BrokerKind

    def __post_init__(self) -> None:
        self.shared = Shared()
        self.place, self.template = self.server.new_database(), ""
        self.url = self.server.url(self.place)
        # One of each for all trials: a statement that it has compiled need not be compiled again.
        self.looking = Ledger.open(self.url)
        self.ledger = JournaledLedger.open(self.wire.url(self.url))
        self._book = Book(CASH, {symbol: D(qty) for symbol, qty in HELD.items()})
        holding(self.looking, self._venue(self._book, None), self.shared.clock)
        self.close()
        self.template = self.server.new_database(self.place)
        self.run_seconds = 0.0
        trial, began = Trial(self, None), time.monotonic()
        self.calm = facts(trial.settled())
        self.run_seconds = time.monotonic() - began

    def close(self) -> None:
        """Let go of every connection."""
        self.looking.close()
        self.ledger.close()

    def fresh(self, journal: Journal) -> None:
        """A database as it was prepared, and a ledger that notes in this journal."""
        self.close()
        self.server.drop(self.place)
        self.server.execute(f'CREATE DATABASE "{self.place}" TEMPLATE "{self.template}"')
        self.ledger.journal = journal

    def venue(self, trial: Random | None) -> Venue:
        self.shared.reset()
        return self._venue(copy_of(self._book), trial)

    def _venue(self, book: Book, trial: Random | None) -> Venue:
        return Venue(self.kind, book, self.shared, trial)


class Trial:
    """A database of its own, a broker, and the journal of what was acknowledged."""

    def __init__(self, stage: Stage, draw: Random | None) -> None:
        self._stage = stage
        self._venue = stage.venue(draw)
        self._journal = Journal()
        stage.fresh(self._journal)
        self._broker = StruckBroker(self._venue, stage.hand, self._journal)
        self.said: Counter[str] = Counter()
        self.acknowledged = 0

    def struck(self, blow: Blow, draw: Random) -> bool:
        """One run, in which the blow may fall; whether it has."""
        timer = self._stage.hand.raise_(blow, self._stage.run_seconds)
        try:
            if blow.moment == OPENING:
                JournaledLedger.open(self._stage.wire.url(self._stage.url)).close()
            self._run()
        except LedgerError as failure:
            self.said[type(failure).__name__] += 1
            assert "un again" in failure.remedy or "expires by itself" in failure.remedy, failure
            assert blow.struck, f"nothing has struck, and yet: {failure}"
        finally:
            self._stage.hand.lower(timer)
        self._stage.server.recover()
        self._check()
        if draw.random() < 0.5:
            # What is left of the connections goes with the process that had them.
            self._stage.ledger.close()
        self._stage.shared.advance(draw.choice([0, 5, DEFAULT_TTL.total_seconds() + 1]))
        return bool(blow.struck)

    def settled(self) -> Any:
        """Run until all has ended, as a person or a schedule does, and judge; the broker's whole truth."""
        for run in range(PATIENCE):
            if self._run().state is ExecutionState.DONE:
                break
            self._stage.shared.advance(1)
            if run == 1:
                self._venue.close_session(MONDAY)
        self._check()
        truth = self._venue.truth()
        ledger = self._stage.looking
        check_at_the_end(ledger, truth, self._stage.kind)
        assert compared(ledger, self._venue, [SMALL]).break_count == 0
        with ledger.read() as connection:
            assert verify(connection) == []
            held = lease_of(connection, "paper")
            assert held is not None
            assert held.holder is None
        return truth

    def _run(self) -> Any:
        return run_plan(self._stage.ledger, self._broker, self._stage.shared.clock, SMALL)

    def _check(self) -> None:
        with self._stage.looking.read() as connection:
            self.acknowledged = self._journal.check_kept(connection)
        check_at_any_moment(self._stage.looking, self._venue.truth(), self._stage.kind)


def blows_of(count: int, draw: Random) -> list[Blow]:
    """So many, spread over all kinds, moments and sides, in an order that is drawn."""
    kinds = [*Kind, Kind.SERVER_KILLED, Kind.SESSION_KILLED]
    each = list(product([*MOMENTS, AT_ANY_TIME], kinds, When))
    draw.shuffle(each)
    drawn = []
    for nth in range(count):
        moment, kind, when = each[nth % len(each)]
        if kind is Kind.ANSWER_CUT_IN_HALF and moment not in (SENDING, AT_ANY_TIME):
            when = When.ANSWERED
        often = moment in _OFTEN
        commits = draw.random() < 0.7 and (often or moment in _ONCE)
        blow = Blow(kind, moment, when, draw.choice([1, 1, 2]) if often else 1, commits, draw.random() < 0.2)
        drawn.append(replace(blow, delay=draw.uniform(0, 0.7)))
    return drawn


def story_of(left: deque[Blow], draw: Random) -> list[Blow]:
    """The blows of one trial, in the order in which a run comes to their moments."""
    due = [left.popleft() for _ in range(min(len(left), draw.randint(3, DEEPEST)))]
    moments = {blow.moment for blow in due}
    if RESOLVING in moments and SENDING not in moments:
        due.append(Blow(draw.choice(list(Kind)), SENDING, draw.choice(list(When))))
    return sorted(due, key=lambda blow: MOMENTS.index(blow.moment) if blow.moment in MOMENTS else draw.randrange(9))


def campaign(count: int, seed: int, server: Server, only: int | None = None) -> dict[str, Any]:
    """Trials until so many blows have struck; what they came to.

    Raises:
        AssertionError: naming the trial that did not hold, and how to run it alone.
    """
    assert server.execute("SHOW fsync") == [("on",)]
    found: Counter[str] = Counter()
    left = deque(blows_of(count, Random(f"{seed}")))
    with held_wire(server) as wire:
        hand = Hand(server, wire)
        stages = [Stage(server, wire, hand, KINDS[name]) for name in BROKERS]
        number = 0
        while left:
            draw = Random(f"{seed} {number}")
            due = story_of(left, draw)
            if only in (None, number):
                missed = _trial(stages[number % len(stages)], due, draw, found, f"{count} {seed} {number}")
                # Early ones of the next trial: their moment had passed, or does not come up that often.
                left.extend(replace(blow, nth=1, commits=False, delay=blow.delay / 2) for blow in missed)
            number += 1
    return {"trials": number, **found}


def _trial(stage: Stage, due: Sequence[Blow], draw: Random, found: Counter[str], name: str) -> list[Blow]:
    trial, last = Trial(stage, draw), ""
    missed = []
    try:
        for blow in due:
            last = str(blow)
            if trial.struck(blow, draw):
                found["blows"] += 1
                found[f"kind: {blow.kind.value}"] += 1
                found[f"moment: {blow.struck}"] += 1
                found["at a commit"] += blow.commits
            else:
                missed.append(blow)
        truth = trial.settled()
        if stage.kind.exact:
            assert facts(truth) == stage.calm, f"{facts(truth)} is not {stage.calm}"
    except Exception as failure:
        raise AssertionError(
            f"{failure!r}\nafter {last}; alone: python -m tests.torture.server_deaths {name}"
        ) from failure
    found["acknowledged"] += trial.acknowledged
    found.update(f"said: {word}" for word in trial.said.elements())
    return missed


def main(arguments: Sequence[str]) -> None:
    count, seed, *only = map(int, arguments)
    with running() as server:
        found = campaign(count, seed, server, only[0] if only else None)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
