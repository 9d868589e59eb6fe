"""The past that a session begins on: reconciled for the second time, and its positions looked at.

What belongs here: making the second pass where nobody has made it, and the look at positions before a plan. What does
not: one reconciliation (`closing`), and what open breaks stop (`risk.breaks`).
"""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.flow.closing import measures_of, reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import is_closed, unclosed_days
from scizor_dagster.ledger.holdings import foreign
from scizor_dagster.ledger.rows import batches_of, last_batch_of
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.reconciliation.looking import position_differences, record_look
from scizor_dagster.reconciliation.model import Pass, Severity, Source

LEFT_OPEN_FOR = timedelta(days=30)
"""How far back a day that was left open is closed by itself, once nothing is open any more."""


def close_past(desk: Desk, portfolio: str, session: date) -> None:
    """Make sure that what lies before `session` was reconciled for the second time, and that positions agree now.

    The last traded session is reconciled unless its day is closed, and so is every earlier one that still has open
    breaks: what was cleared meanwhile clears its locks. Once nothing is open any more, so are the days that were left
    open by it: what differs of the account is cleared by a later session, which closes no earlier day. What is found
    locks instruments or the portfolio; the gates of execution read that from the ledger.

    A day that the broker does not show any more is reconciled by what is held now, which closes it where every order
    has ended.

    Raises:
        BrokerUnavailable: the broker cannot be read; nothing is planned or sent on a past that nobody has compared.
    """
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        days = _days_before(connection, account, portfolio, session)
    for day in sorted(days):
        reconcile_session(desk, portfolio, day, which=Pass.SECOND, source=Source.BROKER)
    if not days:
        look_at_positions(desk, portfolio, session)


def day_to_close(desk: Desk, portfolio: str, session: date) -> date | None:
    """The last traded session before `session`, unless its day is closed; None where there is none to close."""
    if not desk.has_ledger:
        return None
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        last = last_batch_of(connection, account, portfolio, before=session)
        closed = last is None or is_closed(connection, account, portfolio, last.session)
    return None if last is None or closed else last.session


def _days_before(connection: sa.Connection, account: str, portfolio: str, session: date) -> set[date]:
    found = open_breaks(connection, account)
    days = {row.session for row in found if row.portfolio == portfolio and row.session < session}
    last = last_batch_of(connection, account, portfolio, before=session)
    if last is not None and not is_closed(connection, account, portfolio, last.session):
        days.add(last.session)
    if not found:
        days |= _left_open(connection, account, portfolio, session)
    return days


def _left_open(connection: sa.Connection, account: str, portfolio: str, session: date) -> set[date]:
    """Traded days before `session` that nobody has closed."""
    first = session - LEFT_OPEN_FOR
    traded = {row.session for row in batches_of(connection, account, portfolio, first=first)}
    return {row.session for row in unclosed_days(connection, account, portfolio, first, session)} & traded


def look_at_positions(desk: Desk, portfolio: str, session: date) -> None:
    """Compare the account's positions with what its portfolios own, as they are at this moment.

    What differs is asked for twice: a list may lag behind. One that is empty says nothing; the gate of execution
    refuses to trade on it where something is owned.

    Raises:
        BrokerUnavailable: the broker cannot be read.
    """
    settings = desk.portfolio(portfolio)
    account, broker = settings.account, desk.broker(settings.account, settings.market)
    before = desk.calendar(settings.market).previous_session(session)
    closes = closes_of(last_closes(desk.lake, settings.market, before))
    measures = measures_of(desk, portfolio, broker.capabilities)
    positions = broker.positions()
    with desk.ledger.read() as connection:
        found = position_differences(connection, account, positions, closes, measures)
        if any(row.severity is Severity.ERROR for row in found):
            positions = broker.positions()
    with desk.ledger.transaction() as connection:
        if positions or not foreign(connection, account, ()):
            found = position_differences(connection, account, positions, closes, measures)
            record_look(connection, account, portfolio, session, found, now=desk.clock())
