"""Habits of a TWS that differ between installations, or that nobody has verified.

What belongs here: one switch for each. What does not: faults, which strike single calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scizor_dagster.paper_exchange.venue_views import VenueListing


@dataclass(frozen=True, slots=True)
class Switches:
    """How this TWS is set up.

    Attributes:
        read_only: "Read-Only API", which is on in a fresh TWS: orders end in error 321.
        omit_executions_end: Message 55 is left out where there are no executions, as some gateways do.
        market_data: What the account is subscribed to: `delayed` data is shown to who asks for it.
        execution_days: Calendar days of executions that are shown, today's included.
        execution_zone: Whether the time of an execution names its zone; without, it is in `time_zone`.
        time_zone: Zone of this TWS, as the API spells it.
        other_clients_cancel: Whether a client may cancel an order of another one by its order id.
        summaries: Account summaries that may be open at once on one connection.
        repeat_status: Seconds after which the status of an order is told once more, as a TWS often does; None is never.
            Besides, a client that waits for the next message, and was busy when the last one came, goes on.
        beat: Seconds between two tellings of prices and profits that a client has subscribed to; None is with fills.
        foreign_listings: Listings that the security database knows and that do not trade here.
    """

    read_only: bool = False
    omit_executions_end: bool = False
    market_data: Literal["live", "delayed", "none"] = "delayed"
    execution_days: int = 1
    execution_zone: bool = True
    time_zone: str = "US/Eastern"
    other_clients_cancel: bool = True
    summaries: int = 2
    repeat_status: float | None = 0.25
    beat: float | None = 1.0
    foreign_listings: tuple[VenueListing, ...] = ()
