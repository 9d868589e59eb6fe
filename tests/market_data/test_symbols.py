"""Symbols over time: verified when due, retired and returned, renamed, and tickers that another company takes."""

from datetime import date

import pandas as pd
import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.market_data.absences import Absence, absences
from scizor_dagster.market_data.bar_store import Origin
from scizor_dagster.market_data.collect import collect_actions, collect_symbols
from scizor_dagster.market_data.missing import Wanted, missing
from scizor_dagster.market_data.plausibility import NOTHING_ACCEPTED
from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.reading import coverage, instruments, ticker_changes
from scizor_dagster.market_data.symbol_reading import collected_symbols, contract_ids, symbol_rows, universe_as_of
from scizor_dagster.market_data.symbols import due_rows, note_no_permission
from scizor_dagster.market_data.verification import Asking
from tests.market_data.exchange import DAY, FEB1, Exchange, act, bars, history, state, store, verify
from tests.market_data.support import XNYS, actions_frame, entry, market, rows

NOTHING_EARLY = pd.DataFrame({"symbol": [], "session": []})
SESSIONS = [date(2024, 1, 29), date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]
LATER = [date(2024, 2, 2), date(2024, 2, 5)]


def test_a_verified_symbol_is_asked_for_again_within_ninety_days_and_not_before_sixty(lake):
    provider = Exchange(A="1", B="2", C="3", D="4")
    assert verify(lake, provider, "A B C D").asked == 4
    assert verify(lake, provider, "A B C D", FEB1 + 59 * DAY).asked == 0
    dues = {row.symbol: (row.next_due - FEB1).days for row in symbol_rows(lake, "us")}
    assert all(60 <= days <= 90 for days in dues.values())
    assert len(set(dues.values())) > 1
    assert verify(lake, provider, "A B C D", FEB1 + 90 * DAY).asked == 4


def test_what_is_new_or_described_anew_is_asked_for_at_once_and_the_rest_is_not(lake):
    provider = Exchange(A="1", B="2", C="3")
    verify(lake, provider, "A B")
    report = verify(lake, provider, "A B C", FEB1 + DAY)
    assert (provider.calls[2:], report.asked, report.from_cache) == (["C"], 1, 2)
    changed = [entry("A"), entry("B", mic="XNYS"), entry("C")]
    collect_symbols(lake, "us", market(), changed, provider, FEB1 + 2 * DAY)
    assert provider.calls[3:] == ["B"]


