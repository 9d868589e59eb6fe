"""The account and its settings, assets, clock and calendar.

What belongs here: endpoints that read what the venue is, and the one that changes an account's settings.
What does not: what an account holds and orders (`positions`, `orders`).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_account
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import asset_not_found, malformed, wire_error
from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK, read_date
from scizor_dagster.paper_exchange.venue_orders import Refused

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2029, 12, 31)
_FLAGS = ("no_shorting", "suspend_trade", "fractional_trading")
_UNCHANGEABLE = ("ptp_no_exception_entry", "max_options_trading_level", "disable_overnight_trading")


def get_account(door: Door, call: Call) -> Reply:
    calendar = door.venue.calendar
    today = door.venue.now().astimezone(NEW_YORK).date()
    return Reply(200, render_account.account(door.venue.account(call.account), calendar.previous_session(today)))


def get_configurations(door: Door, call: Call) -> Reply:
    return Reply(200, render_account.configurations(door.venue.account(call.account).settings))


def change_configurations(door: Door, call: Call) -> Reply:
    changes: dict[str, Any] = {}
    for name, value in call.json().items():
        if value is None:
            continue  # Clients send back what they have read, and null for fields of theirs that are no longer there.
        if name in _FLAGS and isinstance(value, bool):
            changes[name] = value
        elif name == "max_margin_multiplier" and str(value) in ("1", "2", "4"):
            changes[name] = int(value)
        elif name == "trade_confirm_email" and value in ("all", "none"):
            changes[name] = value
        elif name not in _UNCHANGEABLE:
            raise malformed(f"invalid {name}")
    try:
        return Reply(200, render_account.configurations(door.venue.change_settings(call.account, changes)))
    except Refused as refusal:
        raise wire_error(refusal) from refusal


def list_assets(door: Door, call: Call) -> Reply:
    """The whole universe, in no pages."""
    status, exchange, kind = call.get("status"), call.get("exchange"), call.get("asset_class")
    rows = [render_account.asset(listing) for listing in door.venue.listings()]
    return Reply(
        200,
        [
            row
            for row in rows
            if status in (None, "all", row["status"])
            and exchange in (None, row["exchange"])
            and kind in (None, row["class"])
        ],
    )


def get_asset(door: Door, call: Call) -> Reply:
    listing = door.listing_of(call.path["symbol"])
    if listing is None:
        raise asset_not_found(call.path["symbol"])
    return Reply(200, render_account.asset(listing))


def get_clock(door: Door, _call: Call) -> Reply:
    return Reply(200, render_account.clock(door.venue.calendar, door.venue.now()))


def list_calendar(door: Door, call: Call) -> Reply:
    first, last = _day(call, "start", FIRST_DAY), _day(call, "end", LAST_DAY)
    calendar = door.venue.calendar
    # The last session that the calendar knows has no settlement date yet.
    known = [day for day in calendar.sessions(first, last) if day < calendar.last]
    return Reply(200, [render_account.calendar_day(calendar, session) for session in known])


def _day(call: Call, name: str, default: date) -> date:
    text = call.get(name)
    if text is None:
        return default
    found = read_date(text)
    if found is None:
        raise malformed(f"invalid {name}")
    return found
