"""`/api/strategies/{strategy}/start|pause|resume|stop`: which strategies trade."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Reason, RequestKey, Trader, marked
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import change_state
from scizor_dagster.ledger.strategies import StrategyStanding, standings_with_reason

router = ApiRouter("strategies that trade")
StrategyName = Annotated[str, Path(max_length=64, description="Strategy of the manifest.", examples=["weekly"])]
_CHANGE: dict[str, Any] = {"portfolio": "main", "reason": "its data looks wrong"}


class Change(Model):
    """What is to become of a strategy."""

    model_config = ConfigDict(json_schema_extra={"example": _CHANGE})

    portfolio: str | None = Field(
        default=None, max_length=64, description="One portfolio; without it, every one of the key that follows it."
    )
    reason: Reason


class Stop(Change):
    """How a strategy ends."""

    model_config = ConfigDict(json_schema_extra={"example": _CHANGE | {"liquidate": False}})

    liquidate: bool = Field(default=False, description="Sell its positions with the next plan; else they are kept.")


class Standing(Model):
    """A strategy in one portfolio, from the next plan on."""

    strategy: str
    portfolio: str
    state: str
    liquidate: bool
    by: str
    reason: str = Field(description="With the mark of the request that brought it.")
    since: datetime


class Changed(Model):
    """What was changed: in all of these portfolios, or nothing anywhere."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "items": [
                    {
                        "strategy": "weekly",
                        "portfolio": "main",
                        "state": "paused",
                        "liquidate": False,
                        "by": "ada",
                        "reason": "its data looks wrong [0a1b2c3d4e5f/7]",
                        "since": "2026-11-20T13:10:00Z",
                    }
                ]
            }
        }
    )

    items: list[Standing]


@router.post("/strategies/{strategy}/start", summary="Start a strategy that was stopped")
def start(desk: TheDesk, actor: Trader, key: RequestKey, strategy: StrategyName, change: Change) -> Changed:
    """Its weights count again, from the next plan on. A new one needs no start: it runs."""
    return _change(desk, actor, key, strategy, change, "start")


@router.post("/strategies/{strategy}/pause", summary="Pause a strategy")
def pause(desk: TheDesk, actor: Trader, key: RequestKey, strategy: StrategyName, change: Change) -> Changed:
    """Its positions stay as they are, and no order comes from it until it is resumed. Holds from the next plan on: a
    session that is admitted goes on (to stop it: `POST /api/halt`).
    """
    return _change(desk, actor, key, strategy, change, "pause")


@router.post("/strategies/{strategy}/resume", summary="Resume a strategy that is paused")
def resume(desk: TheDesk, actor: Trader, key: RequestKey, strategy: StrategyName, change: Change) -> Changed:
    """Its weights count again, from the next plan on."""
    return _change(desk, actor, key, strategy, change, "resume")


@router.post("/strategies/{strategy}/stop", summary="End a strategy")
def stop(desk: TheDesk, actor: Trader, key: RequestKey, strategy: StrategyName, change: Stop) -> Changed:
    """No order comes from it any more. Its positions are kept, or sold by the next plan with `liquidate`."""
    return _change(desk, actor, key, strategy, change, "stop", liquidate=change.liquidate)


def _change(
    desk: Desk, actor: Actor, key: str, strategy: str, change: Change, action: str, *, liquidate: bool = False
) -> Changed:
    names = _portfolios(desk, actor, strategy, change.portfolio)
    reason = marked(change.reason, actor, key)
    made = _made_before(desk, names, strategy, reason)
    if not made:
        made = change_state(desk, names, strategy, action, liquidate=liquidate, actor=actor.name, reason=reason)
    return Changed(items=[_shown(item) for item in made])


def _portfolios(desk: Desk, actor: Actor, strategy: str, portfolio: str | None) -> list[str]:
    """The portfolios that are meant.

    Raises:
        NotFound: there is none of that name, or none that follows the strategy, or none that this key may see.
    """
    if portfolio is not None:
        actor.portfolio(desk, portfolio)
        return [portfolio]
    found = [name for name, item in sorted(actor.portfolios(desk).items()) if strategy in item.signals.ids]
    if not found:
        raise NotFound("strategy that trades", strategy)
    return found


def _made_before(desk: Desk, names: list[str], strategy: str, reason: str) -> list[StrategyStanding]:
    with desk.ledger.read() as connection:
        found = standings_with_reason(connection, strategy, reason)
    return [item for item in found if item.portfolio in names]


def _shown(made: StrategyStanding) -> Standing:
    return Standing(
        strategy=made.strategy,
        portfolio=made.portfolio,
        state=made.state.value,
        liquidate=made.liquidate,
        by=made.actor,
        reason=made.reason,
        since=made.since,
    )
