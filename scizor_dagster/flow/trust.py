"""Whether prices and calendar can be believed enough to plan on them.

What belongs here: reading stored facts, and stopping or naming instruments. What does not: which bars are good
(`market_data`), positions (`passes`), and what a plan makes of an instrument that is out (`planning`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal

from scizor_dagster.errors import DataError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import Book
from scizor_dagster.flow.quality import session_judgements, stopping
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.holdings import last_prices
from scizor_dagster.market_data.reading import coverage, quarantined_since, unscheduled_days

ZERO = Decimal(0)
MAX_UNSCHEDULED_SHARE = 0.5


def require_calendar(desk: Desk, lake: Lake, market: str, priced_on: date, session: date) -> None:
    """Stop where the exchange seems to have traded on a day that its calendar does not know as a session.

    Raises:
        DataError: most of the universe has new prices of such a day, since the session before `priced_on`.
    """
    calendar = desk.calendar(market)
    since = calendar.previous_session(priced_on) + timedelta(days=1) if priced_on > calendar.first else priced_on
    expected = coverage(lake, market, priced_on)[1]
    for day, symbols in sorted(unscheduled_days(lake, market, since, session).items()):
        if symbols > MAX_UNSCHEDULED_SHARE * expected:
            raise DataError(
                f"{symbols} of {expected} symbols have new prices of {day}, which is no session of {calendar.code}; "
                f"nothing is planned for {session}.",
                remedy="If the exchange did trade, update exchange_calendars; if not, have the source mend its rows "
                f"and collect {priced_on} again.",
                where=f"market {market}",
            )


def require_sound(desk: Desk, lake: Lake, market: str, newest: date | None, priced_on: date) -> None:
    """A feed that has failed sizes nothing: the last session's bars are there, believable, or missed for a reason.

    Raises:
        PriceUnavailable: naming what is there, what is not, and the newest session with any price.
    """
    for judgement in stopping(session_judgements(desk, lake, market, priced_on)):
        raise PriceUnavailable(
            f"{judgement.detail}; the newest session with any price is {newest or 'none'}.",
            remedy=judgement.remedy,
            where=f"market {market}",
        )


def quarantined_symbols(lake: Lake, market: str, priced_on: date) -> dict[str, str]:
    """Instruments whose newest bar is not believed, each with the reason: an older price would size them wrong."""
    return {
        row["symbol"]: f"Its bar of {row['session']} is quarantined ({row['reason']}: {row['detail']})."
        for row in quarantined_since(lake, market, priced_on).to_dict("records")
    }


def require_priced(desk: Desk, portfolio: str, book: Book, unusable: Collection[str]) -> None:
    """Refuse to plan around holdings without a usable price where they are a large part of the equity.

    A holding counts at its last known close; without any, at the price that was paid for it last.

    Raises:
        PriceUnavailable: naming the holdings, their share and the limit.
    """
    settings = desk.portfolio(portfolio)
    worth = {line.symbol: abs(line.value) for line in book.valuation.lines if line.symbol in unusable}
    if book.valuation.unpriced:
        with desk.ledger.read() as connection:
            paid = last_prices(connection, settings.account, book.valuation.unpriced)
        worth |= {symbol: abs(book.holdings[symbol] * paid.get(symbol, ZERO)) for symbol in book.valuation.unpriced}
    unpriced = sum(worth.values(), ZERO)
    equity = book.valuation.equity + sum((worth[symbol] for symbol in book.valuation.unpriced), ZERO)
    limit = Decimal(str(desk.market(settings.market).quality.max_unpriced_equity))
    if unpriced <= limit * equity:
        return
    raise PriceUnavailable(
        f"Holdings without a usable price ({', '.join(sorted(worth))}) are about {unpriced:,.2f} of an equity of "
        f"{equity:,.2f}; quality.max_unpriced_equity allows {limit:.0%}. Nothing is planned.",
        remedy="Collect their prices, accept a quarantined one (scizor prices accept), or raise "
        f"markets.{settings.market}.quality.max_unpriced_equity.",
        where=f"portfolio {portfolio}",
    )
