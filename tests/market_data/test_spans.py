"""Questions: how many symbols each of them asks for."""

from datetime import date

import pandas as pd
import pytest

from scizor_dagster.market_data.spans import batches
from tests.market_data.support import XNYS, CountingMarket, FrameMarket, flat_bars

DAYS = XNYS.sessions(date(2024, 1, 2), date(2024, 3, 1))


class Paged(CountingMarket):
    """Ten bars a call, and three symbols of thirty sessions at a time."""

    def calls(self, symbols, sessions):
        return -(-symbols * sessions // 10)

    def symbols_per_batch(self, sessions):
        return 3


@pytest.mark.parametrize(
    ("made_of", "symbols", "sessions", "sizes"),
    [
        (CountingMarket, 5, 30, [2, 2, 1]),
        (Paged, 4, 30, [2, 2]),
        (Paged, 7, 30, [3, 2, 2]),
        (Paged, 4, 6, [3, 1]),
        (FrameMarket, 7, 30, [7]),
    ],
    ids=["already even", "even", "nearly even", "even costs more", "not counted"],
)
def test_symbols_are_spread_evenly_over_the_questions_where_that_costs_no_call_more(made_of, symbols, sessions, sizes):
    names = [f"S{number}" for number in range(symbols)]
    span = (pd.Timestamp(DAYS[0]), pd.Timestamp(DAYS[sessions - 1]))
    missing = pd.DataFrame({"symbol": names, "first": span[0], "last": span[1], "older": False, "newer": False})
    asked = batches(missing, DAYS, made_of(flat_bars([], [])))
    assert [len(batch.symbols) for batch in asked] == sizes
    assert [name for batch in asked for name in batch.symbols] == names
