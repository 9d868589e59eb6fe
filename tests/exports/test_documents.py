"""docs/exports.md says of each file what it is, column by column, in the words of the code and in its order."""

import re
from pathlib import Path

import pytest

from scizor_dagster.exports.catalogue import FILES, NAMES, ExportFile


@pytest.fixture(scope="module")
def sections(project_root: Path) -> dict[str, str]:
    """Text by heading."""
    text = (project_root / "docs" / "exports.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_has_a_section_with_exactly_its_columns(sections: dict[str, str], file: ExportFile) -> None:
    stem = f"{file.name}_YYYYMMDD" if file.dated else file.name
    (text,) = [
        text for head, text in sections.items() if stem in [name.removesuffix(".txt") for name in head.split(", ")]
    ]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in file.columns]


def test_the_names_are_those_that_users_of_the_older_systems_know() -> None:
    assert NAMES == (
        "planned_orders", "planned_orders_real", "rebalance_plan", "rebalance_plan_real", "real_prices",
        "current_positions", "execution_log", "filled_orders", "recon_single", "recon_final", "recon_summary",
        "positions_eod",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["current_positions", "real_prices"])
def test_the_columns_of_a_recorded_file_of_the_older_system_come_first(reference_data: Path, name: str) -> None:
    recorded = (reference_data / "weights_finrl_trading" / f"{name}.csv").read_text().partition("\n")[0].split(",")
    (file,) = [file for file in FILES if file.name == name]
    assert [column.name for column in file.columns][: len(recorded)] == recorded


def test_the_columns_of_the_recorded_log_are_there_in_their_order(reference_data: Path) -> None:
    recorded = (
        (reference_data / "weights_finrl_trading" / "execution_log.csv").read_text().partition("\n")[0].split(",")
    )
    (file,) = [file for file in FILES if file.name == "execution_log"]
    kept = [name for name in recorded if name not in ("mode", "error")]
    assert [column.name for column in file.columns][: len(kept)] == kept
