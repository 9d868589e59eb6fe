"""The symbols of a market: verified, listed, added to its universe and taken out of it.

What belongs here: handing the desk's parts to `market_data`. What does not: what an answer means, and SQL.
"""

from __future__ import annotations

import logging

from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.reports import SymbolsReport
from scizor_dagster.market_data.symbol_reading import collected_symbols
from scizor_dagster.market_data.symbols import EVERYTHING_DUE, collect_symbols
from scizor_dagster.market_data.verification import Asking

PROGRESS = logging.getLogger("scizor.progress")


def refresh_symbols(desk: Desk, market: str, asking: Asking = EVERYTHING_DUE) -> SymbolsReport:
    """Store the universe, and verify at the provider the symbols that are due."""
    return collect_symbols(
        desk.lake,
        market,
        desk.market(market),
        desk.universe(market),
        desk.provider(market),
        desk.clock(),
        asking,
        _report_progress,
    )


def symbols_to_collect(desk: Desk, market: str) -> list[str]:
    """The symbols of the universe whose bars are asked for: those that are one certain instrument, in order."""
    return collected_symbols(desk.lake, market, sorted(desk.instruments(market)))


def _report_progress(done: int, total: int, what: str) -> None:
    PROGRESS.info("%s (%d of %d)", what, done, total)
