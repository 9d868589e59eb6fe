"""Lists of symbols that the owner of an account keeps there.

What belongs here: the lists and how they are stored with the account's settings. What does not: how a door
spells them, and which symbols there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Watchlist:
    """Symbols in the order in which they were put in, each once."""

    list_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    symbols: tuple[str, ...] = ()


ListsChange = Callable[[Sequence[Watchlist]], Sequence[Watchlist]]
"""All lists of an account as they are to be, out of those that there are."""


def as_json(row: Watchlist) -> dict[str, Any]:
    return {
        "list_id": row.list_id,
        "name": row.name,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "symbols": list(row.symbols),
    }


def of_json(facts: Mapping[str, Any]) -> Watchlist:
    created, updated = (datetime.fromisoformat(facts[name]) for name in ("created_at", "updated_at"))
    return Watchlist(facts["list_id"], facts["name"], created, updated, tuple(facts["symbols"]))
