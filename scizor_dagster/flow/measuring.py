"""What a session came to: the portfolio's worth at its close, and its returns.

What belongs here: reading what was held, at which prices, and storing what measurement makes of it. What does not: the
figures (`analytics`), and whether everything agrees (`closing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd

from scizor_dagster.analytics.performance import FACTS, SessionFigures, measure, read_performance, store_performance
from scizor_dagster.analytics.valuation import Valuation
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.errors import DataError
from scizor_dagster.flow.approving import awaiting_plan
from scizor_dagster.flow.closing import go_through
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import book_through, price_adjustment, starting_cash
from scizor_dagster.ledger.known import restated_sessions
from scizor_dagster.ledger.rows import activities_of, fills_of, open_batches
from scizor_dagster.market_data.reading import last_closes, session_bars

ZERO = Decimal(0)
_RESTATED_WITHIN = timedelta(days=30)
"""For how long after a correction the sessions before are measured again; brokers restate within days."""


@dataclass(frozen=True)
class MeasuredSession:
    """The row that was stored, and the whole curve with it.

    Attributes:
        unpriced: Symbols held that no price is known for; they are not in the equity.
        stale: Symbols held that have no price of the session, valued at an earlier one.
    """

    row: pd.DataFrame
    curve: pd.DataFrame
    unpriced: tuple[str, ...]
    stale: tuple[str, ...]


def measure_session(desk: Desk, portfolio: str, session: date) -> MeasuredSession | None:
    """Value the portfolio at the session's close and store its row.

    None while its prices are not collected, or its plan waits for a person and can still be carried out.

    Where the row is new or has changed, the stored rows after it are measured again as well: what
    was not known of one session was not known in the next ones. So are earlier ones of which an execution was
    corrected or taken back since.

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
    with desk.ledger.read() as connection:
        since = desk.clock() - _RESTATED_WITHIN
        restated = restated_sessions(connection, desk.portfolio(portfolio).account, portfolio, since)
    known = read_performance(desk.lake, portfolio)["session"]
    earlier = min((day for day in known if day in restated and day < session), default=None)
    if earlier is not None:
        _measure_on(desk, portfolio, earlier)
    row, valuation = _measure_on(desk, portfolio, session)
    return MeasuredSession(row, read_performance(desk.lake, portfolio), valuation.unpriced, valuation.stale)


def _measure_on(desk: Desk, portfolio: str, session: date) -> tuple[pd.DataFrame, Valuation]:
    """Measure a session, and the stored ones after it where its row is new or another than before."""
    before = read_performance(desk.lake, portfolio)
    row, valuation = _measured(desk, portfolio, session)
    facts = list(FACTS)
    if before.loc[before["session"] == session, facts].to_dict("records") != row[facts].to_dict("records"):
        for later in before.loc[before["session"] > session, "session"]:
            _measured(desk, portfolio, later)
    return row, valuation


def _measured(desk: Desk, portfolio: str, session: date) -> tuple[pd.DataFrame, Valuation]:
    settings = desk.portfolio(portfolio)
    closes = last_closes(desk.lake, settings.market, session)
    valuation = book_through(desk, portfolio, session, closes).valuation
    with desk.ledger.read() as connection:
        fills = fills_of(connection, settings.account, portfolio=portfolio, first=session, last=session)
    figures = SessionFigures(
        portfolio=portfolio,
        session=session,
        valuation=valuation,
        starting_equity=starting_cash(desk, portfolio),
        flows=ZERO,
        fees=sum((fill.fee for fill in fills), ZERO),
        traded=sum((fill.qty * fill.price for fill in fills), ZERO),
        adjustment=price_adjustment(closes),
        synthetic=bool(closes["synthetic"].any()),
    )
    row = measure(figures, read_performance(desk.lake, portfolio))
    store_performance(desk.lake, row, figures.starting_equity, desk.clock())
    return row, valuation


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
