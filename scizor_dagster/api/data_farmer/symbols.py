"""`/api/symbols`: which symbols are tracked, what the provider says of them, and changes to the universe."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api import etags
from scizor_dagster.api.context import TheContext, TheDesk
from scizor_dagster.api.data_farmer.freshness import freshness_of
from scizor_dagster.api.data_farmer.known import known_symbol, require_market
from scizor_dagster.api.data_farmer.parameters import InMarket, Keeper, MarketName, Reader, SymbolName
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound, RequestRefused, documented
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.symbols import add_symbol, known_symbols, refresh_symbols, remove_symbol
from scizor_dagster.flow.symbols_in_use import retired_in_use
from scizor_dagster.market_data.reports import RetiredSymbol, SymbolsReport, UnverifiedSymbol
from scizor_dagster.market_data.symbol_rows import SymbolRow
from scizor_dagster.market_data.verification import Asking

router = ApiRouter("symbols")
Ticker = Annotated[str, Field(min_length=1, max_length=21, description="As the exchange writes it.")]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
MOST_ASKED = 1000
SYMBOL_EXAMPLE: dict[str, Any] = {
    "symbol": "AAPL",
    "instrument_id": "AAPL.XNAS",
    "market": "us",
    "name": "Apple Inc.",
    "currency": "USD",
    "sector": "Technology",
    "category": "",
    "lot": 1,
    "tick": "0.01",
    "tracked": True,
    "verified": True,
    "last_verified": "2026-11-20T22:31:00Z",
    "next_due": "2026-12-20T22:31:00Z",
    "provider_id": "",
    "reason": None,
    "note": "",
    "retired_on": None,
}


class Symbol(Model):
    """One symbol of a market."""

    model_config = ConfigDict(json_schema_extra={"example": SYMBOL_EXAMPLE})

    symbol: str
    instrument_id: str = Field(description="`TICKER.MIC`.")
    market: str
    name: str
    currency: str
    sector: str
    category: str
    lot: int
    tick: Exact
    tracked: bool
    verified: bool = Field(description="Whether it is one certain instrument at the provider.")
    last_verified: datetime | None
    next_due: datetime | None = Field(description="From when on the provider is asked again.")
    provider_id: str | None = Field(description="The provider's own id of it.")
    reason: str | None = Field(description="Why it is out, or not whole.")
    note: str
    retired_on: date | None = Field(description="First day on which it is not tracked.")

    @classmethod
    def of(cls, market: str, row: SymbolRow) -> Symbol:
        names = set(cls.model_fields) - {"market"}
        return cls(market=market, **{name: getattr(row, name) for name in names})


class NewSymbol(Model):
    """A symbol to track. Exchange and name come from the provider, where it knows it as one instrument."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"symbol": "PLTR", "mic": "XNAS", "name": "Palantir Technologies"}}
    )

    symbol: Ticker
    market: str = Field("us", max_length=31)
    mic: str | None = Field(None, pattern=r"^[A-Z0-9]{4}$", description="Exchange, such as XNAS.")
    name: Line | None = None
    sector: Line | None = Field(None, description="Of a share.")
    category: Line | None = Field(None, description="Of a fund.")
    file: Line | None = Field(None, description="Which of the market's universe files, as it is configured.")

    @property
    def given(self) -> dict[str, str]:
        values = {"mic": self.mic, "name": self.name, "sector": self.sector, "category": self.category}
        return {key: value for key, value in values.items() if value}


class ValidationRequest(Model):
    """Which symbols are to be verified: those that are due, or more."""

    model_config = ConfigDict(json_schema_extra={"example": {"market": "us", "symbols": ["AAPL"], "limit": 50}})

    market: str = Field("us", max_length=31)
    symbols: list[Ticker] | None = Field(None, min_length=1, max_length=MOST_ASKED, description="These alone.")
    force_revalidate: bool = Field(False, description="Also where the verification is recent.")
    force: bool = Field(False, description="Believe at once that symbols are gone which the provider knows no more.")
    limit: int = Field(100, ge=1, le=MOST_ASKED, description="Ask for at most so many.")


class Doubt(Model):
    """A symbol that something is wrong with."""

    symbol: str
    reason: str
    note: str


