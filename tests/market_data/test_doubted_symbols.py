"""A symbol that traded yesterday is not gone because a provider says so once, nor are many at a time."""

from datetime import date, datetime, timedelta

import pytest

from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.reading import coverage
from scizor_dagster.market_data.symbol_reading import collected_symbols
from tests.market_data.exchange import DAY, FEB1, Exchange, act, history, state, store, verify

TRADED = [date(2024, 4, 29), date(2024, 4, 30), date(2024, 5, 1)]
DUE = FEB1 + 90 * DAY
UNIVERSE = " ".join(f"S{number:03}" for number in range(200))


def traded(lake, symbols: str) -> Exchange:
    """Symbols that were verified on FEB1 and have bars up to the day on which they are due again."""
    provider = Exchange(**{symbol: symbol for symbol in symbols.split()})
    verify(lake, provider, symbols)
    store(lake, symbols, TRADED)
    return provider


def test_a_symbol_that_trades_is_retired_by_a_second_answer_on_a_later_day_alone(lake):
    provider = traded(lake, "A B")
    provider.ids["B"] = None
    report = verify(lake, provider, "A B", DUE)
    row = state(lake, "B")
    assert (row.reason, row.verified, row.tracked) == (SymbolReason.DOUBTED, True, True)
    assert ([item.symbol for item in report.doubted], report.retired, report.unverified) == (["B"], (), ())
    assert row.note == "unknown on 2024-05-01: not found at the provider; asked again on a later day"
    assert collected_symbols(lake, "us", ["A", "B"]) == ["A", "B"]
    assert coverage(lake, "us", date(2024, 5, 2)) == (0, 2, ("A", "B"))
    same_day = verify(lake, provider, "A B", DUE + timedelta(hours=1), force_revalidate=True)
    assert [item.symbol for item in same_day.doubted] == ["B"]
    next_day = verify(lake, provider, "A B", DUE + DAY)
    assert [(item.symbol, item.reason, item.retired_on) for item in next_day.retired] == [
        ("B", "unknown", date(2024, 5, 2))
    ]
    assert history(lake, "B") == [(date(2024, 2, 1), date(2024, 5, 2), "unknown")]


def test_a_doubt_ends_where_the_provider_knows_the_symbol_again(lake):
    provider = traded(lake, "A B")
    provider.ids["B"] = None
    verify(lake, provider, "A B", DUE)
    provider.ids["B"] = "B"
    report = verify(lake, provider, "A B", DUE + DAY)
    assert (report.asked, report.doubted, state(lake, "B").reason) == (1, (), None)
    assert history(lake, "B") == [(date(2024, 2, 1), None, None)]


def test_an_outage_in_between_leaves_a_doubt_a_doubt(lake):
    provider = traded(lake, "A B")
    provider.ids["B"] = None
    verify(lake, provider, "A B", DUE)
    provider.down = True
    assert [item.symbol for item in verify(lake, provider, "A B", DUE + DAY).doubted] == ["B"]
    provider.down = False
    assert [item.symbol for item in verify(lake, provider, "A B", DUE + 2 * DAY).retired] == ["B"]


@pytest.mark.parametrize("listing", [Listing("B", "B", mic="XNYS"), Listing("B", "B", currency="EUR")])
def test_an_answer_that_contradicts_the_file_is_doubted_once_as_well(lake, listing):
    provider = traded(lake, "A B")
    provider.lookup = lambda symbols: {"A": (Listing("A", "A"),), "B": (listing,)}
    assert [item.symbol for item in verify(lake, provider, "A B", DUE).doubted] == ["B"]
    assert [item.symbol for item in verify(lake, provider, "A B", DUE + DAY).retired] == ["B"]


def test_what_has_not_traded_of_late_or_was_delisted_or_is_forced_is_retired_at_once(lake):
    provider = traded(lake, "A B C D E F G")
    store(lake, "H", [TRADED[0] - timedelta(days=40)])
    provider.ids["H"] = "H"
    verify(lake, provider, "A B C D E F G H")
    act(lake, ("C", "2024-04-30", "delisting", None, None, None, None))
    provider.ids |= {"C": None, "H": None}
    report = verify(lake, provider, "A B C D E F G H", DUE)
    assert {item.symbol: item.reason for item in report.retired} == {"C": "delisted", "H": "unknown"}
    provider.ids["B"] = None
    forced = verify(lake, provider, "A B C D E F G H", DUE, force_revalidate=True, force=True)
    assert [item.symbol for item in forced.retired] == ["B"]


def test_more_than_a_few_at_once_are_a_fault_of_the_provider_and_nobody_is_doubted(lake):
    provider = traded(lake, UNIVERSE)
    gone = UNIVERSE.split()[:5]
    provider.ids |= dict.fromkeys(gone)
    now: datetime = DUE
    for _ in range(3):
        report = verify(lake, provider, UNIVERSE, now)
        assert (report.refused, report.retired, report.doubted) == (tuple(gone), (), ())
        assert state(lake, gone[0]).reason is None
        assert "5 of " in dict(report.silent)[gone[0]]
        now += DAY
    forced = verify(lake, provider, UNIVERSE, now, force=True)
    assert [item.symbol for item in forced.retired] == gone


def test_as_many_as_two_in_a_hundred_may_end_together(lake):
    provider = traded(lake, UNIVERSE)
    provider.ids |= dict.fromkeys(UNIVERSE.split()[:4])
    assert len(verify(lake, provider, UNIVERSE, DUE).doubted) == 4
    assert len(verify(lake, provider, UNIVERSE, DUE + DAY).retired) == 4


def test_those_that_were_doubted_before_do_not_count_again_among_the_many(lake):
    provider = traded(lake, UNIVERSE)
    names = UNIVERSE.split()
    provider.ids |= dict.fromkeys(names[:4])
    verify(lake, provider, UNIVERSE, DUE)
    provider.ids |= dict.fromkeys(names[4:6])
    report = verify(lake, provider, UNIVERSE, DUE + DAY, force_revalidate=True)
    assert report.refused == ()
    assert [item.symbol for item in report.retired] == names[:4]
    assert [item.symbol for item in report.doubted] == names[4:6]


def test_what_another_provider_knew_is_not_missed_at_this_one(lake):
    provider = traded(lake, "A B C D E F G H")
    provider.name = "elsewhere"
    provider.ids |= dict.fromkeys("ABCD")
    assert verify(lake, provider, "A B C D E F G H", DUE).refused == ()
