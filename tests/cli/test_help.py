"""Every command teaches: what it does, when it is wanted, what it writes, how it ends, what it answers, an example.

Nothing here names a command but where one is an example: a command that is added is held to the same.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scizor_dagster.cli.app import app
from scizor_dagster.cli.exit_codes import MEANINGS
from scizor_dagster.cli.teaching import PANELS, Lesson, read_lesson, walk
from tests.cli.conftest import Scizor
from tests.cli.shapes import SERVES, lessons
from tests.projects import Project

ROOT: Any = get_command(app)
GROUPS = [name for name, command in ROOT.commands.items() if hasattr(command, "commands")]
IN_FORM = list(lessons())


def help_of(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    command = ROOT
    for word in path:
        command = command.commands[word]
    with command.make_context(" ".join(["scizor", *path]), [], resilient_parsing=True) as context:
        said = command.get_help(context)
    return str(said) + capsys.readouterr().out


def options_of(command: Any) -> set[str]:
    return {word for item in command.params for word in (*item.opts, *item.secondary_opts)}


@pytest.mark.parametrize("path", lessons(), ids=" ".join)
def test_help_describes_the_command_with_examples_and_exit_codes(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out, lesson = help_of(path, capsys), lessons()[path]
    text = " ".join(out.split())
    assert lesson.prose.split()[0] in text
    assert lesson.examples
    for example in lesson.examples:
        # Whole, in one line of its own, so that it can be copied.
        assert f" Example: {example}" in out.splitlines()
        assert example.split()[: len(path) + 1] == ["scizor", *path]
    for code in MEANINGS:
        assert f" {int(code)} {lesson.codes[code].split()[0]}" in text


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_asked_for_in_the_usual_ways_and_writes_nothing(scizor: Scizor, fresh: Project, flag: str) -> None:
    for words in (["limits"], ["ledger", "verify"], ["ledger"]):
        answer = scizor(*words, flag)
        assert (answer.code, answer.err) == (0, "")
        assert f"Usage: scizor {' '.join(words)} [OPTIONS]" in answer.out
    assert not fresh.home.exists()


@pytest.mark.parametrize("path", lessons(), ids=" ".join)
def test_the_examples_of_a_command_are_calls_that_it_takes(path: tuple[str, ...]) -> None:
    command = dict(walk(ROOT))[path]
    for example in lessons()[path].examples:
        words = shlex.split(example)[len(path) + 1 :]
        # Parsed to the end: unknown options, missing values and missing arguments raise.
        command.make_context(" ".join(path), list(words), resilient_parsing=False).close()


@pytest.mark.parametrize("path", lessons(), ids=" ".join)
def test_a_command_that_answers_can_do_so_as_json(path: tuple[str, ...]) -> None:
    assert ("--json" in options_of(dict(walk(ROOT))[path])) is (path not in SERVES) or path == ("serve",)


@pytest.mark.parametrize("path", IN_FORM, ids=" ".join)
def test_a_command_says_when_it_is_wanted_and_what_it_writes(path: tuple[str, ...]) -> None:
    lesson = lessons()[path]
    assert lesson.when.endswith(".")
    assert lesson.writes.endswith(".")
    assert not re.search(r"exit code", lesson.prose, re.IGNORECASE), "exit codes stand in a line of their own"


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_names_its_commands_and_shows_one_call_of_each(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = help_of((group,), capsys).splitlines()
    for path, command in walk(ROOT.commands[group], (group,)):
        assert any(re.match(rf"│ {path[-1]} ", line) for line in lines)
        assert f" {command.lesson.examples[0]}" in lines


def test_the_list_of_commands_names_every_one_in_its_panel(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("--help")
    assert answer.code == 0
    panel, found = "", {}
    for line in answer.out.splitlines():
        if title := re.match(r"╭─ ([^─]+) ─", line):
            panel = title[1]
        elif name := re.match(r"│ ([a-z][a-z-]+) ", line):
            found[name[1]] = panel
    assert found == {name: panel for panel, names in PANELS.items() for name in names if name in ROOT.commands}
    assert set(found) == set(ROOT.commands)


def test_the_panels_stand_in_the_order_in_which_one_comes_to_need_them(scizor: Scizor) -> None:
    out = scizor("--help").out
    places = [out.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)


def test_the_help_of_dev_says_that_schedules_are_off_until_switched_on(scizor: Scizor, fresh: Project) -> None:
    text = " ".join(scizor("dev", "--help").out.split())
    assert "Example: scizor dev" in text
    assert "off until they are switched on" in text
    assert not fresh.home.exists()


def test_no_command_at_all_shows_the_help(scizor: Scizor, fresh: Project) -> None:
    answer = scizor()
    assert answer.code == 2
    assert "Usage: scizor" in " ".join((answer.out + answer.err).split())
    assert not fresh.home.exists()


def test_the_version_is_said_and_nothing_else(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("--version")
    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", answer.out)


def test_labelled_lines_are_parted_from_the_sentences_and_go_on_until_the_next() -> None:
    labelled = "When: now\nand then.\nExit codes: 1 no; 2 call: wrong.\nExample: scizor it\nExample: scizor a\nb\n"
    common = {int(code): words for code, words in MEANINGS.items()}
    assert read_lesson(f"Do it.\n\nIt is\ndone.\n\n{labelled}") == Lesson(
        prose="Do it.\n\nIt is done.",
        when="now and then.",
        codes=common | {1: "no", 2: "call: wrong"},
        examples=("scizor it", "scizor a b"),
    )
    assert read_lesson("Do it.") == Lesson(prose="Do it.", codes=common)


def test_every_documented_command_is_written_into_the_reference(tmp_path: Path) -> None:
    from scizor_dagster.cli.reference import command_line_page, write

    page = write(tmp_path / "reference").read_text()
    assert page == command_line_page()
    for path, lesson in lessons().items():
        assert f"# scizor {' '.join(path)}\n" in page
        assert all(example in page for example in lesson.examples)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert headings == ["Options before the command", "Exit codes", *PANELS]
