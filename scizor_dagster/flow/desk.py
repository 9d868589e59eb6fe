"""The desk: one object that knows every store, market and account of a configuration.

What belongs here: opening things lazily and once, and importing them not before. What does not: what is done with
them; the other modules of `flow` hold one function per stage, and assets and the command line call those.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scizor_dagster.brokers.protocol import Broker, BrokerIdentity
from scizor_dagster.config import Account, Config, Market, PaperAccount, Portfolio, load_config
from scizor_dagster.errors import ConfigError
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.universe import UniverseEntry, read_universe
from scizor_dagster.sessions import Clock, TradingCalendar
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
    from scizor_dagster.brokers.ibkr.broker import IbkrBroker
    from scizor_dagster.lake.connection import Lake
    from scizor_dagster.ledger.store import Ledger
    from scizor_dagster.market_data.provider import MarketData
    from scizor_dagster.paper_exchange.faults import FaultScript
    from scizor_dagster.signals.manifest import Manifest

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """Everything a stage of the flow may need. Opening it reads nothing; each part opens when asked for."""

    settings: Settings
    machine_clock: Clock

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], machine_clock: Clock) -> Desk:
        return cls(Settings.from_environment(environment), machine_clock)

    @cached_property
    def clock(self) -> Clock:
        """Now: by this machine, or in a rehearsal by the broker of the account that the configuration names."""
        name = self.config.clock
        if name is None:
            return self.machine_clock
        from scizor_dagster.brokers.broker_clock import BrokerClock

        market = next(item.market for item in self.config.portfolios.values() if item.account == name)
        return BrokerClock(lambda: self.connected_broker(name, market).now(), time.monotonic)

    @cached_property
    def config(self) -> Config:
        # Refused here, before anything is done: a database that cannot be used is no reason to take another one.
        _ = self.settings.ledger_url
        return load_config(self.settings.config_path, self.settings.environment)

    @cached_property
    def manifest(self) -> Manifest:
        from scizor_dagster.signals.manifest import load_manifest

        return load_manifest(self.config.folder / self.config.strategy_manifest, self.settings.environment)

    @cached_property
    def lake(self) -> Lake:
        from scizor_dagster.flow.stores_choice import choose_lake
        from scizor_dagster.lake.connection import Lake
        from scizor_dagster.lake.tables import initialise

        lake = Lake(choose_lake(self.settings))
        initialise(lake)
        return lake

    @property
    def has_lake(self) -> bool:
        """Whether there is a lake already; asking creates none."""
        from scizor_dagster.flow.stores_choice import has_lake

        return (self.settings.on_server and "lake" in self.__dict__) or has_lake(self.settings)

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger already; asking creates none."""
        from scizor_dagster.flow.ledger_choice import ledger_exists

        return "ledger" in self.__dict__ or ledger_exists(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, created where none is needed yet; see `ledger_choice.open_ledger` for what is refused."""
        from scizor_dagster.flow.ledger_choice import open_ledger

        return open_ledger(self.settings, self.traded_sessions)

    def require_no_lost_ledger(self) -> None:
        """Refuse to pass by a ledger that is gone as if there had never been one.

        Raises:
            LedgerError: there is none, and sessions were traded with one.
        """
        from scizor_dagster.flow.ledger_choice import refuse_to_forget

        if not self.has_ledger:
            refuse_to_forget(self.settings, self.traded_sessions)

    def traded_sessions(self) -> int:
        """How many sessions the lake knows to be traded, whatever became of the ledger."""
        if not self.has_lake:
            return 0
        with self.lake.read() as cursor:
            row = cursor.execute("SELECT count(DISTINCT (portfolio, session)) FROM order_results").fetchone()
        return int(row[0]) if row else 0

    @cached_property
    def _providers(self) -> dict[str, MarketData]:
        return {}

    @cached_property
    def _second_sources(self) -> dict[str, MarketData | None]:
        return {}

    @cached_property
    def _fault_scripts(self) -> dict[str, FaultScript]:
        return {}

    @cached_property
    def _brokers(self) -> dict[tuple[str, str], AlpacaBroker | IbkrBroker]:
        return {}

    @cached_property
    def _universes(self) -> dict[str, tuple[UniverseEntry, ...]]:
        return {}

    def market(self, name: str) -> Market:
        return _named(self.config.markets, name, "market")

    def portfolio(self, name: str) -> Portfolio:
        return _named(self.config.portfolios, name, "portfolio")

    def account(self, name: str) -> Account:
        return _named(self.config.accounts, name, "account")

    def calendar(self, market: str) -> TradingCalendar:
        settings = self.market(market)
        return TradingCalendar(settings.calendar, settings.settling)

    def provider(self, market: str) -> MarketData:
        from scizor_dagster.market_data.factory import open_provider
        from scizor_dagster.market_data.symbol_reading import contract_ids

        if market not in self._providers:
            self._providers[market] = open_provider(
                market,
                *self._place_of(market),
                stored=partial(self._stored_closes, market),
                contract_ids=lambda: contract_ids(self.lake, market) if self.has_lake else {},
            )
        return self._providers[market]

    def second_source(self, market: str) -> MarketData | None:
        """The source that the market's closes are compared with, where there is one."""
        from scizor_dagster.market_data.factory import open_second_source

        if market not in self._second_sources:
            self._second_sources[market] = open_second_source(market, *self._place_of(market))
        return self._second_sources[market]

    def _place_of(self, market: str) -> tuple[Market, Path, Path, Mapping[str, str]]:
        return self.market(market), self.config.folder, self.settings.home, self.settings.environment

    def _stored_closes(self, market: str, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        from scizor_dagster.market_data.bar_store import stored_closes
        from scizor_dagster.market_data.fallback import nothing_stored

        if not self.has_lake:
            return nothing_stored(symbols, first, last)
        with self.lake.read() as cursor:
            return stored_closes(cursor, market, symbols, first, last)

    def universe(self, market: str) -> tuple[UniverseEntry, ...]:
        if market not in self._universes:
            paths = [self._config_file(name) for name in self.market(market).universes]
            self._universes[market] = read_universe(paths, market)
        return self._universes[market]

    def instruments(self, market: str) -> Mapping[str, Instrument]:
        """The market's instruments by symbol."""
        return {entry.instrument.symbol: entry.instrument for entry in self.universe(market)}

    def broker(self, account: str, market: str) -> Broker:
        """The broker of `account`, trading the instruments of `market`; what connects is one object for both.

        Raises:
            ConfigError: a secret is missing, the address is that of the other environment, or the fault script
                of a paper account cannot be used.
        """
        chosen = self.account(account)
        if isinstance(chosen, PaperAccount):
            return self._paper_broker(account, chosen, market)
        return self.connected_broker(account, market)

    def connected_broker(self, account: str, market: str) -> AlpacaBroker | IbkrBroker:
        """The broker of an account that is not of the embedded exchange; see `broker`."""
        from scizor_dagster.brokers.opening import open_broker

        chosen = self.account(account)
        assert not isinstance(chosen, PaperAccount)
        if (account, market) not in self._brokers:
            self._brokers[account, market] = open_broker(
                account,
                chosen,
                self.calendar(market),
                self.instruments(market),
                self.clock,
                self.settings.environment,
            )
        return self._brokers[account, market]

    def _paper_broker(self, name: str, account: PaperAccount, market: str) -> Broker:
        """The embedded account's broker, with the faults that it is to rehearse."""
        from scizor_dagster.brokers.paper import PaperBroker
        from scizor_dagster.brokers.rehearsal import RehearsalBroker
        from scizor_dagster.paper_exchange.lake_data import LakeSessionData

        broker = PaperBroker(
            self.ledger,
            name,
            account,
            self.calendar(market),
            LakeSessionData(self.lake, market),
            self.instruments(market),
            self.clock,
        )
        script = self._fault_script(name, account)
        return RehearsalBroker(broker, script, name) if script is not None else broker

    def _fault_script(self, name: str, account: PaperAccount) -> FaultScript | None:
        """The account's script, which counts its calls as long as this desk is there."""
        from scizor_dagster.paper_exchange.faults import FaultScript

        file = account.exchange.faults
        if file is None:
            return None
        if name not in self._fault_scripts:
            path = self._config_file(file)
            self._fault_scripts[name] = FaultScript.read(path, self.settings.environment)
        return self._fault_scripts[name]

    def pinned_identity(self, account: str) -> BrokerIdentity:
        """What the broker of `account` must say that it is."""
        chosen = self.account(account)
        if isinstance(chosen, PaperAccount):
            return BrokerIdentity(chosen.broker, "paper", account)
        return BrokerIdentity(chosen.broker, chosen.environment, chosen.account_id)

    def disconnect(self) -> None:
        """Close what is open to brokers; the next question to one connects again."""
        for broker in self._brokers.values():
            broker.close()
        self._brokers.clear()

    def _config_file(self, name: str) -> Path:
        path = self.config.folder / name
        if not path.is_file():
            raise ConfigError("The file does not exist.", remedy="Create it, or correct the name.", where=str(path))
        return path


def _named(items: Mapping[str, T], name: str, kind: str) -> T:
    try:
        return items[name]
    except KeyError as error:
        known = ", ".join(sorted(items))
        raise ConfigError(f"There is no {kind} '{name}'.", remedy=f"Use one of: {known}.", where="config") from error
