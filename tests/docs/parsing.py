"""Whether the command line would take a line, without running it."""

import re
from functools import cache
from typing import Any

from tests.docs.blocks import words_of

_PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$|^\.\.\.$")


@cache
def tree() -> Any:
    from typer.main import get_command

    from scizor_dagster.cli.app import app

    return get_command(app)


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the rest of them."""
    command, rest = tree(), list(words)
    while rest and getattr(command, "commands", None) is not None:
        if rest[0] not in command.commands:
            break
        command = command.commands[rest.pop(0)]
    return command, rest


def complaint(line: str) -> str:
    """Why the command line would refuse the line; empty where it would not."""
    command, rest = found(words_of(line)[1:])
    if getattr(command, "commands", None) is not None:
        own = {"--help", *(name for item in command.params for name in item.opts)}
        return "" if rest and own.issuperset(rest) else f"'{line}' names no command"
    if rest == ["--help"]:
        return ""
    try:
        command.make_context("scizor", rest)
    except Exception as refusal:
        return f"'{line}': {refusal.format_message() if hasattr(refusal, 'format_message') else refusal}"
    return ""


def mention(line: str) -> str:
    """Why a command that a sentence names is none: its name, or an option of it, does not exist."""
    words = [word for word in words_of(line)[1:] if word not in ("|", "\\|")]
    command, rest = found(words)
    if getattr(command, "commands", None) is not None:
        named = [word for word in rest if not word.startswith("-") and not _PLACEHOLDER.match(word)]
        return f"'{line}' names no command" if named and named[0] not in command.commands else ""
    known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)} | {"--help", "-h"}
    odd = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
    return f"'{line}': there is no {odd[0]}" if odd else ""
