"""A broker that keeps to its protocol, whatever its adapter lets through: a read answers or is `BrokerUnavailable`.

What belongs here: turning what an adapter should not raise into what the protocol has for it. What does not: what is
done about it, and a send, whose every failure but a refusal is an unknown outcome (`submission`).

A field that a broker has renamed must not end a run in the middle with an error that nobody can act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from scizor_dagster.brokers.protocol import (
    AccountState,
    Broker,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    VenuePhase,
)
from scizor_dagster.errors import BrokerUnavailable, ScizorError


class Answers:
    """See the module and `brokers.protocol.Broker`. `sender` is the broker itself, for the one place that sends."""

    def __init__(self, broker: Broker) -> None:
        self.sender = broker

    @property
    def capabilities(self) -> Capabilities:
        with _answering("capabilities"):
            return self.sender.capabilities

    def identity(self) -> BrokerIdentity:
        with _answering("identity"):
            return self.sender.identity()

    def account(self) -> AccountState:
        with _answering("account"):
            return self.sender.account()

    def positions(self) -> Sequence[BrokerPosition]:
        with _answering("positions"):
            return list(self.sender.positions())

    def find(self, client_order_id: str) -> BrokerOrder | None:
        with _answering(f"order {client_order_id}"):
            return self.sender.find(client_order_id)

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        with _answering("orders"):
            return list(self.sender.orders(session))

    def open_orders(self) -> Sequence[BrokerOrder]:
        with _answering("open orders"):
            return list(self.sender.open_orders())

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        with _answering("fills"):
            return list(self.sender.fills(first, last))

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        with _answering("activities"):
            return list(self.sender.activities(first, last))

    def cancel(self, client_order_id: str) -> None:
        with _answering(f"cancel of {client_order_id}"):
            self.sender.cancel(client_order_id)

    def phase(self, session: date) -> VenuePhase:
        with _answering("phase"):
            return self.sender.phase(session)

    def advance(self, session: date) -> bool:
        with _answering("session"):
            return self.sender.advance(session)


@contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        yield
    except ScizorError:
        raise
    except Exception as broken:
        raise BrokerUnavailable(
            f"The broker's answer could not be understood ({what}): {type(broken).__name__}: {broken}.",
            remedy="Nothing was concluded from it. Run again; if it stays so, the broker's API has changed.",
        ) from broken
