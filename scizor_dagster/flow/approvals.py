"""A person says that held weights are meant.

What belongs here: that only what is held can be approved. What does not: what is held (`signals.guards`), the rows
(`ledger.approvals`).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.guards import check_weights
from scizor_dagster.flow.stored import is_admitted
from scizor_dagster.ledger.approvals import SignalApproval, approve
from scizor_dagster.signals.report import SignalReport


def approve_weights(
    desk: Desk, portfolio: str, strategy: str, session: date, *, actor: str, reason: str, file: Path | None = None
) -> tuple[SignalReport, SignalApproval]:
    """Approve the content of a strategy's file (or of `file`) in one session, for every reason it is held for.

    Raises:
        InputError: the portfolio does not follow the strategy, nothing is held, or the session is under way.
        SignalRefused: the file is refused; nobody can approve that.
        LedgerError: the same was approved before.
    """
    followed = desk.portfolio(portfolio).signals.ids
    if strategy not in followed:
        raise InputError(
            f"Portfolio '{portfolio}' does not follow strategy '{strategy}'.",
            remedy=f"Name one of its own ({', '.join(followed)}), or the portfolio that follows it.",
            where="--strategy",
        )
    report = check_weights(desk, portfolio, desk.manifest.strategy(strategy), session, file)
    if report.status == "refused":
        raise report.refusal()
    if report.status == "accepted":
        raise InputError(
            f"The weights of strategy '{strategy}' for {session} are not held.",
            remedy="There is nothing to approve: run the session.",
            where=report.path,
        )
    if is_admitted(desk, portfolio, session):
        raise InputError(
            f"The plan of {session} is admitted; what its weights were stands.",
            remedy="Approve the weights of a later session.",
            where=f"portfolio {portfolio}",
        )
    account = desk.portfolio(portfolio).account
    rules = {item.rule for item in report.violations}
    with desk.ledger.transaction() as connection:
        made = approve(
            connection,
            account,
            portfolio,
            strategy,
            session,
            report.file_hash,
            rows_hash=report.rows_hash,
            rules=rules,
            actor=actor,
            reason=reason,
            now=desk.clock(),
        )
    return report, made
