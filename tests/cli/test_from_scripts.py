"""The map from scripts: every command that it names is there and takes what is written, and so are assets and files."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scizor_dagster.cli.app import app
from scizor_dagster.exports.catalogue import NAMES

ROOT: Any = get_command(app)
PROJECT = Path(__file__).resolve().parents[2]
PAGES = ("from-scripts.md", "command-line.md")
SPANS = {page: re.findall(r"`([^`]+)`", (PROJECT / "docs" / page).read_text()) for page in PAGES}
CALLS = sorted({span for spans in SPANS.values() for span in spans if span.startswith("scizor ")})


def rows() -> list[list[str]]:
    """Cells of the tables of the map, without their heads."""
    text = (PROJECT / "docs" / "from-scripts.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| what", "| file"))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("call", CALLS)
def test_every_command_of_the_map_is_there_and_takes_what_is_written(call: str) -> None:
    words = [word for word in shlex.split(call)[1:] if word != "--no-color"]
    command = ROOT
    while words and hasattr(command, "commands") and not words[0].startswith("-") and not words[0].isupper():
        command = command.commands[words.pop(0)]
    known = {option for item in command.params for option in item.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_row_has_a_counterpart_and_names_addresses_in_one_form() -> None:
    found = [row for row in rows() if len(row) == 4]
    assert len(found) > 50
    for what, command, asset, address in found:
        assert what
        assert command.startswith("`scizor ") or "`scizor dev`" in command
        assert re.fullmatch(r"|`(us|main)/[a-z_]+`|`fx_rates`|`backtests`", asset)
        assert re.fullmatch(r"|`(GET|POST|PUT|DELETE) /api/[a-z_/{}]+`(, `/[a-z]+`)*", address), address


def test_the_assets_of_the_map_are_defined() -> None:
    source = "".join(path.read_text() for path in (PROJECT / "assets").glob("*.py"))
    for name in {row[2].strip("`").rpartition("/")[2] for row in rows() if len(row) == 4} - {""}:
        assert f'"{name}"' in source or f"def {name}(" in source, name


def test_the_files_of_the_map_are_written_by_the_export() -> None:
    written = {Path(span).stem for span in SPANS["from-scripts.md"] if span.endswith(".csv") and " " not in span}
    assert written - {"weights"} <= set(NAMES)
