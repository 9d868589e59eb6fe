"""What the watchdog's looks have in common: a finding, the time by which a session must have come how far, a desk.

What belongs here: those three, and turning a look that fails into a finding. What does not: the looks themselves
(`watch_trading`, `watch_inputs`), and who is told (`cli.watchdog`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from scizor_dagster.config import WatchdogRules
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import lake_location
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.sessions import TradingCalendar


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that did not happen, or cannot be known. `kind` is a stable name for programs."""

    kind: str
    problem: str
    remedy: str
    portfolio: str | None = None
    account: str | None = None
    session: date | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, date) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Watch:
    """What was looked at so far: findings, and sentences that are none."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look(self, what: str, remedy: str, look: Callable[[], Iterator[Finding]]) -> None:
        """Take the findings of one look; one that fails is a finding itself, and ends no other one."""
        try:
            self.findings.extend(look())
        except ScizorError as error:
            self.findings.append(Finding("unreadable", f"{what}: {error}", remedy))
        except Exception as error:
            # A damaged store fails in ways of its own; the other looks are still worth an answer.
            self.findings.append(Finding("unreadable", f"{what}: {type(error).__name__}: {error}", remedy))


@dataclass(frozen=True)
class Deadlines:
    """By when a session must have come how far, in the time of its exchange."""

    calendar: TradingCalendar
    rules: WatchdogRules

    def admitted_by(self, session: date) -> datetime:
        return self.calendar.open_at(session) + timedelta(minutes=self.rules.after_open_minutes)

    def ended_by(self, session: date) -> datetime:
        """After the regular close, which an early one does not bring forward: the schedules do not move with it."""
        regular = datetime.combine(session, self.calendar.regular_hours()[1], self.calendar.timezone)
        latest = max(regular, self.calendar.close_at(session))
        return latest + timedelta(minutes=self.rules.after_close_minutes)

    def last_due(self, by: Callable[[date], datetime], now: datetime) -> date:
        """The newest session whose deadline has passed."""
        session = self.calendar.session_on_or_before(now.astimezone(self.calendar.timezone).date())
        while by(session) > now:
            session = self.calendar.previous_session(session)
        return session


class WatchingDesk(Desk):
    """A desk that only looks: it creates and migrates nothing, and its ledger refuses every write."""

    @cached_property
    def lake(self) -> Lake:
        return Lake(lake_location(self.settings))

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger.open_to_read(self.settings.ledger_url)

    def deadlines(self, market: str) -> Deadlines:
        return Deadlines(self.calendar(market), self.config.watchdog)


def listed(items: Sequence[object]) -> str:
    """The first few of them, and how many more there are."""
    shown = ", ".join(map(str, items[:5]))
    return shown if len(items) <= 5 else f"{shown} and {len(items) - 5} more"
