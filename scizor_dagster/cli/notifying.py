"""Telling somebody: one program of the user's, which is handed what there is to say.

What belongs here: running it, bounded and without a shell. What does not: what is said (`watchdog`), and any service
that carries messages: the program knows those.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from scizor_dagster.errors import ScizorError

_MOST_WORDS = 300


class NotTold(ScizorError):
    """The program that is to tell somebody could not be run, failed, or did not end in time."""


def notify(command: Sequence[str], body: Mapping[str, Any], *, timeout: float, folder: Path) -> None:
    """Run `command` in `folder` with `body` as JSON on its standard input.

    Args:
        command: Program and arguments; no shell reads them.
        body: What there is to say.
        timeout: Seconds after which it is killed.
        folder: Where relative paths in `command` begin: that of the configuration.

    Raises:
        NotTold: with what the program said on its standard error.
    """
    name = command[0]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own program, as configured
            list(command),
            input=json.dumps(body, default=str),
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_told(name, f"did not end within {timeout:g} s and was killed") from error
    except OSError as error:
        raise _not_told(name, f"cannot be run ({error.strerror})") from error
    if done.returncode != 0:
        words = shorten(done.stderr, _MOST_WORDS, placeholder=" ...")
        raise _not_told(name, f"ended with exit code {done.returncode}{': ' if words else ''}{words}")


def _not_told(name: str, what: str) -> NotTold:
    return NotTold(
        f"Nobody was told: {name} {what}.",
        remedy="Correct the program, or the key watchdog.notify of the configuration.",
        where="watchdog.notify",
    )
