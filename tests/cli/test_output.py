"""How tables reach a person: whole, on a terminal of any width and in a file."""

import pytest
from rich.console import Console

from scizor_dagster.cli.output import print_table

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
