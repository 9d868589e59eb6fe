"""The parties of a trial: brokers of four kinds that keep their book whatever dies, and ledgers that can be copied.

What belongs here: how each kind answers. What does not: what is asked of it (`scenarios`), and what must hold
afterwards (`truth`).
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Protocol

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, VenuePhase
from scizor_dagster.errors import OrderRejected
from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import Book, ModelBroker
from tests.execution.scenario import PRICES, D
from tests.postgres import Server
from tests.torture.wire import Shared

CASH = D(1000)
STEPS = 3
LATEST = 60.0
"""Seconds within which every kind shows an order."""
CALL_SECONDS = 0.01


@dataclass(frozen=True)
class Kind:
    """How a broker treats ids, and how soon it shows what it took."""

    name: str
    unique: bool
    late: bool
    sends_at_once: int

    @property
    def exact(self) -> bool:
        """Whether whatever dies, the end is that of an undisturbed run."""
        return self.unique and not self.late


KINDS = {
    kind.name: kind
    for kind in (
        Kind("deduplicating", unique=True, late=False, sends_at_once=1),
        Kind("deduplicating-late", unique=True, late=True, sends_at_once=2),
        Kind("accepting-twice", unique=False, late=False, sends_at_once=3),
        Kind("accepting-twice-late", unique=False, late=True, sends_at_once=1),
    )
}


@dataclass(frozen=True)
class Truth:
    """What the broker really has, shown or not."""

    orders: tuple[BrokerOrder, ...]
    attempts: tuple[str, ...]
    positions: dict[str, Any]
    cash: Any


class Venue(ModelBroker):
    """A broker of one kind in its own process: its clock is the shared one, and every call takes a moment of it."""

    def __init__(self, kind: Kind, book: Book, shared: Shared, trial: Random | None) -> None:
        """`trial` draws what goes wrong besides the deaths; without it nothing does."""
        self._shared = shared
        self._trial = trial
        super().__init__(cash=book.cash, prices=PRICES, unique=kind.unique, steps=STEPS)
        self.book = book
        self.kind = kind
        self.sends_at_once = kind.sends_at_once
        if kind.late:
            self.visible_after = timedelta(seconds=LATEST)
            self.absent_looks = 1 if kind.unique else 3
        self.fill_plan = {"AAA": [D("0.5"), D("0.5")], "CCC": [D(0), D("0.5"), D("0.5")]}

    @property
    def time(self) -> datetime:
        return self._shared.clock()

    @time.setter
    def time(self, _: datetime) -> None:
        """Set by the model for a test without a clock; here the shared one is the time."""

    def answer(self, name: str, arguments: Any) -> Any:
        self._shared.advance(CALL_SECONDS)
        if name == "submit" and self._trial is not None:
            self._draw(arguments[0].client_order_id)
        return getattr(self, name)(*arguments)

    def submit(self, order: OrderRequest) -> BrokerOrder:
        if self.phase(order.session) is VenuePhase.OVER:
            raise OrderRejected(order.client_order_id, "other_session", "the session has closed")
        return super().submit(order)

    def advance(self, session: date) -> bool:
        if self.kind.late and self._trial is not None:
            self._shared.advance(self._trial.choice([0.1, 1, 10, 90]))
        return super().advance(session)

    def close_session(self, session: date) -> None:
        while super().advance(session):
            pass

    def wait(self, seconds: float) -> None:
        self._shared.advance(seconds)

    def truth(self) -> Truth:
        return Truth(tuple(self.book.orders), tuple(self.book.attempts), dict(self.book.positions), self.book.cash)

    def _draw(self, name: str) -> None:
        assert self._trial is not None
        if name not in self.lags:
            self.lags[name] = timedelta(seconds=self._trial.uniform(0.5, LATEST) if self.kind.late else 0)
            # A run sends again once. Where its message is lost as well, in the last step of a session, the order
            # ends with it: no loss without a word, and no undisturbed end either.
            lost = 0 if self.kind.exact else 1
            first = self._trial.choices([None, "timeout_after", "lost"], [17, 2, lost])[0]
            again = "no_power" if self.kind.late and self._trial.random() < 0.3 else None
            self.submit_faults[name] = [first, again]


class Store(Protocol):
    """Where the ledger of a trial comes from: one place, in which each trial finds a fresh copy of a template.

    A forked process uses `ledger` as it is, with connections of its own: what was compiled for it need not be
    compiled again.
    """

    @property
    def ledger(self) -> Ledger: ...

    def fresh(self, template: str) -> None:
        """Put a copy of the named template into the place; nobody has the ledger open."""
        ...

    def keep(self, template: str) -> None:
        """Keep what is there as a template; nobody has the ledger open."""
        ...

    def watch(self, broker: ModelBroker) -> None:
        """Let the broker look into the ledger at every send."""
        ...


class Files:
    """SQLite: a template is a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "run" / "ledger.sqlite"
        # A death of a process loses nothing that the machine was handed: no need to wait for its disk.
        self.ledger = Ledger.open(f"sqlite:///{self._path}", synchronous="OFF")
        self.ledger.close()
        self.keep("empty")

    def fresh(self, template: str) -> None:
        for left in self._path.parent.iterdir():
            left.unlink()
        shutil.copyfile(self._folder / template, self._path)

    def keep(self, template: str) -> None:
        shutil.copyfile(self._path, self._folder / template)

    def watch(self, broker: ModelBroker) -> None:
        broker.watch(f"sqlite:///{self._path}")


class Databases:
    """Postgres: a template is a database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._place = server.new_database()
        self._kept: dict[str, str] = {}
        # A death of a process loses nothing that the server was handed.
        self.ledger = Ledger.open(server.url(self._place), synchronous="OFF")
        self.ledger.close()
        self.keep("empty")

    def fresh(self, template: str) -> None:
        self._server.drop(self._place)
        self._server.execute(f'CREATE DATABASE "{self._place}" TEMPLATE "{self._kept[template]}"')

    def keep(self, template: str) -> None:
        # The server may not have noticed yet that a process has died.
        self._server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", self._place)
        self._kept[template] = self._server.new_database(self._place)

    def watch(self, broker: ModelBroker) -> None:
        broker.watch(self._server.url(self._place))


def copy_of(book: Book) -> Book:
    copied: Book = pickle.loads(pickle.dumps(book))
    return copied
