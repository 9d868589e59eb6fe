"""A person's word on identities: two histories joined, one parted, each with a day and a reason."""

from datetime import date

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.reading import ticker_changes
from scizor_dagster.market_data.symbol_corrections import join, part
from scizor_dagster.market_data.symbol_reading import universe_as_of
from scizor_dagster.market_data.symbol_rows import Span
from scizor_dagster.market_data.symbols import correct_symbols
from tests.market_data.exchange import DAY, FEB1, Exchange, Files, act, bars, history, state, store, verify
from tests.market_data.support import XNYS, rows

SESSIONS = [date(2024, 1, 29), date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]
LATER = [date(2024, 2, 2), date(2024, 2, 5)]
NOW = FEB1 + 100 * DAY
TODAY = date(2024, 5, 11)
NEW_YORK = XNYS.timezone


def correct(lake, provider, how, *, write=True):
    return correct_symbols(lake, "us", provider, NOW, NEW_YORK, how, write=write)


@pytest.fixture
def reused(lake):
    """WM by another id since FEB1, its earlier bars set apart and the uncertain ones in quarantine."""
    provider = Exchange(WM="mutual")
    verify(lake, provider, "WM")
    store(lake, "WM", SESSIONS + LATER)
    provider.ids["WM"] = "waste"
    verify(lake, provider, "WM", FEB1 + 90 * DAY)
    assert bars(lake) == {"WM@2024-02-01": (4, SESSIONS[0], SESSIONS[-1])}
    return provider


def test_what_was_set_apart_is_joined_again_with_all_its_bars_and_stays_so(lake, reused):
    def how(book, facts):
        return join(book, "WM@2024-02-01", "WM", "a new id", facts)

    correct(lake, reused, how, write=False)
    assert bars(lake) == {"WM@2024-02-01": (4, SESSIONS[0], SESSIONS[-1])}
    correct(lake, reused, how)
    assert bars(lake) == {"WM": (6, SESSIONS[0], LATER[-1])}
    assert rows(lake, "SELECT count(*) FROM quarantined_bars") == [(0,)]
    assert state(lake, "WM@2024-02-01").note == "joined to WM by hand on 2024-05-11: a new id"
    note = "joined with WM@2024-02-01 by hand on 2024-05-11: a new id"
    assert rows(lake, "SELECT bars_from, note FROM symbol_identities WHERE until IS NULL") == [(None, note)]
    assert ticker_changes(lake, "us", TODAY) == []
    assert universe_as_of(lake, "us", SESSIONS[-1]).symbols == ("WM",)
    again = verify(lake, reused, "WM", NOW + DAY, force_revalidate=True)
    assert (again.reused, again.renamed, len(bars(lake))) == ((), (), 1)
    with pytest.raises(InputError, match="the history of WM already"):
        correct(lake, reused, how)


def test_what_is_joined_again_stays_so_at_a_source_without_ids_whatever_the_actions_say(lake):
    files, changes = Files(), {}
    verify(lake, files, "WM")
    store(lake, "WM", SESSIONS + LATER)
    act(lake, ("WM", "2024-02-01", "delisting", None, None, None, None))
    (move,) = verify(lake, files, "WM", FEB1 + 5 * DAY).reused
    assert bars(lake) == {"WM": (3, SESSIONS[3], LATER[-1]), move.archived: (3, SESSIONS[0], SESSIONS[2])}
    correct(lake, files, lambda book, facts: join(book, move.archived, "WM", "the list was wrong", facts))
    for days, provider in enumerate((files, Exchange(WM="waste"), files), start=1):
        report = verify(lake, provider, "WM", NOW + days * DAY, force_revalidate=True)
        changes[days] = (report.reused, report.renamed, report.verified, state(lake, "WM").reason, bars(lake))
    assert list(changes.values()) == [((), (), 1, None, {"WM": (6, SESSIONS[0], LATER[-1])})] * 3


def test_what_is_parted_stays_so_at_a_source_without_ids_whatever_the_actions_say(lake):
    files = Files()
    verify(lake, files, "FB")
    store(lake, "FB", SESSIONS)
    act(lake, ("FB", "2024-02-02", "rename", None, None, None, "META"))
    verify(lake, files, "META", FEB1 + 2 * DAY)
    store(lake, "META", LATER)
    assert bars(lake)["META"] == (6, SESSIONS[0], LATER[-1])
    made = correct(lake, files, lambda book, facts: part(book, "META", LATER[0], "no heir of it", facts))
    name = made.outcome.moves[0].name
    for days, provider in enumerate((files, Exchange(META="2"), files), start=1):
        report = verify(lake, provider, "META", NOW + days * DAY, force_revalidate=True)
        assert (report.reused, report.renamed, report.verified) == ((), (), 1)
        assert {symbol: found[0] for symbol, found in bars(lake).items()} == {"FB": 4, "META": 2, name: 4}


def test_a_former_ticker_that_is_joined_stays_so_when_its_rename_is_listed_later(lake):
    files = Files()
    verify(lake, files, "FB")
    store(lake, "FB", SESSIONS)
    verify(lake, files, "META", FEB1 + 2 * DAY)
    store(lake, "META", LATER)
    correct(lake, files, lambda book, facts: join(book, "FB", "META", "its new name", facts))
    act(lake, ("FB", "2024-02-05", "rename", None, None, None, "META"))
    report = verify(lake, files, "META", NOW + DAY)
    assert (report.reused, report.renamed, bars(lake)["META"][0]) == ((), (), 6)


