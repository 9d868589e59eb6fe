"""What can befall a ledger's server or a connection to it, and at which moment of an execution.

What belongs here: the kinds of blows, the moments by their names, and one blow, which strikes once. What does not:
the executions that are struck, and what must hold afterwards (`server_deaths`).
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import FrameType

from tests.postgres import Server
from tests.torture.server_wire import Fate, Held, HeldWire, When


class Kind(Enum):
    """What happens."""

    SERVER_KILLED = "server killed"
    SESSION_KILLED = "session killed"
    SESSION_TERMINATED = "session terminated"
    WIRE_CUT = "wire cut"
    ANSWER_CUT_IN_HALF = "answer cut in half"


SIGKILLS = (Kind.SERVER_KILLED, Kind.SESSION_KILLED)
OPENING, SENDING, RESOLVING = "opening", "sending", "resolving the unknown"
ELSEWHERE = "between"
AT_ANY_TIME = "at any time"
MOMENTS = (
    OPENING,
    "taking the lease",
    "committing the intents",
    "committing the verdicts",
    "marking as sending",
    SENDING,
    "recording the reply",
    "recording fills",
    "releasing the buys",
    RESOLVING,
    "driving on",
    "giving the lease back",
)
"""In the order in which a run comes to them."""
_TAKING, _GIVING_BACK = MOMENTS[1], MOMENTS[-1]
_OF_FUNCTIONS = {
    "execution/executor.py:_admitted": "committing the intents",
    "execution/submission.py:clear": "committing the verdicts",
    "execution/submission.py:send": "marking as sending",
    "execution/submission.py:send_again": "marking as sending",
    "execution/submission.py:_acknowledged": "recording the reply",
    "execution/submission.py:_to_unknown": "recording the reply",
    "ledger/store.py:_migrate": OPENING,
}
_OF_FILES = {
    "execution/tracking.py": "recording fills",
    "execution/release.py": "releasing the buys",
    "execution/recovery.py": RESOLVING,
    "execution/drive.py": "driving on",
}
_ASKS = frozenset({"do_execute", "do_commit", "do_rollback", "do_ping", "do_begin", "connect", "configure"})
"""Functions of the driver's callers in which a thread waits for the server."""


@dataclass
class Blow:
    """One blow at a moment; it strikes once.

    Attributes:
        moment: Whose `nth` held message is meant; `SENDING` waits for a send, `AT_ANY_TIME` for `delay`.
        when: On which side of the server the message is; of a send: before the broker has the order, or after.
        commits: Whether only the commits of the moment count.
        lock_session: Whether the session that holds the account's process lock is struck, and not the one that asks.
        delay: After which share of an undisturbed run.
        struck: At which moment it has struck.
    """

    kind: Kind
    moment: str
    when: When
    nth: int = 1
    commits: bool = False
    lock_session: bool = False
    delay: float = 0.0
    struck: str = ""

    def __str__(self) -> str:
        where = f"{self.delay:.2f}" if self.moment == AT_ANY_TIME else f"{self.nth}. {self.when.name.lower()}"
        return f"{self.kind.value}, {self.moment} ({where}{', commit' if self.commits else ''})"


class Hand:
    """Strikes one blow at a time at the server and at the wire to it."""

    def __init__(self, server: Server, wire: HeldWire) -> None:
        self._server = server
        self._wire = wire
        self._blow: Blow | None = None
        self._seen = 0
        self._one_at_a_time = threading.Lock()
        wire.on_held = self._held

    def raise_(self, blow: Blow, run_seconds: float) -> threading.Timer | None:
        """From now on the blow is due, in a run that takes so long when nothing strikes."""
        self._blow, self._seen = blow, 0
        if blow.moment != AT_ANY_TIME:
            return None
        timer = threading.Timer(blow.delay * run_seconds, self._at_any_time, [blow])
        timer.start()
        return timer

    def lower(self, timer: threading.Timer | None) -> None:
        """Nothing strikes any more."""
        if timer is not None:
            timer.cancel()
            timer.join()
        self._blow = None

    def sending(self, when: When) -> None:
        """An order is about to reach the broker, or has reached it."""
        with self._one_at_a_time:
            if self._due(SENDING, when, is_commit=False):
                self._strike(SENDING, 0)

    def _held(self, held: Held) -> Fate:
        blow = self._blow
        if blow is None or blow.struck:
            return Fate.PASSED_ON
        with self._one_at_a_time:
            moment = moment_of_those_who_ask()
            if not self._due(moment, held.when, is_commit=held.is_commit):
                return Fate.PASSED_ON
            return self._strike(moment, held.backend)

    def _due(self, moment: str, when: When, *, is_commit: bool) -> bool:
        blow = self._blow
        if blow is None or blow.struck or (blow.moment, blow.when) != (moment, when) or blow.commits > is_commit:
            return False
        self._seen += 1
        return self._seen == blow.nth

    def _at_any_time(self, blow: Blow) -> None:
        with self._one_at_a_time:
            if self._blow is blow:
                self._strike(moment_of_those_who_ask(), 0)

    def _strike(self, moment: str, backend: int) -> Fate:
        blow = self._blow
        assert blow is not None
        blow.struck = moment
        if blow.kind is Kind.SERVER_KILLED:
            self._server.kill()
        elif blow.kind in (Kind.SESSION_KILLED, Kind.SESSION_TERMINATED):
            for session in self._sessions(backend, lock_session=blow.lock_session):
                self._end(blow.kind, session)
        elif blow.kind is Kind.ANSWER_CUT_IN_HALF and backend:
            return Fate.CUT_IN_HALF
        elif backend:
            return Fate.CUT
        else:
            self._wire.cut_all()
        return Fate.PASSED_ON

    def _sessions(self, backend: int, *, lock_session: bool) -> list[int]:
        """The session that asks; where nobody does, or the holder of the lock is meant, those that the server names."""
        if backend and not lock_session:
            return [backend]
        locks = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)" if lock_session else "true"
        found = self._server.execute(
            f"SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'scizor%%' AND pid <> %s AND {locks}", 0
        )
        return [int(str(row[0])) for row in found] or ([backend] if backend else [])

    def _end(self, kind: Kind, session: int) -> None:
        if kind is Kind.SESSION_KILLED:
            self._server.kill_backend(session)
            self._server.recover()
        else:
            self._server.execute("SELECT pg_terminate_backend(%s, 10000)", session)


def moment_of_those_who_ask() -> str:
    """The moment of the thread that waits for the server; what several are at is that of the first one found."""
    own = threading.get_ident()
    for ident, frame in sys._current_frames().items():
        if ident != own and (moment := moment_at(frame)):
            return moment
    return ELSEWHERE


@cache
def _place(file: str) -> str:
    return "/".join(file.rsplit("/", 2)[1:])


def moment_at(frame: FrameType | None) -> str:
    """The moment of a thread that waits for the server; empty for another thread."""
    asks = False
    while frame is not None:
        code = frame.f_code
        asks = asks or code.co_name in _ASKS
        place = _place(code.co_filename)
        outer = frame.f_back
        if asks and place == "ledger/lease.py" and code.co_name == "lease":
            return _TAKING if outer is not None and outer.f_code.co_name == "__enter__" else _GIVING_BACK
        moment = _OF_FUNCTIONS.get(f"{place}:{code.co_name}") or _OF_FILES.get(place)
        if asks and moment:
            return moment
        frame = outer
    return ELSEWHERE if asks else ""
