"""Account activities: fills and what moved without a trade, in one list of pages.

What belongs here: which rows, in which order, on which page. What does not: their bodies
(`render_orders`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_orders
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK, read_date, read_instant

FILL = "FILL"
LARGEST_PAGE = 100
_DAY = timedelta(days=1)
Row = tuple[datetime, dict[str, Any]]


def list_activities(door: Door, call: Call) -> Reply:
    one = call.path.get("activity_type")
    types = {one} if one else set(call.words("activity_types"))
    descending = (call.get("direction") or "desc") == "desc"
    size = call.number("page_size", LARGEST_PAGE, LARGEST_PAGE)
    rows = [row for row in _rows(door, call) if not types or row[1]["activity_type"] in types]
    rows = [row for row in rows if _within(call, row[0])]
    rows.sort(key=lambda row: row[0], reverse=descending)
    bodies = [body for _, body in rows]
    token = call.get("page_token")
    if token is not None:
        ids = [body["id"] for body in bodies]
        if token not in ids:
            raise malformed("invalid page_token")
        bodies = bodies[ids.index(token) + 1 :]
    return Reply(200, bodies[:size])


def _rows(door: Door, call: Call) -> list[Row]:
    view, now = door.venue.account(call.account), door.venue.now()
    fills = door.venue.executions(call.account, view.created_at - _DAY, now + _DAY)
    others = door.venue.activities(call.account, (view.created_at - _DAY).date(), (now + _DAY).date())
    rows = [(fill.at, render_orders.fill_activity(fill)) for fill in fills]
    rows += [(_midnight(row.session), render_orders.non_trade_activity(row, view.currency)) for row in others]
    return rows


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _within(call: Call, at: datetime) -> bool:
    day = call.get("date")
    if day is not None:
        wanted = read_date(day)
        if wanted is None:
            raise malformed("invalid date")
        return at.astimezone(NEW_YORK).date() == wanted
    after, until = call.get("after"), call.get("until")
    bounds = [read_instant(text) if text is not None else None for text in (after, until)]
    if (after is not None and bounds[0] is None) or (until is not None and bounds[1] is None):
        raise malformed("invalid after or until")
    lower, upper = bounds
    return (lower is None or at > lower) and (upper is None or at <= upper)
