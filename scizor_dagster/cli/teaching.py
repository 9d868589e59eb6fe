"""How help is laid out: every command and group in the same form, sorted into panels by what one wants.

What belongs here: reading the lines that a command's docstring ends with, printing them, panels. What does not: what
the commands do (they say it themselves), and pages of documentation (`reference`).

A docstring is what the command does, as sentences, and then one line, or more, of each label:

    When: the moment at which one wants it.
    Writes: what it leaves behind.
    Exit codes: 0 what it means here; 1 the same. Those that are not named mean what they mean everywhere.
    JSON: the keys of the answer: name, name? that may be left out, name[a, b] for a list of objects with these keys,
    name{a, b} for one object, name[*] and name{*} where the keys are names of something.
    Example: scizor COMMAND ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from scizor_dagster.cli import completing
from scizor_dagster.cli.exit_codes import MEANINGS, ExitCode
from scizor_dagster.cli.output import console, is_plain

PANELS: dict[str, tuple[str, ...]] = {
    "Start here": ("demo", "doctor", "dev"),
    "Data": ("collect", "symbols", "data", "prices", "rates"),
    "Weights and strategies": ("signals", "strategy"),
    "Trading": ("plan", "run", "approve", "order", "reconcile", "arm", "disarm", "adopt", "end-order"),
    "Risk and stopping": ("halt", "reduce", "resume", "limits", "risk"),
    "Looking back": ("report", "performance", "costs", "explain", "replay", "parity", "export"),
    "Research": ("backtest", "paper"),
    "Care": ("verify", "watchdog", "notify", "backup", "restore", "migrate", "upgrade", "ledger", "serve", "keys"),
}
"""Which commands stand together, in this order. Names that there are not are passed over."""
_LABEL = re.compile(r"(When|Writes|Exit codes|JSON|Example): (.*)")
_CODE = re.compile(r"\s*(\d+) ([^;]+?)\.?\s*(?:;|$)")


@dataclass(frozen=True)
class Lesson:
    """What the help of a command says.

    Attributes:
        prose: What it does, as sentences; paragraphs apart by an empty line.
        when: When one wants it.
        writes: What it leaves behind.
        codes: What its exit codes mean, those of every command included.
        answer: The keys of its JSON; empty where it gives none.
        examples: Calls of it.
    """

    prose: str
    when: str = ""
    writes: str = ""
    codes: Mapping[int, str] = field(default_factory=dict)
    answer: str = ""
    examples: tuple[str, ...] = ()


def read_lesson(text: str) -> Lesson:
    """Part a docstring into its sentences and its labelled lines; a labelled one goes on until the next or a gap."""
    prose: list[str] = []
    labelled: list[tuple[str, str]] = []
    within = False
    for line in text.splitlines():
        found = _LABEL.fullmatch(line.strip())
        if found is not None:
            labelled.append((found[1], found[2]))
        elif within and line.strip():
            labelled[-1] = (labelled[-1][0], f"{labelled[-1][1]} {line.strip()}")
        else:
            prose.append(line)
        within = bool(labelled) and bool(line.strip())
    of = dict(labelled)
    own = {int(code): words for code, words in _CODE.findall(of.get("Exit codes", ""))}
    return Lesson(
        prose="\n\n".join(" ".join(part.split()) for part in "\n".join(prose).split("\n\n") if part.strip()),
        when=of.get("When", ""),
        writes=of.get("Writes", ""),
        codes={int(code): own.get(code, words) for code, words in MEANINGS.items()},
        answer=of.get("JSON", ""),
        examples=tuple(words for label, words in labelled if label == "Example"),
    )


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be run under this one, with its words, in the order of the help."""
    children: Mapping[str, Any] | None = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from walk(child, (*path, name))


class TaughtCommand(TyperCommand):
    """A command whose help ends with when it is wanted, what it writes, how it ends, and examples."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.lesson = read_lesson(self.help or "")
        self.help = self.lesson.prose
        for parameter in self.params:
            completing.complete_by_name(parameter)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        follow_colour()
        super().format_help(ctx, formatter)
        print_lesson(self.lesson)


class TaughtGroup(TyperGroup):
    """A group whose help ends with an example of each of its commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        follow_colour()
        super().format_help(ctx, formatter)
        show = console()
        for _, command in walk(self):
            lesson = getattr(command, "lesson", None)
            if lesson is not None and lesson.examples:
                show.print(f" {lesson.examples[0]}", style="cyan", markup=False, highlight=False, soft_wrap=True)


class TaughtRoot(TyperGroup):
    """The command itself: its groups and commands by panel."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = [name for names in PANELS.values() for name in names]
        found = super().list_commands(ctx)
        return sorted(found, key=lambda name: known.index(name) if name in known else len(known))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        follow_colour()
        super().format_help(ctx, formatter)
        show = console()
        show.print(" Of each: scizor COMMAND --help. Exit codes of all:", markup=False, highlight=False)
        _print_codes(MEANINGS)


def teach(app: typer.Typer) -> None:
    """Give every command and group of `app`, whoever has registered it, its class of help and its panel."""
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
        command.rich_help_panel = panel_of.get(name)
    for group in app.registered_groups:
        group.rich_help_panel = panel_of.get(str(group.name))
    _take_classes(app)


def _take_classes(app: typer.Typer) -> None:
    for command in app.registered_commands:
        command.cls = TaughtCommand
    for group in app.registered_groups:
        group.cls = TaughtGroup
        if group.typer_instance is not None:
            _take_classes(group.typer_instance)


def follow_colour() -> None:
    """Typer's own half of the help, and its own errors, are coloured where the rest is."""
    from typer import rich_utils

    rich_utils.COLOR_SYSTEM = None if is_plain() else "auto"


def print_lesson(lesson: Lesson) -> None:
    """Print the labelled lines; examples whole, so that they can be copied."""
    from rich.table import Table
    from rich.text import Text

    show = console()
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for label, words in (("When", lesson.when), ("Writes", lesson.writes), ("JSON", lesson.answer)):
        if words:
            table.add_row(Text(f" {label}:", style="bold"), "", Text(words))
    for number, (code, words) in enumerate(lesson.codes.items()):
        table.add_row(Text("" if number else " Exit codes:", style="bold"), Text(f"{code}"), Text(words))
    show.print(table)
    for example in lesson.examples:
        show.print()
        show.print(Text(" Example: ", style="bold") + Text(example, style="cyan"), soft_wrap=True)
    show.print()


def _print_codes(codes: Mapping[ExitCode, str]) -> None:
    show = console()
    for code, words in codes.items():
        show.print(f" {int(code):>4}  {words}", markup=False, highlight=False, soft_wrap=True)
    show.print()