def test_a_rename_or_delisting_makes_a_symbol_due(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    act(lake, ("B", "2024-02-05", "delisting", None, None, None, None))
    provider.ids["B"] = None
    verify(lake, provider, "A B", FEB1 + 5 * DAY)
    assert provider.calls[2:] == ["B"]
    assert (state(lake, "B").reason, state(lake, "B").retired_on) == (SymbolReason.DELISTED, date(2024, 2, 5))


def test_a_provider_that_does_not_answer_changes_nothing_and_is_named(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    before = symbol_rows(lake, "us")
    provider.down = True
    report = verify(lake, provider, "A B", FEB1 + 100 * DAY)
    assert symbol_rows(lake, "us") == before
    assert (report.verified, dict(report.silent)["A"]) == (2, "It is down.")
    provider.down = False
    assert verify(lake, provider, "A B", FEB1 + 101 * DAY).asked == 2


def test_after_three_questions_without_an_answer_the_rest_is_left_for_later(lake):
    provider = Exchange()
    provider.down = True
    report = verify(lake, provider, "A B C D E")
    assert len(provider.calls) == 3
    assert [row.reason for row in symbol_rows(lake, "us")] == [SymbolReason.PENDING] * 5
    assert "3 questions in a row" in dict(report.silent)["E"]
    assert collected_symbols(lake, "us", ["A", "B"]) == []


def test_a_provider_that_has_forgotten_most_symbols_is_not_believed_unless_forced(lake):
    known = {symbol: symbol for symbol in "ABCD"}
    provider = Exchange(**known)
    verify(lake, provider, "A B C D")
    provider.ids = {"A": "A"}
    report = verify(lake, provider, "A B C D", FEB1 + 100 * DAY)
    assert (report.verified, report.retired) == (4, ())
    assert "3 of 4 symbols it knew are gone" in dict(report.silent)["B"]
    forced = verify(lake, provider, "A B C D", FEB1 + 101 * DAY, force=True)
    assert [item.symbol for item in forced.retired] == ["B", "C", "D"]


def test_no_more_than_the_limit_is_asked_and_the_rest_waits(lake):
    provider = Exchange(A="1", B="2", C="3")
    report = verify(lake, provider, "A B C", limit=2)
    assert (report.asked, report.left_over) == (2, True)
    assert verify(lake, provider, "A B C", limit=2).asked == 1
    assert [row.verified for row in symbol_rows(lake, "us")] == [True] * 3


def test_force_revalidate_asks_for_everything(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    assert verify(lake, provider, "A B", FEB1 + DAY, force_revalidate=True).asked == 2


def test_among_several_matches_the_known_one_is_the_symbol(lake):
    provider = Exchange(A="1")
    verify(lake, provider, "A")
    provider.lookup = lambda symbols: {"A": (Listing("A", "1"), Listing("A", "2"))}
    assert verify(lake, provider, "A", force_revalidate=True).verified == 1


def test_a_symbol_that_left_keeps_its_row_its_bars_and_its_reason_and_comes_back(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    store(lake, "A B", SESSIONS)
    verify(lake, provider, "A", FEB1 + 5 * DAY, removal_reasons={"B": "too small"})
    gone = state(lake, "B")
    assert (gone.reason, gone.retired_on, gone.note) == (SymbolReason.REMOVED, date(2024, 2, 6), "too small")
    assert bars(lake)["B"] == (4, SESSIONS[0], SESSIONS[-1])
    assert collected_symbols(lake, "us", ["A", "B"]) == ["A"]
    assert {item.symbol: item.tradable for item in instruments(lake, "us")} == {"A": True, "B": False}
    report = verify(lake, provider, "A B", FEB1 + 10 * DAY)
    assert report.returned == ("B",)
    assert history(lake, "B") == [(date(2024, 2, 1), date(2024, 2, 6), "removed"), (date(2024, 2, 11), None, None)]


def test_the_universe_of_a_past_session_has_who_was_tracked_then(lake):
    provider = Exchange(A="1", B="2", C="3")
    verify(lake, provider, "A B")
    verify(lake, provider, "A C", FEB1 + 5 * DAY)
    assert universe_as_of(lake, "us", date(2024, 2, 5)).symbols == ("A", "B")
    assert universe_as_of(lake, "us", date(2024, 2, 6)).symbols == ("A", "C")
    with pytest.raises(DataError, match=r"on 2024-01-31 is not known; its history begins on 2024-02-01"):
        universe_as_of(lake, "us", date(2024, 1, 31))


def test_an_invalid_symbol_is_out_of_coverage_and_comes_back_when_it_is_valid(lake):
    provider = Exchange(A="1")
    verify(lake, provider, "A B")
    store(lake, "A", SESSIONS)
    assert coverage(lake, "us", SESSIONS[-1]) == (1, 1, ())
    provider.ids["B"] = "2"
    assert verify(lake, provider, "A B", FEB1 + 31 * DAY).returned == ("B",)
    assert [reason for _, _, reason in history(lake, "B")] == ["unknown", None]


def test_prices_that_may_not_be_seen_retire_a_symbol_for_a_week(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A B")
    note_no_permission(lake, "us", {"B": "354: not subscribed"}, provider, FEB1 + DAY, XNYS.timezone)
    assert (state(lake, "B").reason, state(lake, "B").note) == (SymbolReason.NO_PERMISSION, "354: not subscribed")
    assert collected_symbols(lake, "us", ["A", "B"]) == ["A"]
    assert verify(lake, provider, "A B", FEB1 + 2 * DAY).asked == 0
    assert verify(lake, provider, "A B", FEB1 + 9 * DAY).returned == ("B",)


def test_contract_ids_are_those_of_verified_symbols_at_ibkr(lake):
    provider = Exchange(A="265598", B=None)
    verify(lake, provider, "A B")
    assert contract_ids(lake, "us") == {"A": 265598}


def test_a_ticker_that_another_company_takes_begins_anew_and_the_old_bars_keep_a_name(lake):
    provider = Exchange(WM="mutual")
    verify(lake, provider, "WM")
    store(lake, "WM", SESSIONS + LATER)
    provider.ids["WM"] = "waste"
    report = verify(lake, provider, "WM", FEB1 + 90 * DAY)
    assert [(item.symbol, item.archived, item.cut) for item in report.reused] == [
        ("WM", "WM@2024-02-01", date(2024, 2, 2))
    ]
    assert bars(lake) == {"WM@2024-02-01": (4, SESSIONS[0], SESSIONS[-1])}
    uncertain = rows(lake, "SELECT symbol, session, reason FROM quarantined_bars ORDER BY 2")
    assert uncertain == [("WM@2024-02-01", day, "identity_uncertain") for day in LATER]
    assert store(lake, "WM", SESSIONS + LATER, 70.0) == 2
    assert bars(lake)["WM"] == (2, *LATER)
    lacking = absences(lake, "us", SESSIONS)
    assert set(lacking.loc[lacking["symbol"] == "WM", "reason"]) == {Absence.NOT_LISTED_YET}
    with lake.read() as cursor:
        # All of it was stored on one day here, the bars of later sessions too.
        wanted = Wanted(("WM",), tuple(SESSIONS + LATER), SESSIONS[0], False, None, NOTHING_ACCEPTED, lambda _: FEB1)
        assert missing(cursor, Origin("us", "raw", False, "ibkr", FEB1), wanted, NOTHING_EARLY).empty
    assert ticker_changes(lake, "us", date(2024, 6, 3)) == [("WM", date(2024, 2, 2), None)]
    assert universe_as_of(lake, "us", date(2024, 2, 1)).symbols == ("WM@2024-02-01",)
    assert universe_as_of(lake, "us", date(2024, 2, 2)).symbols == ("WM",)


def test_an_action_says_on_which_day_a_ticker_changed_its_owner(lake):
    provider = Exchange(WM="mutual")
    verify(lake, provider, "WM")
    store(lake, "WM", SESSIONS + LATER)
    act(lake, ("WM", "2024-02-05", "delisting", None, None, None, None))
    provider.ids["WM"] = "waste"
    verify(lake, provider, "WM", FEB1 + 5 * DAY)
    assert bars(lake) == {
        "WM": (1, date(2024, 2, 5), date(2024, 2, 5)),
        "WM@2024-02-04": (5, SESSIONS[0], date(2024, 2, 2)),
    }


def test_a_renamed_company_takes_its_history_to_its_new_ticker_and_keeps_it_under_the_old(lake):
    provider = Exchange(FB="1326801")
    verify(lake, provider, "FB")
    store(lake, "FB", SESSIONS + LATER)
    act(
        lake,
        ("FB", "2024-01-30", "split", 2.0, None, None, None),
        ("FB", "2024-02-05", "rename", None, None, None, "META"),
    )
    provider.ids = {"META": "1326801"}
    report = verify(lake, provider, "META", FEB1 + 5 * DAY)
    assert [(item.old, item.new, item.before) for item in report.renamed] == [("FB", "META", date(2024, 2, 5))]
    assert bars(lake) == {"FB": (6, SESSIONS[0], LATER[1]), "META": (5, SESSIONS[0], LATER[0])}
    assert (state(lake, "FB").reason, state(lake, "FB").note) == (SymbolReason.RENAMED, "is META since 2024-02-05")
    assert rows(lake, "SELECT ratio FROM corporate_actions WHERE symbol = 'META'") == [(2.0,)]
    assert universe_as_of(lake, "us", date(2024, 2, 4)).symbols == ("FB",)
    assert universe_as_of(lake, "us", date(2024, 2, 5)).symbols == ("META",)
    again = verify(lake, provider, "META", FEB1 + 6 * DAY, force_revalidate=True)
    assert (again.renamed, again.reused) == ((), ())


def test_a_renamed_company_keeps_its_splits_when_actions_are_collected_anew(lake):
    provider = Exchange(FB="1")
    verify(lake, provider, "FB")
    provider.ids = {"META": "1"}
    verify(lake, provider, "META", FEB1 + DAY)
    provider.actions = actions_frame([("FB", "2024-01-30", "split", 2.0, None, None, None)])
    collect_actions(lake, "us", market(), provider, ["META"], date(2024, 1, 1), date(2024, 12, 31), FEB1)
    assert rows(lake, "SELECT symbol, ratio FROM corporate_actions") == [("META", 2.0)]


def test_a_new_name_waits_while_the_provider_does_not_say_what_the_old_one_is_now(lake):
    provider = Exchange(FB="1")
    verify(lake, provider, "FB")
    provider.ids = {"FB": "1", "META": "1"}
    verify(lake, provider, "FB META", FEB1 + DAY, limit=1)
    assert state(lake, "META").reason is SymbolReason.PENDING
    verify(lake, provider, "FB META", FEB1 + 2 * DAY)
    assert state(lake, "META").reason is SymbolReason.SAME_AS_ANOTHER
    assert state(lake, "FB").verified


def test_two_share_classes_that_swap_a_ticker_keep_their_own_histories(lake):
    """On 2014-04-03 class A left GOOG for GOOGL, and class C came to GOOG from GOOCV."""
    provider = Exchange(GOOG="class A", GOOCV="class C")
    verify(lake, provider, "GOOG GOOCV")
    store(lake, "GOOG", SESSIONS, 1100.0)
    store(lake, "GOOCV", SESSIONS[2:], 560.0)
    provider.ids = {"GOOG": "class C", "GOOGL": "class A"}
    verify(lake, provider, "GOOG GOOGL", FEB1 + DAY, force_revalidate=True)
    first = rows(lake, "SELECT symbol, min(open), count(*) FROM bars GROUP BY 1 ORDER BY 1")
    assert first == [
        ("GOOCV", 560.0, 2),
        ("GOOG", 560.0, 2),
        ("GOOG@2024-02-01", 1100.0, 4),
        ("GOOGL", 1100.0, 4),
    ]


def test_an_earlier_lake_learns_ids_without_taking_any_ticker_for_another_company(lake):
    provider = Exchange(A="1")
    verify(lake, provider, "A")
    with lake.write() as cursor:
        cursor.execute("UPDATE symbols SET provider_id = NULL, next_due = NULL, last_asked = NULL, note = NULL")
        cursor.execute("DELETE FROM universe_history")
        cursor.execute("DELETE FROM symbol_identities")
    report = verify(lake, provider, "A", FEB1 + 5 * DAY)
    assert (report.asked, report.reused, history(lake, "A")) == (1, (), [(date(2024, 2, 1), None, None)])


def test_an_answer_without_an_id_keeps_the_known_one(lake):
    """Another id that comes later is then still seen to be another company's."""
    provider = Exchange(A="1")
    verify(lake, provider, "A")
    provider.lookup = lambda symbols: {symbol: (Listing(symbol, ""),) for symbol in symbols}
    verify(lake, provider, "A", FEB1 + DAY, force_revalidate=True)
    assert (state(lake, "A").provider_id, state(lake, "A").verified) == ("1", True)
    assert rows(lake, "SELECT provider_id, until FROM symbol_identities") == [("1", None)]
    del provider.lookup
    provider.ids["A"] = "2"
    assert [item.symbol for item in verify(lake, provider, "A", FEB1 + 2 * DAY, force_revalidate=True).reused] == ["A"]


def test_ids_of_another_provider_are_not_compared(lake):
    verify(lake, Exchange(A="265598"), "A")
    other = Exchange(A="b0b6dd9d")
    other.name = "alpaca:sip"
    report = verify(lake, other, "A", FEB1 + DAY)
    assert (report.asked, report.reused, state(lake, "A").provider_id) == (1, (), "b0b6dd9d")


def test_a_symbol_that_was_added_while_the_provider_was_asked_is_not_retired(lake):
    provider = Exchange(A="1", B="2")
    verify(lake, provider, "A")
    verify(lake, provider, "A B", FEB1 + DAY)
    stale = [entry("A")]
    report = collect_symbols(
        lake, "us", market(), stale, provider, FEB1 + 2 * DAY, Asking(force_revalidate=True),
        reread=lambda: [entry("A"), entry("B")],
    )  # fmt: skip
    assert (report.symbols, report.retired, state(lake, "B").tracked) == (2, (), True)
    gone = collect_symbols(
        lake, "us", market(), [entry("A"), entry("B")], provider, FEB1 + 3 * DAY, Asking(force_revalidate=True),
        reread=lambda: stale,
    )  # fmt: skip
    assert [item.symbol for item in gone.retired] == ["B"]


def test_what_the_next_run_asks_for_is_listed_new_entries_among_it(lake):
    provider = Exchange(A="1", B="2", C=None)
    verify(lake, provider, "A B")
    entries = [entry(symbol) for symbol in "ABC"]
    soon = due_rows(lake, "us", market(), entries, provider, FEB1 + DAY)
    assert [(row.symbol, row.reason) for row in soon] == [("C", SymbolReason.PENDING)]
    later = due_rows(lake, "us", market(), entries, provider, FEB1 + 90 * DAY)
    assert [row.symbol for row in later] == ["A", "B", "C"]
    assert [row.symbol for row in symbol_rows(lake, "us")] == ["A", "B"]
