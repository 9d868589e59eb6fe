"""Mapping tables: one id, its tickers, and what makes a table unusable."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from scizor_dagster.config import MappingTable
from scizor_dagster.errors import ConfigError
from scizor_dagster.signals.mapping import IdentifierMap, read_identifier_map, read_mapping, unresolved
from tests.signals.builders import accept, csv_file, entry, mapping

DAY = date(2024, 1, 2)
DATED = "asset_id,symbol,valid_from,valid_to\n"


def test_without_a_table_an_id_is_its_own_ticker(tmp_path: Path) -> None:
    assert read_identifier_map(entry(tmp_path / "w.csv")).resolve("BRK.B", DAY) == ("BRK.B",)
    assert IdentifierMap().resolve("0700", DAY) == ("0700",)


def test_an_id_gives_none_one_or_several_tickers_in_the_order_of_the_table(tmp_path: Path) -> None:
    table = read_mapping(mapping(tmp_path / "m.csv", "symbol,asset_id,x\nGOOGL,1,a\nNA,2,b\nGOOG,1,c\nNA,2,d\n"))
    assert table.resolve("1", DAY) == ("GOOGL", "GOOG")
    assert table.resolve("2", DAY) == ("NA",)
    assert table.resolve("3", DAY) == ()


def test_a_row_holds_from_its_first_date_until_before_its_end(tmp_path: Path) -> None:
    table = read_mapping(
        mapping(tmp_path / "m.csv", DATED + "1,FB,,2022-06-09\n1,META,2022-06-09,\n2,OLD,,2020-01-01\n")
    )
    assert table.is_dated
    assert table.resolve("1", date(2022, 6, 8)) == ("FB",)
    assert table.resolve("1", date(2022, 6, 9)) == ("META",)
    assert table.resolve("2", DAY) == ()
    assert table.why_unknown("2", DAY).endswith("m.csv, but not for 2024-01-02")


def test_rows_whose_dates_overlap_are_an_ambiguity_for_as_long_as_they_do(tmp_path: Path) -> None:
    table = read_mapping(
        mapping(tmp_path / "m.csv", DATED + "1,A,,2024-02-01\n1,B,2024-01-01,\n1,B,2023-12-31,2024-03-01\n")
    )
    assert [table.resolve("1", date(2024, month, 1)) for month in (1, 2)] == [("A", "B"), ("B",)]
    assert table.resolve("1", date(2023, 12, 30)) == ("A",)


def test_the_date_columns_may_have_other_names_which_must_then_be_there(tmp_path: Path) -> None:
    text = "asset_id,symbol,start\n1,A,2024-01-03\n"
    settings = mapping(tmp_path / "m.csv", text, from_column="start")
    assert read_mapping(settings).resolve("1", DAY) == ()
    with pytest.raises(ConfigError, match=r"m\.csv:1: The column 'until' is not in the header"):
        read_mapping(mapping(tmp_path / "m.csv", text, from_column="start", to_column="until"))


def test_a_finding_of_a_dated_table_names_the_first_line_on_which_it_is_so(tmp_path: Path) -> None:
    text = DATED + "1,FB,,2022-06-09\n1,META,2022-06-09,\n2,OLD,,2024-01-03\n"
    table = mapping(tmp_path / "m.csv", text)
    rows = ("2024-01-02,1,0.1", "2024-01-02,2,0.1", "2024-01-03,1,0.1", "2024-01-03,2,0.1", "2024-01-04,2,0.1")
    accepted = accept(csv_file(tmp_path, *rows), mapping=table, unallocated="cash")
    assert [(item.rule, item.line, item.value) for item in accepted.warnings] == [("unknown_id", 5, "2")]


def test_a_preferred_ticker_settles_an_id_and_prices_are_waited_for(tmp_path: Path) -> None:
    text = "asset_id,symbol\n1,A\n1,B\n2,C\n2,D\n"
    columns = ((2, 3), ("1", "2"), (DAY, DAY))
    table = read_mapping(mapping(tmp_path / "m.csv", text, on_ambiguous="prefer", prefer=("Z", "B", "A")))
    assert [item.value for item in unresolved(*columns, None, "asset_id", table)] == ["2"]
    assert table.preferred(("A", "B")) == "B"
    spelt = read_mapping(
        mapping(tmp_path / "s.csv", "asset_id,symbol\n1,BRK-A\n1,BRK-B\n", on_ambiguous="prefer", prefer=("BRK.B",))
    )
    assert list(unresolved((2,), ("1",), (DAY,), None, "asset_id", spelt)) == []
    assert spelt.preferred(("BRK-A", "BRK-B")) == "BRK-B"
    for policy in ("first_priced", "split"):
        table = read_mapping(mapping(tmp_path / "m.csv", text, on_ambiguous=policy))
        assert list(unresolved(*columns, None, "asset_id", table)) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"on_ambiguous": "prefer"}, "'prefer' lists the tickers"),
        ({"prefer": ("A",)}, "goes with on_ambiguous: prefer"),
        ({"from_column": "valid_to"}, "'valid_to' would be read as two"),
    ],
)
def test_a_mapping_whose_keys_contradict_each_other_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MappingTable.model_validate({"file": "m.csv"} | settings)


def test_a_table_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    strategy = entry(tmp_path / "w.csv", mapping=mapping(tmp_path / "m.csv", "asset_id,symbol\n1,AAPL\n"))
    assert read_identifier_map(strategy).resolve("1", DAY) == ("AAPL",)
    mapping(tmp_path / "m.csv", "asset_id,symbol\n1,MSFT\n")
    assert read_identifier_map(strategy).resolve("1", DAY) == ("MSFT",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,symbol\n1,AAPL\n", r"m\.csv:1: The column 'asset_id' is not in the header \(id, symbol\)"),
        ("asset_id,symbol,symbol\n1,A,B\n", "'symbol' is twice"),
        ("asset_id,symbol\n1,AAPL\n2\n", r"m\.csv:3: The row has 1 fields, and the header has 2"),
        ("asset_id,symbol\n1,AAPL,B\n", r"m\.csv:2: The row has 3 fields, and the header has 2"),
        ("asset_id,symbol,validto\n1,AAPL,2020-01-01\n", r"m\.csv:1: The column 'validto' looks like the dates"),
        ("asset_id,symbol,Valid_From\n1,AAPL,\n", "'Valid_From' looks like the dates"),
        ("asset_id,symbol\n1,\n", r"m\.csv:2: The row has a blank"),
        ('asset_id,symbol\n1,"AAPL\n', "not valid CSV"),
        ("", "empty"),
        (DATED + "1,A,2024-1-2,\n", r"m\.csv:2: '2024-1-2' is not a date"),
        (DATED + "1,A,2024-02-01,2024-02-01\n", r"m\.csv:2: '1' is 'A' from 2024-02-01 .* on no day at all"),
        (DATED + "1,A,2024-02-01\n", r"m\.csv:2: The row has 3 fields"),
        ("asset_id,symbol,valid_to,valid_to\n1,A,,\n", "'valid_to' is twice"),
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
    monkeypatch.setattr("scizor_dagster.signals.mapping_table.MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="too large"):
        read_mapping(mapping(tmp_path / "m.csv", "asset_id,symbol\n1,AAPL\n"))
