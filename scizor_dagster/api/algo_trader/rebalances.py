"""`/api/rebalances`: a session of a portfolio, as a run of Dagster."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api import events
from scizor_dagster.api.algo_trader.requests import Holder
from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.models import Model
from scizor_dagster.api.problems import Forbidden, NotFound, RequestRefused
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.run_views import RunView, accepted, progress_of
from scizor_dagster.api.runs import RunRequest, RunState
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.cli.dates import session_of_job
from scizor_dagster.cli.preflight import check_portfolio, check_weight_files
from scizor_dagster.execution.settings import PAPER
from scizor_dagster.flow.approving import plan_stands
from scizor_dagster.flow.desk import Desk
from scizor_dagster.jobnames import name_for
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.arming import armed_for

router = ApiRouter("rebalances")
KIND = "rebalance"
PORTFOLIO_TAG = "scizor/portfolio"
RunId = Annotated[str, Path(max_length=64, description="Id of the run.")]
Planner = Annotated[
    Actor,
    Depends(require(Scope.TRADE, Reach.ACCOUNT, or_one_of={Scope.DRY_RUN})),
]


class Mode(StrEnum):
    DRY_RUN = "dry_run"
    """From the weight files to the stored plan; nothing is admitted or sent."""
    TRADE = "trade"
    """The whole session: plan, orders, reconciliation."""


class RebalanceOrder(Model):
    """Which session is run, and how far."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"portfolio": "main", "mode": "dry_run", "session": "2026-11-20"}}
    )

    portfolio: str = Field(max_length=64)
    mode: Mode = Field(description="`dry_run` makes and stores the plan; `trade` needs the scope `trade`.")
    session: date | None = Field(default=None, description="Default: today's, at the exchange.")


@router.post("/rebalances", status_code=202, summary="Run a session")
def submit(context: TheContext, actor: Planner, response: Response, order: RebalanceOrder) -> RunView:
    """Submit the run of a session: the same job as the schedule's. Run again, a session goes on and sends nothing
    twice. A live portfolio that is not armed is refused, and one with `approval: manual` stops at its plan.
    """
    desk = context.desk
    actor.portfolio(desk, order.portfolio)
    if order.mode is Mode.TRADE and Scope.TRADE not in actor.scopes:
        raise Forbidden("The key lacks the scope 'trade'.", remedy="Use one that has it, or ask for mode dry_run.")
    session = _session(desk, order)
    if order.mode is Mode.TRADE:
        _require_armed(context, desk, order.portfolio)
    job = name_for("rebalance" if order.mode is Mode.TRADE else "plan", order.portfolio, desk.config.portfolios)
    tags = {PORTFOLIO_TAG: order.portfolio}
    state = context.runs.submit(RunRequest(KIND, job, partition=session.isoformat(), tags=tags), actor.name)
    return accepted(response, "/api/rebalances", state)


@router.get("/rebalances/{run}", summary="One run of a session")
def show(context: TheContext, actor: Holder, run: RunId) -> RunView:
    """How far it is. What came of it: `/api/plans`, `/api/orders`, `/api/reconciliations`."""
    return RunView.of(_run_of(context, actor, run))


@router.get("/rebalances/{run}/progress", summary="The progress of a run", responses=events.DOCUMENTED)
async def progress(request: Request, context: TheContext, actor: Holder, run: RunId) -> Response:
    """Each step as it is done, as server-sent events, and the end."""
    _run_of(context, actor, run)
    return await events.stream(request, progress_of(context.runs, run, KIND))


def _run_of(context: Context, actor: Actor, run: str) -> RunState:
    state = context.runs.state(run, KIND)
    portfolio = context.desk.config.portfolios.get(state.tags.get(PORTFOLIO_TAG, ""))
    if portfolio is None or not actor.may_see(portfolio.account):
        raise NotFound(KIND, run)
    return state


def _session(desk: Desk, order: RebalanceOrder) -> date:
    """The session that is meant, once all that it needs is known to be there.

    Raises:
        InputError, ConfigError: something is not, or the date is no session that there is a partition of.
    """
    calendar = check_portfolio(desk, order.portfolio)
    now = desk.clock()
    asked = order.session or now.astimezone(calendar.timezone).date()
    first = desk.market(desk.portfolio(order.portfolio).market).first_session
    session = session_of_job(calendar, asked, first, now)
    # What was admitted or approved goes on, whatever has become of the file it came from.
    if not plan_stands(desk, order.portfolio, session):
        check_weight_files(desk, order.portfolio)
    return session


def _require_armed(context: Context, desk: Desk, portfolio: str) -> None:
    """Say at once what every gate of the run would say of each order.

    Raises:
        RequestRefused: real money, and nobody has armed it (409).
    """
    account = desk.portfolio(portfolio).account
    pinned = desk.pinned_identity(account)
    if pinned.environment == PAPER:
        return
    with desk.ledger.read() as connection:
        permission, why = armed_for(connection, account, portfolio, pinned, context.clock())
    if permission is None:
        raise RequestRefused(
            f"Portfolio '{portfolio}' trades real money, and is not armed: {why}.",
            remedy="Nothing was submitted. Arm it first: POST /api/arm.",
            status=409,
        )
