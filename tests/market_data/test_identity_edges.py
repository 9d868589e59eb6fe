"""Tickers with more than one ending, archive or owner: whose rows are whose where a first look would be wrong."""

from datetime import UTC, date, datetime

import pytest

from scizor_dagster.market_data.symbol_corrections import join, part
from scizor_dagster.market_data.symbol_store import former_tickers
from scizor_dagster.market_data.symbols import correct_symbols
from tests.market_data.exchange import DAY, FEB1, Exchange, Files, act, bars, store, verify
from tests.market_data.support import XNYS, rows

SESSIONS = [date(2024, 1, 29), date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]
NOW = FEB1 + 182 * DAY


def _rename(old, day, new):
    return (old, day, "rename", None, None, None, new)


def _correct(lake, provider, how):
    return correct_symbols(lake, "us", provider, NOW, XNYS.timezone, how, write=True)


def test_a_former_tickers_rows_do_not_go_to_the_company_that_had_it_next(lake):
    files = Files()
    verify(lake, files, "FB")
    store(lake, "FB", SESSIONS)
    act(lake, _rename("FB", "2024-02-02", "META"))
    verify(lake, files, "FB META", FEB1 + 2 * DAY)
    act(lake, _rename("FB", "2024-02-02", "META"), _rename("FB", "2024-04-01", "BOND"))
    assert verify(lake, files, "FB META BOND", FEB1 + 70 * DAY).renamed == ()
    assert set(bars(lake)) == {"FB", "META"}


def test_a_delisted_companys_rows_do_not_go_with_a_later_rename_of_its_ticker(lake):
    files = Files()
    verify(lake, files, "WM")
    store(lake, "WM", SESSIONS)
    act(lake, ("WM", "2024-02-02", "delisting", None, None, None, None), _rename("WM", "2024-04-01", "WMX"))
    assert verify(lake, files, "WM WMX", FEB1 + 70 * DAY).renamed == ()
    assert "WMX" not in bars(lake)


def test_a_rename_from_before_the_ticker_was_the_present_companys_is_not_carried_to_it(lake):
    files = Files()
    verify(lake, files, "A B C")
    store(lake, "C", [date(2024, 1, 22), date(2024, 1, 23)], 30.0)
    store(lake, "A", [date(2024, 1, 22), date(2024, 1, 30)], 10.0)
    store(lake, "B", [date(2024, 1, 25), date(2024, 1, 26)], 30.0)
    store(lake, "B", [date(2024, 2, 2), date(2024, 2, 5)], 10.0)
    act(lake, _rename("C", "2024-01-25", "B"), _rename("A", "2024-02-01", "B"))
    for day in (9, 10):
        verify(lake, files, "A B C", FEB1 + day * DAY)
    assert rows(lake, "SELECT max(close) < 20 FROM bars WHERE symbol = 'B'") == [(True,)]


def test_an_older_archive_that_is_joined_while_a_newer_one_stands_leaves_the_tickers_floor(lake):
    provider = Exchange(WM="one")
    verify(lake, provider, "WM")
    store(lake, "WM", SESSIONS)
    provider.ids["WM"] = "two"
    (first,) = verify(lake, provider, "WM", FEB1 + 90 * DAY).reused
    store(lake, "WM", [date(2024, 5, 2), date(2024, 5, 3)])
    provider.ids["WM"] = "three"
    verify(lake, provider, "WM", FEB1 + 181 * DAY, force_revalidate=True)
    ((floor,),) = rows(lake, "SELECT bars_from FROM symbol_identities WHERE until IS NULL")
    _correct(lake, provider, lambda book, facts: join(book, first.archived, "WM", "a new id", facts))
    assert rows(lake, "SELECT bars_from FROM symbol_identities WHERE until IS NULL") == [(floor,)]


@pytest.fixture
def renamed(lake):
    """META, which was FB, with the bars of both."""
    provider = Exchange(FB="1")
    verify(lake, provider, "FB")
    store(lake, "FB", SESSIONS)
    provider.ids = {"META": "1"}
    verify(lake, provider, "META", FEB1 + 4 * DAY)
    return provider


def _former(lake):
    with lake.read() as cursor:
        return former_tickers(cursor, "us")


def test_a_new_id_keeps_what_the_company_was_called_before(lake, renamed):
    class Another(Exchange):
        name = "alpaca"

    before = _former(lake)
    assert [row[:2] for row in before] == [("META", "FB")]
    verify(lake, Another(META="x"), "META", FEB1 + 5 * DAY)
    assert _former(lake) == before


def test_a_part_on_a_day_before_the_present_ticker_keeps_the_rename_and_can_be_undone(lake, renamed):
    before = _former(lake)
    done = _correct(lake, renamed, lambda book, facts: part(book, "META", SESSIONS[1], "a fund before", facts))
    archive = done.outcome.moves[0].name
    assert {name: found[0] for name, found in bars(lake).items() if name != "FB"} == {archive: 1, "META": 3}
    assert _former(lake) == before
    _correct(lake, renamed, lambda book, facts: join(book, archive, "META", "after all", facts))
    assert bars(lake)["META"] == (4, SESSIONS[0], SESSIONS[-1])
    assert _former(lake) == before


def test_a_part_does_not_say_that_the_ticker_was_tracked_before_it_was(lake):
    provider = Exchange(WM="one")
    verify(lake, provider, "WM")
    store(lake, "WM", [date(2009, 7, 1), date(2009, 9, 1), *SESSIONS])
    before = rows(lake, "SELECT min(since) FROM universe_history")
    _correct(lake, provider, lambda book, facts: part(book, "WM", date(2009, 8, 5), "Mutual", facts))
    assert rows(lake, "SELECT min(since) FROM universe_history") == before


def test_a_ticker_that_changed_its_owner_after_an_evenings_verification_is_doubted_from_the_exchanges_next_day(lake):
    provider = Exchange(WM="mutual")
    evening = datetime(2024, 2, 2, 1, 30, tzinfo=UTC)
    verify(lake, provider, "WM", evening)
    store(lake, "WM", [*SESSIONS, date(2024, 2, 2)])
    provider.ids["WM"] = "waste"
    (reused,) = verify(lake, provider, "WM", evening + 90 * DAY).reused
    assert bars(lake) == {reused.archived: (4, SESSIONS[0], SESSIONS[-1])}
