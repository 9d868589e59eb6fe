"""The sentence on the one wait that nothing else tells of: the planner is compiled before its first backtest.

What belongs here: whether that is due, and saying so. What does not: compiling (`planning.compiled`).
"""

from __future__ import annotations

import os

import typer


def say_compiling() -> None:
    """Say on stderr that the first backtest of a version compiles the planner; nothing where that is done."""
    from importlib.util import find_spec

    from scizor_dagster.backtest.engine import PARTS
    from scizor_dagster.planning import compiled

    if os.environ.get(compiled.SWITCH) == "python" or find_spec("numba") is None:
        return
    folder = compiled.cache_folder(PARTS)
    if folder is not None and not any(folder.rglob("*.nbi")):
        typer.echo("Compiling the planner, once for this version: a minute or two.", err=True)
