"""The one choke point: no order reaches a broker without a verdict from here.

What belongs here: the verdict on a single order, from all checks in their order. What does not: the checks
themselves (`checks`), facts (the caller reads them from ledger, broker and lake), the row of a verdict
(`events`), and the send itself, which the ledger refuses without a committed verdict
(`ledger.intents.mark_sending`).
"""

from __future__ import annotations

from collections.abc import Mapping

from scizor_dagster.risk.checks import CHECKS, agreed, crosses, standing_allows
from scizor_dagster.risk.context import OPENING, Decision, Finding, OrderToCheck, PreTradeContext, Verdict
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.trading_state import Standing

__all__ = [
    "OPENING",
    "Decision",
    "PreTradeContext",
    "Verdict",
    "check_breaks",
    "check_opposite",
    "check_order",
    "check_standing",
]


def check_order(order: OrderToCheck, context: PreTradeContext, limits: PreTradeLimits) -> Verdict:
    """Check `order` against every limit, in the order of `checks.CHECKS`: the first that does not pass decides."""
    findings: list[Finding] = []
    for check in CHECKS:
        found = check(order, context, limits)
        if found is None:
            continue
        findings.append(found)
        if found.decision is not Decision.PASS:
            return Verdict(found.decision, found.limit, *found.texts, tuple(findings))
    return Verdict(Decision.PASS, findings=tuple(findings))


def check_standing(order: OrderToCheck, standing: Standing) -> Verdict:
    """The trading state alone, asked again between the verdict and the send of a cleared order."""
    return _verdict_of(standing_allows(order, standing))


def check_opposite(order: OrderToCheck, opposite: str | None) -> Verdict:
    """Whether the order could trade with the account's own order `opposite`, asked again as well."""
    return _verdict_of(crosses(order, opposite))


def check_breaks(order: OrderToCheck, breaks: Mapping[str | None, str]) -> Verdict:
    """Whether an open break keeps the order back, asked again as well."""
    return _verdict_of(agreed(order, breaks))


def _verdict_of(found: Finding | None) -> Verdict:
    if found is None:
        return Verdict(Decision.PASS)
    return Verdict(found.decision, found.limit, *found.texts, (found,))
