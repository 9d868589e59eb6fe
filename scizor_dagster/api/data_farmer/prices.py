"""`/api/data/{symbol}`: the stored prices of one symbol, as traded or adjusted, in four forms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from scizor_dagster.api import etags
from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.data_farmer.encoding import CONTENT_TYPES, MEDIA_TYPES, Form, chosen_form, encoded
from scizor_dagster.api.data_farmer.freshness import freshness_of
from scizor_dagster.api.data_farmer.kept import History, shelf_of
from scizor_dagster.api.data_farmer.known import KnownSymbol, KnownSymbols, known_symbol, named, require_market
from scizor_dagster.api.data_farmer.parameters import FirstDate, InMarket, LastDate, Reader, SymbolName, check_range
from scizor_dagster.api.models import Model
from scizor_dagster.api.problems import documented
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

router = ApiRouter("prices")
Adjustment = Literal["raw", "split", "total_return"]
STREAMED_FROM = 10_000
"""Rows from which on an answer is sent part by part, and not kept."""
_COLUMNS: dict[str, dict[str, str]] = {
    "raw": {name: f"raw_{name}" for name in ("open", "high", "low", "close")} | {"volume": "volume"},
    "split": {name: f"split_{name}" for name in ("open", "high", "low", "close", "volume")},
    "total_return": {"close": "total_return_close"},
}


class Bars(Model):
    """One array for each column, all of one length. With `total_return` there are `session` and `close` alone."""

    session: list[date]
    open: list[float | None] | None = None
    high: list[float | None] | None = None
    low: list[float | None] | None = None
    close: list[float | None]
    volume: list[float | None] | None = None


class PriceSeries(Model):
    """Prices of one symbol. A number that the source does not give is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbol": "AAPL",
                "instrument_id": "AAPL.XNAS",
                "market": "us",
                "currency": "USD",
                "adjustment": "split",
                "synthetic": False,
                "sources": ["alpaca"],
                "rows": 2,
                "bars": {
                    "session": ["2025-01-02", "2025-01-03"],
                    "open": [248.93, 243.36],
                    "high": [249.1, 244.18],
                    "low": [241.82, 241.89],
                    "close": [243.85, 243.36],
                    "volume": [55740731.0, 40244114.0],
                },
            }
        }
    )

    symbol: str
    instrument_id: str = Field(description="`TICKER.MIC`.")
    market: str
    currency: str = Field(description="Of the prices.")
    adjustment: Adjustment
    synthetic: bool = Field(description="Whether any of it is made up.")
    sources: list[str] = Field(description="Who has given the bars.")
    rows: int
    bars: Bars


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PriceSeries,
        "description": "The prices. CSV, Parquet and Arrow have the columns symbol and source besides.",
        "content": {kind: _BINARY for form, kind in MEDIA_TYPES.items() if form is not Form.JSON},
    },
    **etags.DOCUMENTED,
    **documented(406),
}


# `:path`, because a ticker may have a slash in it. Routes below a symbol are defined before this one.
@router.get(
    "/data/{symbol:path}",
    summary="Prices of a symbol",
    responses=_ANSWERS,
    response_model=None,
    response_class=Response,
)
async def show_prices(
    context: TheContext,
    actor: Reader,  # noqa: ARG001
    request: Request,
    response: Response,
    symbol: SymbolName,
    market: InMarket = None,
    start_date: FirstDate = None,
    end_date: LastDate = None,
    adjustment: Annotated[
        Adjustment, Query(description="As traded, adjusted for splits, or for splits and dividends (closes alone).")
    ] = "raw",
    form: Annotated[Form | None, Query(alias="format", description="Instead of the header Accept.")] = None,
) -> Response:
    """By session, from what is stored; nothing is fetched.

    A symbol of which nothing is stored in the range has no rows. The answer is the same until its prices change.
    """
    check_range(start_date, end_date)
    chosen = chosen_form(form, request.headers.get("accept", ""))
    known, history = await _found(context, symbol, market)
    shelf = shelf_of(context)
    asked = (known.market, known.symbol, known.instrument_id, known.currency, adjustment, start_date, end_date, chosen)
    tag = etags.tag_of("prices", history.digest if history else "", *asked)
    etags.state(request, response, tag)
    headers = {**response.headers, "Vary": "Accept", "Content-Type": CONTENT_TYPES[chosen]}
    body = shelf.answers.get((tag, asked))
    if body is not None:
        return Response(body, headers=headers)
    made = await run_in_threadpool(_encoded, chosen, known, history, adjustment, (start_date, end_date))
    if not isinstance(made, bytes):
        return StreamingResponse(made, headers=headers)
    shelf.answers.put((tag, asked), made, len(made))
    return Response(made, headers=headers)


