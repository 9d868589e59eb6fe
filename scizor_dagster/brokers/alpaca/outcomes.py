"""What a reply to a sent order means. The table of every answer that is known.

What belongs here: status and code to one of five outcomes. What does not: what is done about it
(`broker`).

Messages change without notice and codes are shared by many causes: the decision is by status and code,
and one sentence is read only to tell a repeated client order id, which both its codes share with others.
"""

from __future__ import annotations

from enum import StrEnum

from scizor_dagster.brokers.alpaca.transport import Reply


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """A definite refusal: no such order exists, and its id is free."""
    DUPLICATE = "duplicate"
    """An order with this id exists: look it up."""
    ABSENT = "absent"
    """What was asked for is not there."""
    UNKNOWN = "unknown"
    """Anything else. A gateway's timeout, a limit, keys that are not taken: it may have arrived."""


def outcome_of(reply: Reply) -> Outcome:
    status = reply.status
    if status == 200:
        return Outcome.ACCEPTED if isinstance(reply.body, dict) else Outcome.UNKNOWN
    if reply.code is None:
        return Outcome.UNKNOWN
    if status == 422 and "client_order_id" in reply.message and "unique" in reply.message:
        return Outcome.DUPLICATE
    if status == 404:
        return Outcome.ABSENT
    if status in (400, 403, 422):
        return Outcome.REJECTED
    return Outcome.UNKNOWN