def test_bars_that_were_all_of_uncertain_identity_come_back_as_well(lake):
    provider = Exchange(WM="mutual", X="x")
    verify(lake, provider, "WM X")
    store(lake, "X", SESSIONS)
    store(lake, "WM", LATER)
    provider.ids["WM"] = "waste"
    (move,) = verify(lake, provider, "WM X", FEB1 + 90 * DAY).reused
    assert move.archived not in bars(lake)
    correct(lake, provider, lambda book, facts: join(book, move.archived, "WM", "a new id", facts))
    assert bars(lake)["WM"] == (2, *LATER)


def test_a_bar_that_the_ticker_has_itself_is_not_replaced_by_one_that_comes_back(lake, reused):
    store(lake, "WM", LATER, 70.0)
    correct(lake, reused, lambda book, facts: join(book, "WM@2024-02-01", "WM", "a new id", facts))
    found = rows(lake, "SELECT symbol, session, close FROM bars WHERE session >= '2024-02-02' ORDER BY 1, 2")
    assert [(symbol, day) for symbol, day, close in found if close > 60] == [("WM", day) for day in LATER]
    assert [symbol for symbol, _, close in found if close < 60] == ["WM@2024-02-01"] * 2


def test_uncertain_bars_of_a_basis_that_the_market_has_left_stay_apart(lake, reused):
    def how(book, facts):
        return join(book, "WM@2024-02-01", "WM", "a new id", facts)

    with lake.write() as cursor:
        cursor.execute("DELETE FROM bars")
    store(lake, "X", LATER, adjustment="split")
    correct(lake, reused, how)
    assert "WM" not in bars(lake)
    kept = rows(lake, "SELECT symbol, session, adjustment FROM quarantined_bars ORDER BY session")
    assert kept == [("WM@2024-02-01", day, "raw") for day in LATER]


def test_uncertain_bars_of_an_earlier_version_have_the_basis_of_their_series(lake, reused):
    with lake.write() as cursor:
        cursor.execute("UPDATE quarantined_bars SET adjustment = NULL, synthetic = NULL")
    correct(lake, reused, lambda book, facts: join(book, "WM@2024-02-01", "WM", "a new id", facts))
    assert bars(lake) == {"WM": (6, SESSIONS[0], LATER[-1])}
    assert rows(lake, "SELECT DISTINCT adjustment, synthetic FROM bars") == [("raw", False)]


def test_a_former_ticker_with_another_id_is_joined_as_at_a_rename(lake):
    provider = Exchange(FB="1")
    verify(lake, provider, "FB")
    store(lake, "FB", SESSIONS)
    provider.ids = {"META": "2"}
    verify(lake, provider, "META", FEB1 + 4 * DAY, force=True)
    assert "META" not in bars(lake)
    correct(lake, provider, lambda book, facts: join(book, "FB", "META", "IBKR changed both", facts))
    assert bars(lake)["META"] == bars(lake)["FB"] == (4, SESSIONS[0], SESSIONS[-1])
    assert state(lake, "FB").note == "is META since 2024-02-05; joined by hand on 2024-05-11: IBKR changed both"
    again = verify(lake, provider, "META", NOW + DAY, force_revalidate=True)
    assert (again.renamed, again.reused, bars(lake)["META"][0]) == ((), (), 4)


def test_a_history_is_parted_on_a_day_and_joined_again(lake):
    provider = Exchange(WM="waste")
    verify(lake, provider, "WM")
    store(lake, "WM", SESSIONS + LATER)
    made = correct(lake, provider, lambda book, facts: part(book, "WM", date(2024, 1, 31), "Mutual", facts))
    name = made.outcome.moves[0].name
    assert bars(lake) == {"WM": (4, SESSIONS[2], LATER[-1]), name: (2, SESSIONS[0], SESSIONS[1])}
    assert state(lake, name).note == "set apart by hand on 2024-05-11: Mutual"
    assert [until for _, until, _ in history(lake, "WM")] == [None]
    assert ticker_changes(lake, "us", TODAY) == [("WM", date(2024, 1, 31), None)]
    again = verify(lake, provider, "WM", NOW + DAY, force_revalidate=True)
    assert (again.reused, again.renamed) == ((), ())
    correct(lake, provider, lambda book, facts: join(book, name, "WM", "no", facts))
    assert bars(lake) == {"WM": (6, SESSIONS[0], LATER[-1])}


def test_the_rows_that_a_correction_is_about_are_counted_with_those_in_quarantine_and_without_those_that_stay(
    lake, reused
):
    def how(book, facts):
        return join(book, "WM@2024-02-01", "WM", "a new id", facts)

    assert correct(lake, reused, how, write=False).span == Span(6, SESSIONS[0], LATER[-1])
    store(lake, "WM", LATER)
    assert correct(lake, reused, how).span == Span(4, SESSIONS[0], SESSIONS[-1])
    parted = correct(lake, reused, lambda book, facts: part(book, "WM", SESSIONS[2], "no", facts))
    assert parted.span == Span(2, SESSIONS[0], SESSIONS[1])


def test_what_cannot_be_joined_or_parted_is_refused_and_changes_nothing(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    store(lake, "A", SESSIONS)
    before = rows(lake, "SELECT * FROM symbol_identities ORDER BY ALL")
    for how, words in (
        (lambda book, facts: join(book, "A", "B", "x", facts), "cannot be the earlier history"),
        (lambda book, facts: join(book, "C", "B", "x", facts), "There is no symbol C"),
        (lambda book, facts: part(book, "A", SESSIONS[0], "x", facts), "nothing before 2024-01-29 to set apart"),
        (lambda book, facts: part(book, "B", SESSIONS[0], "x", facts), "it has no bars"),
        (lambda book, facts: part(book, "A", date(2030, 1, 1), "x", facts), "today is 2024-05-11"),
    ):
        with pytest.raises(InputError, match=words):
            correct(lake, provider, how)
    assert rows(lake, "SELECT * FROM symbol_identities ORDER BY ALL") == before
