"""`/api/collect`, `/api/collections`: prices into the lake, by the same Dagster jobs as the command line's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import Path, Query, Request, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api import events
from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.data_farmer.freshness import freshness_of
from scizor_dagster.api.data_farmer.known import KnownSymbol, known_symbol, require_market
from scizor_dagster.api.data_farmer.parameters import Day, InMarket, Keeper, Reader, SymbolName
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import RequestRefused, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.run_views import RUN_EXAMPLE, RunView, progress_of
from scizor_dagster.api.runs import ENDED, RunRequest, RunState
from scizor_dagster.cli.dates import settled_session_of_job
from scizor_dagster.flow.collecting import collection_range, daily_config, history_config
from scizor_dagster.flow.desk import Desk
from scizor_dagster.jobnames import name_for

router = ApiRouter("collections")
KIND = "collection"
PLACE = "/api/collections"
MARKET_TAG, SYMBOLS_TAG, DATES_TAG = "scizor/market", "scizor/symbols", "scizor/dates"
YEAR = timedelta(days=365)
MOST_LISTED = 1000
_DATES = ("body.start_date", "body.end_date")
RunId = Annotated[str, Path(min_length=1, max_length=64, description="Id of the collection.")]
Force = Annotated[bool, Query(description="Ask for what is stored as well, and take corrections.")]


class Collection(RunView):
    """A collection, which is a run of Dagster."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {**RUN_EXAMPLE, "market": "us", "symbols": ["AAPL"], "dates": "2024-01-02 to 2024-12-31"}
        }
    )

    market: str
    symbols: list[str] = Field(description="Those that it is for alone; none is the whole universe.")
    dates: str = Field(description="What was asked for.")

    @classmethod
    def of(cls, state: RunState) -> Collection:
        named = state.tags.get(SYMBOLS_TAG, "")
        return cls(
            **RunView.of(state).model_dump(),
            market=state.tags.get(MARKET_TAG, ""),
            symbols=named.split(",") if named else [],
            dates=state.tags.get(DATES_TAG, ""),
        )


class HistoryRequest(Model):
    """Dates to collect; by default three years up to the last closed session."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"start_date": "2025-01-02", "end_date": "2025-02-14", "force": False}}
    )

    start_date: Day | None = None
    end_date: Day | None = None
    force: bool = Field(False, description="Ask for what is stored as well, and take corrections.")


class CollectionRequest(HistoryRequest):
    """A collection of the whole universe: one closed session, or the gaps of a range of dates."""

    model_config = ConfigDict(json_schema_extra={"example": {"market": "us", "kind": "daily"}})

    market: str = Field("us", max_length=31)
    kind: Literal["daily", "history"] = "daily"
    session: Day | None = Field(None, description="Of `daily`; by default the last one that has closed.")


@router.post("/collect/historical/{symbol:path}", summary="Collect a symbol's history", status_code=202)
def collect_history(
    context: TheContext,
    actor: Keeper,
    response: Response,
    symbol: SymbolName,
    dates: HistoryRequest,
    market: InMarket = None,
) -> Collection:
    """Fills the gaps of a range of dates, of this symbol alone. To ask again has next to nothing to do."""
    known = _collectable(context, symbol, market)
    request = _history(context.desk, known.market, dates.start_date, dates.end_date, [known.symbol], force=dates.force)
    return _accepted(response, context.runs.submit(request, actor.name))


@router.post("/collect/{symbol:path}", summary="Bring a symbol up to date", status_code=202)
def collect_symbol(
    context: TheContext,
    actor: Keeper,
    response: Response,
    symbol: SymbolName,
    market: InMarket = None,
    force: Force = False,
) -> Collection:
    """Fills the gaps of the year up to the last closed session, of this symbol alone."""
    known = _collectable(context, symbol, market)
    desk = context.desk
    last = desk.calendar(known.market).last_settled(desk.clock())
    first = max(last - YEAR, desk.market(known.market).first_session)
    request = _history(desk, known.market, first, last, [known.symbol], force=force)
    return _accepted(response, context.runs.submit(request, actor.name))


@router.post("/collections", summary="Collect a market", status_code=202)
def create_collection(context: TheContext, actor: Keeper, response: Response, asked: CollectionRequest) -> Collection:
    """The whole universe, checked, as `scizor collect daily` and `scizor collect history` do it."""
    require_market(context.desk, asked.market)
    if asked.kind == "daily":
        request = _daily(context.desk, asked)
    elif asked.session is not None:
        raise wrong_field("body.session", "A history has no session.", "Give start_date and end_date.")
    else:
        request = _history(context.desk, asked.market, asked.start_date, asked.end_date, (), force=asked.force)
    return _accepted(response, context.runs.submit(request, actor.name))


@router.get("/collections", summary="The collections")
def list_collections(
    context: TheContext,
    actor: Reader,  # noqa: ARG001
    paging: ThePage,
    market: InMarket = None,
) -> Page[Collection]:
    """Those that were asked for here, the newest first; of the newest thousand. Steps are in each one's own answer."""
    require_market(context.desk, market)
    states = context.runs.listed(KIND, MOST_LISTED)
    freshness_of(context).settle(context)
    listed = [(_age(state), Collection.of(state)) for state in states if market in (None, state.tags.get(MARKET_TAG))]
    places = {item.id: place for place, item in listed}
    return paging.page([item for _, item in sorted(listed, key=lambda pair: pair[0])], lambda item: places[item.id])


