"""Symbols whose bars the provider does not show to the account: some are retired, too many stop the collection."""

from datetime import UTC, date, datetime

import pytest

from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session, fill_history
from scizor_dagster.flow.symbols import known_symbols, refresh_symbols, retire_refused
from scizor_dagster.market_data.provider import SymbolReason
from tests.projects import SYMBOLS, small_project

NOW = datetime(2025, 3, 31, 22, tzinfo=UTC)
WORDS = "354: not subscribed"


@pytest.fixture
def desk(tmp_path) -> Desk:
    found = Desk(small_project(tmp_path).settings, lambda: NOW)
    refresh_symbols(found, "us")
    return found


def retired(desk: Desk) -> dict[str, SymbolReason | None]:
    return {row.symbol: row.reason for row in known_symbols(desk, "us", retired=True)}


def test_a_symbol_that_is_not_shown_is_retired_and_the_others_stay(desk: Desk) -> None:
    retire_refused(desk, "us", len(SYMBOLS), [("AAPL", WORDS)])
    assert retired(desk) == {"AAPL": SymbolReason.NO_PERMISSION}


def test_a_collection_without_a_symbol_to_collect_fails_and_says_how_to_get_one(desk: Desk) -> None:
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE symbols SET verified = false, reason = 'pending'")
    with pytest.raises(PriceUnavailable, match="None of the 6 symbols can be collected") as caught:
        fill_history(desk, "us", (2025, 2025), None)
    assert "scizor symbols validate --market us" in caught.value.remedy
    with pytest.raises(PriceUnavailable, match="None of the 6"):
        collect_closed_session(desk, "us", date(2025, 3, 31))


def test_nothing_refused_retires_nothing(desk: Desk) -> None:
    retire_refused(desk, "us", len(SYMBOLS), [])
    assert retired(desk) == {}


def test_an_account_that_is_shown_hardly_anything_retires_nothing_and_says_why(desk: Desk) -> None:
    with pytest.raises(PriceUnavailable, match=r"no bars of 4 of 6 symbols; of AAPL it says: 354"):
        retire_refused(desk, "us", len(SYMBOLS), [(symbol, WORDS) for symbol in SYMBOLS[:4]])
    assert retired(desk) == {}
