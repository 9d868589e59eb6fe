"""Reference rates between the currencies of a configuration.

What belongs here: the stage `fx_rates`. What does not: a guess. A portfolio whose market and account differ
in currency is refused by the configuration, so that every pair in use is a currency and itself.
"""

from __future__ import annotations

import pandas as pd

from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import replace_rows


def collect_rates(desk: Desk) -> pd.DataFrame:
    """Store today's rates of every pair in use (base, quote, session, rate, source, fetched_at)."""
    now = desk.clock()
    rows = []
    for portfolio in desk.config.portfolios.values():
        currency = desk.market(portfolio.market).currency
        session = desk.calendar(portfolio.market).last_closed(now)
        rows.append((currency, currency, session, 1.0, "identity", now))
    columns = ["base", "quote", "session", "rate", "source", "fetched_at"]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates(["base", "quote", "session"])
    with desk.lake.write() as cursor:
        for session in sorted(set(frame["session"])):
            replace_rows(cursor, "fx_rates", frame[frame["session"] == session], "session = ?", [session])
    return frame
