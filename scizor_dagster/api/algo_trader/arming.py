"""`/api/arm`, `/api/disarm`: a person permits a portfolio to trade real money, and takes it back."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, ConfigDict, Field

from scizor_dagster.api.algo_trader.portfolios import ArmingView, arming_view
from scizor_dagster.api.algo_trader.requests import Reason, RequestKey, RequestMark, Stopper, Trader, connected, marked
from scizor_dagster.api.context import TheContext
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.problems import NotFound, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.arming import arm_portfolio
from scizor_dagster.ledger.arming import Arming, armings_of_portfolio, armings_with_reason, disarm
from scizor_dagster.ledger.known import known_portfolios

router = ApiRouter("arming")
_ARMING: dict[str, Any] = {
    "broker_account_id": "932473521",
    "environment": "live",
    "until": "2026-11-20T21:00:00Z",
    "max_notional": "25000",
    "sent": "0",
    "currency": "USD",
    "by": "ada",
    "reason": "the monthly rebalance [0a1b2c3d4e5f/7]",
    "at": "2026-11-20T13:10:00Z",
}


class ArmOrder(Model):
    """What is permitted; nothing of it has a default."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "portfolio": "main",
                "account_id": "932473521",
                "until": "2026-11-20T21:00:00Z",
                "max_notional": "25000",
                "reason": "the monthly rebalance",
            }
        }
    )

    portfolio: str = Field(max_length=64)
    account_id: str = Field(max_length=64, description="Id of the account at the broker, as the broker shows it.")
    until: AwareDatetime = Field(description="When it ends; at most `arming.max_days` ahead.")
    max_notional: Exact = Field(description="What all orders until then may be worth, in the market's currency.")
    reason: Reason


class Armed(Model):
    """The permission, and the one that it replaces."""

    model_config = ConfigDict(json_schema_extra={"example": {"portfolio": "main", "made": _ARMING, "replaced": None}})

    portfolio: str
    made: ArmingView
    replaced: ArmingView | None


class DisarmOrder(Model):
    """Whose permission ends."""

    model_config = ConfigDict(json_schema_extra={"example": {"portfolio": "main", "reason": "done for today"}})

    portfolio: str | None = Field(
        default=None, max_length=64, description="One portfolio; without it, every one of the key."
    )
    reason: Reason


class TakenBack(Model):
    """One permission that has ended."""

    portfolio: str
    arming: ArmingView


class Disarmed(Model):
    """What was taken back; empty where nothing was armed."""

    model_config = ConfigDict(json_schema_extra={"example": {"taken": [{"portfolio": "main", "arming": _ARMING}]}})

    taken: list[TakenBack]


@router.post("/arm", summary="Permit a portfolio to trade real money")
def arm(context: TheContext, actor: Trader, key: RequestKey, order: ArmOrder) -> Armed:
    """Until a time and up to an amount. The id given, the one pinned in the configuration and the one that the broker
    answers must be the same. Sends nothing. The same request again is no new amount.
    """
    settings = actor.portfolio(context.desk, order.portfolio)
    if order.max_notional <= 0:
        raise wrong_field("body.max_notional", f"{order.max_notional} is no amount to trade.", "Give one above zero.")
    reason = marked(order.reason, actor, key)
    with context.desk.ledger.read() as connection:
        before = armings_with_reason(connection, order.portfolio, reason)
    mine = [made for made in before if made.account == settings.account]
    if mine:
        return Armed(portfolio=order.portfolio, made=arming_view(mine[0]), replaced=None)
    with connected(context) as desk:
        done = arm_portfolio(
            desk,
            order.portfolio,
            order.account_id,
            until=order.until,
            max_notional=order.max_notional,
            actor=actor.name,
            reason=reason,
        )
    replaced = arming_view(done.replaced) if done.replaced is not None else None
    return Armed(portfolio=order.portfolio, made=arming_view(done.made), replaced=replaced)


@router.post("/disarm", summary="Take the permission back")
def take_back(context: TheContext, actor: Stopper, mark: RequestMark, order: DisarmOrder) -> Disarmed:
    """The next order does not go out any more, also within a run. Orders at the broker stay there: `POST /api/halt`
    with `cancel_open` cancels them. Needs the ledger alone.
    """
    desk, problem = context.desk_to_stop_with()
    configured = {} if problem else {name: item.account for name, item in desk.config.portfolios.items()}
    taken: list[tuple[str, Arming]] = []
    with desk.ledger.transaction() as connection:
        places = {(name, account) for account, names in known_portfolios(connection).items() for name in names}
        places |= set(configured.items())
        names = sorted({name for name, account in places if actor.may_see(account)})
        chosen = [name for name in names if order.portfolio in (None, name)]
        if not chosen:
            raise NotFound("portfolio", order.portfolio or "")
        for name in chosen:
            for found in armings_of_portfolio(connection, name):
                if actor.may_see(found.account):
                    reason = f"{order.reason} {mark}"
                    disarm(connection, found.account, name, actor=actor.name, reason=reason, now=context.clock())
                    taken.append((name, found))
    return Disarmed(taken=[TakenBack(portfolio=name, arming=arming_view(made)) for name, made in taken])
