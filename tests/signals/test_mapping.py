"""Mapping tables: one id, its tickers, and what makes a table unusable."""

from pathlib import Path

import pytest

from scizor_dagster.config import MappingTable
from scizor_dagster.errors import ConfigError
from scizor_dagster.signals.mapping import IdentifierMap, read_identifier_map, read_mapping
from tests.signals.builders import entry, mapping


def test_without_a_table_an_id_is_its_own_ticker(tmp_path: Path) -> None:
    assert read_identifier_map(entry(tmp_path / "w.csv")).resolve("BRK.B") == ("BRK.B",)
    assert IdentifierMap().resolve("0700") == ("0700",)


def test_an_id_gives_none_one_or_several_tickers_in_the_order_of_the_table(tmp_path: Path) -> None:
    table = read_mapping(mapping(tmp_path / "m.csv", "symbol,asset_id,x\nGOOGL,1,a\nNA,2,b\nGOOG,1,c\nNA,2,d\n"))
    assert table.resolve("1") == ("GOOGL", "GOOG")
    assert table.resolve("2") == ("NA",)
    assert table.resolve("3") == ()


def test_a_ticker_of_two_ids_is_an_error_of_the_table(tmp_path: Path) -> None:
    settings = mapping(tmp_path / "m.csv", "asset_id,symbol\n1,AAPL\n2,MSFT\n3,AAPL\n")
    with pytest.raises(ConfigError, match=r"m\.csv:4: 'AAPL' belongs to both '1' and '3'"):
        read_mapping(settings)


def test_a_table_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    strategy = entry(tmp_path / "w.csv", mapping=mapping(tmp_path / "m.csv", "asset_id,symbol\n1,AAPL\n"))
    assert read_identifier_map(strategy).resolve("1") == ("AAPL",)
    mapping(tmp_path / "m.csv", "asset_id,symbol\n1,MSFT\n")
    assert read_identifier_map(strategy).resolve("1") == ("MSFT",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,symbol\n1,AAPL\n", r"m\.csv:1: The column 'asset_id' is not in the header \(id, symbol\)"),
        ("asset_id,symbol,symbol\n1,A,B\n", "'symbol' is twice"),
        ("asset_id,symbol\n1,AAPL\n2\n", r"m\.csv:3: The row has too few"),
        ("asset_id,symbol\n1,\n", r"m\.csv:2: The row has a blank"),
        ('asset_id,symbol\n1,"AAPL\n', "not valid CSV"),
        ("", "empty"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_mapping(mapping(tmp_path / "m.csv", text))


def test_a_missing_or_foreign_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mapping(MappingTable(file=str(tmp_path / "none.csv")))
    (tmp_path / "latin.csv").write_bytes(b"asset_id,symbol\n\xe9,A\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_mapping(MappingTable(file=str(tmp_path / "latin.csv")))


def test_a_table_above_the_size_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scizor_dagster.signals.mapping.MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="too large"):
        read_mapping(mapping(tmp_path / "m.csv", "asset_id,symbol\n1,AAPL\n"))
