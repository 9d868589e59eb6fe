"""What a command looks at before it opens any store, so that bad input leaves nothing behind.

What belongs here: reading the configuration's own files, and refusing. What does not: anything that
creates a folder or a database (`instance`), and the content of weights and prices, which the assets judge.
"""

from __future__ import annotations

import os
from pathlib import Path

from scizor_dagster.cli import dates
from scizor_dagster.config import FilesProvider
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.settings import Settings


def open_desk() -> Desk:
    """The desk of the environment's configuration, which is read and checked here.

    Raises:
        ConfigError: the configuration cannot be used, or `DATABASE_URL` is set.
    """
    desk = Desk(Settings.from_environment(os.environ), dates.now)
    _ = desk.config
    return desk


def check_market(desk: Desk, market: str) -> TradingCalendar:
    """The market's calendar, once its universe and the files of its provider are known to be there.

    Raises:
        ConfigError: there is no such market, or its calendar is unknown.
        InputError: a universe file that cannot be read, or a price file that is missing.
    """
    settings = desk.market(market)
    calendar = desk.calendar(market)
    desk.universe(market)
    if isinstance(settings.provider, FilesProvider):
        for name in (settings.provider.path, settings.provider.actions):
            if name is not None and not (desk.config.folder / name).exists():
                raise InputError(
                    f"The prices of market '{market}' are not there.",
                    remedy=f"Put them there, or correct markets.{market}.provider.",
                    where=str(desk.config.folder / name),
                )
    return calendar


def check_portfolio(desk: Desk, portfolio: str) -> TradingCalendar:
    """The calendar of the portfolio's market, once its strategy and universe are known to be there.

    Raises:
        ConfigError: there is no such portfolio or strategy.
        InputError: a universe file that cannot be read.
    """
    settings = desk.portfolio(portfolio)
    desk.manifest.strategy(settings.signals.strategy)
    calendar = desk.calendar(settings.market)
    desk.universe(settings.market)
    return calendar


def check_weight_file(desk: Desk, portfolio: str) -> Path:
    """The portfolio's weight file and its mapping table, which must exist; neither is read.

    Raises:
        InputError: one is missing.
    """
    entry = desk.manifest.strategy(desk.portfolio(portfolio).signals.strategy)
    path = Path(entry.path)
    for file, key in ((path, "path"), (Path(entry.mapping.file) if entry.mapping else path, "mapping")):
        if not file.is_file():
            raise InputError(
                f"Strategy '{entry.id}': there is no such file.",
                remedy=f"Deliver it, or correct '{key}' in the strategy manifest.",
                where=str(file),
            )
    return path
