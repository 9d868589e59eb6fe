"""The states of an order intent and of a batch, and the only ways between them.

What belongs here: the names and the one table of transitions. What does not: the transactions that
make a transition (`intents`, `batches`) and the evidence that calls for one (`execution`).
"""

from __future__ import annotations

from enum import StrEnum

from scizor_dagster.errors import LedgerError


class IntentState(StrEnum):
    HELD = "held"
    """Waits for the release of its batch, or for the first leg of a zero crossing."""
    READY = "ready"
    """Quantity final; may be sent once a pre-trade verdict is committed."""
    SENDING = "sending"
    """Committed before the send. Found in this state after a death, its outcome is not known."""
    WORKING = "working"
    """Acknowledged by the broker."""
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    """Ended by time: at the broker, or here because its session was over before it could be sent."""
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """Sent, or perhaps sent, with no answer that can be relied on. Freezes its instrument."""
    BLOCKED = "blocked"
    """Stopped by a pre-trade limit."""
    DROPPED = "dropped"
    """Released with nothing left to trade, or its first leg did not fill whole."""

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL

    @property
    def at_broker(self) -> bool:
        """Whether the broker has it, or may have it, as an order that can still fill."""
        return self in AT_BROKER


S = IntentState
_TERMINAL = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.BLOCKED, S.DROPPED})
AT_BROKER = (S.SENDING, S.WORKING, S.PARTIALLY_FILLED, S.UNKNOWN)
"""States of what the broker has, or may have, as an order that can still fill."""
_SENT = frozenset({S.WORKING, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED})

TRANSITIONS: dict[IntentState, frozenset[IntentState]] = {
    S.HELD: frozenset({S.HELD, S.READY, S.DROPPED, S.EXPIRED}),
    # Dropped where the order that it waited for is not filled whole any more: an execution was taken back.
    S.READY: frozenset({S.READY, S.SENDING, S.BLOCKED, S.EXPIRED, S.DROPPED}),
    S.SENDING: _SENT | {S.UNKNOWN},
    S.UNKNOWN: _SENT | {S.UNKNOWN, S.SENDING},
    # Unknown where the broker says of it what nobody understands; working again where its fills were taken back.
    S.WORKING: _SENT | {S.UNKNOWN},
    S.PARTIALLY_FILLED: _SENT | {S.UNKNOWN},
    # An ended order may still be shown otherwise: a fill that arrives late, an end that a broker takes back, or an
    # order that a refusal or a silent listing had hidden. The broker's books and executions are the truth.
    S.CANCELED: _SENT | {S.UNKNOWN},
    S.EXPIRED: _SENT | {S.UNKNOWN},
    S.REJECTED: _SENT | {S.UNKNOWN},
    # Executions can be taken back, or the order made larger there: it has ended with less, or is open again.
    S.FILLED: frozenset({S.FILLED, S.CANCELED, S.PARTIALLY_FILLED, S.WORKING, S.UNKNOWN}),
    S.BLOCKED: frozenset(),
    S.DROPPED: frozenset(),
}
"""From each state to those that may follow; a state that may follow itself can change its figures."""


class BatchState(StrEnum):
    WORKING = "working"
    """An order is still to be sent, released, or ended by the broker."""
    FROZEN = "frozen"
    """The outcome of an order is unknown: no new order in that instrument until it is found."""
    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    """Admitted with no order at all."""

    @property
    def open(self) -> bool:
        return self in (BatchState.WORKING, BatchState.FROZEN)


def check_transition(client_order_id: str, old: IntentState, new: IntentState) -> None:
    """Raise `LedgerError` unless `new` may follow `old`."""
    if new not in TRANSITIONS[old]:
        raise LedgerError(
            f"Order {client_order_id} cannot go from '{old}' to '{new}'.",
            remedy="Nothing was changed. The ledger and the caller disagree; follow the orders again.",
        )
