"""Announcements of corporate actions as the trading API has them, of at most ninety days.

What belongs here: the two endpoints and their bodies. What does not: corporate actions of the data API (`data`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import NOT_FOUND, WireError, malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import new_york_date, plain, read_date
from scizor_dagster.paper_exchange.alpaca_door.reference import FIRST_DAY
from scizor_dagster.paper_exchange.alpaca_door.render_data import Action

TYPES = ("dividend", "split", "merger", "spinoff")
LONGEST = timedelta(days=90)
_PAYABLE_AFTER = timedelta(days=7)
_NO_CUSIP = "000000000"


def list_announcements(door: Door, call: Call) -> Reply:
    types = {word.lower() for word in call.words("ca_types")}
    if not types or not types <= set(TYPES):
        raise malformed("ca_types must be of dividend, split, merger, spinoff")
    first, last = _day(call, "since"), _day(call, "until")
    if last < first or last - first > LONGEST:
        raise malformed("the date range must be within 90 days")
    return Reply(200, [row for row in _rows(door, call.words("symbol"), first, last) if row["ca_type"] in types])


def get_announcement(door: Door, call: Call) -> Reply:
    wanted = call.path["announcement_id"]
    for row in _rows(door, [], FIRST_DAY, new_york_date(door.venue.now())):
        if wanted in (row["id"], row["corporate_action_id"]):
            return Reply(200, row)
    raise WireError(404, NOT_FOUND, f"announcement not found for {wanted}")


def _rows(door: Door, symbols: list[str], first: date, last: date) -> list[dict[str, Any]]:
    names = symbols or [row.instrument.symbol for row in door.venue.listings()]
    known: list[Action] = sorted(
        door.venue.corporate_actions(names, first, last), key=lambda row: (row.session, row.symbol)
    )
    found = (_announcement(door, row) for row in known)
    return [row for row in found if row is not None]


def _announcement(door: Door, row: Action) -> dict[str, Any] | None:
    """Of a dividend or a split; of what else there is, none."""
    if row.kind == "dividend" and row.amount is not None:
        kinds, cash, rates = ("dividend", "cash"), row.amount, (1, 1)
        payable = row.session + _PAYABLE_AFTER
    elif row.kind == "split" and row.ratio is not None:
        new, old = row.ratio.as_integer_ratio()
        kinds, cash, rates = ("split", "stock_split" if row.ratio >= 1 else "reverse_split"), None, (old, new)
        payable = row.session
    else:
        return None
    name = f"{row.symbol}/{row.kind}/{row.session}"
    return {
        "id": str(uuid5(NAMESPACE_OID, f"announcement/{name}")),
        "corporate_action_id": str(uuid5(NAMESPACE_OID, name)),
        "ca_type": kinds[0],
        "ca_sub_type": kinds[1],
        "initiating_symbol": row.symbol,
        "initiating_original_cusip": _NO_CUSIP,
        "target_symbol": row.symbol,
        "target_original_cusip": _NO_CUSIP,
        "declaration_date": row.session.isoformat(),
        "ex_date": row.session.isoformat(),
        "record_date": door.venue.calendar.next_session(row.session).isoformat(),
        "payable_date": payable.isoformat(),
        "cash": str(plain(cash)) if cash is not None else "0",
        "old_rate": str(rates[0]),
        "new_rate": str(rates[1]),
    }


def _day(call: Call, name: str) -> date:
    found = read_date(call.get(name) or "")
    if found is None:
        raise malformed(f"invalid {name}")
    return found
