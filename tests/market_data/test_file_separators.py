"""Price files that are no comma-separated table: the refusal says what they seem to be."""

from pathlib import Path

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.file_tables import FileTable

REQUIRED = ("symbol", "session", "close")


@pytest.mark.parametrize(("mark", "shown"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
@pytest.mark.parametrize("number", ["101.5", "101,5"])
def test_another_separator_is_named_with_what_to_do(tmp_path: Path, mark: str, shown: str, number: str) -> None:
    path = tmp_path / "prices.csv"
    rows = [REQUIRED, ("AAPL", "2025-01-02", number)]
    path.write_text("\n".join(mark.join(row) for row in rows) + "\n")
    with pytest.raises(InputError) as caught:
        FileTable(path, {}, REQUIRED)
    assert f"The separator of the file seems to be {shown}; a comma is expected." in str(caught.value)
    assert "Save it with commas" in caught.value.remedy
    assert caught.value.where == f"{path}:1"


def test_a_folder_in_the_place_of_a_file_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder.*layout: per_symbol"):
        FileTable(tmp_path, {}, REQUIRED)


def test_a_quoted_header_with_a_semicolon_in_a_name_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text('symbol,session,"close;adjusted"\nAAPL,2025-01-02,5\n')
    assert len(FileTable(path, {"close": "close;adjusted"}, REQUIRED)) == 1
