"""`/api/portfolios`: the portfolios of the configuration."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import ConfigDict

from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import Scope

router = ApiRouter("portfolios")
Lister = Annotated[Actor, Depends(require(Scope.READ, Reach.LISTED))]
Holder = Annotated[Actor, Depends(require(Scope.READ, Reach.ACCOUNT))]


class PortfolioSummary(Model):
    """A portfolio, and what it trades."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "main",
                "market": "us",
                "account": "paper",
                "currency": "USD",
                "broker": "paper",
                "strategies": ["weekly"],
            }
        }
    )

    name: str
    market: str
    account: str
    currency: str
    broker: str
    strategies: list[str]

    @classmethod
    def of(cls, desk: Desk, name: str) -> PortfolioSummary:
        item = desk.config.portfolios[name]
        account = desk.config.accounts[item.account]
        return cls(
            name=name,
            market=item.market,
            account=item.account,
            currency=account.currency,
            broker=account.broker,
            strategies=list(item.signals.ids),
        )


@router.get("/portfolios", summary="The portfolios")
def list_portfolios(desk: TheDesk, actor: Lister, paging: ThePage) -> Page[PortfolioSummary]:
    """Those whose account the key may see, by name."""
    names = sorted(actor.portfolios(desk))
    return paging.page([PortfolioSummary.of(desk, name) for name in names], lambda item: item.name)


@router.get("/portfolios/{portfolio}", summary="One portfolio")
def show_portfolio(desk: TheDesk, actor: Holder, portfolio: str) -> PortfolioSummary:
    """What it trades, and from which account."""
    actor.portfolio(desk, portfolio)
    return PortfolioSummary.of(desk, portfolio)