class Validation(Model):
    """What the verification has found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "market": "us",
                "source": "alpaca",
                "certain": False,
                "symbols": 105,
                "verified": 104,
                "asked": 3,
                "more_are_due": False,
                "returned": [],
                "doubts": [{"symbol": "WBA", "reason": "unknown", "note": "not listed any more"}],
            }
        }
    )

    market: str
    source: str
    certain: bool = Field(description="Whether every symbol, and whatever portfolios use, is one tracked instrument.")
    symbols: int
    verified: int
    asked: int
    more_are_due: bool
    returned: list[str] = Field(description="Retired before, and tracked again.")
    doubts: list[Doubt]

    @classmethod
    def of(cls, report: SymbolsReport, in_use: list[Doubt]) -> Validation:
        named: list[UnverifiedSymbol | RetiredSymbol] = [*report.unverified, *report.doubted, *report.retired]
        by_name = {
            (item.symbol, item.reason): Doubt(symbol=item.symbol, reason=item.reason, note=item.note) for item in named
        }
        silent = [Doubt(symbol=symbol, reason="no_answer", note=why) for symbol, why in report.silent]
        refused = [Doubt(symbol=name, reason="too_many_gone", note="See force.") for name in report.refused]
        uncertain = (*report.unverified, *report.doubted, *silent, *refused, *in_use)
        return cls(
            market=report.market,
            source=report.source,
            certain=not uncertain,
            symbols=report.symbols,
            verified=report.verified,
            asked=report.asked,
            more_are_due=report.left_over,
            returned=list(report.returned),
            doubts=[*by_name.values(), *silent, *refused, *in_use],
        )


@router.get("/symbols", summary="The tracked symbols")
def list_symbols(
    desk: TheDesk,
    actor: Reader,  # noqa: ARG001
    paging: ThePage,
    market: MarketName = "us",
    retired: Annotated[bool, Query(description="Only those that are not tracked any more.")] = False,
    due: Annotated[bool, Query(description="Only those that the next verification asks for.")] = False,
    sector: Annotated[str | None, Query(max_length=200, description="Only those of this sector.")] = None,
) -> Page[Symbol]:
    """By name, with state and reason. Asks nobody outside."""
    require_market(desk, market)
    rows = known_symbols(desk, market, retired=retired, due=due)
    shown = [Symbol.of(market, row) for row in rows if sector in (None, row.sector)]
    return paging.page(sorted(shown, key=lambda item: item.symbol), lambda item: item.symbol)


@router.post("/symbols/validate", summary="Verify symbols at the provider")
def validate_symbols(context: TheContext, actor: Keeper, asked: ValidationRequest) -> Validation:  # noqa: ARG001
    """Brings the universe files into the lake, and asks the provider for the symbols that are due, as
    `scizor symbols validate` does. A provider that does not answer never takes a verification back.
    """
    desk = context.desk
    require_market(desk, asked.market)
    only = frozenset(asked.symbols) if asked.symbols is not None else None
    for symbol in sorted((only or frozenset()) - set(desk.instruments(asked.market))):
        raise NotFound("symbol", symbol)
    asking = Asking(force_revalidate=asked.force_revalidate, force=asked.force, limit=asked.limit, only=only)
    report = refresh_symbols(desk, asked.market, asking)
    freshness_of(context).settle(context)
    in_use = [
        Doubt(symbol=item.symbol, reason=item.reason, note=f"{item.use} by {item.portfolio}")
        for item in retired_in_use(desk, asked.market)
    ]
    return Validation.of(report, in_use)


@router.post("/symbols", summary="Track a symbol", status_code=201)
def create_symbol(context: TheContext, actor: Keeper, response: Response, new: NewSymbol) -> Symbol:  # noqa: ARG001
    """Writes its line into a universe file, at once or not at all, and verifies it. `tracked` and `reason` of the
    answer say whether the provider knows it.
    """
    desk = context.desk
    require_market(desk, new.market)
    if new.symbol in desk.instruments(new.market):
        raise RequestRefused(
            f"{new.symbol} is in the universe of market '{new.market}' already.",
            remedy="Nothing was done. Verify it: POST /api/symbols/validate.",
            where="body.symbol",
            status=409,
        )
    changed = add_symbol(desk, new.market, new.symbol, new.given, new.file)
    refresh_symbols(changed, new.market, Asking(only=frozenset([new.symbol]), force_revalidate=True))
    freshness_of(context).settle(context)
    response.headers["Location"] = f"/api/symbols/{new.symbol}?market={new.market}"
    return Symbol.of(new.market, stored_row(context, new.symbol, new.market))


@router.get("/symbols/{symbol:path}", summary="One symbol", responses=etags.DOCUMENTED)
def show_symbol(
    context: TheContext,
    actor: Reader,  # noqa: ARG001
    request: Request,
    response: Response,
    symbol: SymbolName,
    market: InMarket = None,
) -> Symbol:
    """What the lake keeps of it, retired ones included."""
    known = known_symbol(context, symbol, market)
    found = Symbol.of(known.market, stored_row(context, known.symbol, known.market))
    etags.state(request, response, _tag(found))
    return found


@router.delete("/symbols/{symbol:path}", summary="Track a symbol no more", responses=documented(412))
def delete_symbol(
    context: TheContext,
    actor: Keeper,  # noqa: ARG001
    request: Request,
    symbol: SymbolName,
    reason: Annotated[
        str, Query(min_length=1, max_length=200, pattern=r"\S", description="Why; it is kept with the day.")
    ],
    market: InMarket = None,
) -> Symbol:
    """Takes its line out of the universe file, and retires it; its bars stay. What a portfolio holds of it is named in
    every plan and not traded: sell it first.
    """
    known = known_symbol(context, symbol, market)
    if not known.in_universe:
        raise NotFound("symbol", symbol)
    if known.row is not None:
        etags.require_match(request, _tag(Symbol.of(known.market, known.row)))
    changed = remove_symbol(context.desk, known.market, known.symbol, reason)
    refresh_symbols(changed, known.market, Asking(only=frozenset(), removal_reasons={known.symbol: reason.strip()}))
    freshness_of(context).settle(context)
    return Symbol.of(known.market, stored_row(context, known.symbol, known.market))


def stored_row(context: TheContext, symbol: str, market: str) -> SymbolRow:
    """What the lake keeps of a symbol.

    Raises:
        RequestRefused: nothing yet (409).
    """
    row = known_symbol(context, symbol, market).row
    if row is None:
        raise RequestRefused(
            f"{symbol} is in the universe of market '{market}', and nothing is stored of it yet.",
            remedy="Verify it: POST /api/symbols/validate.",
            where="path.symbol",
            status=409,
        )
    return row


def _tag(symbol: Symbol) -> str:
    return etags.tag_of("symbol", *symbol.model_dump(mode="json").items())
