"""From an account's configuration to its broker, and from a connection's to what an adapter is handed.

What belongs here: the one place that reads secrets, out of the environment that is handed in, and puts them
where a connection is made of them. What does not: asking anything of a broker; nothing connects before its
first question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scizor_dagster.brokers.alpaca.settings import LIVE_URL, PAPER_URL, AlpacaSettings
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.config import AlpacaAccount, AlpacaConnection, IbkrAccount, IbkrConnection
from scizor_dagster.errors import ConfigError
from scizor_dagster.instruments import Instrument
from scizor_dagster.sessions import Clock, TradingCalendar

if TYPE_CHECKING:
    from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
    from scizor_dagster.brokers.ibkr.broker import IbkrBroker

_URLS = {"paper": PAPER_URL, "live": LIVE_URL}
_CONNECT_TIMEOUT = 5.0


def open_broker(
    name: str,
    account: AlpacaAccount | IbkrAccount,
    calendar: TradingCalendar,
    instruments: Mapping[str, Instrument],
    clock: Clock,
    environment: Mapping[str, str],
) -> AlpacaBroker | IbkrBroker:
    """The broker of account `name`; `environment` holds its secrets.

    Raises:
        ConfigError: a secret is missing, or the address is that of the other environment.
    """
    if isinstance(account, AlpacaAccount):
        from scizor_dagster.brokers.alpaca.broker import AlpacaBroker

        keys = alpaca_settings(account, environment, f"accounts.{name}", auction_orders=account.auction_orders)
        live = account.account_id if account.environment == "live" else ""
        return AlpacaBroker(replace(keys, live_account=live), calendar)
    from scizor_dagster.brokers.ibkr.broker import IbkrBroker

    settings = ibkr_settings(account, account.currency, auction_orders=account.auction_orders)
    return IbkrBroker(settings, calendar, instruments, clock)


def alpaca_settings(
    connection: AlpacaConnection, environment: Mapping[str, str], where: str, *, auction_orders: bool = False
) -> AlpacaSettings:
    """What the adapter of Alpaca is handed; `where` is the section of the configuration, for errors.

    Raises:
        ConfigError: a secret is missing, or the address is that of the other environment.
    """
    meant = _URLS[connection.environment]
    url = connection.url or meant
    if url != meant and _host(url) in map(_host, _URLS.values()):
        raise ConfigError(
            f"The environment is '{connection.environment}', and {url} is the other one's address.",
            remedy=f"Leave the key out, for {meant}, or correct the environment.",
            where=f"{where}.url",
        )
    return AlpacaSettings(
        key_id=_secret(connection.key_id, environment, f"{where}.key_id"),
        secret_key=_secret(connection.secret_key, environment, f"{where}.secret_key"),
        url=url,
        data_url=connection.data_url,
        read_timeout=connection.timeout,
        connect_timeout=min(connection.timeout, _CONNECT_TIMEOUT),
        requests_per_minute=connection.requests_per_minute,
        feed=connection.feed,
        auction_orders=auction_orders,
    )


def ibkr_settings(connection: IbkrConnection, currency: str, *, auction_orders: bool = False) -> IbkrSettings:
    """What the adapter of Interactive Brokers is handed."""
    return IbkrSettings(
        host=connection.host,
        port=connection.port,
        client_id=connection.client_id,
        account=connection.account_id,
        currency=currency,
        time_zone=connection.time_zone,
        timeout=connection.timeout,
        execution_days=connection.execution_days,
        auction_orders=auction_orders,
    )


def _secret(reference: str, environment: Mapping[str, str], where: str) -> str:
    name = reference[2:-1]
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"The environment variable {name} is unset or empty.",
            remedy=f"Set {name}, for example in .env.",
            where=where,
        )
    return value


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()
