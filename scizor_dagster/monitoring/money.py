"""What each portfolio is worth, as it was measured last.

What belongs here: reading what is stored. What does not: measuring (`flow.measuring`). A figure that is not stored is
not there: nothing is worth nothing because nobody has looked.
"""

from __future__ import annotations

import math

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import measured_sessions
from scizor_dagster.monitoring.catalogue import MONEY
from scizor_dagster.monitoring.readings import Readings


def money(desk: Desk) -> Readings:
    """Every portfolio of the configuration, where it trades now: of one that was never measured there just that."""
    found = Readings(MONEY)
    if not desk.has_lake:
        return found
    for portfolio, settings in desk.config.portfolios.items():
        owner = (settings.account, portfolio)
        measured = measured_sessions(desk, portfolio)
        if measured.empty:
            found.instant("scizor_performance_close_timestamp_seconds", None, *owner)
            continue
        session, equity, cash, drawdown = measured.iloc[-1][["session", "equity", "cash", "drawdown"]]
        currency = desk.market(settings.market).currency
        found.add("scizor_equity", equity, *owner, currency)
        found.add("scizor_cash", cash, *owner, currency)
        if not math.isnan(drawdown):
            # Stored as a return below zero.
            found.add("scizor_drawdown", abs(drawdown), *owner)
        close = desk.calendar(settings.market).close_at(session)
        found.instant("scizor_performance_close_timestamp_seconds", close, *owner)
    return found
