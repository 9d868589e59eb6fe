"""`scizor dev`: Dagster's UI and daemon on the prepared instance."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster import logs
from scizor_dagster.settings import PROJECT_ROOT, Settings


def dev(
    port: Annotated[int, typer.Option(help="Port of the UI, on 127.0.0.1 only.")] = 3000,
) -> None:
    """Start Dagster's UI with its daemon on 127.0.0.1. Stop it with Ctrl-C.

    Schedules and sensors are off until they are switched on there, on the page Automation.

    When: you want to look at the stages, start a run by hand, or switch schedules on.
    Writes: Dagster's instance under SCIZOR_HOME; it goes on until you stop it.
    Exit codes: 1 Dagster could not start, as it says; 130 it was stopped with Ctrl-C.
    Example: scizor dev --port 3000
    """
    from scizor_dagster.cli.instance import prepare_home

    settings = Settings.from_environment(os.environ)
    prepare_home(settings)
    typer.echo(f"Dagster's UI: http://127.0.0.1:{port} (Ctrl-C stops it)")
    command = [
        str(Path(sys.executable).parent / "dagster"),
        "dev",
        "--workspace",
        str(PROJECT_ROOT / "workspace.yaml"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *(["--log-format", "json"] if logs.wants_json(settings.environment) else []),
    ]
    os.chdir(PROJECT_ROOT)
    os.execv(command[0], command)  # noqa: S606
