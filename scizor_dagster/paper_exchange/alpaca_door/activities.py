"""Account activities: fills and what moved without a trade, in one list of pages.

What belongs here: which rows, in which order, on which page. What does not: their bodies
(`render_orders`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_orders
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import midnight, new_york_date, read_date, read_instant

FILL = "FILL"
LARGEST_PAGE = 100
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
Row = tuple[datetime, dict[str, Any]]


def list_activities(door: Door, call: Call) -> Reply:
    one = call.path.get("activity_type")
    types = {one} if one else set(call.words("activity_types"))
    size = call.number("page_size", LARGEST_PAGE, LARGEST_PAGE)
    category, direction = call.get("category"), call.get("direction") or "desc"
    if direction not in ("asc", "desc"):
        raise malformed("invalid direction")
    if category not in (None, "trade_activity", "non_trade_activity"):
        raise malformed("invalid category")
    rows = [row for row in _rows(door, call) if not types or row[1]["activity_type"] in types]
    if category is not None:
        rows = [row for row in rows if (row[1]["activity_type"] == FILL) == (category == "trade_activity")]
    rows.sort(key=lambda row: row[0])
    if direction == "desc":
        # Turned round as a whole: rows of one instant too are in the opposite order.
        rows.reverse()
    bodies = [body for _, body in rows]
    token = call.get("page_token")
    if token is not None:
        ids = [body["id"] for body in bodies]
        if token not in ids:
            raise malformed("invalid page_token")
        bodies = bodies[ids.index(token) + 1 :]
    return Reply(200, bodies[:size])


def _rows(door: Door, call: Call) -> list[Row]:
    """What happened after `after` and not after `until`."""
    view, now = door.venue.account(call.account), door.venue.now()
    after, until = _bounds(call)
    first, last = max(after, view.created_at - _DAY), min(until, now + _DAY)
    fills = door.venue.executions(call.account, first, last)
    others = door.venue.activities(call.account, new_york_date(first), new_york_date(last))
    rows = [(fill.at, render_orders.fill_activity(fill)) for fill in fills]
    rows += [(midnight(row.session), render_orders.non_trade_activity(row, view.currency)) for row in others]
    return [row for row in rows if after < row[0] <= until]


def _bounds(call: Call) -> tuple[datetime, datetime]:
    day = call.get("date")
    if day is not None:
        wanted = read_date(day)
        if wanted is None:
            raise malformed("invalid date")
        begin = midnight(wanted)
        return begin - _TICK, begin + _DAY - _TICK
    found = []
    for name, default in (("after", _EVER[0]), ("until", _EVER[1])):
        text = call.get(name)
        at = default if text is None else read_instant(text)
        if at is None:
            raise malformed(f"invalid {name}")
        found.append(at)
    return found[0], found[1]
