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
from scizor_dagster.errors import ConfigError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.rates import rate_before
from scizor_dagster.ledger.conversions import Conversion, conversion_of
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.ledger.rebuilt import cash_is_stated
from scizor_dagster.ledger.rows import BatchRow, first_batch_of

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

    Raises:
        PriceUnavailable: it has not begun, and there is no rate young enough to convert its capital by.
    """
    first = _first_batch(desk, portfolio)
    return configured_cash(desk, portfolio) if first is None else first.starting_cash


def begun_on(desk: Desk, account: str) -> tuple[str, ...]:
    """The configured portfolios of the account that have ever been admitted a plan."""
    beside = [name for name, item in desk.config.portfolios.items() if item.account == account]
    return tuple(name for name in beside if _first_batch(desk, name) is not None)


def require_same_capital(desk: Desk, portfolio: str) -> None:
    """Refuse a portfolio whose configured capital is no longer the one it began with, or not in the account.

    Where a person has said what it has, when the ledger was built anew, that counts and not the configuration.
    What was converted is compared as it was stated: a rate is asked for once, before the portfolio begins.

    Raises:
        ConfigError: naming both.
        PriceUnavailable: it has not begun, and there is no rate to convert its capital by.
    """
    first = _first_batch(desk, portfolio)
    if first is None:
        _require_covered(desk, portfolio)
        return
    capital = desk.portfolio(portfolio).capital
    with desk.ledger.read() as connection:
        if cash_is_stated(connection, first.account, portfolio):
            return
    if not _foreign(desk, portfolio):
        now = configured_cash(desk, portfolio)
        same, configured = now == first.starting_cash, f"{now:,.2f}"
    else:
        same = _as_stated(desk, portfolio, first)
        configured = f"{capital.amount:,.2f} {capital.currency} converted on {capital.converted_on}"
    if not same:
        raise ConfigError(
            f"Portfolio '{portfolio}' began with {first.starting_cash:,.2f}, and its capital is now {configured}.",
            remedy=f"Set capital back, or to {first.starting_cash:f} in the market's currency. Give a new amount to a "
            "new portfolio: equity and returns count from the first one.",
            where=f"portfolios.{portfolio}.capital",
        )


def _as_stated(desk: Desk, portfolio: str, first: BatchRow) -> bool:
    """Whether amount, currency and day are those that were converted when the portfolio began."""
    capital, recorded = desk.portfolio(portfolio).capital, _converted(desk, portfolio)
    if recorded is not None:
        now = (_amount(desk, portfolio), capital.currency, capital.converted_on)
        return now == (recorded.amount, recorded.currency, recorded.converted_on)
    try:
        # A ledger from before conversions were recorded: what gives the same amount is the same capital.
        return _conversion(desk, portfolio).capital == first.starting_cash
    except PriceUnavailable:
        return False


def configured_cash(desk: Desk, portfolio: str) -> Decimal:
    """The portfolio's amount, or its share of the account's first deposit, in its market's currency.

    Raises:
        PriceUnavailable: the amount is in another currency, and there is no rate young enough.
    """
    settings = desk.portfolio(portfolio)
    if settings.capital.amount is None:
        share = Decimal(str(settings.capital.share))
        return (share * _deposit(desk, settings.account)).quantize(CENT)
    conversion = _conversion(desk, portfolio) if _foreign(desk, portfolio) else None
    return _amount(desk, portfolio) if conversion is None else conversion.capital


def conversion_before(desk: Desk, portfolio: str) -> Conversion | None:
    """How the capital is converted when the portfolio begins; None once it has, or where there is nothing to convert.

    Raises:
        PriceUnavailable: there is no rate, or it was too old on the day of the conversion.
    """
    begins = _foreign(desk, portfolio) and _first_batch(desk, portfolio) is None
    return _conversion(desk, portfolio) if begins else None


def capital_note(desk: Desk, portfolio: str) -> tuple[str, ...]:
    """A sentence for the plan where the capital was converted, with the rate and its age."""
    conversion = conversion_before(desk, portfolio) or _converted(desk, portfolio)
    return (conversion.sentence,) if conversion is not None else ()


def _first_batch(desk: Desk, portfolio: str) -> BatchRow | None:
    with desk.ledger.read() as connection:
        return first_batch_of(connection, desk.portfolio(portfolio).account, portfolio)


def _foreign(desk: Desk, portfolio: str) -> bool:
    settings = desk.portfolio(portfolio)
    return settings.capital.currency not in (None, desk.market(settings.market).currency)


def _amount(desk: Desk, portfolio: str) -> Decimal:
    return Decimal(str(desk.portfolio(portfolio).capital.amount)).quantize(CENT)


def _converted(desk: Desk, portfolio: str) -> Conversion | None:
    """As the ledger recorded it; asked for only where the configuration states another currency."""
    if not _foreign(desk, portfolio):
        return None
    with desk.ledger.read() as connection:
        return conversion_of(connection, desk.portfolio(portfolio).account, portfolio)


def _conversion(desk: Desk, portfolio: str) -> Conversion:
    settings = desk.portfolio(portfolio)
    amount, currency, day = _amount(desk, portfolio), settings.capital.currency, settings.capital.converted_on
    assert currency is not None
    assert day is not None, "the configuration is checked"
    rate = rate_before(desk, currency, desk.market(settings.market).currency, day)
    capital = rate.convert(amount)
    said = f"The capital of {amount:,.2f} {rate.base} is {capital:,.2f} {rate.quote} {rate.sentence}."
    return Conversion(amount, currency, day, capital, said)


def _deposit(desk: Desk, account: str) -> Decimal:
    return Decimal(str(desk.config.accounts[account].initial_cash))


def _require_covered(desk: Desk, portfolio: str) -> None:
    """Converted capital is known only now; together the account's portfolios still begin with what it had.

    Another one that is to be converted and has not begun is left out: it is looked at when it begins.

    Raises:
        ConfigError: they begin with more.
        PriceUnavailable: there is no rate to convert the portfolio's own capital by.
    """
    if not _foreign(desk, portfolio):
        return
    account = desk.portfolio(portfolio).account
    beside = [name for name, item in desk.config.portfolios.items() if item.account == account and name != portfolio]
    begun = set(begun_on(desk, account))
    counted = [name for name in beside if name in begun or not _foreign(desk, name)]
    claimed = configured_cash(desk, portfolio) + sum((starting_cash(desk, name) for name in counted), Decimal(0))
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
