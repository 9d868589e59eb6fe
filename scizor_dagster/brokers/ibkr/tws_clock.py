"""Where the session stands, by the time that TWS itself says.

What belongs here: that time and what follows from it. What does not: the clock that is handed in, which only
must be in the same session: an order that is meant for the past would otherwise trade now.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from threading import Lock

from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.reads import Reads
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.sessions import Clock, TradingCalendar

_MAX_AGE = 30.0
"""Seconds for which a reading is used, so that a batch of orders does not cost a second message for each."""


class TwsClock:
    """Safe to ask from several threads.

    Args:
        ours: The clock that everything else goes by.
        closing: The last part of a session.
    """

    def __init__(
        self,
        connection: IbkrConnection,
        reads: Reads,
        calendar: TradingCalendar,
        ours: Clock,
        closing: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._reads = reads
        self._calendar = calendar
        self._ours = ours
        self._closing = closing
        self._monotonic = monotonic
        self._read: tuple[float, datetime] | None = None
        self._lock = Lock()

    def now(self) -> datetime:
        """The time of TWS, read anew.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        at = self._connection.ask(self._reads.time, "time")
        with self._lock:
            self._read = (self._monotonic(), at)
        return at

    def session(self) -> date:
        """The session that trades now, or the next one to open; from a reading that is not too old.

        Raises:
            BrokerUnavailable: TWS does not answer, or is in another session than the clock that was handed in.
        """
        with self._lock:
            read = self._read
        age = self._monotonic() - read[0] if read is not None else _MAX_AGE
        if read is not None and age < _MAX_AGE:
            # A close between the reading and now would let an order rest for the next session.
            instants = (read[1], read[1] + timedelta(seconds=age), self._ours())
            sessions = {self._calendar.current_session(at) for at in instants}
            if len(sessions) == 1:
                return sessions.pop()
        return self._agreed(self.now())

    def phase(self, session: date) -> VenuePhase:
        """Where TWS's time is in `session`; raises as `session` does."""
        self._calendar.require(session)
        now, close = self.now(), self._calendar.close_at(session)
        self._agreed(now)
        if now < self._calendar.open_at(session):
            return VenuePhase.AHEAD
        if now >= close:
            return VenuePhase.OVER
        return VenuePhase.CLOSING if now >= close - self._closing else VenuePhase.OPEN

    def _agreed(self, theirs: datetime) -> date:
        ours = self._ours()
        session = self._calendar.current_session(theirs)
        if session != self._calendar.current_session(ours):
            raise self._connection.unavailable(
                f"TWS says that it is {theirs.isoformat(timespec='seconds')}, and the clock here "
                f"{ours.isoformat(timespec='seconds')}, which is another session",
                remedy="Nothing was sent. Set this machine's clock by NTP; for a rehearsal of a past day name the "
                "account at `clock` in the configuration.",
            )
        return session
