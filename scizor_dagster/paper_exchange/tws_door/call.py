"""One request as the answers get it.

What belongs here: the value and its type. What does not: any answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.venue import Fault

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.door import Door
    from scizor_dagster.paper_exchange.tws_door.session import Session


@dataclass(frozen=True, slots=True)
class Call:
    """One request on one connection, with the fault that strikes it."""

    session: Session
    request: Request
    fault: Fault | None = None

    @property
    def door(self) -> Door:
        return self.session.door

    def send(self, *fields: Field) -> None:
        self.session.send(*fields)


Answer = Callable[[Call], None]
