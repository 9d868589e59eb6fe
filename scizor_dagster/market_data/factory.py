"""From a market's configuration to its provider of prices.

What belongs here: the one place that knows every provider. What does not: what they do.
"""

from __future__ import annotations

from pathlib import Path

from scizor_dagster import config
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.sessions import TradingCalendar


def open_provider(market_name: str, market: config.Market, folder: Path) -> MarketData:
    """Open the provider of `market`; relative paths start from `folder`, the configuration's.

    Raises:
        ConfigError: the calendar is unknown.
        InputError: a universe file of the synthetic market that cannot be used.
    """
    calendar = TradingCalendar(market.calendar)
    if isinstance(market.provider, config.FilesProvider):
        from scizor_dagster.market_data.files import FilesMarket

        return FilesMarket(market.provider, folder, calendar)
    from scizor_dagster.market_data.sample import SampleMarket
    from scizor_dagster.market_data.universe import read_universe

    entries = read_universe([folder / name for name in market.universes], market_name)
    return SampleMarket(entries, calendar, market.provider.seed, market.first_session)
