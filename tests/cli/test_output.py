"""How answers reach a person: whole, on a terminal of any width and in a file, in colours or without, and soon."""

import contextlib
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from scizor_dagster.cli.output import PROGRESS_LOGGER, print_table, working
from scizor_dagster.settings import PROJECT_ROOT
from tests.cli.conftest import Scizor
from tests.projects import Project

COLUMNS = ["session", *(f"heading{number}" for number in range(12))]
ROWS = [["2026-11-09", *(1234567.5 + number for number in range(12))], ["2026-11-10", None, *range(11)]]


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    columns, is_terminal = request.param
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: is_terminal))


@pytest.mark.parametrize("width", [(80, False)], indirect=True)
@pytest.mark.usefixtures("width")
def test_a_pipe_gets_a_row_in_one_line_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Costs of [main]", COLUMNS, ROWS)
    out = capsys.readouterr().out
    (first,) = [line for line in out.splitlines() if "2026-11-09" in line]
    assert all(str(value) in first for value in ROWS[0])
    assert out.startswith("Costs of [main]")


@pytest.mark.parametrize("width", [(60, True)], indirect=True)
@pytest.mark.usefixtures("width")
def test_a_narrow_terminal_gets_names_and_values_one_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Costs", COLUMNS, ROWS)
    pairs = [tuple(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert ("heading11", "1234578.5") in pairs
    assert pairs.count(("heading0",)) == 1
    assert ("session", "2026-11-10") in pairs


@pytest.mark.parametrize("width", [(60, True)], indirect=True)
@pytest.mark.usefixtures("width")
def test_a_table_that_fits_a_terminal_stays_a_table_and_long_words_are_folded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("Few", ["name", "why"], [["AAA", " ".join(["because"] * 20)]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[3:])) <= 60
    assert sum(line.count("because") for line in lines) == 20


COLOUR = "\x1b["
CALLS = [("limits",), ("limits", "--portfolio", "nobody"), ("limits", "--help")]


def on_a_terminal(project: Project, *words: str, **environment: str) -> str:
    """What a person sees of a command: its own process, at the end of a pseudo terminal."""
    ours, theirs = os.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": "100", "PYTHONPATH": str(PROJECT_ROOT)}
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS")}
    command = [sys.executable, "-m", "scizor_dagster", *words]
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=kept | project.environment | settings | environment
    )
    os.close(theirs)
    said = b""
    # At the end of the child, reading from a pseudo terminal is an error.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65536):
            said += part
    child.wait()
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_terminal_gets_colours_and_whoever_wants_none_gets_the_same_words_without(
    fresh: Project, words: tuple[str, ...]
) -> None:
    coloured = on_a_terminal(fresh, *words)
    plain = on_a_terminal(fresh, "--no-color", *words)
    assert COLOUR in coloured
    assert COLOUR not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == plain.split()


def test_the_environment_variable_no_color_is_obeyed(fresh: Project) -> None:
    assert COLOUR not in on_a_terminal(fresh, "limits", "--portfolio", "nobody", NO_COLOR="1")


def test_a_pipe_gets_no_colours(scizor: Scizor, fresh: Project) -> None:
    for words in CALLS:
        answer = scizor(*words)
        assert COLOUR not in answer.out + answer.err


HEAVY = ("pandas", "numpy", "sqlalchemy", "duckdb", "dagster", "exchange_calendars", "pyarrow", "alpaca", "ib_insync")
LOADED = f"print(' '.join(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"


@pytest.mark.parametrize("words", [("--help",), ("limits",), ("backtest", "run", "--help")], ids=" ".join)
def test_what_needs_no_store_imports_none(fresh: Project, words: tuple[str, ...]) -> None:
    script = f"import atexit, sys; atexit.register(lambda: {LOADED}); sys.argv[1:] = {list(words)}\n"
    script += "from scizor_dagster.cli.app import main; main()"
    environment = {**os.environ, **fresh.environment, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize(("form", "said"), [("text", "Rebalancing main\n"), ("json", "")])
def test_what_is_under_way_stands_beside_a_log_for_people_and_in_one_for_programs(
    form: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LOG_FORMAT", form)
    caplog.set_level("INFO", PROGRESS_LOGGER)
    with working("Rebalancing main"):
        pass
    assert capsys.readouterr().err == said
    assert caplog.messages == ([] if said else ["Rebalancing main"])
