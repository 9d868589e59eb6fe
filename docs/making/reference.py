"""Pages of the reference that quote docstrings, the command line and the HTTP interface.

What belongs here: which modules a user programs against, and a page for each group of commands. The modules are read
and not imported (griffe), so that nothing heavy is loaded for them.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any

MODULES: dict[str, tuple[str, ...]] = {
    "Strategies": ("strategies.protocol", "strategies.prices", "strategies.rebalancing"),
    "Brokers": ("brokers.protocol", "brokers.capabilities", "instruments", "errors"),
    "Prices": ("market_data.provider", "market_data.adjustment", "market_data.reading", "sessions"),
    "Planning": ("planning.model", "planning.inputs", "planning.rules", "planning.planner"),
    "Backtests": (
        "backtest.engine", "backtest.model", "backtest.schedules", "backtest.history_frames", "backtest.figures",
    ),
    "Figures": ("analytics.performance", "analytics.ratios", "analytics.rolling", "analytics.money_weighted"),
    "Notices": ("notifications.notice", "notifications.notifier"),
}  # fmt: skip
"""Pages of docstrings: title to modules of `scizor_dagster`."""

HTTP_TITLES = ("HTTP interface", "HTTP: bodies and answers")


def pages() -> dict[str, str]:
    found = {_place(title): _of_modules(title, modules) for title, modules in MODULES.items()}
    return found | command_line_page() | http_pages()


def titles() -> list[dict[str, Any]]:
    """Entries of the navigation, after those of the configuration and the stores."""
    python = [{title: _place(title)} for title in MODULES]
    http = [{title: place} for title, place in zip(HTTP_TITLES, http_pages(), strict=False)]
    line = [{"Command line": place} for place in command_line_page()]
    return [*line, *http, {"Python": python}]


def _place(title: str) -> str:
    return f"reference/python-{title.lower()}.md"


def _of_modules(title: str, modules: tuple[str, ...]) -> str:
    parts = [f"::: scizor_dagster.{name}\n" for name in modules]
    return "\n".join([f"# Python: {title.lower()}", "", "Out of the docstrings of the code.", "", *parts])


def command_line_page() -> dict[str, str]:
    """Every command with its help, out of the commands themselves."""
    if not _is_there("scizor_dagster.cli.reference"):
        return {}
    made = importlib.import_module("scizor_dagster.cli.reference")
    return {f"reference/{made.PAGE}": made.command_line_page()}


@cache
def http_pages() -> dict[str, str]:
    """The routes with scopes, parameters and answers, and their objects, where there are HTTP services."""
    if not _is_there("scizor_dagster.api") or not _is_there("scizor_dagster.api.app"):
        return {}
    made: dict[str, str] = importlib.import_module("docs.making.http").pages()
    return made


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
