"""Cash of the whole account, to the cent: what the ledger comes to against what the broker shows.

What belongs here: the comparison. What does not: what a difference is made of (`explaining`).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from scizor_dagster.reconciliation.explaining import CENT, Evidence, cash_parts
from scizor_dagster.reconciliation.model import (
    Break,
    BreakClass,
    BreakKind,
    BrokerView,
    LedgerView,
    Measures,
    Severity,
    Stage,
)

_FIND = "Find the fee, interest, deposit or fill that the ledger does not have."
_EXPLAINED = "Nothing of its own: clear what has caused it."
_UNTOLD = "Compare it with the account's statement; nothing waits for it."


def cash_breaks(
    ledger: LedgerView, broker: BrokerView, measures: Measures | None = None, evidence: Evidence | None = None
) -> Iterator[Break]:
    """A difference with its parts; where cash cannot be compared, that is said.

    At a broker that tells of no payment it is information: dividends, interest and fees come for ever, and a trade
    that is missing shows in a position.
    """
    if ledger.cash is None:
        if ledger.cash_note:
            yield _not_compared(ledger.cash_note, broker.account.cash)
        return
    rules = measures or Measures()
    difference = broker.account.cash - ledger.cash
    if abs(difference) < CENT:
        return
    known = evidence or Evidence(ledger, broker, (), {})
    parts = cash_parts(difference, known, rules.cash)
    unknown = [part for part in parts if not part.known]
    explained = all(part.break_class is BreakClass.ROUNDING for part in unknown)
    untold = not explained and not rules.payments_told
    causes = [part.cause for part in parts]
    if untold:
        causes.append("the broker tells of no dividend, interest or fee, and what of it is one cannot be said")
    leading = max(unknown or parts, key=lambda part: abs(part.size))
    yield Break(
        BreakKind.CASH_DIFFERS,
        None,
        None,
        f"{ledger.cash:.2f}",
        f"{broker.account.cash:.2f}",
        Severity.INFO if explained or untold else Severity.ERROR,
        _UNTOLD if untold else _EXPLAINED if explained else _FIND,
        stage=Stage.CASH,
        break_class=leading.break_class,
        cause="; ".join(causes),
        amount=difference,
        currency=broker.account.currency,
    )


def _not_compared(why: str, found: Decimal) -> Break:
    return Break(
        BreakKind.CASH_NOT_COMPARED,
        None,
        None,
        why,
        f"{found:.2f}",
        Severity.INFO,
        "It is compared once those orders have ended: reconcile the session again then.",
        stage=Stage.CASH,
        cause="the broker may have filled orders that are not recorded yet",
    )
