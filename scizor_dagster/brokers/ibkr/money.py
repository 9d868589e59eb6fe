"""What an account download says of money: cash by currency, and totals in the account's base currency.

What belongs here: reading tags into one account state. What does not: asking for them (`reads`).

IBKR keeps cash in each currency apart. Its totals (`TotalCashValue`, `NetLiquidation`, `BuyingPower`) are in the base
currency and count every other one in, so that a total is no cash: whoever buys for more than there is in a currency
borrows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from scizor_dagster.brokers.protocol import AccountState
from scizor_dagster.errors import BrokerUnavailable

CENT = Decimal("0.01")
Values = Mapping[tuple[str, str], str]
"""Values by tag and currency."""


def account_state(
    values: Values, currency: str, as_of: datetime, unavailable: Callable[[str], BrokerUnavailable]
) -> AccountState:
    """Money in `currency`: its own cash as it stands, and totals at the rate that IBKR itself states with them.

    Raises:
        BrokerUnavailable: an amount or the rate is missing, or is no number.
    """

    def amount(tag: str, code: str) -> Decimal:
        raw = values.get((tag, code))
        if raw is None:
            others = ", ".join(sorted(other for name, other in values if name == tag))
            raise unavailable(f"{tag} of the account: none in {code}, only in {others or 'none'}")
        try:
            found = Decimal(raw)
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite():
            raise unavailable(f"{tag} of the account is no amount: '{raw}'")
        return found

    base = next((code for tag, code in values if tag == "NetLiquidation"), currency)
    # Units of the base currency for one of ours.
    rate = Decimal(1) if base == currency else amount("ExchangeRate", currency)
    if rate <= 0:
        raise unavailable(f"ExchangeRate of {currency} is no rate: '{rate}'")
    cash = amount("CashBalance", currency)
    total, equity, power = (amount(tag, base) / rate for tag in ("TotalCashValue", "NetLiquidation", "BuyingPower"))
    if base != currency:
        total, equity, power = (item.quantize(CENT) for item in (total, equity, power))
    return AccountState(cash, equity, power, currency, as_of, other_cash=total - cash)
