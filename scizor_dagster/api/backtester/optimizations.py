"""`/api/optimizations`: searches of a strategy's parameters, their sets and their verdicts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from scizor_dagster.api import events
from scizor_dagster.api.backtester.requests import OptimizationBody, submit_search
from scizor_dagster.api.backtester.run_progress import PORTFOLIO_TAG, STRATEGY_TAG, is_visible, progress_of, state_of
from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.run_views import RUN_EXAMPLE, RunView, accepted
from scizor_dagster.api.runs import RunState, RunStatus
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.ledger.api_keys import Scope

router = ApiRouter("optimizations")
KIND = "optimization"
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
Asker = Annotated[Actor, Depends(require(Scope.DRY_RUN, Reach.SHARED))]
RunId = Annotated[str, Path(pattern=r"^[0-9a-f-]{32,36}$", description="Of its run.")]


class Verdict(Model):
    """Whether the best set is more than luck; see docs/parameter-search.md."""

    says: list[str]
    parameters: dict[str, JsonValue] = Field(description="Of the best set.")
    is_luck: bool
    is_market: bool
    figures: dict[str, JsonValue]


class OptimizationView(Model):
    """A search: its run, and what it came to."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": RUN_EXAMPLE["id"],
                "status": "running",
                "run": RUN_EXAMPLE,
                "sets": None,
                "failed": None,
                "refused": None,
                "objective": None,
                "verdict": None,
                "walk_forward": None,
                "backtest_id": None,
            }
        }
    )

    id: str
    status: RunStatus
    run: RunView
    sets: int | None = Field(description="How many were tried; null until its run has succeeded, as the rest.")
    failed: int | None
    refused: int | None = Field(description="Sets that the strategy does not take.")
    objective: str | None
    verdict: Verdict | None
    walk_forward: dict[str, JsonValue] | None
    backtest_id: str | None = Field(description="The backtest of the best set, which is kept.")


@router.post(
    "/optimizations",
    summary="Search a strategy's parameters",
    status_code=202,
    response_description="It runs, or waits for those before it; `Location` says where it is found.",
)
def create_optimization(
    context: TheContext, desk: TheDesk, actor: Asker, response: Response, body: OptimizationBody
) -> RunView:
    """Each set is a backtest by the planner that trades; the one of the best set is kept.

    Sessions x instruments x sets may be up to `api.max_backtest_cells` (422 above), its time `api.backtest_seconds`.
    Sets that were tried before are not run again, so that one that was ended goes on where it was.
    """
    return accepted(response, "/api/optimizations", submit_search(context, desk, actor, body))


@router.get("/optimizations", summary="Searches that were asked for")
def list_optimizations(context: TheContext, desk: TheDesk, actor: Reader, paging: ThePage) -> Page[RunView]:
    """The newest first, at most 1000; those of portfolios and strategies that the key may not see are left out."""
    runs = [
        run
        for run in context.runs.listed(KIND)
        if is_visible(desk, actor, run.tags.get(PORTFOLIO_TAG), run.tags.get(STRATEGY_TAG))
    ]
    keys = {run.run_id: _newest_first(run) for run in runs}
    items = sorted((RunView.of(run) for run in runs), key=lambda item: keys[item.id])
    return paging.page(items, lambda item: keys[item.id])


def _newest_first(run: RunState) -> str:
    """A key that is the smaller, the later a run was submitted, and its own."""
    at = run.created_at.timestamp() if run.created_at is not None else 0.0
    return f"{1e11 - at:018.6f} {run.run_id}"


@router.get("/optimizations/{optimization}", summary="One search")
def show_optimization(context: TheContext, desk: TheDesk, actor: Reader, optimization: RunId) -> OptimizationView:
    """Its state, and once it has succeeded its verdict, and what each window of a walk forward chose."""
    state = state_of(context.runs, desk, actor, optimization, KIND)
    made = context.runs.made(optimization)
    record = made.get("search_record") or {}
    judged = record.get("verdict")
    verdict = None
    if judged is not None:
        named = ("says", "parameters", "is_luck", "is_market")
        figures = {name: judged[name] for name in judged if name not in named}
        verdict = Verdict(**{name: judged[name] for name in named}, figures=figures)
    return OptimizationView(
        id=optimization,
        status=state.status,
        run=RunView.of(state),
        verdict=verdict,
        backtest_id=made.get("backtest"),
        **{name: record.get(name) for name in ("sets", "failed", "refused", "objective", "walk_forward")},
    )


@router.get("/optimizations/{optimization}/trials", summary="Its sets")
def list_trials(
    context: TheContext, desk: TheDesk, actor: Reader, paging: ThePage, optimization: RunId
) -> Page[dict[str, JsonValue]]:
    """The best first, at most 1000: `rank`, parameters, the objective as `score`, and figures after the warm-up."""
    state_of(context.runs, desk, actor, optimization, KIND)
    best = (context.runs.made(optimization).get("search_record") or {}).get("best", [])
    rows = [{"rank": rank, **row} for rank, row in enumerate(best, start=1)]
    return paging.page(rows, lambda row: f"{row['rank']:06d}")


@router.get("/optimizations/{optimization}/progress", summary="How far it is", responses=events.DOCUMENTED)
async def show_progress(
    context: TheContext, desk: TheDesk, actor: Reader, request: Request, optimization: RunId
) -> Response:
    """`progress` with sets done (every ten seconds) and sessions of the backtest after them, and `end`."""
    await run_in_threadpool(state_of, context.runs, desk, actor, optimization, KIND)
    return await events.stream(request, progress_of(context.runs, optimization, KIND))


@router.delete("/optimizations/{optimization}", summary="Cancel a search")
def cancel_optimization(context: TheContext, desk: TheDesk, actor: Asker, optimization: RunId) -> OptimizationView:
    """One that waits or runs is ended; sets that were tried stay in the lake. One that has ended cannot be (409)."""
    state_of(context.runs, desk, actor, optimization, KIND)
    context.runs.cancel(optimization, KIND)
    return show_optimization(context, desk, actor, optimization)
