"""Symbols and corporate actions: verified, replaced by key range, refused whole."""

from datetime import date, timedelta

import pytest

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.market_data.collect import collect_actions, collect_symbols
from scizor_dagster.market_data.provider import Listing
from tests.market_data.support import NOW, FrameMarket, actions_frame, entry, flat_bars, market, rows

FIRST, LAST = date(2024, 1, 1), date(2024, 12, 31)
SPLIT = ("A", "2024-02-01", "split", 2.0, None, None, None)
DIVIDEND = ("B", "2024-02-05", "dividend", None, 0.5, "USD", None)


def _provider(*actions):
    return FrameMarket(flat_bars([], []), actions_frame(actions))


def _actions(lake, provider, symbols=("A", "B"), first=FIRST, last=LAST):
    return collect_actions(lake, "us", market(), provider, symbols, first, last, NOW)


def test_one_match_that_agrees_is_verified_and_anything_else_is_noted(lake):
    provider = _provider()
    provider.listings = {
        "B": (),
        "C": (Listing("C", "1"), Listing("C", "2")),
        "D": (Listing("D", "1", mic="XNYS"),),
        "E": (Listing("E", "1", mic="XNAS", currency="CAD"),),
    }
    report = collect_symbols(lake, "us", market(), [entry(s) for s in "ABCDE"], provider, NOW)
    assert (report.symbols, report.verified) == (5, 1)
    assert {each.symbol: each.note for each in report.unverified} == {
        "B": "not found at the provider",
        "C": "2 matches at the provider: 1, 2",
        "D": "listed on XNYS at the provider",
        "E": "trades in CAD at the provider",
    }
    assert rows(lake, "SELECT symbol, last_verified FROM symbols WHERE verified") == [("A", NOW)]


def test_the_lake_follows_the_universe_keeps_what_left_it_and_a_repeat_writes_nothing(lake):
    collect_symbols(lake, "us", market(), [entry("A"), entry("B")], _provider(), NOW)
    report = collect_symbols(lake, "us", market(), [entry("B"), entry("C")], _provider(), NOW)
    assert (report.removed, report.changed) == (("A",), True)
    snapshot = lake.snapshot()
    later = NOW + timedelta(days=1)
    again = collect_symbols(lake, "us", market(), [entry("B"), entry("C")], _provider(), later)
    assert (again.changed, lake.snapshot()) == (False, snapshot)
    assert rows(lake, "SELECT symbol, instrument_id, reason, retired_on FROM symbols ORDER BY 1") == [
        ("A", "A.XNAS", "removed", date(2024, 3, 1)),
        ("B", "B.XNAS", None, None),
        ("C", "C.XNAS", None, None),
    ]


def test_an_instrument_in_another_currency_is_refused_by_line(lake):
    with pytest.raises(InputError, match="BHP trades in AUD") as caught:
        collect_symbols(lake, "us", market(), [entry("A"), entry("BHP", currency="AUD")], _provider(), NOW)
    assert caught.value.where == "universe.csv:2"
    assert rows(lake, "SELECT count(*) FROM symbols") == [(0,)]


def test_actions_replace_those_of_the_range_and_a_repeat_writes_nothing(lake):
    first = _actions(lake, _provider(SPLIT, DIVIDEND))
    assert (first.total, first.kinds, first.changed) == (2, {"dividend": 1, "split": 1}, True)
    snapshot = lake.snapshot()
    assert _actions(lake, _provider(SPLIT, DIVIDEND)).changed is False
    assert lake.snapshot() == snapshot
    _actions(lake, _provider(SPLIT), first=date(2024, 2, 2))
    assert rows(lake, "SELECT symbol, kind, ratio FROM corporate_actions") == [("A", "split", 2.0)]


def test_actions_of_symbols_that_were_not_asked_stay(lake):
    _actions(lake, _provider(SPLIT, DIVIDEND))
    _actions(lake, _provider(), symbols=("B",))
    assert rows(lake, "SELECT symbol FROM corporate_actions") == [("A",)]


def test_an_amount_without_a_currency_is_in_the_markets(lake):
    _actions(lake, _provider(("A", "2024-02-01", "dividend", None, 0.5, None, None)))
    assert rows(lake, "SELECT currency FROM corporate_actions") == [("USD",)]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (("A", "2024-02-01", "merger", 1.0, None, None, None), "kind that is not known"),
        (("A", "2024-02-01", "split", None, None, None, None), "without a positive ratio"),
        (("A", "2024-02-01", "split", 0.0, None, None, None), "without a positive ratio"),
        (("A", "2024-02-01", "dividend", None, -1.0, "USD", None), "without a positive amount"),
        (("A", "2024-02-01", "dividend", None, float("inf"), "USD", None), "without a positive amount"),
        (("A", "2024-02-01", "rename", None, None, None, None), "without a new symbol"),
    ],
)
def test_an_action_that_cannot_be_refuses_them_all(lake, action, words):
    with pytest.raises(DataError, match=words):
        _actions(lake, _provider(DIVIDEND, action))
    assert rows(lake, "SELECT count(*) FROM corporate_actions") == [(0,)]
