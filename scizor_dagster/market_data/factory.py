"""From a market's configuration to its provider of prices.

What belongs here: the one place that knows every provider. What does not: what they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from scizor_dagster import config
from scizor_dagster.brokers.opening import alpaca_settings, ibkr_settings
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.fallback import Stored, nothing_stored, with_fallbacks
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.market_data.universe import read_universe
from scizor_dagster.sessions import TradingCalendar

ContractIds = Callable[[], Mapping[str, int]]
NOTHING: Mapping[str, str] = MappingProxyType({})


def open_provider(
    market_name: str,
    market: config.Market,
    folder: Path,
    home: Path,
    environment: Mapping[str, str] = NOTHING,
    stored: Stored = nothing_stored,
    contract_ids: ContractIds = dict,
) -> MarketData:
    """Open the provider of `market`, with its fall-backs behind it.

    Nothing connects before the first question.

    Args:
        market_name: Its key.
        market: Its section.
        folder: The configuration's; relative paths start from it.
        home: Where a provider may keep what it has to keep.
        environment: Holds the secrets.
        stored: What the lake holds; a fall-back's prices are compared with it.
        contract_ids: Asked where IBKR is a source: its id of each symbol's verified contract.

    Raises:
        ConfigError: the calendar is unknown, a package or a secret is missing.
        InputError: a universe file of the synthetic market that cannot be used.
    """
    opened = [
        _open_source(source, _where(market_name, key), market_name, market, folder, home, environment, contract_ids)
        for key, source in market.sources.items()
        if key != ("compare_with",)
    ]
    if len(opened) == 1:
        return opened[0]
    calendar = TradingCalendar(market.calendar, market.settling)
    return with_fallbacks(opened, calendar, market.quality.max_source_difference, stored)


def open_second_source(
    market_name: str, market: config.Market, folder: Path, home: Path, environment: Mapping[str, str] = NOTHING
) -> MarketData | None:
    """Open the source that closes are compared with, where there is one; see `open_provider`."""
    if market.compare_with is None:
        return None
    where = f"markets.{market_name}.compare_with"
    return _open_source(market.compare_with, where, market_name, market, folder, home, environment)


def _where(market: str, key: tuple[str | int, ...]) -> str:
    return ".".join(map(str, ("markets", market, *key)))


def _open_source(
    source: config.Provider,
    where: str,
    market_name: str,
    market: config.Market,
    folder: Path,
    home: Path,
    environment: Mapping[str, str],
    contract_ids: ContractIds = dict,
) -> MarketData:
    """One source; `where` is its section of the configuration."""
    calendar = TradingCalendar(market.calendar, market.settling)
    if isinstance(source, config.FilesProvider):
        from scizor_dagster.market_data.files import FilesMarket

        return FilesMarket(source, folder, calendar)
    entries = read_universe([folder / name for name in market.universes], market_name)
    instruments = {entry.instrument.symbol: entry.instrument for entry in entries}
    if isinstance(source, config.AlpacaProvider | config.IbkrProvider):
        return open_prices(source, where, market.currency, calendar, instruments, environment, contract_ids)
    if isinstance(source, config.YahooProvider):
        from scizor_dagster.market_data.yahoo import YahooMarket

        return YahooMarket(calendar, instruments, market.currency, home / "yfinance", where)
    from scizor_dagster.market_data.sample import SampleMarket

    return SampleMarket(entries, calendar, source.seed, market.first_session)


def open_prices(
    connection: config.AlpacaConnection | config.IbkrConnection,
    where: str,
    currency: str,
    calendar: TradingCalendar,
    instruments: Mapping[str, Instrument],
    environment: Mapping[str, str],
    contract_ids: ContractIds = dict,
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
    return IbkrMarket(
        settings, calendar, instruments, time.sleep, contract_ids=contract_ids(), open_requests=open_requests
    )
