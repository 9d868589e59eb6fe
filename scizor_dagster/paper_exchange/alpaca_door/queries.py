"""What the queries of market data have in common: symbols, bounds, feeds, sizes and tokens of pages.

What belongs here: reading a query, and its refusals. What does not: what is answered (`bars`, `ticks`, `data`).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta

from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door
from scizor_dagster.paper_exchange.alpaca_door.errors import WireError
from scizor_dagster.paper_exchange.alpaca_door.formats import instant, midnight, new_york_date, read_date, read_instant

DEFAULT_LIMIT, LARGEST_LIMIT = 1000, 10_000
FEEDS = ("iex", "sip", "otc", "boats", "delayed_sip", "overnight")
SIP_DELAY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the instant of its last point, and the symbol that it was of."""

    symbol: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Range:
    """What a page of points is asked for: both ends included, the points after `after` alone."""

    symbols: list[str]
    first: datetime
    last: datetime
    limit: int
    is_descending: bool
    after: Place | None

    def wants(self, symbol: str, at: datetime) -> bool:
        if not self.first <= at <= self.last:
            return False
        if self.after is None or symbol != self.after.symbol:
            return True
        return at < self.after.at if self.is_descending else at > self.after.at


def invalid(message: str) -> WireError:
    return WireError(400, None, message)


def read_range(door: Door, call: Call, symbols: list[str]) -> Range:
    """The range of a query for bars, trades or quotes; by default from midnight in New York until now."""
    check_feed(door, call)
    now = door.venue.now()
    sort = call.get("sort") or "asc"
    if sort not in ("asc", "desc"):
        raise invalid(f"invalid sort: {sort}")
    first, last = edge(call, "start"), edge(call, "end")
    after = read_token(call.get("page_token"))
    # What the pages before have shown is not read again.
    left = sorted(symbol for symbol in set(symbols) if after is None or symbol >= after.symbol)
    return Range(
        left,
        midnight(new_york_date(now)) if first is None else first,
        now if last is None else min(last, now),
        limit(call, DEFAULT_LIMIT, LARGEST_LIMIT),
        sort == "desc",
        after,
    )


def symbols(call: Call) -> list[str]:
    found = call.words("symbols")
    if not found:
        raise invalid("symbols are required")
    return found


def limit(call: Call, default: int, largest: int) -> int:
    text = call.get("limit")
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise invalid(f"limit must be between 1 and {largest}")
    return int(text)


def check_feed(door: Door, call: Call) -> None:
    feed, end = call.get("feed"), call.get("end")
    if feed is not None and feed not in FEEDS:
        raise invalid(f"invalid feed: {feed}")
    if feed != "sip" or end is None or door.rules.recent_sip:
        return
    until = read_instant(end)
    if until is not None and until > door.venue.now() - SIP_DELAY:
        raise WireError(403, None, "subscription does not permit querying recent SIP data")


def edge(call: Call, name: str) -> datetime | None:
    """A bound of a query: an instant, or the midnight in New York that a date begins with."""
    text = call.get(name)
    if text is None:
        return None
    if len(text) == len("2024-03-01"):
        day = read_date(text)
        found = midnight(day) if day else None
    else:
        found = read_instant(text)
    if found is None:
        raise invalid(f"invalid {name}: {text}")
    return found


def token(place: Place, kind: str) -> str:
    """Names the last point of a page; `kind` is D of days and longer, M of what is shorter."""
    text = f"{place.symbol}|{kind}|{instant(place.at.replace(microsecond=0)).removesuffix('Z')}.000000000Z"
    return base64.b64encode(text.encode()).decode()


def read_token(text: str | None) -> Place | None:
    if text is None:
        return None
    try:
        symbol, _, at = base64.b64decode(text, validate=True).decode().split("|")
    except (ValueError, binascii.Error):
        raise invalid("invalid page_token") from None
    found = read_instant(at)
    if found is None:
        raise invalid("invalid page_token")
    return Place(symbol, found)
