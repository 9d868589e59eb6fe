"""`/api/data/{symbol}/quality`, `/api/gaps`: how good the stored prices are, and what is missing of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.data_farmer.known import known_symbol, require_market
from scizor_dagster.api.data_farmer.parameters import (
    FirstDate,
    InMarket,
    LastDate,
    MarketName,
    Reader,
    SymbolName,
    check_range,
)
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.quality import missing_ranges
from scizor_dagster.flow.symbol_quality import SymbolQuality, symbol_quality
from scizor_dagster.market_data.absences import Absence, tracked_symbols

router = ApiRouter("data quality")
GAP_EXAMPLE: dict[str, Any] = {
    "symbol": "AAPL",
    "first": "2025-01-09",
    "last": "2025-01-10",
    "sessions": 2,
    "reason": "not_collected",
    "detail": "",
}
MOST_SYMBOLS = 100


class Gap(Model):
    """Sessions in a row of which there is no believed bar, for one reason."""

    model_config = ConfigDict(json_schema_extra={"example": GAP_EXAMPLE})

    symbol: str
    first: date
    last: date
    sessions: int
    reason: Absence = Field(description="`not_collected` is the one that explains nothing: collect it.")
    detail: str = Field(description="Of the first session.")


class QuarantinedBar(Model):
    """A bar that is not believed."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    reason: str
    detail: str
    source: str


class Move(Model):
    """A move from close to close, as a fraction, far beyond what is usual for the symbol."""

    session: date
    move: float
    usual: float


class Quality(Model):
    """How good the stored prices of one symbol are."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "symbol": "AAPL",
                "instrument_id": "AAPL.XNAS",
                "market": "us",
                "first": "2024-11-18",
                "last": "2025-02-14",
                "sessions": 60,
                "bars": 58,
                "expected": 60,
                "coverage": 0.9667,
                "newest": "2025-02-14",
                "behind": 0,
                "revised": 0,
                "missing": [GAP_EXAMPLE],
                "quarantined": [],
                "outliers": [],
            }
        }
    )

    symbol: str
    instrument_id: str
    market: str
    first: date
    last: date
    sessions: int
    bars: int
    expected: int = Field(description="Sessions in which it was listed and tracked.")
    coverage: float = Field(description="Share of the expected bars that are there.")
    newest: date | None = Field(description="Session of the newest bar, in the range or not.")
    behind: int | None = Field(description="Closed sessions since then.")
    revised: int = Field(description="Bars of the range that were replaced or set aside; what they were is kept.")
    missing: list[Gap]
    quarantined: list[QuarantinedBar]
    outliers: list[Move]


@router.get("/data/{symbol:path}/quality", summary="How good the prices of a symbol are")
def show_quality(
    context: TheContext,
    actor: Reader,  # noqa: ARG001
    symbol: SymbolName,
    market: InMarket = None,
    start_date: FirstDate = None,
    end_date: LastDate = None,
) -> Quality:
    """Of the newest 60 closed sessions, or of a range."""
    check_range(start_date, end_date)
    known = known_symbol(context, symbol, market)
    desk = context.desk
    require_collected(desk, known.market)
    found = symbol_quality(desk, known.market, known.symbol, start_date, end_date)
    return Quality(
        symbol=known.symbol,
        instrument_id=known.instrument_id,
        market=known.market,
        coverage=found.coverage,
        missing=[Gap(**_named(row)) for row in found.missing.to_dict("records")],
        quarantined=[QuarantinedBar(**_finite(row)) for row in found.quarantined.to_dict("records")],
        outliers=[Move(**_named(row)) for row in found.outliers.to_dict("records")],
        **_plain(found),
    )


@router.get("/gaps", summary="Missing bars")
def list_gaps(
    desk: TheDesk,
    actor: Reader,  # noqa: ARG001
    paging: ThePage,
    market: MarketName = "us",
    symbol: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None,
        Query(max_length=MOST_SYMBOLS, description="Only this ticker; may be given again."),
    ] = None,
    start_date: FirstDate = None,
    end_date: LastDate = None,
    reason: Annotated[Absence | None, Query(description="Only those for this reason.")] = None,
) -> Page[Gap]:
    """The sessions that have no believed bar, by symbol, with the reason where it is known."""
    check_range(start_date, end_date)
    require_market(desk, market)
    require_collected(desk, market)
    for name in sorted(set(symbol or ()) - set(tracked_symbols(desk.lake, market))):
        raise NotFound("symbol", name)
    found = missing_ranges(desk, market, symbol or (), start_date, end_date)
    gaps = [Gap(**_named(row)) for row in found.to_dict("records") if reason in (None, row["reason"])]
    return paging.page(sorted(gaps, key=_place), _place)


def require_collected(desk: Desk, market: str) -> None:
    """Refuse to judge a market of which nothing was ever collected.

    Raises:
        RequestRefused: it is such a one (409).
    """
    if not desk.has_lake or not tracked_symbols(desk.lake, market):
        raise RequestRefused(
            f"Nothing has been collected of market '{market}' yet.",
            remedy="Collect it: POST /api/collections.",
            status=409,
        )


def _place(gap: Gap) -> str:
    return f"{gap.symbol} {gap.first} {gap.reason}"


def _plain(found: SymbolQuality) -> dict[str, Any]:
    names = ("first", "last", "sessions", "bars", "expected", "newest", "behind", "revised")
    return {name: getattr(found, name) for name in names}


def _named(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _finite(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A quarantined bar may be anything: what is no finite number is null."""
    import math

    plain = _named(row)
    numbers = {
        name: float(plain[name]) if plain[name] is not None and math.isfinite(plain[name]) else None
        for name in ("open", "high", "low", "close", "volume")
    }
    return {**plain, **numbers, "session": row["session"].date(), "detail": plain["detail"] or ""}
