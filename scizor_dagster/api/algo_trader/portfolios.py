"""`/api/portfolios`: the portfolios of the configuration, and how each stands."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Holder, Lister
from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.arming import Arming, arming_of
from scizor_dagster.ledger.rows import last_batch_of
from scizor_dagster.ledger.strategies import StrategyStanding, strategy_states
from scizor_dagster.risk.trading_state import standing

router = ApiRouter("portfolios")
_SUMMARY: dict[str, Any] = {
    "name": "main",
    "market": "us",
    "account": "paper",
    "currency": "USD",
    "broker": "paper",
    "strategies": ["weekly"],
}


class PortfolioSummary(Model):
    """A portfolio, and what it trades."""

    model_config = ConfigDict(json_schema_extra={"example": _SUMMARY})

    name: str
    market: str
    account: str
    currency: str
    broker: str
    strategies: list[str]


class StrategyInPortfolio(Model):
    """One strategy of a portfolio."""

    strategy: str
    state: str = Field(description="`running`, `paused` or `stopped`.")
    liquidate: bool = Field(description="Whether what it holds is to be sold by the next plan.")
    since: datetime | None = Field(description="Null for one that nobody ever changed: it runs.")
    by: str | None
    reason: str | None


class ArmingView(Model):
    """A permission to trade real money."""

    broker_account_id: str
    environment: str
    until: datetime
    max_notional: Exact = Field(description="What all orders under it may be worth together.")
    sent: Exact = Field(description="What those are worth that went out under it.")
    currency: str
    by: str
    reason: str
    at: datetime


class PortfolioDetail(PortfolioSummary):
    """A portfolio as it stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": _SUMMARY
            | {
                "environment": "paper",
                "approval": "auto",
                "trading_state": "active",
                "trading_state_reason": None,
                "trading_state_by": None,
                "last_session": "2026-11-20",
                "arming": None,
                "strategy_states": [],
            }
        }
    )

    environment: str = Field(description="`paper` or `live`.")
    approval: str = Field(description="`manual` where each plan waits for a person.")
    trading_state: str = Field(description="`active`, `reducing` or `halted`, of portfolio and account the stricter.")
    trading_state_reason: str | None
    trading_state_by: str | None
    last_session: date | None = Field(description="The last session of which a plan was admitted.")
    arming: ArmingView | None = Field(description="The arming that was not taken back; it may have expired.")
    strategy_states: list[StrategyInPortfolio]


@router.get("/portfolios", summary="The portfolios")
def list_portfolios(desk: TheDesk, actor: Lister, paging: ThePage) -> Page[PortfolioSummary]:
    """Those whose account the key may see, by name."""
    names = sorted(actor.portfolios(desk))
    return paging.page([PortfolioSummary(**_summary(desk, name)) for name in names], lambda item: item.name)


@router.get("/portfolios/{portfolio}", summary="One portfolio")
def show_portfolio(context: TheContext, desk: TheDesk, actor: Holder, portfolio: str) -> PortfolioDetail:
    """What it trades, from which account, and whether it may at this moment."""
    settings = actor.portfolio(desk, portfolio)
    pinned = desk.pinned_identity(settings.account)
    with desk.ledger.read() as connection:
        current = standing(connection, settings.account, portfolio, context.clock())
        last = last_batch_of(connection, settings.account, portfolio)
        armed = arming_of(connection, settings.account, portfolio)
        states = strategy_states(connection, settings.account, portfolio)
    return PortfolioDetail(
        **_summary(desk, portfolio),
        environment=pinned.environment,
        approval=settings.approval,
        trading_state=current.state.value,
        trading_state_reason=current.reason or None,
        trading_state_by=current.actor or None,
        last_session=last.session if last is not None else None,
        arming=arming_view(armed) if armed is not None else None,
        strategy_states=[_strategy(name, states.get(name)) for name in settings.signals.ids],
    )


def arming_view(made: Arming) -> ArmingView:
    """A row of `ledger.arming` as the services show it."""
    return ArmingView(
        broker_account_id=made.broker_account_id,
        environment=made.environment,
        until=made.expires_at,
        max_notional=made.max_notional,
        sent=made.sent,
        currency=made.currency,
        by=made.actor,
        reason=made.reason,
        at=made.at,
    )


def _summary(desk: Desk, name: str) -> dict[str, Any]:
    item = desk.config.portfolios[name]
    account = desk.config.accounts[item.account]
    return {
        "name": name,
        "market": item.market,
        "account": item.account,
        "currency": account.currency,
        "broker": account.broker,
        "strategies": list(item.signals.ids),
    }


def _strategy(name: str, found: StrategyStanding | None) -> StrategyInPortfolio:
    return StrategyInPortfolio(
        strategy=name,
        state=found.state.value if found is not None else "running",
        liquidate=found is not None and found.liquidate,
        since=found.since if found is not None else None,
        by=found.actor if found is not None else None,
        reason=found.reason if found is not None else None,
    )
