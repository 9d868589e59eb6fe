"""`/api/prices/quarantined`, `/api/rates/doubtful`: what is not believed, and a person's word for one of it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.data_farmer.known import require_market
from scizor_dagster.api.data_farmer.parameters import Day, MarketName, Operator, Reader
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import accept_quarantined, newest_quarantined
from scizor_dagster.flow.rate_files import accept_doubtful_rate, doubtful_rates

router = ApiRouter("acceptances")
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="Why it is believed.")]
Ticker = Annotated[str, Field(min_length=1, max_length=64)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Quarantined(Model):
    """A symbol that is out because its newest bar is not believed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"symbol": "KDP", "session": "2018-07-10", "reason": "price_jump", "detail": "x 0.2"}
        }
    )

    symbol: str
    session: date
    reason: str
    detail: str


class PriceAcceptance(Model):
    """A person's word for the quarantined bar of one session."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"symbol": "KDP", "session": "2018-07-10", "reason": "special dividend of 103.75"}
        }
    )

    symbol: Ticker
    session: Day
    reason: Reason
    market: str = Field("us", max_length=31)


class AcceptedPrice(Model):
    """What is believed from now on; the next collection of the session stores it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"market": "us", "symbol": "KDP", "session": "2018-07-10", "close": 21.5, "accepted_by": "ada"}
        }
    )

    market: str
    symbol: str
    session: date
    close: float
    accepted_by: str


class DoubtfulRate(Model):
    """A rate of a file that is not believed, or is stored otherwise (`restated`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "base": "EUR",
                "quote": "CHF",
                "session": "2015-01-15",
                "rate": 1.04,
                "reason": "jump",
                "detail": "1.2 before",
            }
        }
    )

    base: str
    quote: str
    session: date | None
    rate: float | None
    reason: str
    detail: str


class RateAcceptance(Model):
    """A person's word for what the pair's file says of a day."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"base": "EUR", "quote": "CHF", "session": "2015-01-15", "reason": "the floor was given up"}
        }
    )

    base: Currency
    quote: Currency
    session: Day
    reason: Reason


class AcceptedRate(Model):
    """What is believed from now on; the next collection stores it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "base": "EUR",
                "quote": "CHF",
                "session": "2015-01-15",
                "rate": 1.04,
                "accepted_by": "ada",
            }
        }
    )

    base: str
    quote: str
    session: date
    rate: float
    accepted_by: str


@router.get("/prices/quarantined", summary="Symbols that are out because of a price")
def list_quarantined(
    desk: TheDesk,
    actor: Reader,  # noqa: ARG001
    paging: ThePage,
    market: MarketName = "us",
) -> Page[Quarantined]:
    """By symbol. Such a bar sizes no order, until its source has mended it or a person accepts it."""
    require_market(desk, market)
    rows = newest_quarantined(desk, market) if desk.has_lake else []
    found = [
        Quarantined(symbol=row["symbol"], session=row["session"], reason=row["reason"], detail=row["detail"] or "")
        for row in rows
    ]
    return paging.page(sorted(found, key=lambda item: item.symbol), lambda item: item.symbol)


@router.post("/prices/accept", summary="Accept a quarantined price")
def accept_price(desk: TheDesk, actor: Operator, word: PriceAcceptance) -> AcceptedPrice:
    """Goes to the ledger's history with who, when and why, for this close of this session alone. A bar that cannot be a
    price is never accepted.
    """
    require_market(desk, word.market)
    session = desk.calendar(word.market).require(word.session)
    close = accept_quarantined(desk, word.market, word.symbol, session, reason=word.reason, actor=actor.name)
    return AcceptedPrice(market=word.market, symbol=word.symbol, session=session, close=close, accepted_by=actor.name)


@router.get("/rates/doubtful", summary="Rates in doubt")
def list_doubtful(desk: TheDesk, actor: Reader, paging: ThePage) -> Page[DoubtfulRate]:  # noqa: ARG001
    """What the configured files say now and is not believed, or is stored otherwise."""
    rates = sorted((_rate(row) for row in _doubtful(desk)), key=_place)
    return paging.page(rates, _place)


@router.post("/rates/accept", summary="Accept a rate in doubt")
def accept_rate(desk: TheDesk, actor: Operator, word: RateAcceptance) -> AcceptedRate:
    """Goes to the ledger's history with who, when and why, and with the stored rate that it replaces."""
    rate = accept_doubtful_rate(desk, word.base, word.quote, word.session, reason=word.reason, actor=actor.name)
    return AcceptedRate(base=word.base, quote=word.quote, session=word.session, rate=rate, accepted_by=actor.name)


def _doubtful(desk: Desk) -> list[dict[str, Any]]:
    if not (desk.config.fx.files and desk.has_lake):
        return []
    frame = doubtful_rates(desk)
    # What is no number at all has no rate.
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _rate(row: dict[str, Any]) -> DoubtfulRate:
    return DoubtfulRate(**{name: row[name] for name in DoubtfulRate.model_fields})


def _place(item: DoubtfulRate) -> str:
    return f"{item.base}/{item.quote} {item.session} {item.rate} {item.reason}"
