"""The limits of a portfolio, from its configuration and the universe files that it names.

What belongs here: reading them. What does not: what a limit means (`risk.limits`), and holding orders against it.
Nothing here needs a store.
"""

from __future__ import annotations

import re
from pathlib import Path

from scizor_dagster.config import UNLIMITED
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.risk.limits import PreTradeLimits, limits_from

_MIC = re.compile(r"^[A-Z][A-Z0-9]{3}$")


def limits_in_force(desk: Desk, portfolio: str) -> PreTradeLimits:
    """The portfolio's limits, with the universe files of `allowed` read and both lists in the universe's spelling.

    Raises:
        ConfigError: `allowed` names a file that is no universe of the market, or a symbol that is in none;
            `restricted` names a symbol with another exchange than its own.
    """
    risk = desk.portfolio(portfolio).risk
    return limits_from(risk, _allowed(desk, portfolio), _restricted(desk, portfolio))


def _restricted(desk: Desk, portfolio: str) -> set[str]:
    """The tickers that orders carry: share classes in the universe's spelling, `TICKER.MIC` without its exchange."""
    settings = desk.portfolio(portfolio)
    if not settings.risk.limits.restricted:
        return set()
    from scizor_dagster.signals.identity import KnownMarket

    instruments = desk.instruments(settings.market)
    market = KnownMarket(settings.market, instruments)
    symbols: set[str] = set()
    for name in settings.risk.limits.restricted:
        ticker, _, mic = name.rpartition(".")
        if name in instruments or not (ticker and _MIC.match(mic)):
            symbols.update(market.spelled(name))
            continue
        spelled = market.spelled(ticker)
        known = [instruments[symbol] for symbol in spelled if symbol in instruments]
        if known and all(item.mic != mic for item in known):
            raise ConfigError(
                f"'{name}' is not an instrument of market '{settings.market}', whose universe has {known[0].id}.",
                remedy=f"Write {known[0].id}, or the ticker alone.",
                where=f"{desk.config.source}: risk.limits.restricted",
            )
        symbols.update(spelled)
    return symbols


def _allowed(desk: Desk, portfolio: str) -> set[str] | None:
    settings = desk.portfolio(portfolio)
    allowed = settings.risk.limits.allowed
    if allowed == UNLIMITED:
        return None
    symbols: set[str] = set()
    universe = desk.universe(settings.market)
    for name in allowed:
        path = desk.config.folder / name
        inside = {
            entry.instrument.symbol for entry in universe if entry.path == path or entry.instrument.symbol == name
        }
        if not inside:
            kind = "file" if Path(name).suffix == ".csv" else "symbol"
            raise ConfigError(
                f"The {kind} '{name}' is not in the universe of market '{settings.market}'.",
                remedy=f"Name one of its symbols or of its files: {', '.join(desk.market(settings.market).universes)}.",
                where=f"{desk.config.source}: risk.limits.allowed",
            )
        symbols |= inside
    return symbols
