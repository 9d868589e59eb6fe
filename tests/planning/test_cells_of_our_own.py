"""A CSV that Scizor wrote is read back as what it was written from, also where a spreadsheet would have run a cell."""

from pathlib import Path

from scizor_dagster.planning.table_files import read_table
from scizor_dagster.tabular.model import Column, Kind, Table
from scizor_dagster.tabular.writers import csv_bytes

TEXTS = ("=1+1", "@x", "-5 AAPL", "'=1", "a;=1", "+cmd|'/C calc'!A0", "AAPL")


def test_what_was_defused_is_read_as_it_was(tmp_path: Path) -> None:
    table = Table((Column("asset_id", Kind.TEXT, "an id"),), [(text,) for text in TEXTS])
    (tmp_path / "ids.csv").write_bytes(csv_bytes(table))
    assert tuple(cell.text for cell in read_table(tmp_path / "ids.csv").cells("asset_id")) == TEXTS
    lines = (tmp_path / "ids.csv").read_text().split("\n")
    assert not [line for line in lines if line.lstrip('"').startswith(("=", "@", "+", "-"))]