async def _found(context: Context, name: str, market: str | None) -> tuple[KnownSymbol, History | None]:
    """The symbol and its history, without a thread where both are kept; see `known_symbol` for what it raises."""
    await freshness_of(context).wait(context)
    desk, shelf = context.desk_at_hand, shelf_of(context)
    index = context.part(KnownSymbols).at_hand(desk) if desk is not None else None
    if desk is not None and index is not None:
        require_market(desk, market)
        known = named(index, name, market)
        history = shelf.at_hand(known.market, known.symbol)
        if history is not None:
            return known, history
    return await run_in_threadpool(_looked_up, context, name, market)


def _looked_up(context: Context, name: str, market: str | None) -> tuple[KnownSymbol, History | None]:
    known, desk = known_symbol(context, name, market), context.desk
    return known, shelf_of(context).histories(desk.lake).of(known.market, known.symbol) if desk.has_lake else None


def _encoded(
    form: Form,
    known: KnownSymbol,
    history: History | None,
    adjustment: Adjustment,
    dates: tuple[date | None, date | None],
) -> bytes | Iterator[bytes]:
    """The body, or its parts where it is long."""
    table = _chosen(history, known, adjustment, *dates)
    parts = encoded(form, table, _head(known, adjustment, table), {"symbol": known.symbol})
    return parts if table.num_rows >= STREAMED_FROM else b"".join(parts)


def _chosen(
    history: History | None, known: KnownSymbol, adjustment: Adjustment, first: date | None, last: date | None
) -> pa.Table:
    """The rows and columns that are asked for: session, those of the basis, synthetic, source.

    Raises:
        InputError: there are rows, and none has a price of that basis.
    """
    import numpy as np
    import pyarrow as pa

    if history is None:
        names = ("session", *_COLUMNS[adjustment], "synthetic", "source")
        kinds = {"session": pa.date32(), "synthetic": pa.bool_(), "source": pa.string()}
        return pa.schema([(name, kinds.get(name, pa.float64())) for name in names]).empty_table()
    days = history.table.column("session").to_numpy()
    begin = 0 if first is None else int(np.searchsorted(days, np.datetime64(first), side="left"))
    end = len(days) if last is None else int(np.searchsorted(days, np.datetime64(last), side="right"))
    wanted = {"session": "session", **_COLUMNS[adjustment], "synthetic": "synthetic", "source": "source"}
    rows = history.table.slice(begin, max(end - begin, 0)).select(list(wanted.values())).rename_columns(list(wanted))
    if adjustment == "raw" and rows.num_rows:
        rows = _without_adjusted_volume(rows)
    if rows.num_rows and rows.column("close").null_count == rows.num_rows:
        raise InputError(
            f"There are no {adjustment} prices: the source gives its own adjusted ones, or the factors are not "
            "computed.",
            remedy="Ask for another adjustment: raw, split or total_return.",
            where=f"market {known.market}, {known.symbol}",
        )
    return rows


def _without_adjusted_volume(rows: pa.Table) -> pa.Table:
    """A volume beside which there is no raw price is none of the shares that were traded then."""
    import pyarrow as pa
    import pyarrow.compute as pc

    volume = pc.if_else(pc.is_valid(rows.column("close")), rows.column("volume"), pa.scalar(None, pa.float64()))
    return rows.set_column(rows.column_names.index("volume"), "volume", volume)


def _head(known: KnownSymbol, adjustment: Adjustment, table: pa.Table) -> dict[str, Any]:
    import pyarrow.compute as pc

    return {
        "symbol": known.symbol,
        "instrument_id": known.instrument_id,
        "market": known.market,
        "currency": known.currency,
        "adjustment": adjustment,
        "synthetic": bool(pc.any(table.column("synthetic")).as_py()),
        "sources": sorted(pc.unique(table.column("source")).to_pylist()),
        "rows": table.num_rows,
    }
