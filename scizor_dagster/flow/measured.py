"""Where a portfolio trades, and the sessions that were measured there.

What belongs here: what tells one account's rows from those of another that the portfolio was on before. What does not:
measuring (`measuring`), and the figures (`analytics`).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from scizor_dagster.analytics.performance import Where, read_performance
from scizor_dagster.config import PaperAccount
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake

if TYPE_CHECKING:
    import pandas as pd


def venue_of(desk: Desk, portfolio: str) -> str:
    """Where a portfolio's orders go: `paper` for the embedded exchange, else broker and environment."""
    account = desk.account(desk.portfolio(portfolio).account)
    return account.broker if isinstance(account, PaperAccount) else f"{account.broker}/{account.environment}"


def where_of(desk: Desk, portfolio: str) -> Where:
    """Account and venue that the portfolio trades on by its configuration."""
    return desk.portfolio(portfolio).account, venue_of(desk, portfolio)


def measured_sessions(
    desk: Desk, portfolio: str, through: date | None = None, lake: Lake | None = None
) -> pd.DataFrame:
    """Rows of `performance` up to and with `through` of where the portfolio trades now, oldest first."""
    return read_performance(lake or desk.lake, portfolio, through, where_of(desk, portfolio))
