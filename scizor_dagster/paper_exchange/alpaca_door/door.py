"""What every call at this door is made of: the door's own state, a request and its reply.

What belongs here: the value objects that `app` builds and the topics answer. What does not: HTTP
itself (`app`), and any one endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door.errors import WireError, malformed
from scizor_dagster.paper_exchange.alpaca_door.overlays import Overlays
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.venue import Fault, Faults, Venue
from scizor_dagster.paper_exchange.venue_views import VenueListing

DOOR = "alpaca"
LIVE_KEY_PREFIX = "AK"
"""Key ids of live accounts begin so, those of paper accounts with PK."""


@dataclass(frozen=True, slots=True)
class DoorRules:
    """How strict the door is, where the real one is not known or differs by plan.

    Attributes:
        recent_sip: Whether the data plan includes the last fifteen minutes of all exchanges.
        repeated_cancel_refused: Whether a second cancel of a canceled order is 422, rather than 204.
        one_stream: Whether a second `trade_updates` connection of an account is turned away.
        binary_stream: Whether messages of the stream go out as binary frames, rather than text.
    """

    limits: Limits = field(default_factory=Limits)
    recent_sip: bool = False
    repeated_cancel_refused: bool = True
    one_stream: bool = False
    binary_stream: bool = True


@dataclass
class Door:
    """Attributes:
    keys: Key id to (secret, account name).
    replies: The last reply to each account by the name of the call.
    """

    venue: Venue
    keys: Mapping[str, tuple[str, str]]
    rules: DoorRules
    faults: Faults | None
    overlays: Overlays
    replies: dict[tuple[str, str], Reply] = field(default_factory=dict)

    def listing(self, symbol: str) -> VenueListing | None:
        return self.venue.listing(symbol)

    def listing_of(self, symbol_or_id: str) -> VenueListing | None:
        """By symbol, or by asset id."""
        found = self.venue.listing(symbol_or_id)
        if found is None:
            found = next((row for row in self.venue.listings() if row.asset_id == symbol_or_id), None)
        return found

    def asset_id(self, symbol: str) -> str:
        found = self.venue.listing(symbol)
        return found.asset_id if found else ""

    def fault(self, call: str) -> Fault | None:
        return self.faults.next(DOOR, call) if self.faults is not None else None


@dataclass(frozen=True, slots=True)
class Call:
    """One authorized request.

    Attributes:
        path: Parameters of the path by name.
        query: Values by name, in order; a list may be repeated or separated by commas.
        fault: What this call meets, for the kinds that the exchange itself carries out.
    """

    account: str
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: bytes
    fault: Fault | None = None

    def get(self, name: str) -> str | None:
        """The one value of `name`; None where it is absent or empty."""
        values = self.query.get(name)
        return values[-1] or None if values else None

    def flag(self, name: str) -> bool:
        """`true`, however it is spelt: clients send `True`, `TRUE` and `true`."""
        return (self.get(name) or "").lower() == "true"

    def words(self, name: str) -> list[str]:
        return [word.strip() for value in self.query.get(name, ()) for word in value.split(",") if word.strip()]

    def number(self, name: str, default: int, largest: int) -> int:
        text = self.get(name)
        if text is None:
            return default
        if not text.isdigit() or not 1 <= int(text) <= largest:
            raise malformed(f"{name} must be between 1 and {largest}")
        return int(text)

    def json(self) -> Mapping[str, Any]:
        """The body as an object. Raises `WireError` where it is none."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            raise malformed("request body format is invalid") from None
        if not isinstance(found, dict):
            raise malformed("request body format is invalid")
        return found

    def meets(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    def detail(self, name: str, default: int) -> int:
        return int(self.fault.detail.get(name, default)) if self.fault is not None else default


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` None is an empty one."""

    status: int = 200
    body: Any = None


Handler = Callable[[Door, Call], Reply]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call: its name in fault scripts, and whether the data plan counts it."""

    method: str
    path: str
    name: str
    handler: Handler = field(repr=False)
    data: bool = False


def error_reply(error: WireError) -> Reply:
    return Reply(error.http, error.body)
