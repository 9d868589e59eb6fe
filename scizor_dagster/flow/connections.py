"""Does an account's broker answer, is it the one that is pinned, and may it be asked for prices?

What belongs here: questions that change nothing, each with what to do where the answer is not as it should be.
What does not: trading, and the gates of a run (`execution.gates`), whose comparisons are used here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from scizor_dagster.config import AlpacaAccount, AlpacaProvider, IbkrAccount, IbkrProvider, YahooProvider
from scizor_dagster.errors import BrokerUnavailable, ConfigError, WrongAccount
from scizor_dagster.execution.gates import MAX_CLOCK_DIFFERENCE, match_identity
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.factory import open_prices
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.provider import MarketData

_REHEARSAL = timedelta(days=1)


def prove_connection(desk: Desk, name: str) -> str:
    """One sentence on account `name`, which is at a broker outside this process.

    Raises:
        ConfigError: a secret is missing, the clocks differ, or no market is in the account's currency.
        WrongAccount: it is another account than the one that is pinned, or keeps another currency.
        BrokerUnavailable: it does not answer, or gives no prices.
    """
    account = desk.account(name)
    assert isinstance(account, AlpacaAccount | IbkrAccount)
    market = _market_of(desk, name)
    secrets = desk.settings.environment
    broker = desk.broker(name, market)
    identity = broker.identity()
    match_identity(identity, desk.pinned_identity(name))
    state = broker.account()
    if state.currency != account.currency:
        raise WrongAccount(
            f"The account keeps {state.currency}, and the configuration says {account.currency}.",
            remedy="Correct the currency of the account.",
            where=f"accounts.{name}.currency",
            limit="account_currency",
            value=state.currency,
            threshold=account.currency,
        )
    clock = _clock(desk, state.as_of, name)
    provider = open_prices(
        account, f"accounts.{name}", account.currency, desk.calendar(market), desk.instruments(market), secrets
    )
    prices = _prices(desk, provider, market)
    money = f"{state.equity:,.2f} {state.currency} of equity, {state.cash:,.2f} in cash"
    money += f", {state.other_cash:,.2f} worth of it in other currencies" if state.other_cash else ""
    return f"{name}: {identity.broker} {identity.environment} account {identity.account_id}, {money}, {clock}, {prices}"


def connected_sources(desk: Desk, market: str) -> dict[str, MarketData]:
    """The market's sources of prices that are asked over a network, by their key; a fall-back is one of them."""
    first, second = desk.provider(market), desk.second_source(market)
    opened = [*(first.sources if isinstance(first, FallbackMarket) else (first,)), *([second] if second else [])]
    return {
        ".".join(map(str, (market, *key))): provider
        for (key, source), provider in zip(desk.market(market).sources.items(), opened, strict=True)
        if isinstance(source, AlpacaProvider | IbkrProvider | YahooProvider)
    }


def prove_prices(desk: Desk, source: MarketData, market: str) -> str:
    """One sentence on the prices of a source that is asked over a network; see `prove_connection`."""
    return _prices(desk, source, market)


def _market_of(desk: Desk, name: str) -> str:
    """The market that the account trades; where no portfolio does so, one of its currency."""
    traded = [item.market for item in desk.config.portfolios.values() if item.account == name]
    currency = desk.account(name).currency
    of_currency = [market for market, item in desk.config.markets.items() if item.currency == currency]
    if not traded and not of_currency:
        raise ConfigError(
            f"No market is in {currency}, the currency of account '{name}'.",
            remedy="Add a market that it may trade, or remove the account.",
            where=f"accounts.{name}.currency",
        )
    return (traded or of_currency)[0]


def _clock(desk: Desk, theirs: datetime, name: str) -> str:
    ours = desk.machine_clock()
    difference = abs(theirs - ours)
    if desk.config.clock == name and difference > MAX_CLOCK_DIFFERENCE:
        return f"a rehearsal at {theirs.isoformat(timespec='seconds')}, whose clock is gone by"
    if difference <= MAX_CLOCK_DIFFERENCE:
        return f"clock within {MAX_CLOCK_DIFFERENCE.total_seconds():.0f} s"
    if difference >= _REHEARSAL:
        # No machine's clock is off by days: an exchange that replays the past is.
        return (
            f"a rehearsal at {theirs.isoformat(timespec='seconds')}, and this machine's clock is gone by "
            f"(write `clock: {name}` to go by the exchange's)"
        )
    raise ConfigError(
        f"The broker's clock says {theirs.isoformat(timespec='seconds')}, this machine's "
        f"{ours.isoformat(timespec='seconds')}: {difference.total_seconds():.0f} s apart.",
        remedy="Set this machine's clock by NTP.",
        where=f"accounts.{name}",
    )


def _prices(desk: Desk, provider: MarketData, market: str) -> str:
    """The newest price of one symbol: whether the account may read prices shows nowhere else."""
    for symbol in list(desk.instruments(market))[:1]:
        found = provider.latest_prices([symbol], desk.clock())
        if found:
            price = found[0]
            return f"prices readable ({symbol} {price.price:f} of {price.at:%Y-%m-%d %H:%M %Z}, {price.source})"
        raise BrokerUnavailable(
            f"No price of {symbol} can be read from {provider.name}.",
            remedy="Check the subscription to market data, and the feed.",
            where=f"market {market}",
        )
    return "no symbol to ask a price of"
