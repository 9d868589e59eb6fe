"""`/api/trades`: what has filled, as the broker states it now."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import (
    Lister,
    PortfolioFilter,
    SessionFilter,
    SymbolFilter,
    chosen,
    newest_first,
)
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.ledger.rows import STANDING
from scizor_dagster.ledger.tables import trades

router = ApiRouter("trades")


class Trade(Model):
    """One execution."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "fill_id": "20261120-17",
                "version": 1,
                "account": "paper",
                "portfolio": "main",
                "client_order_id": "SCZ_20261120_1_AAPL_B_3f0a9c21d4",
                "symbol": "AAPL",
                "side": "buy",
                "qty": "12.5",
                "price": "227.48",
                "fee": "0",
                "session": "2026-11-20",
                "executed_at": "2026-11-20T14:30:01Z",
                "recorded_at": "2026-11-20T14:30:05Z",
            }
        }
    )

    fill_id: str
    version: int = Field(description="Above 1 where the broker has corrected it.")
    account: str
    portfolio: str | None = Field(description="Null where somebody else has placed the order on the account.")
    client_order_id: str
    symbol: str
    side: str
    qty: Exact = Field(description="Zero where the broker has taken it back.")
    price: Exact
    fee: Exact
    session: date
    executed_at: datetime
    recorded_at: datetime


@router.get("/trades", summary="The executions")
def list_trades(
    desk: TheDesk,
    actor: Lister,
    paging: ThePage,
    portfolio: PortfolioFilter = None,
    session: SessionFilter = None,
    symbol: SymbolFilter = None,
    order: Annotated[str | None, Query(max_length=128, description="Client order id.")] = None,
) -> Page[Trade]:
    """The newest session first, in it by account and id. Foreign ones are among them."""
    chosen(actor, desk, portfolio)
    accounts = [name for name in desk.config.accounts if actor.may_see(name)]
    wanted = sa.select(trades).where(STANDING, trades.c.account.in_(accounts))
    filters = {"portfolio": portfolio, "session": session, "symbol": symbol, "client_order_id": order}
    for name, value in filters.items():
        wanted = wanted if value is None else wanted.where(trades.c[name] == value)
    wanted = newest_first(wanted, trades.c.session, (trades.c.account, trades.c.fill_id), paging)
    if not desk.has_ledger:
        return paging.cut([], _key)
    with desk.ledger.read() as connection:
        rows = connection.execute(wanted).all()
    return paging.cut([_view(row._mapping) for row in rows], _key)


def _view(row: Any) -> Trade:
    return Trade(**{name: row[name] for name in Trade.model_fields})


def _key(trade: Trade) -> str:
    return f"{trade.session}|{trade.account}|{trade.fill_id}"
