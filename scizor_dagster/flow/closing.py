"""The end of a session: does everything agree, and what did it come to?

What belongs here: reading plan, ledger and broker for one session, and storing what comparison and
measurement make of them. What does not: the comparison (`reconciliation`) and the figures (`analytics`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pandas as pd

from scizor_dagster.analytics.performance import SessionFigures, measure, read_performance, store_performance
from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import CENT, book_through, price_adjustment, starting_cash
from scizor_dagster.ledger.holdings import cash_flow
from scizor_dagster.ledger.rows import batch_of, fills_of
from scizor_dagster.market_data.reading import last_closes, session_bars
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import ReconciliationReport
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.storage import store_reconciliation

ZERO = Decimal(0)


def reconcile_session(desk: Desk, portfolio: str, session: date) -> ReconciliationReport:
    """Compare plan, ledger and broker for `session`, and store what came of it.

    Raises:
        BrokerUnavailable: a read failed; nothing is stored, because a missing answer is not an empty one.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    ledger_side, broker_side = read_sides(
        desk.ledger,
        desk.broker(settings.account, settings.market),
        account=settings.account,
        portfolio=portfolio,
        session=session,
        cash=_expected_cash(desk, portfolio),
    )
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
    priced = not session_bars(desk.lake, settings.market, session).empty
    plan = read_plan(desk.lake, portfolio, session, admitted.plan_id if admitted else None)
    report = reconcile(
        plan,
        ledger_side,
        broker_side,
        portfolio=portfolio,
        account=settings.account,
        session=session,
        closes=closes_of(last_closes(desk.lake, settings.market, session)),
        session_over=priced and calendar.has_closed(session, desk.clock()),
    )
    store_reconciliation(desk.lake, report, desk.clock())
    return report


def _expected_cash(desk: Desk, portfolio: str) -> Decimal | None:
    """What the account must hold now, where no other portfolio trades it."""
    settings = desk.portfolio(portfolio)
    sharing = [name for name, other in desk.config.portfolios.items() if other.account == settings.account]
    deposit = Decimal(str(desk.config.accounts[settings.account].initial_cash)).quantize(CENT)
    if sharing != [portfolio]:
        return None
    with desk.ledger.read() as connection:
        return deposit + cash_flow(connection, settings.account, portfolio)


@dataclass(frozen=True)
class MeasuredSession:
    """The row that was stored, the whole curve with it, and the holdings that no price is known for."""

    row: pd.DataFrame
    curve: pd.DataFrame
    unpriced: tuple[str, ...]


def measure_session(desk: Desk, portfolio: str, session: date) -> MeasuredSession | None:
    """Value the portfolio at the session's close and store its row; None while its prices are not collected."""
    settings = desk.portfolio(portfolio)
    desk.calendar(settings.market).require(session)
    if session_bars(desk.lake, settings.market, session).empty:
        return None
    closes = last_closes(desk.lake, settings.market, session)
    book = book_through(desk, portfolio, session, closes)
    with desk.ledger.read() as connection:
        recorded = fills_of(connection, settings.account, first=session, last=session)
    fills = [fill for fill in recorded if fill.portfolio == portfolio]
    row = measure(
        SessionFigures(
            portfolio=portfolio,
            session=session,
            valuation=book.valuation,
            starting_equity=starting_cash(desk, portfolio),
            flows=ZERO,
            fees=sum((fill.fee for fill in fills), ZERO),
            traded=sum((fill.qty * fill.price for fill in fills), ZERO),
            adjustment=price_adjustment(closes),
            synthetic=bool(closes["synthetic"].any()),
        ),
        read_performance(desk.lake, portfolio),
    )
    store_performance(desk.lake, row, desk.clock())
    return MeasuredSession(row, read_performance(desk.lake, portfolio), book.valuation.unpriced)
