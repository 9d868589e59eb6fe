"""What the venue shows of an account and of the market at one instant.

What belongs here: money, positions, activities, settings, listings, quotes and bars as any door tells of
them. What does not: orders and executions (`venue_orders`), and how they come about (`venue_margin`,
`market_view`).

Every instant is aware. Quantities of positions are signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.venue_orders import ZERO, House
from scizor_dagster.paper_exchange.watchlists import Watchlist


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position with its prices; `available` is what no open order holds, signed as `qty`."""

    symbol: str
    qty: Decimal
    available: Decimal
    average_price: Decimal
    price: Decimal
    last_day_price: Decimal


@dataclass(frozen=True, slots=True)
class AccountSettings:
    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: int = 4
    trade_confirm_email: str = "all"
    watchlists: tuple[Watchlist, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountView:
    """Money of an account at one instant, in its currency; short values are negative."""

    name: str
    account_id: str
    house: House
    currency: str
    created_at: datetime
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    long_market_value: Decimal
    short_market_value: Decimal
    buying_power: Decimal
    regt_buying_power: Decimal
    non_marginable_buying_power: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    last_maintenance_margin: Decimal
    settings: AccountSettings = AccountSettings()


@dataclass(frozen=True, slots=True)
class NonTrade:
    """Cash or quantity that moved without a trade: `split`, `dividend`, `rename`, `delisting`.

    Attributes:
        session: Day of the corporate action, which takes effect at the next open.
        qty: Signed change of the position.
        per_share: Cash per share of a dividend; new shares per old one of a split.
        number: Grows with every one of the account.
    """

    activity_id: str
    kind: str
    session: date
    at: datetime
    symbol: str | None
    amount: Decimal
    qty: Decimal
    per_share: Decimal | None
    description: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class VenueListing:
    """An instrument with the ids that doors show: a UUID and a contract id, both the same for ever."""

    instrument: Instrument
    asset_id: str
    contract_id: int
    marginable: bool = True
    easy_to_borrow: bool = True
    active: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What the venue shows of an instrument at one instant."""

    symbol: str
    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    day_open: Decimal | None = None
    day_high: Decimal | None = None
    day_low: Decimal | None = None
    day_volume: Decimal = ZERO
    previous_close: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DailyBar:
    symbol: str
    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
