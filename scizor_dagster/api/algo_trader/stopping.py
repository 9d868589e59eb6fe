"""`/api/halt`, `/api/reduce`, `/api/resume`: who may trade at this moment.

What belongs here: the three routes, and whom a request means. What does not: the state itself (`flow.stopping`,
`risk.trading_state`).

A halt is not refused for want of anything but a key: whoever may change what trades may stop it, no limit of requests
keeps it out, it needs no `Idempotency-Key`, and where the configuration cannot be read the ledger says what there is.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime

from pydantic import AwareDatetime, ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Reason, RequestMark, Stopper, Trader, connected
from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.problems import NotFound, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor
from scizor_dagster.execution.cancelling import CancelReport
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stopping import Scope, after_sends, cancel_at_once, set_states
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.risk.trading_state import TradingState, standing, states_of

router = ApiRouter("stopping")
SEND_SECONDS = 5.0
"""How long an answer waits for the send that was under way when the state was written."""


class Whom(Model):
    """Whom it is about."""

    account: str | None = Field(default=None, max_length=64, description="A whole account.")
    portfolio: str | None = Field(default=None, max_length=64, description="One portfolio.")
    reason: Reason


class Resumption(Whom):
    """Who may trade again: an account and a portfolio are resumed apart, the stricter of the two counts."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"account": None, "portfolio": "main", "reason": "the feed was mended"}}
    )


class StopOrder(Whom):
    """Who is to stop; where neither is named, every account of the key."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "account": None,
                "portfolio": "main",
                "reason": "the feed looks wrong",
                "until": None,
                "cancel_open": False,
            }
        }
    )

    until: AwareDatetime | None = Field(default=None, description="When it ends by itself.")
    cancel_open: bool = Field(default=False, description="Also cancel own orders that rest at the broker.")


class StateInForce(Model):
    """What holds for one scope, whoever has said it."""

    account: str
    portfolio: str | None = Field(description="Null for the whole account.")
    state: TradingState
    by: str | None
    reason: str | None
    until: datetime | None


class OrderAtBroker(Model):
    """An order that is, or may be, at the broker."""

    client_order_id: str
    account: str
    portfolio: str
    symbol: str
    side: str
    qty: Exact
    filled_qty: Exact
    state: str = Field(description="`sending`: its send was under way and is not answered; it may still go out.")


class OrderLeft(Model):
    """An order that was to be canceled, and may still be open."""

    client_order_id: str
    portfolio: str
    symbol: str
    side: str
    qty: Exact = Field(description="What has not filled.")
    why: str


class Stopped(Model):
    """What was said, and what is at the broker all the same: after this answer no other order goes out."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "state": "halted",
                "in_force": [
                    {
                        "account": "paper",
                        "portfolio": "main",
                        "state": "halted",
                        "by": "ada",
                        "reason": "the feed looks wrong [0a1b2c3d4e5f/7]",
                        "until": None,
                    }
                ],
                "left_at_broker": [],
                "canceled": [],
                "not_canceled": [],
                "not_asked": [],
                "note": None,
            }
        }
    )

    state: TradingState
    in_force: list[StateInForce]
    left_at_broker: list[OrderAtBroker]
    canceled: list[str] = Field(description="Client order ids.")
    not_canceled: list[OrderLeft]
    not_asked: list[str] = Field(description="Why a broker could not be asked to cancel.")
    note: str | None = Field(description="Where the configuration could not be used: why.")


@router.post("/halt", summary="Stop sending")
def halt(context: TheContext, actor: Stopper, mark: RequestMark, order: StopOrder) -> Stopped:
    """No order goes out after the answer, also of a run that is under way, until somebody resumes.

    Orders at the broker stay there and are listed; `cancel_open` takes them back.
    """
    return _stop(context, actor, mark, order, TradingState.HALTED)


@router.post("/reduce", summary="Let only orders out that close")
def reduce(context: TheContext, actor: Stopper, mark: RequestMark, order: StopOrder) -> Stopped:
    """Only orders that close positions go out, until somebody resumes."""
    return _stop(context, actor, mark, order, TradingState.REDUCING)


@router.post("/resume", summary="Trade again")
def resume(context: TheContext, actor: Trader, mark: RequestMark, whom: Resumption) -> Stopped:
    """Let orders out again. Sends nothing by itself: the next run of the session does."""
    if whom.account is None and whom.portfolio is None:
        raise wrong_field("body.portfolio", "Nothing is named.", "Give `portfolio`, `account`, or both.")
    desk = context.desk
    scopes = _scopes(desk, "", actor, whom)
    _set(context, desk, scopes, TradingState.ACTIVE, actor, f"{whom.reason} {mark}")
    return _answer(context, desk, scopes, TradingState.ACTIVE)


