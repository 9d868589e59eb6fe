"""A person permits a portfolio to trade real money, and takes it back.

What belongs here: that only the pinned account, which the broker says it is at that moment, can be armed, and for how
long. What does not: the rows (`ledger.arming`), and the gates that ask for one (`execution.permissions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from scizor_dagster.errors import InputError
from scizor_dagster.execution.gates import match_identity
from scizor_dagster.execution.settings import PAPER
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.arming import Arming, arm, arming_of


@dataclass(frozen=True)
class Armed:
    """The arming that was made, and the one that it replaces; that may have expired."""

    made: Arming
    replaced: Arming | None


def arm_portfolio(
    desk: Desk,
    portfolio: str,
    account_id: str,
    *,
    until: datetime,
    max_notional: Decimal,
    actor: str,
    reason: str,
) -> Armed:
    """Arm `portfolio` for the broker's account `account_id`; writes nothing unless everything agrees.

    Raises:
        InputError: the account is paper, or another one is pinned; the time has passed or is too far ahead.
        WrongAccount: the broker says that it is another account or environment than the one that is pinned.
        BrokerUnavailable: the broker does not answer.
    """
    settings = desk.portfolio(portfolio)
    pinned, now = desk.pinned_identity(settings.account), desk.clock()
    if pinned.environment == PAPER:
        raise InputError(
            f"Portfolio '{portfolio}' trades on account '{settings.account}', which is paper and needs no arming.",
            remedy="Run it: nothing keeps it from trading.",
            where=portfolio,
        )
    if account_id != pinned.account_id:
        raise InputError(
            f"Portfolio '{portfolio}' trades on account '{settings.account}', which is pinned as another one than "
            f"{account_id}.",
            remedy="Nothing was armed. Give the id that the broker shows, and compare it with accounts."
            f"{settings.account}.account_id in the configuration.",
            where="--account",
        )
    _check_span(until, now, desk.config.arming.max_days)
    match_identity(desk.broker(settings.account, settings.market).identity(), pinned)
    with desk.ledger.transaction() as connection:
        replaced = arming_of(connection, settings.account, portfolio)
        made = arm(
            connection,
            settings.account,
            portfolio,
            pinned,
            until=until,
            max_notional=max_notional,
            currency=desk.market(settings.market).currency,
            actor=actor,
            reason=reason,
            now=now,
        )
    return Armed(made, replaced)


def _check_span(until: datetime, now: datetime, max_days: int) -> None:
    if until <= now:
        raise InputError(
            f"{until.isoformat()} has passed; it is {now.astimezone(until.tzinfo).isoformat(timespec='seconds')}.",
            remedy="Nothing was armed. Give a later time.",
            where="--until",
        )
    if until - now > timedelta(days=max_days):
        raise InputError(
            f"{until.isoformat()} is more than {max_days} days ahead.",
            remedy="Nothing was armed. Give an earlier time, and arm again when it has come; arming.max_days in the "
            "configuration is the longest that one arming may last.",
            where="--until",
        )
