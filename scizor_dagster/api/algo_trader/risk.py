"""`/api/risk`: the limits in force, what they have stopped, and what they would say."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import sqlalchemy as sa
from fastapi import Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Lister, PortfolioFilter, SessionFilter, chosen, newest_first
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.limits import limits_in_force
from scizor_dagster.ledger.tables import risk_events
from scizor_dagster.risk.context import Decision
from scizor_dagster.risk.events import RiskEvent, event_of

router = ApiRouter("risk")


class Limits(Model):
    """Every limit that a portfolio's orders are checked against before they are sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "portfolio": "main",
                "hash": "5d41402a" * 8,
                "limits": {"max_notional_per_order": "25000", "max_drawdown": "unlimited"},
            }
        }
    )

    portfolio: str
    hash: str = Field(description="Of all of them; it stands beside every verdict.")
    limits: dict[str, str]


class RiskEventView(Model):
    """One verdict."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "event_id": "9b74c989" * 8,
                "at": "2026-11-20T14:30:00Z",
                "account": "paper",
                "portfolio": "main",
                "session": "2026-11-20",
                "client_order_id": "SCZ_20261120_1_AAPL_B_3f0a9c21d4",
                "verdict": "waiting",
                "limit": "trading_state",
                "value": "halted by ada: the feed looks wrong",
                "threshold": "active",
                "checked": {},
            }
        }
    )

    event_id: str
    at: datetime
    account: str
    portfolio: str
    session: date
    client_order_id: str | None = Field(description="Null for a gate that has stopped a whole run.")
    verdict: Decision = Field(description="`stopped` for good, `waiting`, or `passed`.")
    limit: str
    value: str = Field(description="What the order would have made of it.")
    threshold: str = Field(description="What is allowed.")
    checked: dict[str, tuple[str, str]] = Field(description="Every limit that was looked at: value and threshold.")


@router.get("/risk/limits", summary="The limits in force")
def list_limits(desk: TheDesk, actor: Lister, paging: ThePage, portfolio: PortfolioFilter = None) -> Page[Limits]:
    """One item for each portfolio, as the configuration has them now."""
    found = [_limits(desk, name) for name in chosen(actor, desk, portfolio)]
    return paging.page(found, lambda item: item.portfolio)


@router.get("/risk/events", summary="What the limits have stopped")
def list_events(
    desk: TheDesk,
    actor: Lister,
    paging: ThePage,
    portfolio: PortfolioFilter = None,
    session: SessionFilter = None,
    passed: Annotated[bool, Query(description="Also orders that have passed every limit.")] = False,
) -> Page[RiskEventView]:
    """The newest session first, in it by id."""
    chosen(actor, desk, portfolio)
    accounts = [name for name in desk.config.accounts if actor.may_see(name)]
    wanted = sa.select(risk_events).where(risk_events.c.account.in_(accounts))
    for name, value in {"portfolio": portfolio, "session": session}.items():
        wanted = wanted if value is None else wanted.where(risk_events.c[name] == value)
    if not passed:
        wanted = wanted.where(risk_events.c.verdict != Decision.PASS.value)
    wanted = newest_first(wanted, risk_events.c.session, (risk_events.c.event_id,), paging)
    if not desk.has_ledger:
        return paging.cut([], _key)
    with desk.ledger.read() as connection:
        rows = [(row.event_id, event_of(row._mapping)) for row in connection.execute(wanted)]
    return paging.cut([_event(*row) for row in rows], _key)


def _limits(desk: Desk, name: str) -> Limits:
    found = limits_in_force(desk, name)
    return Limits(portfolio=name, hash=found.hash, limits=found.as_text())


def _event(event_id: str, found: RiskEvent) -> RiskEventView:
    names = [name for name in RiskEventView.model_fields if name not in ("event_id", "checked")]
    values = {name: getattr(found, name) for name in names}
    return RiskEventView(event_id=event_id, checked=dict(found.checked), **values)


def _key(event: RiskEventView) -> str:
    return f"{event.session}|{event.event_id}"
