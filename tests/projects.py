"""Small projects to run commands and jobs on: configuration, manifest, universe and weights in one folder.

A project's market is synthetic, deterministic and tiny; its sessions lie in the past, so that no test
depends on the day it runs on.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from scizor_dagster.settings import Settings

SYMBOLS = ("AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA")
FIRST_SESSION = date(2025, 1, 2)
STRATEGY = "weekly"

CONFIG: dict[str, Any] = {
    "strategy_manifest": "strategy_manifest.yaml",
    "markets": {
        "us": {
            "calendar": "XNYS",
            "currency": "USD",
            "first_session": FIRST_SESSION,
            "universes": ["universe.csv"],
            "provider": {"type": "sample"},
        }
    },
    "accounts": {"paper": {"broker": "paper", "currency": "USD", "initial_cash": 100000.0}},
    "portfolios": {
        "main": {
            "market": "us",
            "account": "paper",
            "capital": {"share": 1.0},
            "signals": {"mode": "select", "strategy": STRATEGY, "as_of": "exact"},
        }
    },
    "risk": {
        "fractional_shares": {
            "enabled": True,
            "min_order_notional": 5.0,
            "quantity_precision": 4,
            "max_total_weight": 1.0,
            "adjust_for_overflow": True,
        },
        "max_notional_per_order": 25000.0,
        "max_share_per_order": 100000.0,
        "max_total_notional": 1000000.0,
        "min_cash_buffer_pct": 0.02,
    },
    "weights": {"max_weight": 0.5},
    "idempotency": {"client_order_id_prefix": "TST"},
}
MANIFEST: dict[str, Any] = {"strategies": [{"id": STRATEGY, "path": "weights.csv", "format": "csv"}]}


@dataclass(frozen=True)
class Project:
    """Where a project is, and the environment that a command needs to find it."""

    settings: Settings
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.settings.config_path.parent

    @property
    def home(self) -> Path:
        return self.settings.home


def project_at(folder: Path) -> Project:
    """The project in `folder`, whose stores are (or will be) in `folder/home`."""
    environment = {"SCIZOR_HOME": str(folder / "home"), "SCIZOR_CONFIG": str(folder / "config.yaml")}
    return Project(Settings.from_environment(environment), environment)


def small_project(folder: Path, **changes: Any) -> Project:
    """Write a project with six symbols and an empty home.

    Args:
        folder: An existing folder.
        changes: Sections of the configuration to merge in, e.g. `risk={"min_cash_buffer_pct": 0.0}`;
            a key with the value None is taken out.
    """
    config = _merged(CONFIG, changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump(MANIFEST), encoding="utf-8")
    write_universe(folder / "universe.csv", SYMBOLS)
    return project_at(folder)


def write_universe(path: Path, symbols: Sequence[str], mic: str = "XNAS", currency: str = "USD") -> None:
    header = "symbol,mic,name,currency,sector,category,exchange"
    rows = [f"{symbol},{mic},{symbol},{currency},Technology,,{mic}" for symbol in symbols]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def write_weights(path: Path, weights: Mapping[date, Mapping[str, float]]) -> Path:
    """Write a weight file with the plain column names."""
    rows = [f"{day},{symbol},{weight}" for day, held in weights.items() for symbol, weight in held.items()]
    path.write_text("\n".join(["trade_date,asset_id,target_weight", *rows]) + "\n", encoding="utf-8")
    return path


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result
