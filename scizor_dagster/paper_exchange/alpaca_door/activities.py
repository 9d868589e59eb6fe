"""Account activities: fills and what moved without a trade, in one list of pages.

What belongs here: which rows, in which order, on which page. What does not: their bodies
(`render_orders`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_orders
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK, midnight, new_york_date, read_date, read_instant

FILL = "FILL"
LARGEST_PAGE = 100
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_TOKEN = re.compile(r"(\d{14})(\d{3})::")
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
    wanted = _Wanted(direction == "desc", size, call.get("page_token"))
    rows: list[Row] = []
    if category != "non_trade_activity" and (not types or FILL in types):
        rows += _fills(door, call, wanted)
    if category != "trade_activity":
        rows += [row for row in _others(door, call) if not types or row[1]["activity_type"] in types]
    rows.sort(key=lambda row: row[0])
    if wanted.is_descending:
        # Turned round as a whole: rows of one instant too are in the opposite order.
        rows.reverse()
    bodies = [body for _, body in rows]
    if wanted.token is not None:
        ids = [body["id"] for body in bodies]
        if wanted.token not in ids:
            raise malformed("invalid page_token")
        bodies = bodies[ids.index(wanted.token) + 1 :]
    return Reply(200, bodies[:size])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which page is asked for; `token` is the id of the last row of the page before."""

    is_descending: bool
    size: int
    token: str | None

    @property
    def reached(self) -> datetime | None:
        """The instant of the page before's last row, to the millisecond. Raises `WireError`."""
        if self.token is None:
            return None
        match = _TOKEN.match(self.token)
        try:
            found = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=NEW_YORK) if match else None
        except ValueError:
            found = None
        if match is None or found is None:
            raise malformed("invalid page_token")
        return found + int(match[2]) * _MILLISECOND


def _fills(door: Door, call: Call, wanted: _Wanted) -> list[Row]:
    """Fills that can be on the page: those that the pages before have shown, and later ones, are not read.

    A fill that was taken back is none.
    """
    (after, until), reached = _bounds(call), wanted.reached
    first, newest = after, None
    if wanted.is_descending:
        newest = wanted.size
        if reached is not None:
            until = min(until, reached + _MILLISECOND)
            # Some rows of the instant where the page before ended have been shown.
            newest += len(door.venue.executions(call.account, reached, reached + _MILLISECOND))
    elif reached is not None:
        first = max(after, reached)
    fills = door.venue.executions(call.account, first, until, newest)
    return [(fill.at, render_orders.fill_activity(fill)) for fill in fills if after < fill.at and fill.qty]


def _others(door: Door, call: Call) -> list[Row]:
    view, now = door.venue.account(call.account), door.venue.now()
    after, until = _bounds(call)
    first, last = max(after, view.created_at - _DAY), min(until, now + _DAY)
    rows = [
        (midnight(row.session), render_orders.non_trade_activity(row, view.currency))
        for row in door.venue.activities(call.account, new_york_date(first), new_york_date(last))
    ]
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
