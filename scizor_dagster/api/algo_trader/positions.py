"""`/api/positions`: what the portfolios own, by the ledger."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Lister, PortfolioFilter, SymbolFilter, chosen
from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.positions import stored_positions
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.planning.rules import exact

router = ApiRouter("positions")


class _Close(NamedTuple):
    price: Decimal
    session: date
    adjustment: str


class Position(Model):
    """What one portfolio owns of one instrument."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "portfolio": "main",
                "account": "paper",
                "symbol": "AAPL",
                "qty": "120.5",
                "price": "227.50",
                "price_session": "2026-11-19",
                "adjustment": "raw",
                "value": "27413.75",
                "currency": "USD",
            }
        }
    )

    portfolio: str
    account: str
    symbol: str
    qty: Exact = Field(description="Signed shares: what fills and adoptions have assigned to the portfolio.")
    price: Exact | None = Field(description="The last stored close; null where there is none.")
    price_session: date | None
    adjustment: str | None = Field(description="`raw`, or how the price was adjusted.")
    value: Exact | None
    currency: str


@router.get("/positions", summary="The positions")
def list_positions(
    context: TheContext,
    desk: TheDesk,
    actor: Lister,
    paging: ThePage,
    portfolio: PortfolioFilter = None,
    symbol: SymbolFilter = None,
) -> Page[Position]:
    """By portfolio and symbol. What an account holds and no portfolio owns is not among them."""
    names = chosen(actor, desk, portfolio)
    found = [item for name in names for item in _of(context, desk, name) if symbol in (None, item.symbol)]
    return paging.page(found, lambda item: f"{item.portfolio}|{item.symbol}")


def _of(context: TheContext, desk: Desk, name: str) -> list[Position]:
    if not desk.has_ledger:
        return []
    settings = desk.portfolio(name)
    with desk.ledger.read() as connection:
        stored = stored_positions(connection, settings.account)
    owned = {symbol: qty for (owner, symbol), qty in stored.items() if owner == name and qty}
    closes = _closes(context, desk, settings.market) if owned else {}
    currency = desk.market(settings.market).currency
    rows = []
    for symbol in sorted(owned):
        close = closes.get(symbol)
        rows.append(
            Position(
                portfolio=name,
                account=settings.account,
                symbol=symbol,
                qty=owned[symbol],
                price=close.price if close is not None else None,
                price_session=close.session if close is not None else None,
                adjustment=close.adjustment if close is not None else None,
                value=owned[symbol] * close.price if close is not None else None,
                currency=currency,
            )
        )
    return rows


def _closes(context: TheContext, desk: Desk, market: str) -> dict[str, _Close]:
    if not desk.has_lake:
        return {}
    frame = last_closes(desk.lake, market, desk.calendar(market).last_closed(context.clock()))
    return {
        row["symbol"]: _Close(exact(float(row["close"])), row["session"], row["adjustment"])
        for row in frame.to_dict("records")
    }
