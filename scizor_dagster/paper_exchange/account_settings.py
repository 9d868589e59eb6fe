"""What the owner of an account at the venue may choose, and how a choice is checked.

What belongs here: the names and values that are taken. What does not: what a setting does to an order
(`house_*`), and how a door spells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scizor_dagster.paper_exchange.venue_orders import Refused
from scizor_dagster.paper_exchange.venue_views import AccountSettings

_SETTINGS: Mapping[str, tuple[object, ...]] = {
    "no_shorting": (True, False),
    "suspend_trade": (True, False),
    "fractional_trading": (True, False),
    "max_margin_multiplier": (1, 2, 4),
    "trade_confirm_email": ("all", "none"),
}


def changed_settings(settings: AccountSettings, changes: Mapping[str, Any]) -> AccountSettings:
    """What the owner of an account may choose. Raises `Refused` for an unknown name or value."""
    for name, value in changes.items():
        known = _SETTINGS.get(name, ())
        if not any(value == choice and type(value) is type(choice) for choice in known):
            raise Refused("invalid_setting", f"{name} cannot be {value!r}")
    return replace(settings, **changes)
