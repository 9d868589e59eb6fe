"""Handing one notice to one target, bounded in time: a program, an address of Apprise, or the log.

What belongs here: running programs and reading what became of it. What does not: which target gets what, and
remembering it (`notifier`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from scizor_dagster.errors import ScizorError
from scizor_dagster.notifications import child
from scizor_dagster.notifications.notice import Notice

_MOST_WORDS = 300


class NotTold(ScizorError):
    """A target was not told.

    `problem` may be kept, and so may `why`, its core. `words` is what the user's own program said, for eyes alone.
    """

    def __init__(self, target: str, problem: str, *, words: str = "") -> None:
        self.words, self.why = words, problem
        super().__init__(
            f"{target} was not told: {problem}.",
            remedy="Correct it under notifications in the configuration, then: scizor notify --test.",
            where="notifications",
        )


def tell_program(command: Sequence[str], notice: Notice, at: str, *, timeout: float, folder: Path) -> None:
    """Run `command` in `folder` with the notice as JSON on its standard input.

    Args:
        command: Program and arguments; no shell reads them.
        notice: What there is to say.
        at: When, as ISO 8601.
        timeout: Seconds after which it is killed.
        folder: Where relative paths in `command` begin: that of the configuration.

    Raises:
        NotTold: it could not be run, failed, or did not end in time.
    """
    body = {
        "event": notice.event, "subject": notice.subject, "at": at, "title": notice.title, "text": notice.text,
        "facts": dict(notice.facts),
    }  # fmt: skip
    _run(command[0], command, body, timeout=timeout, folder=folder)


def tell_address(name: str, url: str, notice: Notice, *, timeout: float) -> None:
    """Hand the notice to the address of Apprise that goes by `name`.

    Raises:
        NotTold: it was not taken, or not in time. It may have gone all the same where the answer was late.
    """
    body = {"url": url, "title": notice.title, "text": notice.text, "timeout": timeout}
    # Apprise waits for each of the two, connection and answer; this ends whatever waits longer.
    _have_child(name, body, child.SENT, timeout)


def check_address(name: str, url: str, *, timeout: float) -> None:
    """Have Apprise read the address that goes by `name`; nothing is sent.

    Raises:
        NotTold: it cannot be read, or not in time.
    """
    _have_child(name, {"url": url}, child.READABLE, timeout)


def check_program(command: Sequence[str], folder: Path) -> None:
    """Whether the program of `command` can be run from `folder`; it is not.

    Raises:
        NotTold: it is not there, or may not be run.
    """
    name = command[0]
    if shutil.which(str(folder / name) if os.sep in name else name) is None:
        raise NotTold(name, "there is no such program that may be run")


def _have_child(name: str, body: Mapping[str, Any], wanted: str, timeout: float) -> None:
    said = _run(name, [sys.executable, "-P", str(Path(child.__file__))], body, timeout=timeout, folder=None).strip()
    if said.splitlines()[-1:] != [wanted]:
        raise NotTold(name, said.splitlines()[-1] if said else "its messenger said nothing")


def _run(name: str, command: Sequence[str], body: Mapping[str, Any], *, timeout: float, folder: Path | None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, or the user's own program, as configured
            list(command),
            input=json.dumps(body, default=str),
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # Without its cause, which holds the whole input.
        raise NotTold(name, f"it did not end within {timeout:g} s and was killed") from None
    except OSError as error:
        raise NotTold(name, f"it cannot be run ({error.strerror})") from error
    if done.returncode != 0:
        words = shorten(done.stderr, _MOST_WORDS, placeholder=" ...") if folder is not None else ""
        raise NotTold(name, f"it ended with exit code {done.returncode}", words=words)
    return done.stdout
