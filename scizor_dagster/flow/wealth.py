"""What a portfolio was worth at the close of each session before one: as measured, and valued here where it was not.

What belongs here: the curve that loss stops and protections look at, and why its newest point is not known. What
does not: the rows of measured sessions (`closing`), and what follows from a loss (`risk.losses`).

Money that comes or goes from outside is not in it: a portfolio's cash is what its own fills, dividends and
delistings made of its capital (`ledger.holdings`), and measured returns leave flows out. Of the account's own money a
session that was measured knows; it stays as it is in those that are valued here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pandas as pd
import sqlalchemy as sa

from scizor_dagster.analytics.performance import began_with
from scizor_dagster.analytics.valuation import value_portfolio
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import measured_sessions
from scizor_dagster.flow.money import book_through, starting_cash
from scizor_dagster.ledger.rows import activities_of, fills_of, first_batch_of, last_batch_of
from scizor_dagster.ledger.tables import adoptions
from scizor_dagster.market_data.reading import last_closes_of_each
from scizor_dagster.planning.rules import exact

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class WealthCurve:
    """Wealth by session, oldest first, before one session.

    Attributes:
        starting: Before the first session.
        points: Session and wealth. A session that nobody measured and that cannot be valued is not there.
        since: The session that was traded last: its close and all later ones have not been looked at.
        newest_measured: Of all measured sessions, later ones included.
        unknown: Why the last closed session is not among them, with what to do; empty where it is, or
            where the portfolio had not begun.
    """

    starting: Decimal
    points: tuple[tuple[date, Decimal], ...]
    since: date
    newest_measured: date
    unknown: str


def wealth_before(desk: Desk, portfolio: str, session: date) -> WealthCurve:
    """The curve up to the last session closed before `session`.

    Every session since the newest measured one is valued from the ledger and the closes. An older gap stays one.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    last = calendar.previous_session(session)
    measured = measured_sessions(desk, portfolio)
    starting = starting_cash(desk, portfolio)
    counted = began_with(measured, float(starting))
    starting = starting if counted == float(starting) else exact(counted)
    newest = max(measured["session"], default=date.min)
    rows = measured[measured["session"] <= last]
    points = [
        # No return is known any more once nothing was left.
        (day, ZERO if pd.isna(gain) else starting * (1 + exact(float(gain))))
        for day, gain in zip(rows["session"], rows["cumulative_return"], strict=True)
    ]
    begun, traded = _traded(desk, portfolio, session)
    first = calendar.next_session(points[-1][0]) if points else begun
    unknown = ""
    if first is not None and first <= last:
        wealth, equity = (points[-1][1], exact(float(rows["equity"].iloc[-1]))) if points else (starting, starting)
        scale = wealth / equity if equity > 0 else ZERO
        valued, unknown = _valued(desk, portfolio, calendar.sessions(first, last))
        beside = _account_money(rows)
        points += [(day, (value + beside) * scale) for day, value in valued]
    return WealthCurve(starting, tuple(points), traded or date.min, newest, unknown)


def _account_money(rows: pd.DataFrame) -> Decimal:
    """As the last of the measured rows has it; rows of an earlier version have none."""
    stored = None if rows.empty else rows["account_money"].iloc[-1]
    return ZERO if pd.isna(stored) else exact(float(stored))


def _traded(desk: Desk, portfolio: str, session: date) -> tuple[date | None, date | None]:
    """The first and the last session before `session` that the portfolio has traded."""
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        last = last_batch_of(connection, account, portfolio, before=session)
        first = None if last is None else first_batch_of(connection, account, portfolio)
    return (None, None) if first is None or last is None else (first.session, last.session)


def _valued(desk: Desk, portfolio: str, days: Sequence[date]) -> tuple[list[tuple[date, Decimal]], str]:
    """The sessions of `days` that can be valued, and why the last one cannot."""
    behind = _behind(desk, portfolio, days[0], days[-1])
    if behind:
        return [], behind
    changed = _changed(desk, portfolio, days[0], days[-1])
    found: list[tuple[date, Decimal]] = []
    book, why = None, ""
    with desk.lake.pinned() as lake:
        for day, closes in last_closes_of_each(lake, desk.portfolio(portfolio).market, days):
            if book is None or day in changed:
                book = book_through(desk, portfolio, day, closes)
            why = _why_not(desk, portfolio, day, book.holdings, closes)
            if not why:
                found.append((day, value_portfolio(book.holdings, book.cash, closes).equity))
    return found, why


def _behind(desk: Desk, portfolio: str, first: date, last: date) -> str:
    """Why the ledger does not hold all that happened from `first` to `last`: a split that is not in it is no loss.

    Raises:
        BrokerUnavailable: the broker cannot be read.
    """
    settings = desk.portfolio(portfolio)
    broker = desk.broker(settings.account, settings.market)
    there = {row.activity_id for row in broker.activities(first, last)}
    with desk.ledger.read() as connection:
        here = {row.activity_id for row in activities_of(connection, settings.account, first=first, last=last)}
    if broker.phase(last) is not VenuePhase.AHEAD and there <= here:
        return ""
    day = last.isoformat()
    return (
        f"what happened up to {day} is not recorded; record it: scizor reconcile --portfolio {portfolio} --date {day}"
    )


def _why_not(desk: Desk, portfolio: str, day: date, holdings: Mapping[str, Decimal], closes: pd.DataFrame) -> str:
    market = desk.portfolio(portfolio).market
    priced = set(closes["symbol"])
    missing = [symbol for symbol in holdings if symbol not in priced]
    if not holdings or (not missing and max(closes["session"]) == day):
        return ""
    what = f"no price of {', '.join(missing)} is stored" if missing else f"no prices of {day.isoformat()} are stored"
    return f"{what}; collect them: scizor collect daily --market {market} --date {day.isoformat()}"


def _changed(desk: Desk, portfolio: str, first: date, last: date) -> set[date]:
    """Sessions in which holdings or cash may have changed."""
    account = desk.portfolio(portfolio).account
    adopted = sa.select(adoptions.c.session).where(adoptions.c.account == account)
    with desk.ledger.read() as connection:
        return {
            *(row.session for row in fills_of(connection, account, first=first, last=last)),
            *(row.session for row in activities_of(connection, account, first=first, last=last)),
            *connection.execute(adopted).scalars(),
        }
