"""`GET /api/health`: whether the service can do its work, and how fresh the prices are.

What belongs here: stores, Dagster and the configured sources, in a moment. What does not: whether all is well with
trading (`scizor watchdog`). No address, path or account is told; who shows no key is told nothing at all.
"""

from __future__ import annotations

from datetime import date, datetime
from threading import Lock
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.data_farmer.kept import shelf_of
from scizor_dagster.api.models import Model
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.version import release

router = ApiRouter("health")


class MarketHealth(Model):
    """How fresh a market's prices are."""

    market: str
    sources: list[str] = Field(description="Kinds of its providers, in the order in which they are asked.")
    last_closed: date = Field(description="The last session whose prices are final.")
    newest: date | None = Field(description="The newest session of which there is any price.")
    behind: int | None = Field(description="Closed sessions since then.")
    fresh: bool = Field(description="Whether its prices may still size an order.")


class Health(Model):
    """The state of the service. A store that cannot be read is an error (503), not a word here."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "ok",
                "version": "1.2.0",
                "at": "2026-11-20T21:05:00Z",
                "lake": True,
                "ledger": True,
                "runs": "webserver",
                "markets": [
                    {
                        "market": "us",
                        "sources": ["alpaca", "yahoo"],
                        "last_closed": "2026-11-20",
                        "newest": "2026-11-20",
                        "behind": 0,
                        "fresh": True,
                    }
                ],
            }
        }
    )

    status: Literal["ok"]
    version: str
    at: datetime = Field(description="The machine's clock.")
    lake: bool = Field(description="Whether there are stored prices yet.")
    ledger: bool
    runs: Literal["webserver", "here"] = Field(description="Who does long work now: Dagster's webserver, or this one.")
    markets: list[MarketHealth]


class Newest:
    """The newest stored session of each market, asked for anew once the bars have changed."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._version = -1
        self._found: dict[str, date | None] = {}

    def of(self, context: Context, desk: Desk, market: str) -> date | None:
        if not desk.has_lake:
            return None
        version = shelf_of(context).histories(desk.lake).versions.newest("bars")
        with self._guard:
            if version != self._version:
                self._version, self._found = version, {}
            if market not in self._found:
                self._found[market] = newest_stored_session(desk, market)
            return self._found[market]


@router.get("/health", summary="Whether the service works")
def health(
    context: TheContext,
    actor: Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))],  # noqa: ARG001
) -> Health:
    """Reads both stores, and asks Dagster's webserver whether it is there."""
    desk = context.desk
    return Health(
        status="ok",
        version=release(),
        at=context.clock(),
        lake=desk.has_lake,
        ledger=desk.has_ledger,
        runs="webserver" if context.runs.go_to_webserver else "here",
        markets=[_market(context, desk, name) for name in desk.config.markets],
    )


def _market(context: Context, desk: Desk, name: str) -> MarketHealth:
    settings, calendar = desk.market(name), desk.calendar(name)
    closed = calendar.last_settled(desk.clock())
    newest = context.part(Newest).of(context, desk, name)
    behind = None if newest is None else calendar.age_in_sessions(min(newest, closed), closed)
    return MarketHealth(
        market=name,
        sources=[source.type for source in (settings.provider, *settings.fallbacks)],
        last_closed=closed,
        newest=newest,
        behind=behind,
        fresh=behind is not None and behind <= settings.max_price_age_sessions,
    )
