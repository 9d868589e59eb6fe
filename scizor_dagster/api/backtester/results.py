"""`/api/backtests/{backtest}/results` and `/tearsheet`: a kept backtest in tables, and as a page."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.encoders import jsonable_encoder
from pydantic import JsonValue
from starlette.responses import HTMLResponse, JSONResponse, Response

from scizor_dagster.api import etags
from scizor_dagster.api.backtester.backtests import BacktestId, head_of
from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.paging import Page, ThePage, encoded
from scizor_dagster.api.problems import RequestRefused, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.backtest.storage import read_frames
from scizor_dagster.flow.backtest_tables import MOST_ROWS, TableName, as_csv, as_parquet, count_rows, read_rows
from scizor_dagster.ledger.api_keys import Scope

router = ApiRouter("backtests")
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
TEARSHEET_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)


class Form(StrEnum):
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of rows, or with `format` the whole table.",
        "model": Page[dict[str, JsonValue]],
        "content": {CSV: {"schema": {"type": "string"}}, PARQUET: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "/backtests/{backtest}/results", summary="Its tables", response_model=None, responses=_FORMS | etags.DOCUMENTED
)
def show_results(
    context: TheContext,
    desk: TheDesk,
    actor: Reader,
    request: Request,
    paging: ThePage,
    backtest: BacktestId,
    table: Annotated[TableName, Query(description="Which table.")] = TableName.EQUITY,
    format: Annotated[Form, Query(description="CSV and Parquet have every row.")] = Form.JSON,
    first: Annotated[date | None, Query(description="From this session on.")] = None,
    last: Annotated[date | None, Query(description="Up to this session.")] = None,
    symbol: Annotated[str | None, Query(max_length=64, description="Only this instrument.")] = None,
) -> Response:
    """`equity` (the curve, with costs and exposure), `orders` (with the reason, the price that sized each, its fill and
    what it cost), `decisions` (weight and reason of each instrument), `positions`, `months`, `instruments`, `costs`.

    Quantities are in shares. A table of months or instruments is not cut by sessions.
    """
    head = head_of(context, desk, actor, backtest)
    asked = (head.backtest_id, table, first, last, symbol)
    etags.state(request, paging.response, etags.tag_of(*asked, format, paging.limit, paging.after))
    headers = {name: paging.response.headers[name] for name in ("ETag", "Cache-Control")}
    if format is Form.JSON:
        return _page(desk, paging, asked, headers)
    rows = count_rows(desk, *asked)
    if rows > MOST_ROWS:
        raise RequestRefused(
            f"The table has {rows} rows; {MOST_ROWS} are given in one answer.",
            remedy="Name a shorter time (first, last) or a symbol, or take pages of JSON.",
            status=422,
        )
    name = f"{head.backtest_id[:12]}-{table}.{format}"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    content = as_csv(desk, *asked) if format is Form.CSV else as_parquet(desk, *asked)
    return Response(content, 200, headers, CSV if format is Form.CSV else PARQUET)


def _page(desk: TheDesk, paging: ThePage, asked: Any, headers: dict[str, str]) -> Response:
    # What is kept never changes: the number of a row is as good as its key.
    if paging.after is not None and not (paging.after.isdecimal() and len(paging.after) < 15):
        raise wrong_field("query.cursor", "That is no cursor.", "Take it from `next` of the page before.")
    start = int(paging.after or 0)
    rows = read_rows(desk, *asked, limit=paging.limit + 1, offset=start)
    more = len(rows) > paging.limit
    cursor = encoded(str(start + paging.limit)) if more else None
    if cursor is not None:
        url = paging.request.url.include_query_params(cursor=cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return JSONResponse(jsonable_encoder({"items": rows[: paging.limit], "next": cursor}), 200, headers)


@router.get(
    "/backtests/{backtest}/tearsheet",
    summary="Its page",
    response_model=None,
    responses={200: {"description": "One page of HTML.", "content": {"text/html": {"schema": {"type": "string"}}}}},
)
def show_tearsheet(context: TheContext, desk: TheDesk, actor: Reader, backtest: BacktestId) -> Response:
    """Figures, charts, months, costs and holdings: one page without a script or anything from elsewhere."""
    from scizor_dagster.analytics.report.page import render
    from scizor_dagster.backtest.pages import page_of

    head = head_of(context, desk, actor, backtest)
    page = render(page_of(head, read_frames(desk.lake, head.backtest_id)))
    return HTMLResponse(page.encode("utf-8", "replace"), headers={"Content-Security-Policy": TEARSHEET_CSP})
