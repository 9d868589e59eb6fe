"""The whole of `config/config.yaml`, and what must hold between its sections.

What belongs here: references and sums across sections. What does not: reading the file (`loading`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from scizor_dagster.config.accounts import Account, AlpacaAccount, IbkrAccount, PaperAccount
from scizor_dagster.config.api import ApiRules
from scizor_dagster.config.base import MisplacedValue, Model, Name
from scizor_dagster.config.exports import ExportRules
from scizor_dagster.config.fx import FxRules
from scizor_dagster.config.lake import LakeRules
from scizor_dagster.config.markets import IbkrProvider, Market, basis_of
from scizor_dagster.config.notifications import NotificationRules
from scizor_dagster.config.permissions import ArmingRules
from scizor_dagster.config.portfolios import Portfolio
from scizor_dagster.config.runs import RunRules
from scizor_dagster.config.watchdog import WatchdogRules


class Config(Model):
    strategy_manifest: str = "strategy_manifest.yaml"
    strategy_folder: str = "strategies"
    """Folder of the user's own strategies in Python, one file each; relative to this file's. It need not exist."""
    clock: Name | None = None
    """The account whose broker says what time it is, for a rehearsal; None is this machine's clock."""
    markets: dict[Name, Market]
    accounts: dict[Name, Annotated[Account, Field(discriminator="broker")]]
    portfolios: dict[Name, Portfolio]
    lake: LakeRules = LakeRules()
    runs: RunRules = RunRules()
    fx: FxRules = FxRules()
    arming: ArmingRules = ArmingRules()
    watchdog: WatchdogRules = WatchdogRules()
    exports: ExportRules = ExportRules()
    api: ApiRules = ApiRules()
    notifications: NotificationRules = NotificationRules()
    legacy_notes: tuple[str, ...] = ()
    """One sentence for each key of the older system that was read but has no effect."""
    source: str = ""

    @model_validator(mode="after")
    def _references_exist(self) -> Config:
        shares: dict[str, float] = {}
        amounts: dict[str, float] = {}
        traded: dict[str, tuple[str, str]] = {}
        for name, portfolio in self.portfolios.items():
            for kind, target, known in (
                ("market", portfolio.market, self.markets),
                ("account", portfolio.account, self.accounts),
            ):
                if target not in known:
                    problem = f"portfolio '{name}' names {kind} '{target}', which is not configured"
                    raise MisplacedValue(problem, "portfolios", name, kind)
            currency, held = self.markets[portfolio.market].currency, self.accounts[portfolio.account].currency
            if currency != held:
                raise MisplacedValue(
                    f"portfolio '{name}' trades in {currency} from account '{portfolio.account}' in {held}; "
                    "use an account in the market's currency",
                    *("portfolios", name, "account"),
                )
            stated_in = portfolio.capital.currency or currency
            if not self.fx.knows(stated_in, currency):
                raise MisplacedValue(
                    f"the capital of portfolio '{name}' is in {stated_in}, its market in {currency}, and no file under "
                    "fx.files has the rate between them",
                    *("portfolios", name, "capital", "currency"),
                )
            shares[portfolio.account] = shares.get(portfolio.account, 0.0) + (portfolio.capital.share or 0.0)
            # What is stated in another currency is an amount of the account's only once it is converted.
            own = portfolio.capital.amount if stated_in == held else None
            amounts[portfolio.account] = amounts.get(portfolio.account, 0.0) + (own or 0.0)
            first = traded.setdefault(portfolio.account, (name, portfolio.market))
            if first[1] != portfolio.market and self.accounts[portfolio.account].broker == "paper":
                raise MisplacedValue(
                    f"portfolio '{name}' trades market '{portfolio.market}' from account '{portfolio.account}', from "
                    f"which '{first[0]}' trades market '{first[1]}', and a paper account is an exchange of one market; "
                    "use an account of its own for each market",
                    *("portfolios", name, "account"),
                )
        for account, total in shares.items():
            if total > 1.0 + 1e-9:
                problem = f"the shares of account '{account}' sum to {total:g}; at most 1 is allowed"
                raise MisplacedValue(problem, "accounts", account)
            deposit = self.accounts[account].initial_cash
            claimed = amounts[account] + total * deposit
            if claimed > deposit * (1.0 + 1e-9):
                raise MisplacedValue(
                    f"the portfolios of account '{account}' begin with {claimed:,.2f} together; "
                    f"its initial_cash is {deposit:,.2f}",
                    *("accounts", account, "initial_cash"),
                )
        return self

    @model_validator(mode="after")
    def _one_of_each(self) -> Config:
        """One account under one name, and one account behind each connection."""
        names: dict[tuple[str, str], str] = {}
        pinned: dict[tuple[str, int, int], str] = {}
        connections: dict[str, dict[str, Any]] = {}
        for name, account in self.accounts.items():
            if not isinstance(account, AlpacaAccount | IbkrAccount):
                continue
            first = names.setdefault((account.broker, account.account_id), name)
            if first != name:
                raise MisplacedValue(
                    f"accounts '{first}' and '{name}' are one account, {account.account_id}; an account has one name",
                    *("accounts", name, "account_id"),
                )
            if not isinstance(account, IbkrAccount):
                continue
            connections[name] = account.connection_keys()
            if pinned.setdefault(account.place, name) != name:
                raise MisplacedValue(
                    f"accounts '{pinned[account.place]}' and '{name}' connect to the same TWS with client id "
                    f"{account.client_id}; give each a client id of its own",
                    *("accounts", name, "client_id"),
                )
        for name, market in self.markets.items():
            for key, source in market.sources.items():
                if not isinstance(source, IbkrProvider) or source.place not in pinned:
                    continue
                other = pinned[source.place]
                if source.connection_keys() != connections[other]:
                    raise MisplacedValue(
                        f"the provider of market '{name}' and account '{other}' share client id {source.client_id} and "
                        "differ in other keys of the connection; write the same, or use another client id",
                        *("markets", name, *key, "client_id"),
                    )
        return self

    @model_validator(mode="after")
    def _sources_on_one_basis(self) -> Config:
        """Prices of another adjustment, or made-up ones, never stand in for the first provider's."""
        for name, market in self.markets.items():
            first = basis_of(market.provider)
            for key, source in market.sources.items():
                other = basis_of(source)
                where = ".".join(map(str, ("markets", name, *key)))
                if source is not market.provider and source == market.provider:
                    problem = f"{where} is the same source as markets.{name}.provider; leave it out"
                    raise MisplacedValue(problem, "markets", name, *key)
                if key == ("compare_with",) and other.synthetic != first.synthetic:
                    problem = f"{where} gives {other}, and markets.{name}.provider {first}"
                    raise MisplacedValue(
                        f"{problem}; made-up prices say nothing about real ones", "markets", name, *key
                    )
                if key[0] == "fallbacks" and other != first:
                    problem = f"{where} gives {other}, and markets.{name}.provider {first}"
                    raise MisplacedValue(
                        f"{problem}; they are never mixed: use a source of the same, or give it a market of its own",
                        *("markets", name, *key),
                    )
        return self

    @model_validator(mode="after")
    def _a_clock_that_can_be_read(self) -> Config:
        """A rehearsal may stand at any time, so that nothing with real money is configured beside it."""
        if self.clock is None:
            return self
        account = self.accounts.get(self.clock)
        if account is None or account.broker == "paper":
            known = ", ".join(name for name, item in self.accounts.items() if item.broker != "paper")
            raise MisplacedValue(
                f"'{self.clock}' is no account at a broker, whose clock could be read (there is: {known or 'none'}); "
                "leave the key out for this machine's clock",
                "clock",
            )
        if self.clock not in {portfolio.account for portfolio in self.portfolios.values()}:
            raise MisplacedValue(f"no portfolio trades from account '{self.clock}', whose clock is to be read", "clock")
        for name, other in self.accounts.items():
            if not isinstance(other, PaperAccount) and other.environment != "paper":
                raise MisplacedValue(
                    f"account '{name}' is live, and the clock of a broker is for rehearsals; remove one of them",
                    "clock",
                )
        return self

    @property
    def folder(self) -> Path:
        return Path(self.source).parent
