"""The account, its positions, and the reference data of the trading API as the wire has them.

What belongs here: bodies, field by field as recorded. What does not: orders (`render_orders`), prices
(`render_data`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK, cents, instant, money, new_york, number, ratio
from scizor_dagster.paper_exchange.venue_views import AccountSettings, AccountView, PositionView, VenueListing
from scizor_dagster.sessions import TradingCalendar

Body = dict[str, Any]
_ZERO = Decimal(0)
_EXCHANGES = {"XNAS": "NASDAQ", "XNYS": "NYSE", "ARCX": "ARCA", "BATS": "BATS", "XASE": "AMEX"}
"""Names of exchanges on this wire; any other one is OTC, for a client fails on a name that it does not know."""
PAPER_PREFIX = "PA"


def account_number(view: AccountView) -> str:
    """The number that people see; of a paper account it begins with PA."""
    return PAPER_PREFIX + view.account_id.replace("-", "")[:10].upper()


def account(view: AccountView, balance_asof: date) -> Body:
    settings = view.settings
    # In whole cents, as they are shown at Alpaca; the equity is the sum of what is shown.
    cash, long, short = cents(view.cash), cents(view.long_market_value), cents(view.short_market_value)
    equity = number(cash + long + short)
    free = money(view.non_marginable_buying_power)
    return {
        "id": view.account_id,
        "admin_configurations": {},
        "user_configurations": None,
        "account_number": account_number(view),
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "options_approved_level": 3,
        "options_trading_level": 3,
        "currency": view.currency,
        "buying_power": money(view.buying_power),
        "regt_buying_power": money(view.regt_buying_power),
        "effective_buying_power": money(view.buying_power),
        "non_marginable_buying_power": free,
        "options_buying_power": free,
        "cash": number(cash),
        "accrued_fees": "0",
        "portfolio_value": equity,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "created_at": instant(view.created_at),
        "trade_suspended_by_user": settings.suspend_trade,
        "multiplier": str(settings.max_margin_multiplier),
        "shorting_enabled": not settings.no_shorting,
        "equity": equity,
        "last_equity": number(view.last_equity),
        "long_market_value": number(long),
        "short_market_value": number(short),
        "position_market_value": number(long + short),
        "initial_margin": money(view.initial_margin),
        "maintenance_margin": money(view.maintenance_margin),
        "last_maintenance_margin": money(view.last_maintenance_margin),
        "sma": money(max(view.equity - view.initial_margin, _ZERO)),
        "balance_asof": balance_asof.isoformat(),
        "crypto_tier": 1,
        "intraday_adjustments": "0",
        "pending_reg_taf_fees": "0",
    }


def configurations(settings: AccountSettings) -> Body:
    return {
        "fractional_trading": settings.fractional_trading,
        "max_margin_multiplier": str(settings.max_margin_multiplier),
        "no_shorting": settings.no_shorting,
        "suspend_trade": settings.suspend_trade,
        "trade_confirm_email": settings.trade_confirm_email,
        "ptp_no_exception_entry": False,
        "max_options_trading_level": 3,
        "disable_overnight_trading": False,
    }


def position(row: PositionView, listing: VenueListing) -> Body:
    """A position: of a short one quantity, value and cost are negative."""
    value, cost = row.qty * row.price, row.qty * row.average_price
    last_value = row.qty * row.last_day_price
    return {
        "asset_id": listing.asset_id,
        "symbol": row.symbol,
        "exchange": exchange(listing),
        "asset_class": "us_equity",
        "asset_marginable": listing.marginable,
        "qty": number(row.qty),
        "qty_available": number(row.available),
        "avg_entry_price": money(row.average_price),
        "side": "long" if row.qty > 0 else "short",
        "market_value": money(value),
        "cost_basis": money(cost),
        "unrealized_pl": money(value - cost),
        "unrealized_plpc": _share(value - cost, abs(cost)),
        "unrealized_intraday_pl": money(value - last_value),
        "unrealized_intraday_plpc": _share(value - last_value, abs(last_value)),
        "current_price": number(row.price),
        "lastday_price": number(row.last_day_price),
        "change_today": _share(row.price - row.last_day_price, row.last_day_price),
    }


def _share(part: Decimal, whole: Decimal) -> str:
    return ratio(part / whole) if whole else "0"


def exchange(listing: VenueListing) -> str:
    return _EXCHANGES.get(listing.instrument.mic, "OTC")


def asset(listing: VenueListing) -> Body:
    instrument = listing.instrument
    margin = 30 if listing.marginable else 100
    attributes = ["fractional_eh_enabled", "has_options"] if instrument.fractionable else []
    return {
        "id": listing.asset_id,
        "class": "us_equity",
        "exchange": exchange(listing),
        "symbol": instrument.symbol,
        "name": instrument.name or instrument.symbol,
        "status": "active" if listing.active else "inactive",
        "tradable": instrument.tradable and listing.active,
        "marginable": listing.marginable,
        "maintenance_margin_requirement": margin,
        "margin_requirement_long": str(margin),
        "margin_requirement_short": str(margin),
        "shortable": instrument.shortable,
        "easy_to_borrow": listing.easy_to_borrow,
        "borrow_status": "easy_to_borrow" if listing.easy_to_borrow else "hard_to_borrow",
        "fractionable": instrument.fractionable,
        "attributes": attributes,
    }


def clock(calendar: TradingCalendar, now: datetime) -> Body:
    session = calendar.current_session(now)
    is_open = calendar.open_at(session) <= now
    following = calendar.next_session(session) if is_open else session
    return {
        "timestamp": new_york(now),
        "is_open": is_open,
        "next_open": new_york(calendar.open_at(following)),
        "next_close": new_york(calendar.close_at(session)),
    }


def calendar_day(calendar: TradingCalendar, session: date) -> Body:
    opens, closes = (at.astimezone(NEW_YORK) for at in (calendar.open_at(session), calendar.close_at(session)))
    early = closes.time() < time(16)
    return {
        "date": session.isoformat(),
        "open": f"{opens:%H:%M}",
        "close": f"{closes:%H:%M}",
        "session_open": "0400",
        "session_close": "1700" if early else "2000",
        "settlement_date": calendar.next_session(session).isoformat(),
    }


def error_row(name: str, key: str, status: int, body: Mapping[str, Any]) -> Body:
    """One element of a 207 answer."""
    return {key: name, "status": status, "body": dict(body)}
