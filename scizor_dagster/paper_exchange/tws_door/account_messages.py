"""Money and positions as the API lists them: values by tag, portfolio lines, position lines.

What belongs here: which tags there are and what each one holds. What does not: who has subscribed.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from scizor_dagster.paper_exchange.tws_door.contracts import contract_fields, primary_exchange
from scizor_dagster.paper_exchange.tws_door.wire import Field, text_of
from scizor_dagster.paper_exchange.venue_views import AccountView, PositionView, VenueListing

ZERO = Decimal(0)
BASE = "BASE"
Value = tuple[str, str, str]
"""Tag, value, currency."""

_NO_SUCH_ASSETS = (
    *("CorporateBondValue", "FundValue", "FutureOptionValue", "FuturesPNL", "FxCashBalance", "IssuerOptionValue"),
    *("MoneyMarketFundValue", "MutualFundValue", "OptionMarketValue"),
)
_NOTHING_OF_IT = ("Billable", "Guarantee", "IndianStockHaircut", "AccruedDividend")


def account_values(view: AccountView) -> list[Value]:
    """Every tag of an account download, in alphabetical order."""
    return sorted([*_identity(view), *_totals(view), *_by_currency(view)])


def summary_values(view: AccountView, tags: str) -> list[Value]:
    """The values of an account summary: the tags asked for, and `$LEDGER` for those by currency."""
    wanted = {tag.strip() for tag in tags.split(",") if tag.strip()}
    rows = [row for row in _summary(view) if row[0] in wanted]
    if any(tag.startswith("$LEDGER") for tag in wanted):
        rows += _by_currency(view)
    return rows


def portfolio_line(position: PositionView, listing: VenueListing, account_id: str) -> list[Field]:
    """Message 7; a position of zero is one that is no longer held."""
    contract = contract_fields(listing, strike="0", right="0") | {"exchange": primary_exchange(listing)}
    value = position.qty * position.price
    cost = position.qty * position.average_price
    head: list[Field] = [7, 8, *contract.values(), position.qty, position.price, value, position.average_price]
    return [*head, value - cost, ZERO, account_id]


def position_line(position: PositionView, listing: VenueListing, account_id: str) -> list[Field]:
    """Message 61. The exchange is the listing's own."""
    contract = contract_fields(listing, strike="0.0", right="", exchange=primary_exchange(listing))
    return [61, 3, account_id, *contract.values(), position.qty, position.average_price]


def nothing_of(symbol: str) -> PositionView:
    """A position that is no longer held: the API has no other word for it than zero."""
    return PositionView(symbol, ZERO, ZERO, ZERO, ZERO, ZERO)


def _identity(view: AccountView) -> Iterator[Value]:
    yield "AccountCode", view.account_id, ""
    yield "AccountReady", "true", ""
    yield "AccountType", "INDIVIDUAL", ""
    yield "NLVAndMarginInReview", "false", ""
    for currency in (view.currency, BASE):
        yield "AccountOrGroup", view.account_id, currency
        yield "Currency", currency, currency


def _totals(view: AccountView) -> Iterator[Value]:
    for tag, amount in _amounts(view).items():
        yield tag, _money(amount), view.currency
        yield f"{tag}-S", _money(amount), view.currency
    for tag in _NOTHING_OF_IT:
        yield tag, "0.00", view.currency
        yield f"{tag}-S", "0.00", view.currency
    yield "BuyingPower", _money(view.buying_power), view.currency
    yield "NetLiquidationUncertainty", "0.00", view.currency
    yield "AccruedCash-S", "0.00", view.currency
    yield "Cushion", text_of(_cushion(view)), ""
    yield "Leverage-S", text_of(_leverage(view)), ""
    yield "LookAheadNextChange", "0", ""


def _amounts(view: AccountView) -> dict[str, Decimal]:
    """Totals that come once for the account and once for its securities segment."""
    available = view.equity - view.initial_margin
    excess = view.equity - view.maintenance_margin
    amounts = {"EquityWithLoanValue": view.equity, "NetLiquidation": view.equity, "TotalCashValue": view.cash}
    amounts["GrossPositionValue"] = view.long_market_value - view.short_market_value
    for prefix in ("", "Full", "LookAhead"):
        amounts |= {
            f"{prefix}AvailableFunds": available,
            f"{prefix}ExcessLiquidity": excess,
            f"{prefix}InitMarginReq": view.initial_margin,
            f"{prefix}MaintMarginReq": view.maintenance_margin,
        }
    return amounts


def _by_currency(view: AccountView) -> list[Value]:
    """Rows of the ledger by currency: the account's own and the base. The sums of both are alike."""
    stock = view.long_market_value + view.short_market_value
    rows: list[Value] = []
    for currency in (view.currency, BASE):
        rows += [
            ("AccruedCash", "0.00", currency),
            ("CashBalance", _money(view.cash), currency),
            ("ExchangeRate", "1.00", currency),
            ("NetDividend", "0.00", currency),
            ("NetLiquidationByCurrency", _money(view.equity), currency),
            ("StockMarketValue", _money(stock), currency),
            ("TotalCashBalance", _money(view.cash), currency),
        ]
        rows += [(tag, "0.00", currency) for tag in _NO_SUCH_ASSETS]
    return rows


def _summary(view: AccountView) -> Iterator[Value]:
    yield "AccountType", "INDIVIDUAL", ""
    yield "Cushion", text_of(_cushion(view)), ""
    yield "Leverage", text_of(_leverage(view)), ""
    yield "LookAheadNextChange", "0", ""
    yield "DayTradesRemaining", "-1", ""
    more = {
        "SettledCash": view.cash,
        "AccruedCash": ZERO,
        "BuyingPower": view.buying_power,
        "PreviousDayEquityWithLoanValue": view.last_equity,
        "RegTEquity": view.equity,
        "RegTMargin": view.initial_margin,
        "SMA": view.equity - view.initial_margin,
    }
    for tag, amount in (_amounts(view) | more).items():
        yield tag, _money(amount), view.currency


def _cushion(view: AccountView) -> Decimal:
    if view.equity <= 0:
        return ZERO
    return ((view.equity - view.maintenance_margin) / view.equity).quantize(Decimal("0.000001"))


def _leverage(view: AccountView) -> Decimal:
    if view.equity <= 0:
        return ZERO
    gross = view.long_market_value - view.short_market_value
    return (gross / view.equity).quantize(Decimal("0.01"))


def _money(amount: Decimal) -> str:
    """At least two decimals, and as many more as the amount has: nothing is rounded away."""
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    return f"{plain:.2f}" if isinstance(exponent, int) and exponent > -2 else f"{plain:f}"
