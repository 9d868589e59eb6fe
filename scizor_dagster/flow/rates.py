"""Reference rates between the currencies of a configuration.

What belongs here: the stage `fx_rates`. What does not: a guess; a pair for which no provider gives a
rate is an error, and a portfolio whose market and account differ in currency is refused until there is one.
"""

from __future__ import annotations

import pandas as pd

from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import replace_rows


def collect_rates(desk: Desk) -> pd.DataFrame:
    """Store today's rates of every pair in use (base, quote, session, rate, source, fetched_at).

    Raises:
        ConfigError: a portfolio needs a rate between two currencies, and no provider has one.
    """
    now = desk.clock()
    rows = []
    for name, portfolio in desk.config.portfolios.items():
        market = desk.market(portfolio.market)
        account = desk.config.accounts[portfolio.account]
        if market.currency != account.currency:
            raise ConfigError(
                f"Portfolio '{name}' trades in {market.currency} from an account in {account.currency}, "
                "and no provider of rates is configured.",
                remedy="Use an account in the market's currency.", where=f"portfolios.{name}.account",
            )
        session = desk.calendar(portfolio.market).last_closed(now)
        rows.append((market.currency, account.currency, session, 1.0, "identity", now))
    columns = ["base", "quote", "session", "rate", "source", "fetched_at"]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates(["base", "quote", "session"])
    with desk.lake.write() as cursor:
        for session in sorted(set(frame["session"])):
            replace_rows(cursor, "fx_rates", frame[frame["session"] == session], "session = ?", [session])
    return frame
