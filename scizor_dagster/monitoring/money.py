"""What each portfolio is worth, as it was measured last.

What belongs here: reading what is stored. What does not: measuring (`flow.measuring`). A figure that is not stored is
not there: nothing is worth nothing because nobody has looked.
"""

from __future__ import annotations

from scizor_dagster.flow.desk import Desk
from scizor_dagster.monitoring.catalogue import MONEY
from scizor_dagster.monitoring.readings import Readings

_NEWEST = "SELECT session, equity, cash, drawdown FROM performance WHERE portfolio = ? ORDER BY session DESC LIMIT 1"


def money(desk: Desk) -> Readings:
    """Every portfolio of the configuration that was ever measured."""
    found = Readings(MONEY)
    if not desk.has_lake:
        return found
    for portfolio, settings in desk.config.portfolios.items():
        with desk.lake.read() as cursor:
            row = cursor.execute(_NEWEST, [portfolio]).fetchone()
        if row is None:
            continue
        session, equity, cash, drawdown = row
        owner = (settings.account, portfolio)
        currency = desk.market(settings.market).currency
        found.add("scizor_equity", equity, *owner, currency)
        found.add("scizor_cash", cash, *owner, currency)
        if drawdown is not None:
            # Stored as a return below zero.
            found.add("scizor_drawdown", abs(drawdown), *owner)
        close = desk.calendar(settings.market).close_at(session)
        found.instant("scizor_performance_close_timestamp_seconds", close, *owner)
    return found
