"""The exit codes: each that is documented occurs, as the documentation says, and no other one."""

import io
import re
import sys
from pathlib import Path

import pytest

from scizor_dagster.cli.exit_codes import EXAMPLES, MEANINGS, ExitCode
from scizor_dagster.cli.reference import exit_code_table
from tests.cli.conftest import Scizor
from tests.cli.shapes import lessons
from tests.projects import Project

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Interrupted(io.StringIO):
    """A terminal at which somebody presses Ctrl-C instead of answering."""

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        raise KeyboardInterrupt


CALLS = {
    ExitCode.DONE: ("limits",),
    ExitCode.NO: ("report", "--date", "2025-02-04"),
    ExitCode.WRONG_CALL: ("limits", "--portfolio", "nobody"),
    ExitCode.INTERRUPTED: ("ledger", "rebuild", "--account", "paper"),
}


@pytest.mark.parametrize("code", ExitCode)
def test_each_documented_exit_code_occurs(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, code: ExitCode
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    answer = scizor(*CALLS[code])
    assert (answer.code, bool(answer.err)) == (code, code is not ExitCode.DONE), answer
    named = re.match(r"scizor ([a-z]+)", EXAMPLES[code])
    assert named is None or named[1] == CALLS[code][0]


def test_every_code_has_a_meaning_and_a_command_names_no_other() -> None:
    assert set(MEANINGS) == set(EXAMPLES) == set(ExitCode)
    for path, lesson in lessons().items():
        assert set(lesson.codes) == {int(code) for code in ExitCode}, path


def test_the_table_of_the_documentation_is_made_from_the_code() -> None:
    assert exit_code_table() in (DOCS / "command-line.md").read_text()
