"""The reference of the command line as pages of Markdown, made from the commands themselves.

What belongs here: laying out what `teaching` reads from the commands. What does not: any sentence about a command.
Importing it runs nothing. `python -m scizor_dagster.cli.reference docs/reference` writes the page; `command_line_page`
gives its text to whatever builds the documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from scizor_dagster.cli.exit_codes import EXAMPLES, MEANINGS
from scizor_dagster.cli.teaching import PANELS, Lesson, read_lesson, walk

PAGE = "command-line.md"
ELSEWHERE = "Further"
"""Over commands that no panel names."""


def command_line_page() -> str:
    """Every command by panel: what it does, when, its arguments and options, what it writes, its codes and answer."""
    root = _root()
    lines = ["# Command line", "", *_prose(root.help), "", "## Options before the command", "", *_parameters(root), ""]
    lines += ["## Exit codes", "", *exit_code_table().splitlines(), ""]
    for panel, names in _panels(root).items():
        lines += [f"## {panel}", ""]
        for name in names:
            found = root.commands[name]
            if getattr(found, "commands", None) is not None:
                lines += [f"### scizor {name}", "", *_prose(found.help), ""]
            for path, command in walk(found, (name,)):
                lines += _section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def exit_code_table() -> str:
    """What each code says, and where one meets it."""
    rows = [f"| {int(code)} | {words} | {_example(EXAMPLES[code])} |" for code, words in MEANINGS.items()]
    return "\n".join(["| exit code | it says | for example |", "|---|---|---|", *rows])


def write(folder: Path) -> Path:
    """Write the page into `folder`, which is made where it is not there; the same commands give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    path.write_text(command_line_page(), encoding="utf-8")
    return path


def _root() -> Any:
    from typer.main import get_command

    from scizor_dagster.cli.app import app

    return get_command(app)


def _panels(root: Any) -> dict[str, list[str]]:
    found = {panel: [name for name in names if name in root.commands] for panel, names in PANELS.items()}
    placed = {name for names in found.values() for name in names}
    found[ELSEWHERE] = [name for name in root.commands if name not in placed]
    return {panel: names for panel, names in found.items() if names}


def _section(path: tuple[str, ...], command: Any) -> Iterator[str]:
    lesson: Lesson = getattr(command, "lesson", None) or read_lesson(command.help or "")
    depth = "#" * (2 + min(len(path), 2))
    words = " ".join(["scizor", *path])
    arguments = " ".join(_metavar(item) for item in command.params if item.param_type_name == "argument")
    yield from (f"{depth} {words}", "", "```text", f"{words} [OPTIONS] {arguments}".rstrip(), "```", "")
    yield from (*_prose(lesson.prose), "")
    yield from (*_parameters(command), "")
    told = {"When": lesson.when, "Writes": lesson.writes, "JSON": lesson.answer and f"`{lesson.answer.rstrip('.')}`"}
    yield from (f"- *{label}:* {words}" for label, words in told.items() if words)
    yield from (f"- *Exit code {code}:* {meaning}." for code, meaning in lesson.codes.items())
    yield from ("", "```text", *lesson.examples, "```", "")


def _prose(text: str | None) -> list[str]:
    return [_escaped(line.strip()) for line in (text or "").splitlines()]


def _parameters(command: Any) -> Iterator[str]:
    shown = [item for item in command.params if not getattr(item, "hidden", False)]
    if not shown:
        return
    yield from ("| argument or option | takes | default | |", "|---|---|---|---|")
    for item in shown:
        name = f"`{_metavar(item)}`" if item.param_type_name == "argument" else _options(item)
        takes = "" if getattr(item, "is_flag", False) else f"`{_kind(item)}`"
        yield f"| {name} | {takes} | {_default(item)} | {_escaped(item.help or '')} |"


def _options(item: Any) -> str:
    return ", ".join(f"`{word}`" for word in (*item.opts, *item.secondary_opts))


def _metavar(item: Any) -> str:
    name = item.metavar or (item.name or "").upper()
    return name if item.required or item.metavar else f"[{name}]"


def _kind(item: Any) -> str:
    """One of a fixed list, or what kind of value; Typer has kept it in two places."""
    described = getattr(item, "type_descriptor", None) or item.type
    choices: Iterable[Any] = getattr(described, "choices", None) or ()
    named = [str(getattr(choice, "value", choice)) for choice in choices]
    kind = getattr(getattr(described, "annotation", None), "__name__", "str")
    return "\\|".join(named) or {"Path": "path", "int": "number", "float": "number"}.get(kind, "text")


def _default(item: Any) -> str:
    if item.required:
        return "required"
    default = item.default
    if default is None or default in ((), [], "") or default is False or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _example(text: str) -> str:
    command, comma, rest = text.partition(", ")
    return f"`{command}`{comma}{rest}" if command.startswith("scizor") else text


if __name__ == "__main__":
    typer.echo(write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")))
