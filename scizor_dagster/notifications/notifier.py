"""The notifier: tells each notice to whom the configuration names, once, and never fails whoever asks it.

What belongs here: which target gets what, the order of remembering and sending, and the bound of time. What does not:
sending (`delivery`), the words (`texts`), and what is due (`flow.notices`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scizor_dagster.config import NotificationRules
from scizor_dagster.config.notifications import PROGRAM
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, NoticeRow
from scizor_dagster.notifications.delivery import NotTold, check_address, check_program, tell_address, tell_program
from scizor_dagster.notifications.notice import Notice, shortened
from scizor_dagster.notifications.records import OpenLedger, Records
from scizor_dagster.notifications.redaction import Redaction, filled_in, referenced
from scizor_dagster.notifications.texts import TEST

LOG = "log"
"""Who is told where nobody is configured: a line in the log."""
BUDGET = 30.0
"""Seconds after which a call begins no further delivery: Dagster ends the tick of a sensor after sixty."""
logger = logging.getLogger("scizor.notifications")


@dataclass(frozen=True, slots=True)
class Channel:
    """One target. `kind` is what may be shown of its address; `events` is None where it takes all."""

    name: str
    kind: str
    url: str = ""
    events: tuple[str, ...] | None = None

    def takes(self, event: str) -> bool:
        return self.events is None or event == TEST or event in self.events


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; `failure` is empty where the target took the notice."""

    target: str
    kind: str
    title: str
    failure: str = ""

    @property
    def went(self) -> bool:
        return not self.failure


