"""`/api/backtests`: asking for one, which there are, what each came to, and taking one away."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from scizor_dagster.api import etags, events
from scizor_dagster.api.backtester.requests import BacktestBody, submit_backtest
from scizor_dagster.api.backtester.run_progress import is_visible as of_key
from scizor_dagster.api.backtester.run_progress import progress_of, state_of
from scizor_dagster.api.context import Context, TheContext, TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.run_views import RUN_EXAMPLE, RunView, accepted
from scizor_dagster.api.runs import RunStatus
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.backtest.storage import Head, delete_backtest, find_backtest, list_backtests
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import Scope

router = ApiRouter("backtests")
KIND = "backtest"
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
Asker = Annotated[Actor, Depends(require(Scope.DRY_RUN, Reach.SHARED))]
BacktestId = Annotated[
    str, Path(pattern=r"^[0-9a-f-]{12,64}$", description="Of a run, or of a kept backtest (at least 12 digits).")
]
_KEPT = re.compile(r"[0-9a-f]{12,64}")


class BacktestSummary(Model):
    """A backtest that is kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "3f" * 32,
                "name": "a quick look",
                "portfolio": None,
                "market": "us",
                "first_session": "2025-01-06",
                "last_session": "2025-02-14",
                "sessions": 28,
                "instruments": 6,
                "currency": "USD",
                "adjustment": "raw",
                "capital": 100000.0,
                "equity": 101234.5,
                "total_return": 0.012345,
                "sharpe_ratio": 1.1,
                "max_drawdown": -0.03,
                "stored_at": "2026-11-20T21:05:00Z",
            }
        }
    )

    id: str
    name: str
    portfolio: str | None
    market: str | None
    first_session: date
    last_session: date
    sessions: int
    instruments: int
    currency: str
    adjustment: str
    capital: float
    equity: float = Field(description="At the last close.")
    total_return: float | None
    sharpe_ratio: float | None
    max_drawdown: float | None
    stored_at: datetime | None

    @classmethod
    def of(cls, head: Head) -> BacktestSummary:
        figures = known_figures(head)
        same = (
            "name", "first_session", "last_session", "sessions", "instruments", "currency", "adjustment", "capital",
            "equity", "stored_at",
        )  # fmt: skip
        return cls(
            id=head.backtest_id,
            portfolio=head.portfolio or None,
            market=head.market or None,
            **{name: getattr(head, name) for name in same},
            **{name: figures.get(name) for name in ("total_return", "sharpe_ratio", "max_drawdown")},
        )


class KeptBacktest(BacktestSummary):
    """A backtest: its figures, and what it was made from."""

    model_config = ConfigDict(json_schema_extra={})

    prices: str
    weights: str
    benchmark: str | None
    request: dict[str, JsonValue]
    rules: dict[str, JsonValue]
    choices: dict[str, JsonValue]
    inputs_sha256: str = Field(description="Of prices, actions and weights.")
    lake_snapshot: int | None
    code_version: str
    figures: dict[str, float | None] = Field(description="Null where one is not defined.")
    notes: list[str]

    @classmethod
    def of(cls, head: Head) -> KeptBacktest:
        return cls(
            **BacktestSummary.of(head).model_dump(),
            prices=head.prices_from,
            weights=head.weights_from,
            benchmark=head.benchmark or None,
            request=json.loads(head.request),
            rules=json.loads(head.rules),
            choices=json.loads(head.choices),
            inputs_sha256=head.inputs_sha256,
            lake_snapshot=head.lake_snapshot,
            code_version=head.code_version,
            figures=known_figures(head),
            notes=list(head.notes),
        )


