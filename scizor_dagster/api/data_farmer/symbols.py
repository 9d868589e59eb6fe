"""`/api/symbols`: which symbols are tracked, and what the provider says of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.symbols import known_symbols
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.market_data.symbol_rows import SymbolRow

router = ApiRouter("symbols")
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
MarketName = Annotated[str, Query(max_length=31, description="Market of the configuration.", examples=["us"])]


class Symbol(Model):
    """One symbol of a market."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbol": "AAPL",
                "instrument_id": "AAPL.XNAS",
                "name": "Apple Inc.",
                "currency": "USD",
                "lot": 1,
                "tick": "0.01",
                "verified": True,
                "last_verified": "2026-11-20T22:31:00Z",
                "next_due": "2026-12-20T22:31:00Z",
                "reason": None,
                "retired_on": None,
            }
        }
    )

    symbol: str
    instrument_id: str = Field(description="`TICKER.MIC`.")
    name: str
    currency: str
    lot: int
    tick: Exact
    verified: bool = Field(description="Whether it is one certain instrument at the provider.")
    last_verified: datetime | None
    next_due: datetime | None = Field(description="From when on the provider is asked again.")
    reason: str | None = Field(description="Why it is out, or not whole.")
    retired_on: date | None = Field(description="First day on which it is not tracked.")

    @classmethod
    def of(cls, row: SymbolRow) -> Symbol:
        names = set(cls.model_fields)
        return cls(**{name: getattr(row, name) for name in names})


@router.get("/symbols", summary="The tracked symbols")
def list_symbols(
    desk: TheDesk,
    actor: Reader,  # noqa: ARG001
    paging: ThePage,
    market: MarketName = "us",
    retired: Annotated[bool, Query(description="Only those that are not tracked any more.")] = False,
) -> Page[Symbol]:
    """By name, with state and reason. Asks nobody outside."""
    require_market(desk, market)
    rows = known_symbols(desk, market, retired=retired)
    return paging.page([Symbol.of(row) for row in rows], lambda item: item.symbol)


def require_market(desk: Desk, market: str) -> None:
    """Refuse a market that is not configured.

    Raises:
        NotFound: it is not.
    """
    if market not in desk.config.markets:
        raise NotFound("market", market)
