"""What must hold before anything is sent, read from stored facts and from the broker itself.

What belongs here: gates that stop a whole run. What does not: the check of a single order
(`risk.pre_trade`).
"""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Broker, BrokerIdentity
from scizor_dagster.errors import LedgerError, RiskLimitBreached, WrongAccount
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import PAPER, ExecutionSettings
from scizor_dagster.ledger.arming import is_armed
from scizor_dagster.ledger.holdings import NOISE, owned
from scizor_dagster.planning.model import Plan

RAW = "raw"


def check_identity(broker: Broker, settings: ExecutionSettings) -> BrokerIdentity:
    """Ask the broker who it is.

    Raises:
        WrongAccount: its answer differs from what was expected.
        BrokerUnavailable: it does not answer.
    """
    found = broker.identity()
    if found != settings.identity:
        raise WrongAccount(
            f"The broker says it is {_named(found)}; the configuration expects {_named(settings.identity)}.",
            remedy="Nothing was sent. Correct the account's configuration or its credentials.",
        )
    return found


def check_plan(plan: Plan, account: str, portfolio: str, identity: BrokerIdentity) -> None:
    """Refuse a plan that belongs elsewhere, or whose prices may not size a live order.

    Raises:
        LedgerError: the plan is another account's or portfolio's.
        RiskLimitBreached: prices that are not raw, and an account that is not paper.
    """
    if (plan.account, plan.portfolio) != (account, portfolio):
        raise LedgerError(
            f"The plan is for portfolio '{plan.portfolio}' on account '{plan.account}', "
            f"not for '{portfolio}' on '{account}'.",
            remedy="Nothing was admitted. Hand the plan to its own portfolio.",
        )
    if plan.adjustment != RAW and identity.environment != PAPER:
        raise RiskLimitBreached(
            f"The plan was sized on prices of adjustment '{plan.adjustment}', and the account is "
            f"'{identity.environment}'.",
            remedy="Only raw prices size a live order. Use a source of raw prices, or a paper account.",
        )


def check_currency(broker: Broker, plan: Plan) -> None:
    """Raise `WrongAccount` where the account's money is not the plan's."""
    currency = broker.account().currency
    if currency != plan.currency:
        raise WrongAccount(
            f"The account keeps {currency}, and the plan is in {plan.currency}.",
            remedy="Nothing was admitted. Scizor never trades currency by itself; choose a matching account.",
        )


def check_holdings(connection: sa.Connection, plan: Plan) -> None:
    """Refuse a plan that was sized on holdings which have changed since.

    Raises:
        LedgerError: an instrument with orders is owned in another quantity than the plan says.
    """
    if plan.batch == 1:
        holdings = owned(connection, plan.account, plan.portfolio, before=plan.session)
    else:
        holdings = owned(connection, plan.account, plan.portfolio, through=plan.session)
    ordered = {order.symbol for order in plan.orders}
    for line in plan.lines:
        held = holdings.get(line.symbol, Decimal(0))
        if line.symbol in ordered and abs(held - line.current_qty) > NOISE:
            raise LedgerError(
                f"The plan counts on {line.current_qty} {line.symbol}, and the portfolio owns {held}.",
                remedy="Nothing was admitted. Plan again: a fill has arrived since the plan was made.",
            )


def check_armed(connection: sa.Connection, run: Run) -> None:
    """Raise `RiskLimitBreached` unless the account is paper, or armed at this very moment."""
    if run.live and not is_armed(connection, run.account, run.identity, run.now()):
        raise RiskLimitBreached(
            f"Account '{run.account}' is '{run.identity.environment}' and not armed.",
            remedy="Nothing was sent. Live trading is off until a person arms the account, with an expiry.",
        )


def _named(identity: BrokerIdentity) -> str:
    return f"{identity.broker} {identity.environment} account {identity.account_id}"