class BacktestView(Model):
    """A backtest that was asked for, or that is kept: its run, its result, or both."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": RUN_EXAMPLE["id"], "status": "running", "run": RUN_EXAMPLE, "kept": None}}
    )

    id: str
    status: RunStatus
    run: RunView | None = Field(description="Null where it was found by the id of what is kept.")
    kept: KeptBacktest | None = Field(description="Null until its run has succeeded.")


def known_figures(head: Head) -> dict[str, float | None]:
    """Figures; None where one is not defined."""
    return {name: value if math.isfinite(value) else None for name, value in head.figures.items()}


@router.post(
    "/backtests",
    summary="Run a backtest",
    status_code=202,
    response_description="It runs, or waits for those before it; `Location` says where it is found.",
)
def create_backtest(
    context: TheContext, desk: TheDesk, actor: Asker, response: Response, body: BacktestBody
) -> RunView:
    """A run of Dagster's job `backtest`, one after the other. The same request on the same data is the same backtest.

    It may have up to `api.max_backtest_cells` sessions x instruments (422 above), which bounds its memory, and
    `api.backtest_seconds` of time; then it fails and keeps nothing.
    """
    return accepted(response, "/api/backtests", submit_backtest(context, desk, actor, body))


@router.get("/backtests", summary="The backtests that are kept")
def list_kept(
    desk: TheDesk,
    actor: Reader,
    paging: ThePage,
    portfolio: Annotated[str | None, Query(max_length=64, description="Only those of this portfolio.")] = None,
    strategy: Annotated[str | None, Query(max_length=64, description="Only those that named this strategy.")] = None,
) -> Page[BacktestSummary]:
    """By id; those of portfolios and strategies that the key may not see are left out."""
    heads = [head for head in list_backtests(desk.lake) if is_visible(desk, actor, head)] if desk.has_lake else []
    chosen = [
        head
        for head in heads
        if portfolio in (None, head.portfolio) and strategy in (None, json.loads(head.request).get("strategy"))
    ]
    items = sorted((BacktestSummary.of(head) for head in chosen), key=lambda item: item.id)
    return paging.page(items, lambda item: item.id)


@router.get("/backtests/{backtest}", summary="One backtest", responses=etags.DOCUMENTED)
def show_backtest(
    context: TheContext, desk: TheDesk, actor: Reader, request: Request, response: Response, backtest: BacktestId
) -> BacktestView:
    """By the id of its run, or by that of what is kept."""
    found = view_of(context, desk, actor, backtest)
    etags.state(request, response, etags.tag_of(found.model_dump_json()))
    return found


@router.get("/backtests/{backtest}/progress", summary="How far it is", responses=events.DOCUMENTED)
async def show_progress(
    context: TheContext, desk: TheDesk, actor: Reader, request: Request, backtest: BacktestId
) -> Response:
    """`progress` with sessions done, and `end`. By the id of its run."""
    await run_in_threadpool(state_of, context.runs, desk, actor, backtest, KIND)
    return await events.stream(request, progress_of(context.runs, backtest, KIND))


@router.delete(
    "/backtests/{backtest}",
    summary="Cancel or delete a backtest",
    responses={200: {"description": "It is ended, or deleted with all of its data."}},
)
def remove_backtest(context: TheContext, desk: TheDesk, actor: Asker, backtest: BacktestId) -> BacktestView:
    """One that waits or runs is ended and keeps nothing; one that is kept is deleted. The answer is what it was."""
    found = view_of(context, desk, actor, backtest)
    if found.kept is not None:
        delete_backtest(desk.lake, found.kept.id)
        return found
    state = context.runs.cancel(backtest, KIND)
    return BacktestView(id=backtest, status=state.status, run=RunView.of(state), kept=None)


def view_of(context: Context, desk: Desk, actor: Actor, backtest: str) -> BacktestView:
    """The backtest by either of its ids.

    Raises:
        NotFound: there is none, or it is of a portfolio that the key may not see.
    """
    if _KEPT.fullmatch(backtest):
        head = head_of(context, desk, actor, backtest)
        kept = KeptBacktest.of(head)
        return BacktestView(id=head.backtest_id, status=RunStatus.SUCCEEDED, run=None, kept=kept)
    state = state_of(context.runs, desk, actor, backtest, KIND)
    made = context.runs.made(backtest).get("backtest") if state.status is RunStatus.SUCCEEDED else None
    known = find_backtest(desk.lake, str(made)) if made is not None and desk.has_lake else None
    kept_one = KeptBacktest.of(known) if known is not None else None
    return BacktestView(id=backtest, status=state.status, run=RunView.of(state), kept=kept_one)


def head_of(context: Context, desk: Desk, actor: Actor, backtest: str) -> Head:
    """What is kept, by either of its ids.

    Raises:
        NotFound: nothing is, or not for this key; or its run has not succeeded.
    """
    if not desk.has_lake:
        raise NotFound("backtest", backtest)
    if _KEPT.fullmatch(backtest):
        found = [head for head in list_backtests(desk.lake) if head.backtest_id.startswith(backtest)]
        head = found[0] if len(found) == 1 else None
    else:
        state_of(context.runs, desk, actor, backtest, KIND)
        made = context.runs.made(backtest).get("backtest")
        head = find_backtest(desk.lake, str(made)) if made is not None else None
    if head is None or not is_visible(desk, actor, head):
        raise NotFound("backtest", backtest)
    return head


def is_visible(desk: Desk, actor: Actor, head: Head) -> bool:
    """Whether a key may see a backtest; see `run_progress.is_visible`."""
    return of_key(desk, actor, head.portfolio, json.loads(head.request).get("strategy"))
