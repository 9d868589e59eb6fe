"""What may be a ticker, whoever writes it: a universe file, a weight file, a request."""

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.instruments import check_symbol


@pytest.mark.parametrize("symbol", ["A", "AAPL", "BRK.B", "BF-B", "BAC PRL", "BAC/PRL", "BT.", "1E5", "A" * 21])
def test_a_ticker_is_taken_as_an_exchange_writes_it(symbol: str) -> None:
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol", ["", "aapl", "AAPL\n", "AAPL ", " AAPL", "..", "A..B", "AAPL/../MSFT", "/AAPL", "=A", "A" * 22, "A\0"]
)
def test_what_is_lost_in_a_file_or_leads_out_of_a_folder_is_no_ticker(symbol: str) -> None:
    with pytest.raises(InputError, match="is not a ticker"):
        check_symbol(symbol)
