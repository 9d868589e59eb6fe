"""One run under one lease: the parts that every step of the protocol shares.

What belongs here: the handed-in parts, the guarded transaction, and what the run has to say. What
does not: any step of the protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.settings import PAPER, ExecutionSettings
from scizor_dagster.ledger.lease import Lease
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.context import Verdict
from scizor_dagster.sessions import Clock


@dataclass
class Run:
    """Everything that a step needs.

    Attributes:
        siblings: Settings of other portfolios on the account. Orders that the ledger admitted for them
            are checked against their own limits and sent; those of a portfolio without settings here
            are polled only.
        notes: Sentences for a person, in the order in which they came up.
        resent: The ids that this run has sent a second time, and the refusal if that was the answer.
        left_alone: Ids that were not found and that only a run with their portfolio's settings may send again.
        waits: Why orders were not sent when this run tried last, by id; those of a frozen instrument apart. What has
            become of one since is in its state.
        asked_to_cancel: Ids of the orders whose time was over, and whose cancel this run has asked for.
        looked_through: Last session up to which this run has read fills and activities, late ones included; None
            before its first look, and after a step of the venue.
    """

    ledger: Ledger
    broker: Answers
    identity: BrokerIdentity
    account: str
    portfolio: str
    clock: Clock
    settings: ExecutionSettings
    lease: Lease
    siblings: Mapping[str, ExecutionSettings] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    resent: dict[str, str | None] = field(default_factory=dict)
    left_alone: set[str] = field(default_factory=set)
    waits: dict[str, Verdict] = field(default_factory=dict)
    asked_to_cancel: set[str] = field(default_factory=set)
    looked_through: date | None = None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A write transaction that holds only while the lease does. The broker is never called in it.

        Raises:
            LedgerError: the lease was lost; nothing is written.
        """
        with self.ledger.transaction() as connection:
            self.lease.guard(connection)
            yield connection

    def renew(self) -> None:
        """Keep the account while nothing is written.

        Raises:
            LedgerError: the lease was lost.
        """
        with self.ledger.transaction() as connection:
            self.lease.guard(connection)

    def now(self) -> datetime:
        return self.clock()

    @property
    def live(self) -> bool:
        return self.identity.environment != PAPER

    def settings_of(self, portfolio: str) -> ExecutionSettings | None:
        """Settings of a portfolio of the account; None where this run was not handed any."""
        return self.settings if portfolio == self.portfolio else self.siblings.get(portfolio)

    def may_send(self, session: date) -> bool:
        """Whether orders of `session` may still go out. A paper venue says itself when one is over."""
        return not self.live or session == self.settings.live_session

    def waited_for(self, client_order_id: str) -> str:
        """Words to end a reason with: what an order that was not sent has waited for, if that is known."""
        verdict = self.waits.get(client_order_id)
        return f", and it waited ({verdict.sentence})" if verdict is not None else ""

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
