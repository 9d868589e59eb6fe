"""What `scizor plan` plans on: files alone, a portfolio's capital, or the account of its broker.

What belongs here: which option goes with which mode, and gathering inputs, rules and capabilities.
What does not: options and printing (`plan`), reading of files (`planning.files`). Nothing is sent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError, PriceUnavailable

if TYPE_CHECKING:
    from scizor_dagster.brokers.protocol import Capabilities
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.planning.files import FileInputs, FileSources
    from scizor_dagster.planning.inputs import PlanInputs
    from scizor_dagster.planning.rules import PlanningRules


class Mode(StrEnum):
    DRYRUN = "dryrun"
    ONLINE = "online"


class BrokerName(StrEnum):
    PAPER = "paper"
    ALPACA = "alpaca"
    IBKR = "ibkr"


@dataclass(frozen=True)
class Wanted:
    """The options that say what to plan on; None where one is left out."""

    mode: Mode
    portfolio: str | None
    broker: BrokerName | None
    currency: str | None
    equity: Decimal | None
    day: date | None


@dataclass(frozen=True)
class Request:
    """Everything that the planner is handed, and the desk of the portfolio that it is for."""

    read: FileInputs
    rules: PlanningRules
    capabilities: Capabilities
    desk: Desk | None = None


def request_for(wanted: Wanted, sources: FileSources, rules: PlanningRules | None) -> Request:
    """Gather inputs, rules and capabilities.

    Args:
        wanted: The options.
        sources: The files.
        rules: Of a rules file; None for the defaults, or for those of the portfolio, which takes no others.

    Raises:
        InputError: an option that the mode needs is missing, or one that it does not take is given.
        PriceUnavailable: online, a holding has no price, so that the equity is not known.
        BrokerUnavailable: online, the broker cannot be read.
    """
    if wanted.portfolio is None:
        return _on_files(wanted, sources, rules)
    from scizor_dagster.cli import dates
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.settings import Settings

    if rules is not None:
        raise InputError(
            "--rules does not go with --portfolio, which has rules and limits of its own.",
            remedy="Leave --rules out, or change the portfolio's sections in the configuration.",
        )
    desk = Desk(Settings.from_environment(os.environ), dates.now)
    gather = _online if wanted.mode is Mode.ONLINE else _on_capital
    return replace(gather(desk, wanted.portfolio, wanted, sources), desk=desk)


def _on_files(wanted: Wanted, sources: FileSources, rules: PlanningRules | None) -> Request:
    from scizor_dagster.planning.rules import PlanningRules

    if wanted.mode is Mode.ONLINE:
        raise InputError("--mode online needs a portfolio.", remedy="Name one with --portfolio.")
    if wanted.equity is None or sources.positions is None:
        missing = "--equity" if wanted.equity is None else "--positions"
        raise InputError(f"{missing} is missing.", remedy="Give it; only a --portfolio may stand in for it.")
    rules = rules or PlanningRules()
    read = _read(sources, wanted.equity, wanted, rules, wanted.currency or "USD")
    return Request(read, rules, _capabilities(wanted.broker or BrokerName.PAPER))


def _on_capital(desk: Desk, portfolio: str, wanted: Wanted, sources: FileSources) -> Request:
    from scizor_dagster.brokers.capabilities import account_capabilities
    from scizor_dagster.flow.money import configured_cash
    from scizor_dagster.planning.rules import rules_from

    settings = desk.portfolio(portfolio)
    rules = rules_from(settings)
    currency = _currency(wanted, desk.market(settings.market).currency)
    equity = configured_cash(desk, portfolio) if wanted.equity is None else wanted.equity
    read = _read(sources, equity, wanted, rules, currency)
    note = () if sources.positions else ("No positions file was given: planned as if nothing were held.",)
    inputs = replace(_listed(read.inputs, desk, settings.market), portfolio=portfolio, account=settings.account)
    capabilities = (
        _capabilities(wanted.broker) if wanted.broker else account_capabilities(desk.account(settings.account))
    )
    return Request(replace(read, inputs=replace(inputs, notes=(*inputs.notes, *note))), rules, capabilities)


def _online(desk: Desk, portfolio: str, wanted: Wanted, sources: FileSources) -> Request:
    from scizor_dagster.flow.facts import account_beside, shorts_allowed, with_account
    from scizor_dagster.flow.money import starting_cash
    from scizor_dagster.ledger.holdings import cash_flow, owned
    from scizor_dagster.ledger.intents import frozen_symbols
    from scizor_dagster.planning.rules import rules_from

    given = {"--equity": wanted.equity, "--positions": sources.positions, "--open-orders": sources.open_orders}
    for option, value in (*given.items(), ("--broker", wanted.broker)):
        if value is not None:
            raise InputError(
                f"{option} does not go with --mode online, which reads it from the broker.",
                remedy=f"Leave {option} out, or use --mode dryrun.",
            )
    settings = desk.portfolio(portfolio)
    rules = rules_from(settings)
    currency = _currency(wanted, desk.market(settings.market).currency)
    broker = desk.broker(settings.account, settings.market)
    beside = account_beside(desk, portfolio, broker)
    with desk.ledger.read() as connection:
        holdings = owned(connection, settings.account, portfolio)
        cash = cash_flow(connection, settings.account, portfolio)
        frozen = frozen_symbols(connection, settings.account)
    cash += starting_cash(desk, portfolio)
    # The equity follows from the prices that are read, so that any amount does until then.
    read = _read(sources, Decimal(1), wanted, rules, currency)
    unpriced = sorted(symbol for symbol in holdings if symbol not in read.inputs.prices)
    if unpriced:
        raise PriceUnavailable(
            f"{', '.join(unpriced)} is held and has no price here, so the equity of '{portfolio}' is not known.",
            remedy="Add its price; nothing was written.",
            where=str(sources.prices),
        )
    value = sum((quantity * read.inputs.prices[symbol].price for symbol, quantity in holdings.items()), Decimal(0))
    inputs = replace(
        _listed(read.inputs, desk, settings.market),
        portfolio=portfolio,
        account=settings.account,
        equity=cash + value,
        cash=cash,
        holdings=holdings,
        frozen_symbols=frozen,
        shorts_allowed=shorts_allowed(broker, rules),
    )
    inputs = with_account(inputs, beside, rules, broker.capabilities)
    return Request(replace(read, inputs=inputs), rules, broker.capabilities)


def _listed(inputs: PlanInputs, desk: Desk, market: str) -> PlanInputs:
    """The inputs with the instruments of the market's universe; what is not in it cannot be traded."""
    from scizor_dagster.instruments import Instrument
    from scizor_dagster.planning.listings import NO_MARKET

    stated = any(item != Instrument(item.symbol, NO_MARKET, item.currency) for item in inputs.instruments.values())
    note = (
        f"The universe of market '{market}' says what the instruments are; what the price file says of it is not used."
    )
    notes = (*inputs.notes, note) if stated else inputs.notes
    return replace(inputs, instruments=desk.instruments(market), notes=notes)


def _read(sources: FileSources, equity: Decimal, wanted: Wanted, rules: PlanningRules, currency: str) -> FileInputs:
    from scizor_dagster.planning.files import read_inputs

    return read_inputs(sources, equity=equity, day=wanted.day, allow_short=rules.allow_short, currency=currency)


def _currency(wanted: Wanted, markets: str) -> str:
    if wanted.currency not in (None, markets):
        raise InputError(f"--currency is {wanted.currency}, and the portfolio trades in {markets}.", remedy="Omit it.")
    return markets


def _capabilities(name: BrokerName) -> Capabilities:
    from scizor_dagster.brokers.capabilities import BY_BROKER

    return BY_BROKER[name.value]
