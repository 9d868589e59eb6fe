"""What a session came to: the portfolio's worth at its close, and its returns.

What belongs here: reading what was held, at which prices, and storing what measurement makes of it. What does not: the
figures (`analytics`), and whether everything agrees (`closing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import sqlalchemy as sa

from scizor_dagster.analytics.attribution import profit_frames
from scizor_dagster.analytics.performance import FACTS, SessionFigures, measure, store_performance
from scizor_dagster.analytics.profits import Profits
from scizor_dagster.analytics.valuation import Valuation, value_portfolio
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.errors import DataError
from scizor_dagster.flow.approving import awaiting_plan
from scizor_dagster.flow.attribution import closes_through, session_profits
from scizor_dagster.flow.closing import go_through
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import measured_sessions, where_of
from scizor_dagster.flow.money import book_through, price_adjustment, starting_cash
from scizor_dagster.flow.performance import with_benchmark
from scizor_dagster.lake.whole import whole
from scizor_dagster.ledger.known import restated_sessions
from scizor_dagster.ledger.rebuilt import cash_stated_at
from scizor_dagster.ledger.rows import activities_of, fills_of, open_batches
from scizor_dagster.ledger.tables import activities, adoptions, trades
from scizor_dagster.market_data.reading import session_bars

ZERO = Decimal(0)
_TOLD_WITHIN = timedelta(days=30)
"""How old a session may be of which something is told late, for those since then to be measured again."""


@dataclass(frozen=True)
class MeasuredSession:
    """The row that was stored, and the whole curve with it (and with the benchmark, see `with_benchmark`).

    Attributes:
        unpriced: Symbols held that no price is known for; they are not in the equity.
        stale: Symbols held that have no price of the session, valued at an earlier one.
        profits: Since the measured session before.
    """

    row: pd.DataFrame
    curve: pd.DataFrame
    unpriced: tuple[str, ...]
    stale: tuple[str, ...]
    profits: Profits


def measure_session(desk: Desk, portfolio: str, session: date) -> MeasuredSession | None:
    """Value the portfolio at the session's close and store its row.

    None while its prices are not collected, or its plan waits for a person and can still be carried out.

    Where the row is new or has changed, the stored rows after it are measured again as well: what
    was not known of one session was not known in the next ones. So are earlier ones of which the ledger was told
    something since: a late fill, a correction, one that was taken back, a payment, a split.

    Raises:
        DataError: what happened up to the session is not recorded yet; nothing is stored.
        AccountBusy: the venue must go through the session, and another process holds the account.
    """
    market = desk.portfolio(portfolio).market
    desk.calendar(market).require(session)
    if session_bars(desk.lake, market, session).empty or awaiting_plan(desk, portfolio, session) is not None:
        return None
    go_through(desk, portfolio, session)
    _require_complete(desk, portfolio, session)
    for earlier in _told_late_of(desk, portfolio, session):
        if _measure_on(desk, portfolio, earlier).is_news:
            # All later ones have been measured again with it.
            break
    found = _measure_on(desk, portfolio, session)
    curve = with_benchmark(desk, portfolio, measured_sessions(desk, portfolio))
    return MeasuredSession(found.row, curve, found.valuation.unpriced, found.valuation.stale, found.profits)


@dataclass(frozen=True)
class _Measurement:
    """One session, stored. `is_news` when it was not stored before, or another."""

    row: pd.DataFrame
    valuation: Valuation
    profits: Profits
    is_news: bool


def _measure_on(desk: Desk, portfolio: str, session: date) -> _Measurement:
    """Measure a session, and the stored ones after it where its row is new or another than before."""
    found = _measured(desk, portfolio, session)
    if found.is_news:
        known = measured_sessions(desk, portfolio)["session"]
        for later in known[known > session]:
            _measured(desk, portfolio, later)
    return found


def _measured(desk: Desk, portfolio: str, session: date) -> _Measurement:
    settings = desk.portfolio(portfolio)
    closes = closes_through(desk, portfolio, session)
    stored = measured_sessions(desk, portfolio, session)
    history = stored[stored["session"] < session]
    since = None if history.empty else history["session"].iloc[-1]
    # Rows of a version that knew no profits say nothing of the account's money.
    kept = since is not None and not pd.isna(history["account_money"].iloc[-1])
    profits, flows = session_profits(desk, portfolio, session, closes, since, kept=kept)
    book = book_through(desk, portfolio, session, closes)
    valuation = value_portfolio(book.holdings, book.cash + profits.account_money, closes)
    with desk.ledger.read() as connection:
        fills = fills_of(connection, settings.account, portfolio=portfolio, first=session, last=session)
    figures = SessionFigures(
        portfolio=portfolio,
        session=session,
        valuation=valuation,
        starting_equity=starting_cash(desk, portfolio),
        flows=flows.earlier + flows.today,
        earlier_flows=flows.earlier,
        fees=profits.fees,
        traded=sum((fill.qty * fill.price for fill in fills), ZERO),
        adjustment=price_adjustment(closes),
        synthetic=bool(closes["synthetic"].any()),
        account_money=profits.account_money,
        where=where_of(desk, portfolio),
    )
    row = measure(figures, history)
    sectors = {entry.instrument.symbol: entry.sector for entry in desk.universe(settings.market)}
    store_performance(desk.lake, row, figures.starting_equity, desk.clock(), profit_frames(profits, sectors))
    facts = list(FACTS)
    before = stored.loc[stored["session"] == session, facts].to_dict("records")
    return _Measurement(row, valuation, profits, before != row[facts].to_dict("records"))


def _told_late_of(desk: Desk, portfolio: str, session: date) -> list[date]:
    """Measured sessions before `session` that do not know all that the ledger was told of them or of earlier ones.

    A ledger that was built anew knows less of what was measured before than was known then: that stays as it is.
    """
    account, mine = desk.portfolio(portfolio).account, set(measured_sessions(desk, portfolio)["session"])
    with desk.lake.read() as cursor:
        query = f"SELECT session, fetched_at FROM {whole('performance')} WHERE portfolio = ? AND session < ?"
        measured = sorted(row for row in cursor.execute(query, [portfolio, session]).fetchall() if row[0] in mine)
    told: dict[date, datetime] = {}
    with desk.ledger.read() as connection:
        stated = cash_stated_at(connection, account, portfolio)
        zone = desk.calendar(desk.portfolio(portfolio).market).timezone
        restated = restated_sessions(connection, account, portfolio, desk.clock() - _TOLD_WITHIN)
        for table in (trades, activities, adoptions):
            between = table.c.session.between(session - _TOLD_WITHIN, session)
            rows = sa.select(table.c.session, sa.func.max(table.c.recorded_at)).where(
                table.c.account == account, between
            )
            for day, at in connection.execute(rows.group_by(table.c.session)):
                told[day] = max(at, told.get(day, at))
    return [
        day
        for day, at in measured
        if not (stated is not None and at < stated and day < stated.astimezone(zone).date())
        and (day in restated or any(of <= day and recorded > at for of, recorded in told.items()))
    ]


def _require_complete(desk: Desk, portfolio: str, session: date) -> None:
    """Refuse to measure while the ledger is behind the session.

    Raises:
        DataError: naming what is missing.
    """
    settings = desk.portfolio(portfolio)
    broker = desk.broker(settings.account, settings.market)
    there = {row.activity_id for row in broker.activities(session, session)}
    with desk.ledger.read() as connection:
        unended = [
            row
            for row in open_batches(connection, settings.account)
            if row.session < session or (row.session == session and row.portfolio == portfolio)
        ]
        here = {row.activity_id for row in activities_of(connection, settings.account, first=session, last=session)}
    if unended:
        why = f"orders of {unended[0].session} (portfolio '{unended[0].portfolio}') are still open"
    elif broker.phase(session) is VenuePhase.AHEAD:
        why = f"the venue of account '{settings.account}' has not gone through it"
    elif there - here:
        why = f"{len(there - here)} split(s), dividend(s) or payment(s) of it are not recorded"
    else:
        return
    raise DataError(
        f"Session {session} is not complete: {why}; nothing is measured.",
        remedy="Execute what is planned and end what is open up to the session (scizor run, or the job "
        "follow_orders), then measure again with scizor reconcile.",
        where=f"portfolio {portfolio}",
    )
