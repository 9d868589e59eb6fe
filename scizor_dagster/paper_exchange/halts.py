"""Halts of one market: when which instrument did not trade.

What belongs here: stopping and resuming an instrument, and the question whether it is halted at an instant.
What does not: what a halt does to an order (`continuous`).
"""

from __future__ import annotations

from datetime import datetime

from scizor_dagster.paper_exchange.venue_store import VenueStore


class Halts:
    """Every halt that there ever was, read once: another process that halts is seen by those opened later."""

    def __init__(self, store: VenueStore, market: str) -> None:
        self._store = store
        self._market = market
        self._rows = store.halts(market)

    def stop(self, symbol: str, at: datetime) -> None:
        """Halt an instrument; one that is halted stays so."""
        self._store.halt(self._market, symbol, at)
        self._rows = self._store.halts(self._market)

    def resume(self, symbol: str, at: datetime) -> None:
        """End the halt of an instrument."""
        self._store.resume(self._market, symbol, at)
        self._rows = self._store.halts(self._market)

    def is_halted(self, symbol: str, at: datetime) -> bool:
        return any(
            symbol == name and since <= at and (until is None or at < until) for name, since, until in self._rows
        )
