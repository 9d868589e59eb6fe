"""Who says it, and why: what stands in the ledger beside what a person decides."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from scizor_dagster.errors import InputError

ActorOption = Annotated[str | None, typer.Option("--by", help="Your name; default: the name you are logged in with.")]
MAX_LENGTH = 64


def reason_of(text: str) -> str:
    """The reason given, where it says something.

    Raises:
        InputError: it is empty.
    """
    if not text.strip():
        raise InputError("The reason is empty.", remedy="Say why: --reason TEXT.", where="--reason")
    return text.strip()


def actor_of(name: str | None) -> str:
    """The name given, or that of the operating system's user.

    Raises:
        InputError: it is empty, too long, the machine's own, or there is no such user.
    """
    try:
        actor = (getpass.getuser() if name is None else name).strip()
    except (OSError, KeyError):
        actor = ""
    if not actor or len(actor) > MAX_LENGTH or actor == "scizor":
        raise InputError(
            f"'{actor}' is no person's name.", remedy=f"Give one of up to {MAX_LENGTH} letters.", where="--by"
        )
    return actor
