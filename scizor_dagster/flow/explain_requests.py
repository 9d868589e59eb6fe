"""The link that stands at the head of a manual order's chain, where others have the line of a file.

What belongs here: who has asked for it, and for what. What does not: the links below it (`explain_weights`,
`explain_orders`).
"""

from __future__ import annotations

import json

from scizor_dagster.analytics.explain.model import Link, Step, moment
from scizor_dagster.errors import sentence
from scizor_dagster.flow.explain_facts import SessionFacts
from scizor_dagster.ledger.manual_orders import KEEP


def request_link(facts: SessionFacts) -> Link:
    """Who has asked for a manual order, and for what."""
    asked, title, source = facts.by_hand, "Manual order", "ledger: manual_orders"
    if asked is None:
        gone = f"The ledger has no request of batch {facts.batch_id}: it was lost, unless a newer backup has it."
        return Link(Step.REQUEST, title, source, missing=gone)
    terms = json.loads(asked.request)
    wanted = ", ".join(f"{name} {terms[name]}" for name in terms if name not in ("actor", "reason", "portfolio"))
    then = "sets apart what it has bought" if asked.policy == KEEP else "trades it back to the targets"
    said = (
        f"{asked.actor} asked for it at {moment(asked.at)}: {wanted}.",
        f"Idempotency key {asked.idempotency_key}.",
        f"Why: {sentence(asked.reason)}",
        f"No weight is behind it. As the portfolio had it then, the next rebalance {then} ({asked.policy}).",
    )
    body = {name: getattr(asked, name) for name in ("idempotency_key", "actor", "reason", "policy", "at", "batch_id")}
    return Link(Step.REQUEST, title, source, said, body | {"request": terms})
