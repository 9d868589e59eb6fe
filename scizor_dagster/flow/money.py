"""What a portfolio owns and what it is worth, before a session.

What belongs here: the bridge from ledger and broker to `analytics.valuation`. What does not: the
arithmetic (there), or how quantities follow from fills (`ledger.holdings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pandas as pd

from scizor_dagster.analytics.valuation import Valuation, value_portfolio
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.rates import StatedRate, rate_before
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.ledger.rows import first_batch_of

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Book:
    """A portfolio's own positions and cash. `cash` is what it may spend, in its market's currency."""

    holdings: Mapping[str, Decimal]
    cash: Decimal
    valuation: Valuation


def book_before(desk: Desk, portfolio: str, session: date, closes: pd.DataFrame) -> Book:
    """The book as it stood before anything of `session` happened, valued at `closes`."""
    return _book(desk, portfolio, closes, {"before": session})


def book_through(desk: Desk, portfolio: str, session: date, closes: pd.DataFrame) -> Book:
    """The book after everything that is recorded up to the end of `session`."""
    return _book(desk, portfolio, closes, {"through": session})


def _book(desk: Desk, portfolio: str, closes: pd.DataFrame, when: Mapping[str, date]) -> Book:
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        holdings = owned(connection, settings.account, portfolio, **when)
        flows = cash_flow(connection, settings.account, portfolio, **when)
    cash = starting_cash(desk, portfolio) + flows
    return Book(holdings, cash, value_portfolio(holdings, cash, closes))


def starting_cash(desk: Desk, portfolio: str) -> Decimal:
    """What the portfolio began with: as the ledger recorded it with its first plan, until then as configured.

    Equity and returns count from there, so that a change of the configuration is no profit.
    """
    with desk.ledger.read() as connection:
        first = first_batch_of(connection, desk.portfolio(portfolio).account, portfolio)
    return configured_cash(desk, portfolio) if first is None else first.starting_cash


def require_same_capital(desk: Desk, portfolio: str) -> None:
    """Refuse a portfolio whose configured capital is no longer the one it began with, or not in the account.

    Raises:
        ConfigError: naming both amounts.
        PriceUnavailable: there is no rate to convert it by.
    """
    _require_covered(desk, portfolio)
    began, configured = starting_cash(desk, portfolio), configured_cash(desk, portfolio)
    if began != configured:
        raise ConfigError(
            f"Portfolio '{portfolio}' began with {began:,.2f}, and its capital is now {configured:,.2f}.",
            remedy="Set capital back, or give the new amount to a new portfolio: equity and returns count from the "
            "first one.",
            where=f"portfolios.{portfolio}.capital",
        )


def configured_cash(desk: Desk, portfolio: str) -> Decimal:
    """The portfolio's amount, or its share of the account's first deposit, in its market's currency.

    Raises:
        PriceUnavailable: the amount is in another currency, and there is no rate young enough.
    """
    settings = desk.portfolio(portfolio)
    if settings.capital.amount is None:
        share = Decimal(str(settings.capital.share))
        return (share * _deposit(desk, settings.account)).quantize(CENT)
    amount = Decimal(str(settings.capital.amount)).quantize(CENT)
    rate = capital_rate(desk, portfolio)
    return amount if rate is None else rate.convert(amount)


def capital_rate(desk: Desk, portfolio: str) -> StatedRate | None:
    """The rate that the portfolio's capital is converted by; None where it is in the market's currency.

    Raises:
        PriceUnavailable: there is none, or it was too old on the day of the conversion.
    """
    settings = desk.portfolio(portfolio)
    capital, currency = settings.capital, desk.market(settings.market).currency
    if capital.currency is None or capital.converted_on is None or capital.currency == currency:
        return None
    return rate_before(desk, capital.currency, currency, capital.converted_on)


def capital_note(desk: Desk, portfolio: str) -> tuple[str, ...]:
    """A sentence for the plan where the capital was converted, with the rate and its age."""
    rate, capital = capital_rate(desk, portfolio), desk.portfolio(portfolio).capital
    if rate is None:
        return ()
    amount = Decimal(str(capital.amount))
    return (f"The capital of {amount:,.2f} {rate.base} is {rate.convert(amount):,.2f} {rate.quote} {rate.sentence}.",)


def _deposit(desk: Desk, account: str) -> Decimal:
    return Decimal(str(desk.config.accounts[account].initial_cash))


def _require_covered(desk: Desk, portfolio: str) -> None:
    """Converted capital is known only now; together the account's portfolios still begin with what it had.

    Raises:
        ConfigError: they begin with more.
    """
    if desk.portfolio(portfolio).capital.currency is None:
        return
    account = desk.portfolio(portfolio).account
    beside = [name for name, item in desk.config.portfolios.items() if item.account == account]
    claimed = sum((configured_cash(desk, name) for name in beside), Decimal(0))
    if claimed > _deposit(desk, account):
        raise ConfigError(
            f"The portfolios of account '{account}' begin with {claimed:,.2f} together, once converted; its "
            f"initial_cash is {_deposit(desk, account):,.2f} {desk.account(account).currency}.",
            remedy="Lower a capital, or correct initial_cash.",
            where=f"portfolios.{portfolio}.capital",
        )


def price_adjustment(closes: pd.DataFrame) -> str:
    """`raw` only when every price is; otherwise the first other label."""
    labels = sorted(set(closes["adjustment"]))
    return next((label for label in labels if label != "raw"), "raw")
