"""`$DAGSTER_HOME`: its folder and its `dagster.yaml`, for the stores that are chosen.

What belongs here: what a server's instance has otherwise than the shipped, embedded one. What does not: opening the
instance (`instance`).
"""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from threading import get_ident
from typing import Any

import yaml

from scizor_dagster.cli.dagster_state import RUNS, dagster_is_made
from scizor_dagster.cli.preflight import check_home
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.ledger_choice import refuse_forgotten_server
from scizor_dagster.flow.stores_choice import keep_in_mind, refuse_files
from scizor_dagster.settings import PROJECT_ROOT, Settings

SHIPPED = PROJECT_ROOT / "dagster.yaml"
SERVER: dict[str, Any] = {
    "storage": {
        "custom": {"module": "scizor_dagster.cli.dagster_storage", "class": "ServerStorage", "config": {}},
    },
    "concurrency": {"runs": {"max_concurrent_runs": 4}},
    "schedules": {"use_threads": True, "num_workers": 4},
    "sensors": {"use_threads": True, "num_workers": 4},
}
_HEAD = """\
# Dagster's instance on a server. `scizor` writes this file, from the one that it ships with, where DATABASE_URL is set.
# Every process of the instance reads DATABASE_URL itself: this file holds no secret and is the same on every machine.
"""


def write_dagster_home(settings: Settings) -> None:
    """Create `$DAGSTER_HOME` with its `dagster.yaml`, and name it to whatever of Dagster runs in this process.

    Raises:
        ConfigError: the folder cannot be written.
        DataError: this home has a record of runs in files, and there is none on the server yet.
        LedgerError: the stores of this home lie on a server, and `DATABASE_URL` is not set.
    """
    check_home(settings)
    refuse_forgotten_server(settings)
    home = settings.dagster_home
    if settings.on_server and (home / RUNS).is_file() and not dagster_is_made(settings):
        refuse_files(settings, "record of Dagster's runs", home / RUNS)
    target, wanted = home / "dagster.yaml", dagster_yaml(on_server=settings.on_server)
    try:
        home.mkdir(parents=True, exist_ok=True)
        keep_in_mind(settings)
        if not target.exists() or target.read_bytes() != wanted:
            # Others may be reading it: it is never half there.
            copied = home / f"dagster.yaml.{os.getpid()}.{get_ident()}"
            copied.write_bytes(wanted)
            copied.replace(target)
    except OSError as error:
        raise ConfigError(
            f"The folder cannot be written ({error.strerror}).",
            remedy="Set SCIZOR_HOME to a folder that you may write to.",
            where=str(home),
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["SCIZOR_HOME"] = str(settings.home)
    os.environ["SCIZOR_CONFIG"] = str(settings.config_path)


def dagster_yaml(*, on_server: bool, shipped: Path = SHIPPED) -> bytes:
    """The content of `dagster.yaml` for the stores that are chosen."""
    if not on_server:
        return shipped.read_bytes()
    instance = _merged(yaml.safe_load(shipped.read_text(encoding="utf-8")), SERVER)
    return (_HEAD + yaml.safe_dump(instance, sort_keys=False)).encode()


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = deepcopy(base)
    for key, value in changes.items():
        result[key] = _merged(result[key], value) if isinstance(result.get(key), dict) else deepcopy(value)
    return result
