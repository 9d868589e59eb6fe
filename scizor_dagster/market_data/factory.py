"""From a market's configuration to its provider of prices.

What belongs here: the one place that knows every provider. What does not: what they do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from scizor_dagster import config
from scizor_dagster.brokers.opening import alpaca_settings, ibkr_settings
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.market_data.universe import read_universe
from scizor_dagster.sessions import TradingCalendar

NOTHING: Mapping[str, str] = MappingProxyType({})


def open_provider(
    market_name: str, market: config.Market, folder: Path, environment: Mapping[str, str] = NOTHING
) -> MarketData:
    """Open the provider of `market`; relative paths start from `folder`, the configuration's.

    Nothing connects before the first question.
    Its secrets are in `environment`.

    Raises:
        ConfigError: the calendar is unknown, or a secret is missing.
        InputError: a universe file of the synthetic market that cannot be used.
    """
    calendar = TradingCalendar(market.calendar)
    source = market.provider
    if isinstance(source, config.FilesProvider):
        from scizor_dagster.market_data.files import FilesMarket

        return FilesMarket(source, folder, calendar)
    entries = read_universe([folder / name for name in market.universes], market_name)
    if isinstance(source, config.AlpacaProvider | config.IbkrProvider):
        instruments = {entry.instrument.symbol: entry.instrument for entry in entries}
        where = f"markets.{market_name}.provider"
        return open_prices(source, where, market.currency, calendar, instruments, environment)
    from scizor_dagster.market_data.sample import SampleMarket

    return SampleMarket(entries, calendar, source.seed, market.first_session)


def open_prices(
    connection: config.AlpacaConnection | config.IbkrConnection,
    where: str,
    currency: str,
    calendar: TradingCalendar,
    instruments: Mapping[str, Instrument],
    environment: Mapping[str, str],
) -> MarketData:
    """Prices over one connection; `where` is its section of the configuration.

    Raises:
        ConfigError: a secret is missing, or the address is that of the other environment.
    """
    if isinstance(connection, config.AlpacaConnection):
        from scizor_dagster.market_data.alpaca import AlpacaMarket

        return AlpacaMarket(alpaca_settings(connection, environment, where), calendar)
    from scizor_dagster.market_data.ibkr import OPEN_REQUESTS, IbkrMarket

    open_requests = connection.open_requests if isinstance(connection, config.IbkrProvider) else OPEN_REQUESTS
    settings = ibkr_settings(connection, currency)
    return IbkrMarket(settings, calendar, instruments, time.sleep, open_requests=open_requests)