@router.get("/collections/{collection_id}", summary="One collection")
def show_collection(context: TheContext, actor: Reader, collection_id: RunId) -> Collection:  # noqa: ARG001
    """How far it is, and why it failed."""
    return _shown(context, context.runs.state(collection_id, KIND))


@router.get(
    "/collections/{collection_id}/progress", summary="The progress of a collection", responses=events.DOCUMENTED
)
async def show_progress(
    context: TheContext,
    actor: Reader,  # noqa: ARG001
    request: Request,
    collection_id: RunId,
) -> Response:
    """Server-sent events: `step` for each step that is done, and `end`."""
    read = progress_of(context.runs, collection_id, KIND)

    def told(after: int) -> events.Told:
        found = read(after)
        if found.ended:
            freshness_of(context).settle(context)
        return found

    return await events.stream(request, told)


@router.post("/collections/{collection_id}/cancel", summary="Cancel a collection")
def cancel_collection(context: TheContext, actor: Keeper, collection_id: RunId) -> Collection:  # noqa: ARG001
    """One that waits, or is a run of Dagster's webserver. What was collected stays."""
    return _shown(context, context.runs.cancel(collection_id, KIND))


def _shown(context: Context, state: RunState) -> Collection:
    """Told as ended when all that it has stored is in what is asked for then."""
    if state.status in ENDED:
        freshness_of(context).settle(context)
    return Collection.of(state)


def _collectable(context: Context, symbol: str, market: str | None) -> KnownSymbol:
    """The symbol, where bars of it are collected.

    Raises:
        NotFound: there is none.
        RequestRefused: it is ambiguous, tracked no more, or no certain instrument (409).
    """
    known = known_symbol(context, symbol, market)
    row = known.row
    if known.in_universe and (row is None or row.collected):
        return known
    why = f"{row.reason or 'not verified'} {row.note}".strip() if row is not None else "not in the universe"
    raise RequestRefused(
        f"{known.symbol} is not collected in market '{known.market}': {why}.",
        remedy="Nothing was done. Track it: POST /api/symbols; or verify it: POST /api/symbols/validate.",
        where="path.symbol",
        status=409,
    )


def _history(
    desk: Desk, market: str, first: date | None, last: date | None, symbols: Sequence[str], *, force: bool
) -> RunRequest:
    begin, end = collection_range(desk, market, first, last, _DATES)
    return RunRequest(
        KIND,
        name_for("collect_history", market, desk.config.markets),
        partition_range=(str(begin.year), str(end.year)),
        config=history_config(market, end, begin, symbols=symbols, force=force),
        tags=_tags(market, symbols, f"{begin} to {end}"),
    )


def _daily(desk: Desk, asked: CollectionRequest) -> RunRequest:
    if asked.start_date is not None or asked.end_date is not None:
        raise wrong_field("body.kind", "One session has no range of dates.", "Give session, or kind history.")
    calendar, now = desk.calendar(asked.market), desk.clock()
    day = asked.session or calendar.last_settled(now)
    session = settled_session_of_job(calendar, day, desk.market(asked.market).first_session, now)
    return RunRequest(
        KIND,
        name_for("collect_daily", asked.market, desk.config.markets),
        partition=session.isoformat(),
        config=daily_config(asked.market, force=asked.force),
        tags=_tags(asked.market, (), str(session)),
    )


def _tags(market: str, symbols: Sequence[str], dates: str) -> Mapping[str, str]:
    return {MARKET_TAG: market, SYMBOLS_TAG: ",".join(symbols), DATES_TAG: dates}


def _accepted(response: Response, state: RunState) -> Collection:
    response.headers["Location"] = f"{PLACE}/{state.run_id}"
    return Collection.of(state)


def _age(state: RunState) -> str:
    """A text that is the less the newer the run is."""
    created = state.created_at.timestamp() if state.created_at is not None else 0.0
    return f"{10**13 - int(created * 1000):013d} {state.run_id}"
