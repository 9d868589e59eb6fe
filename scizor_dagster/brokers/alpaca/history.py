"""Long lists, read whole: orders beyond five hundred, activities in pages of a hundred.

What belongs here: paging without gaps and doubles. What does not: what a row means (`rows`).

Orders have no page token. Pages ascend by the instant of submission, each begins just before the last
row of the one before, and what comes twice counts once: rows of one instant cannot fall between two pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from scizor_dagster.brokers.alpaca.rows import Unreadable, parse_instant, text
from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.errors import BrokerUnavailable

Row = Mapping[str, Any]
ORDERS_PER_PAGE = 500
ACTIVITIES_PER_PAGE = 100
_TICK = timedelta(microseconds=1)


def orders(transport: Transport, *, status: str, after: datetime | None, until: datetime | None) -> list[Row]:
    """Every order submitted from `after` to `until`, oldest first, with its legs under it.

    Raises:
        BrokerUnavailable: the list cannot be read to its end.
    """
    found: dict[str, Row] = {}
    start = after
    while True:
        query: dict[str, Any] = {"status": status, "limit": ORDERS_PER_PAGE, "direction": "asc", "nested": "true"}
        if start is not None:
            query["after"] = (start - _TICK).isoformat()
        if until is not None:
            query["until"] = (until + _TICK).isoformat()
        page = _rows(transport.read("/orders", query, what="orders").body, "orders")
        known = len(found)
        for row in page:
            found[_field(row, "id")] = row
        if len(page) < ORDERS_PER_PAGE:
            return list(found.values())
        last = _instant(page[-1])
        if len(found) == known or last == start:
            raise _incomplete(f"more than {ORDERS_PER_PAGE} orders were submitted at {last.isoformat()}")
        start = last


def with_legs(rows: Sequence[Row]) -> Iterator[tuple[Row, str | None]]:
    """Every order and every leg as a row of its own, with the client order id of its parent."""
    for row in rows:
        yield row, None
        for leg in row.get("legs") or ():
            yield leg, _field(row, "client_order_id")


def activities(transport: Transport, types: Sequence[str], after: datetime, until: datetime) -> list[Row]:
    """Every activity of `types` in the time given, oldest first.

    Raises:
        BrokerUnavailable: the list cannot be read to its end.
    """
    found: dict[str, Row] = {}
    query: dict[str, Any] = {
        "activity_types": ",".join(types),
        "after": after.isoformat(),
        "until": until.isoformat(),
        "direction": "asc",
        "page_size": ACTIVITIES_PER_PAGE,
    }
    while True:
        page = _rows(transport.read("/account/activities", query, what="activities").body, "activities")
        known = len(found)
        for row in page:
            found[_field(row, "id")] = row
        if len(page) < ACTIVITIES_PER_PAGE:
            return list(found.values())
        if len(found) == known:
            raise _incomplete("a page of activities repeats itself")
        query["page_token"] = _field(page[-1], "id")


def _rows(body: Any, what: str) -> list[Row]:
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise _incomplete(f"the answer is no list of {what}")
    return body


def _field(row: Row, name: str) -> str:
    try:
        return text(row, name)
    except Unreadable as error:
        raise _incomplete(str(error)) from error


def _instant(row: Row) -> datetime:
    try:
        return parse_instant(_field(row, "submitted_at"))
    except ValueError as error:
        raise _incomplete(f"submitted_at is {row.get('submitted_at')!r}") from error


def _incomplete(problem: str) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"Alpaca's list cannot be read whole: {problem}.",
        remedy="Nothing was sent, and nothing was concluded from the part that came. Run again.",
    )