class Notifier:
    """Tells notices to the targets of a configuration.

    Args:
        rules: The section `notifications`.
        environment: Where the addresses are.
        folder: Of the configuration: where relative paths of the program begin.
        open_ledger: The ledger that remembers who was told; None where there is none yet.
        clock: The machine's: what is tried again when has nothing to do with an exchange.
        redaction: Blots out secrets of anything that leaves.
        stopwatch: Seconds that pass, for the budget.
    """

    def __init__(
        self,
        rules: NotificationRules,
        environment: Mapping[str, str],
        folder: Path,
        open_ledger: OpenLedger,
        clock: Callable[[], datetime],
        redaction: Redaction,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.clock = clock
        self._environment = environment
        self._folder = folder
        self._redaction = redaction
        self._stopwatch = stopwatch
        self._records = Records(open_ledger, logger)

    @property
    def channels(self) -> list[Channel]:
        """Whom the configuration names, in its order."""
        found = []
        for position, target in enumerate(self.rules.targets):
            url = target.url.get_secret_value()
            scheme, mark, _ = filled_in(url, self._environment).partition("://")
            kind = f"{scheme}://***" if mark else "not set"
            found.append(Channel(target.name(position), kind, url, target.events))
        return found + ([Channel(PROGRAM, PROGRAM)] if self.rules.program is not None else [])

    def tell(self, notices: Iterable[Notice], *, again: bool = False) -> list[Outcome]:
        """Tell what is switched on and new, and with `again` what did not go out before. Raises nothing.

        What there is no time left for is remembered as not told: nobody may come and ask for it a second time.
        """
        began, outcomes, late = self._stopwatch(), list[Outcome](), False
        for channel, row in self._wanted(notices):
            late = late or self._is_late(began)
            outcomes += self._put_off(channel, row) if late else self._tell_new(channel, row)
        for channel, row in self._missed() if again and not late else ():
            if self._is_late(began):
                break
            outcomes += self._tell_new(channel, row)
        return outcomes

    def _is_late(self, began: float) -> bool:
        late = self._stopwatch() - began > BUDGET
        if late:
            logger.warning("Telling takes long; the rest is told next time.")
        return late

    def _tell_new(self, channel: Channel, row: NoticeRow) -> list[Outcome]:
        outcomes = []
        try:
            if self._records.begin(row, self.clock()):
                outcomes.append(self._attempt(channel, row))
                self._records.settle(row, outcomes[-1].failure, self.clock())
        except Exception as error:
            # Whoever asked watches runs, and goes on. The text may hold anything, so the error's kind must do.
            logger.error("Telling %s failed with %s.", channel.name, type(error).__name__)
        return outcomes

    def _put_off(self, channel: Channel, row: NoticeRow) -> list[Outcome]:
        if channel.name == LOG:
            return self._tell_new(channel, row)
        if self._records.begin(row, self.clock()):
            self._records.settle(row, f"There was no time left to tell {channel.name}.", self.clock())
        return []

    def tell_every_time(self, item: Notice) -> list[Outcome]:
        """Tell what is nothing to remember, such as that all is well. Raises nothing."""
        if not self.rules.is_on(item.event):
            return []
        wanted = [channel for channel in self.channels if channel.takes(item.event)]
        return [self._attempt(channel, self._row(item, channel)) for channel in wanted]

    def check(self) -> list[Outcome]:
        """What keeps each target from being told, as far as that shows without sending anything."""
        return [self._checked(channel) for channel in self.channels]

    def _checked(self, channel: Channel) -> Outcome:
        try:
            if self.rules.program is not None and channel.name == PROGRAM:
                check_program(self.rules.program, self._folder)
            else:
                check_address(channel.name, self._address(channel), timeout=self.rules.timeout_seconds)
        except NotTold as error:
            return Outcome(channel.name, channel.kind, "", self._redaction(error.why))
        return Outcome(channel.name, channel.kind, "")

    def _wanted(self, notices: Iterable[Notice]) -> Iterator[tuple[Channel, NoticeRow]]:
        channels = self.channels
        for item in notices:
            if self.rules.is_on(item.event):
                takers = [channel for channel in channels if channel.takes(item.event)]
                yield from ((channel, self._row(item, channel)) for channel in takers or [Channel(LOG, LOG)])

    def _missed(self) -> Iterator[tuple[Channel, NoticeRow]]:
        """What did not go out, to those who are still to hear of it."""
        known = {channel.name: channel for channel in self.channels}
        for row in self._records.to_try_again(self.clock()):
            channel = known.get(row.target)
            if channel is not None and channel.takes(row.event) and self.rules.is_on(row.event) and row.event != TEST:
                yield channel, row

    def _attempt(self, channel: Channel, row: NoticeRow) -> Outcome:
        item = Notice(row.event, row.subject, row.occasion, row.title, row.body, row.facts)
        try:
            self._deliver(channel, item)
        except NotTold as error:
            failure = self._redaction(error.problem)
            words = f" ({self._redaction(error.words)})" if error.words else ""
            logger.warning("%s%s It is tried again, %d times in all.", failure, words, MOST_ATTEMPTS)
            return Outcome(channel.name, channel.kind, row.title, failure)
        if channel.name != LOG:
            logger.info("%s was told: %s", channel.name, row.title)
        return Outcome(channel.name, channel.kind, row.title)

    def _deliver(self, channel: Channel, item: Notice) -> None:
        timeout = self.rules.timeout_seconds
        if channel.name == LOG:
            logger.warning("%s: %s", item.title, " ".join(item.text.split()))
        elif self.rules.program is not None and channel.name == PROGRAM:
            at = self.clock().isoformat(timespec="seconds")
            tell_program(self.rules.program, item, at, timeout=timeout, folder=self._folder)
        else:
            tell_address(channel.name, self._address(channel), item, timeout=timeout)

    def _address(self, channel: Channel) -> str:
        unset = [name for name in referenced(channel.url) if not self._environment.get(name, "").strip()]
        if unset:
            raise NotTold(channel.name, f"the environment variable {unset[0]} is unset or empty")
        return filled_in(channel.url, self._environment)

    def _row(self, item: Notice, channel: Channel) -> NoticeRow:
        title, text = shortened(self._redaction(item.title), self._redaction(item.text))
        facts = _redacted(item.facts, self._redaction)
        return NoticeRow(item.event, item.subject, item.occasion, channel.name, title, text, facts)


def _redacted(value: Any, redaction: Redaction) -> Any:
    """Facts as plain JSON values, without secrets."""
    if isinstance(value, Mapping):
        return {str(key): _redacted(item, redaction) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item, redaction) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else redaction(str(value))
