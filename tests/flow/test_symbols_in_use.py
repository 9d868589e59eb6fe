"""Retired symbols that portfolios hold or target are named; those with nobody in them are not."""

from pathlib import Path

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols, remove_symbol
from scizor_dagster.flow.symbols_in_use import retired_in_use
from scizor_dagster.market_data.verification import Asking
from tests.flow.desks import FIRST, SECOND, collected, trade


def retire(desk: Desk, *symbols: str) -> Desk:
    for symbol in symbols:
        desk = remove_symbol(desk, "us", symbol, "test")
    refresh_symbols(desk, "us", Asking(only=frozenset()))
    return desk


def test_what_is_held_or_targeted_and_retired_is_named_with_its_portfolio(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    assert retired_in_use(desk, "us") == ()
    trade(desk, FIRST)
    desk = retire(desk, "NVDA", "AMZN")
    found = retired_in_use(desk, "us")
    assert [(item.symbol, item.portfolio, item.use, item.reason) for item in found] == [
        ("NVDA", "main", "held", "removed")
    ]
    assert str(found[0]) == f"NVDA (held by main; removed since {found[0].retired_on})"


def test_a_target_that_was_not_bought_counts_as_well(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    consolidate_session(desk, "main", SECOND)
    desk = retire(desk, "GOOG", "MSFT")
    assert [(item.symbol, item.use) for item in retired_in_use(desk, "us")] == [("GOOG", "targeted")]
