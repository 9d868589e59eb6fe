"""What a command looks at before it opens any store, so that bad input leaves nothing behind.

What belongs here: reading the configuration's own files, and refusing. What does not: anything that
creates a folder or a database (`instance`), and the content of weights and prices, which the assets judge.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scizor_dagster.cli import dates
from scizor_dagster.errors import ConfigError, InputError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.config import FilesProvider
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.sessions import TradingCalendar


def open_desk(environment: Mapping[str, str] | None = None) -> Desk:
    """The desk of the environment's configuration, which is read and checked here; by default of the process's own.

    Raises:
        ConfigError: the configuration cannot be used, or `DATABASE_URL` names no Postgres database.
    """
    from scizor_dagster.flow.desk import Desk

    desk = Desk(Settings.from_environment(os.environ if environment is None else environment), dates.now)
    _ = desk.config
    return desk


def check_home(settings: Settings) -> None:
    """Refuse a home that nothing can be written to; creates nothing.

    Raises:
        ConfigError: it is no folder, lies in none, or it or a store in it may not be written.
    """
    remedy = "Set SCIZOR_HOME to a folder that you may write to."
    try:
        str(settings.home).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            "The folder's name is not readable in the locale of this shell.",
            remedy="Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, or name another folder with SCIZOR_HOME.",
            where=ascii(str(settings.home)),
        ) from error
    nearest = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError("The folder cannot be written: this is a file.", remedy=remedy, where=str(nearest))
    history, stores = settings.dagster_home / "history", (settings.lake_folder, settings.home / "ledger.sqlite")
    for path in (nearest, settings.dagster_home, history, history / "runs.db", *stores):
        if path.exists() and not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
            what = "folder" if path.is_dir() else "file"
            raise ConfigError(f"The {what} cannot be written.", remedy=remedy, where=str(path))


def check_market(desk: Desk, market: str) -> TradingCalendar:
    """The market's calendar, once its universe and the files of its provider are known to be there.

    Raises:
        ConfigError: there is no such market, or its calendar is unknown.
        InputError: a universe file that cannot be read, or a price file that is missing or no file.
    """
    from scizor_dagster.config import FilesProvider

    settings = desk.market(market)
    calendar = desk.calendar(market)
    desk.universe(market)
    for key, source in settings.sources.items():
        if isinstance(source, FilesProvider):
            _check_files(desk, source, ".".join(map(str, ("markets", market, *key))))
    return calendar


def _check_files(desk: Desk, provider: FilesProvider, where: str) -> None:
    for name in (provider.path, provider.actions):
        if name is not None and not (desk.config.folder / name).exists():
            raise InputError(
                f"The prices of market '{where.split('.')[1]}' are not there.",
                remedy=f"Put them there, or correct {where}.",
                where=str(desk.config.folder / name),
            )
    _check_layout(desk.config.folder / provider.path, provider)


def _check_layout(path: Path, provider: FilesProvider) -> None:
    if path.is_dir() and provider.layout == "long":
        raise InputError(
            "The path of the prices is a folder, and `layout: long` reads one file.",
            remedy="For one file per symbol use `layout: per_symbol` (see docs/configuration.md), or name the file.",
            where=str(path),
        )
    if path.is_file() and provider.layout == "per_symbol":
        raise InputError(
            "The path of the prices is a file, and `layout: per_symbol` reads a folder.",
            remedy="For one file with all symbols use `layout: long`, or name the folder.",
            where=str(path),
        )


def check_portfolio(desk: Desk, portfolio: str) -> TradingCalendar:
    """The calendar of the portfolio's market, once its strategies and universe are known to be there.

    Raises:
        ConfigError: there is no such portfolio or strategy.
        InputError: a universe file that cannot be read.
    """
    settings = desk.portfolio(portfolio)
    for strategy in settings.signals.ids:
        desk.manifest.strategy(strategy)
    calendar = desk.calendar(settings.market)
    desk.universe(settings.market)
    return calendar


def check_weight_files(desk: Desk, portfolio: str) -> None:
    """The weight files of the strategies that run, and their mapping tables, must exist; none is read.

    Raises:
        ConfigError: the code of a strategy that computes its weights cannot be used.
        InputError: one is missing.
        WeightFileMissing: no file matches the pattern of a strategy.
    """
    from scizor_dagster.flow.lifecycle import running_strategies
    from scizor_dagster.flow.strategies import strategy_of
    from scizor_dagster.signals.deliveries import files_of, has_several

    for entry in map(desk.manifest.strategy, running_strategies(desk, portfolio)):
        if entry.function is not None:
            strategy_of(desk, entry)
            continue
        if has_several(entry):
            files_of(entry)
        files = [] if has_several(entry) else [("path", entry.path)]
        for key, file in (*files, *([("mapping", entry.mapping.file)] if entry.mapping else [])):
            if not Path(file).is_file():
                raise InputError(
                    f"Strategy '{entry.id}': there is no such file.",
                    remedy=f"Deliver it, or correct '{key}' in the strategy manifest.",
                    where=file,
                )
