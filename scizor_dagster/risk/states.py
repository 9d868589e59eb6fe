"""The three trading states by name, apart from their rows: limits name one, and need no database for it."""

from __future__ import annotations

from enum import StrEnum


class TradingState(StrEnum):
    ACTIVE = "active"
    REDUCING = "reducing"
    """Only orders that close positions go out."""
    HALTED = "halted"
    """No order goes out."""

    @property
    def strictness(self) -> int:
        return list(TradingState).index(self)
