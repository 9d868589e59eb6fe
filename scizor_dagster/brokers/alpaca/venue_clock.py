"""Where the session stands, by the broker's own clock, where that agrees with the exchange's calendar.

What belongs here: the broker's time and what follows from it. What does not: schedules (the machine's
clock), and what is sent when.

A rehearsal may run on another day, and faster: the machine's clock says nothing about the broker's. A
reading is used for a short while, so that a batch of orders does not cost a second message for each. How long ago it
was is told by two clocks: seconds that only grow stand still while a machine is suspended, and a run that goes on the
morning after must not take yesterday's session for that of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from typing import Any

from scizor_dagster.brokers.alpaca.pacing import Seconds
from scizor_dagster.brokers.alpaca.rows import Unreadable, instant
from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.sessions import TradingCalendar


class VenueClock:
    """Safe to ask from several threads.

    Args:
        monotonic: Seconds that only grow.
        wall: Seconds of the machine's clock, which goes on while it is suspended.
        max_age: How long a reading is used, by both.
        closing: The last part of a session.
    """

    def __init__(
        self,
        transport: Transport,
        calendar: TradingCalendar,
        *,
        monotonic: Seconds,
        wall: Seconds,
        max_age: timedelta,
        closing: timedelta,
    ) -> None:
        self._transport = transport
        self._calendar = calendar
        self._monotonic = monotonic
        self._wall = wall
        self._max_age = max_age.total_seconds()
        self._closing = closing
        self._read: tuple[float, float, datetime] | None = None
        self._lock = Lock()

    def now(self) -> datetime:
        """The broker's time, read anew.

        Raises:
            BrokerUnavailable: it cannot be read, or its session is another one than the calendar's.
        """
        body = self._transport.read("/clock", what="clock").body
        try:
            at = instant(body, "timestamp") if isinstance(body, Mapping) else None
            if at is None:
                raise Unreadable("the clock is no object")
            self._check(body, at)
        except Unreadable as error:
            raise BrokerUnavailable(
                f"Alpaca's clock cannot be read: {error}.", remedy="Nothing was sent. Run again."
            ) from error
        with self._lock:
            self._read = (self._monotonic(), self._wall(), at)
        return at

    def session(self) -> date:
        """The session that trades now, or the next one to open; from a reading that is not too old."""
        with self._lock:
            read = self._read
        if read is None:
            return self._calendar.current_session(self.now())
        # The machine's clock may have been set back as well: then it says nothing of how long ago the reading was.
        age = max(self._monotonic() - read[0], abs(self._wall() - read[1]))
        if age >= self._max_age:
            return self._calendar.current_session(self.now())
        # A close between the reading and now would let an order rest for the next session.
        then, since = (self._calendar.current_session(read[2] + timedelta(seconds=passed)) for passed in (0.0, age))
        return then if then == since else self._calendar.current_session(self.now())

    def phase(self, session: date) -> VenuePhase:
        self._calendar.require(session)
        now, close = self.now(), self._calendar.close_at(session)
        if now >= close:
            return VenuePhase.OVER
        if now < self._calendar.open_at(session):
            return VenuePhase.AHEAD
        return VenuePhase.CLOSING if now >= close - self._closing else VenuePhase.OPEN

    def _check(self, body: Mapping[str, Any], at: datetime) -> None:
        """A day that the calendar does not know, or an early close that the broker does not: no trade on either."""
        session = self._calendar.current_session(at)
        is_open = self._calendar.open_at(session) <= at
        following = self._calendar.next_session(session) if is_open else session
        expected = (is_open, self._calendar.open_at(following), self._calendar.close_at(session))
        found = (body.get("is_open"), instant(body, "next_open"), instant(body, "next_close"))
        if found != expected:
            raise BrokerUnavailable(
                f"Alpaca's clock at {at.isoformat()} says {_said(*found)}; calendar {self._calendar.code} says "
                f"{_said(*expected)}.",
                remedy="Nothing was sent. Update exchange_calendars, or wait for an unscheduled closure to pass.",
            )


def _said(is_open: object, next_open: datetime, next_close: datetime) -> str:
    state = "open" if is_open else "closed"
    opens, closes = (at.astimezone(UTC).isoformat() for at in (next_open, next_close))
    return f"{state}, next open {opens}, next close {closes}"