def _stop(context: Context, actor: Actor, mark: str, order: StopOrder, state: TradingState) -> Stopped:
    now = context.clock()
    if order.until is not None and order.until <= now:
        raise wrong_field("body.until", f"{order.until.isoformat()} has passed.", "Give a later time.")
    desk, problem = context.desk_to_stop_with()
    scopes = _scopes(desk, problem, actor, order)
    reason = f"{order.reason} {mark}"
    _set(context, desk, scopes, state, actor, reason, order.until, cancel_open=order.cancel_open)
    reports: list[CancelReport] = []
    if order.cancel_open:
        with nullcontext(desk) if problem else connected(context) as own:
            reports = cancel_at_once(own, sorted({scope.account for scope in scopes}), problem, now)
    left = after_sends(desk.ledger, scopes, state, clock=context.clock, seconds=SEND_SECONDS)
    return _answer(context, desk, scopes, state, left, reports, problem)


def _set(
    context: Context,
    desk: Desk,
    scopes: list[Scope],
    state: TradingState,
    actor: Actor,
    reason: str,
    until: datetime | None = None,
    *,
    cancel_open: bool = False,
) -> None:
    """Write the state, unless this very request has done so before: what was said since counts."""
    with desk.ledger.read() as connection:
        rows = [row for account in {scope.account for scope in scopes} for row in states_of(connection, account)]
    if any((row.state, row.reason) == (state, reason) for row in rows):
        return
    set_states(
        desk.ledger,
        scopes,
        state,
        reason=reason,
        actor=actor.name,
        now=context.clock(),
        until=until,
        cancel_open=cancel_open,
    )


def _scopes(desk: Desk, problem: str, actor: Actor, whom: Whom) -> list[Scope]:
    """The accounts or portfolios that are meant, of the configuration and of the ledger.

    Raises:
        NotFound: there is none of that name, or none that this key may see.
    """
    configured = {} if problem else {name: item.account for name, item in desk.config.portfolios.items()}
    with desk.ledger.read() as connection:
        known = known_portfolios(connection)
    accounts = {*known, *configured.values(), *(() if problem else desk.config.accounts)}
    if whom.portfolio is not None:
        traded_by = {name for name, portfolios in known.items() if whom.portfolio in portfolios}
        own = configured.get(whom.portfolio)
        accounts = {own} if own is not None else traded_by
    if whom.account is not None:
        accounts &= {whom.account}
    found = sorted(name for name in accounts if actor.may_see(name))
    if not found:
        kind, name = ("portfolio", whom.portfolio) if whom.portfolio is not None else ("account", whom.account)
        raise NotFound(kind, name or "")
    return [Scope(account, whom.portfolio) for account in found]


def _answer(
    context: Context,
    desk: Desk,
    scopes: list[Scope],
    state: TradingState,
    left: list[IntentRow] | None = None,
    reports: list[CancelReport] | None = None,
    problem: str = "",
) -> Stopped:
    with desk.ledger.read() as connection:
        current = [
            (scope, standing(connection, scope.account, scope.portfolio or "", context.clock())) for scope in scopes
        ]
    return Stopped(
        state=state,
        in_force=[
            StateInForce(
                account=scope.account,
                portfolio=scope.portfolio,
                state=now.state,
                by=now.actor or None,
                reason=now.reason or None,
                until=now.until,
            )
            for scope, now in current
        ],
        left_at_broker=[_at_broker(row) for row in left or ()],
        canceled=[name for report in reports or () for name in report.canceled],
        not_canceled=[
            OrderLeft(**{name: getattr(item, name) for name in OrderLeft.model_fields})
            for report in reports or ()
            for item in report.left
        ],
        not_asked=sorted({context.redact(report.note) for report in reports or () if report.note}),
        note=context.redact(problem) or None,
    )


def _at_broker(row: IntentRow) -> OrderAtBroker:
    return OrderAtBroker(
        client_order_id=row.client_order_id,
        account=row.account,
        portfolio=row.portfolio,
        symbol=row.symbol,
        side=row.side.value,
        qty=row.qty,
        filled_qty=row.filled_qty,
        state=row.state.value,
    )
