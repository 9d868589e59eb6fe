"""Positions: the list and one of them.

What belongs here: reading. What does not: closing them (`closing`).
"""

from __future__ import annotations

from typing import Any

from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import position_not_found
from scizor_dagster.paper_exchange.alpaca_door.render_account import position
from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.venue_views import PositionView


def list_positions(door: Door, call: Call) -> Reply:
    if call.meets(FaultKind.EMPTY_POSITIONS):
        return Reply(200, [])
    if call.meets(FaultKind.STALE_POSITIONS):
        return Reply(200, door.overlays.old_positions(call.account))
    return Reply(200, shown_positions(door, call.account))


def get_position(door: Door, call: Call) -> Reply:
    row = held(door, call.account, call.path["symbol"])
    listing = door.listing(row.symbol)
    if listing is None:
        raise position_not_found()
    return Reply(200, position(row, listing))


def held(door: Door, account: str, symbol_or_id: str) -> PositionView:
    """The position of a symbol or an asset id. Raises `WireError` where there is none."""
    listing = door.listing_of(symbol_or_id)
    symbol = listing.instrument.symbol if listing else symbol_or_id
    for row in door.venue.positions(account):
        if row.symbol == symbol:
            return row
    raise position_not_found()


def shown_positions(door: Door, account: str) -> list[dict[str, Any]]:
    found = []
    for row in sorted(door.venue.positions(account), key=lambda row: row.symbol):
        listing = door.listing(row.symbol)
        assert listing is not None, f"a position in {row.symbol}, which is not listed"
        found.append(position(row, listing))
    return found
