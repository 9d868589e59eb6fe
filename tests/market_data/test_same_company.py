"""A ticker with another id at the provider: the same company where its prices say so, and else another one."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data.bar_store import Origin, insert_missing
from scizor_dagster.market_data.same_company import FEWEST_SESSIONS, same_series
from tests.market_data.exchange import DAY, FEB1, Exchange, act, bars, state, verify
from tests.market_data.support import bars_frame, rows

SESSIONS = [date(2023, 11, 1) + timedelta(days=number) for number in range(90)]


def series(symbol: str, seed: int = 1, factor: float = 1.0, sessions=SESSIONS) -> pd.DataFrame:
    closes = factor * 50.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, len(sessions))))
    return bars_frame(
        [(symbol, day, c, c * 1.01, c * 0.99, c, 1000.0) for day, c in zip(sessions, closes, strict=True)]
    )


class Broker(Exchange):
    """Gives bars by id as well."""

    def __init__(self, by_id: dict[str, pd.DataFrame], **ids: str | None) -> None:
        super().__init__(**ids)
        self.by_id = by_id
        self.bars_are_down = False

    def bars_of(self, listing, first, last, now):
        if self.bars_are_down:
            raise BrokerUnavailable("No bars now.", remedy="Wait.")
        frame = self.by_id.get(listing.provider_id, series(listing.symbol).iloc[:0])
        return frame[frame["session"].between(pd.Timestamp(first), pd.Timestamp(last))]


def store_series(lake, frame: pd.DataFrame) -> None:
    with lake.write() as cursor:
        insert_missing(cursor, frame, Origin("us", "split", False, "ibkr", FEB1))


def after_a_new_id(lake, by_new_id: pd.DataFrame | None):
    provider = Broker({"2": by_new_id} if by_new_id is not None else {}, A="1")
    verify(lake, provider, "A")
    store_series(lake, series("A"))
    provider.ids["A"] = "2"
    return provider, verify(lake, provider, "A", FEB1 + 90 * DAY)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_the_same_prices_under_another_id_are_the_same_company_also_after_a_split(lake, factor):
    provider, report = after_a_new_id(lake, series("A", factor=factor))
    assert (report.reused, bars(lake)) == ((), {"A": (90, SESSIONS[0], SESSIONS[-1])})
    assert "the same prices in 60 of 60 sessions" in report.reidentified[0].note
    assert state(lake, "A").provider_id == "2"
    notes = rows(lake, "SELECT provider_id, until, note FROM symbol_identities ORDER BY until NULLS LAST")
    assert [(found, until) for found, until, _ in notes] == [("1", date(2024, 5, 1)), ("2", None)]
    assert notes[1][2] == report.reidentified[0].note
    again = verify(lake, provider, "A", FEB1 + 91 * DAY, force_revalidate=True)
    assert (again.reused, again.reidentified) == ((), ())


def test_other_prices_or_none_under_another_id_are_another_company(lake):
    _, report = after_a_new_id(lake, series("A", seed=2))
    assert [item.symbol for item in report.reused] == ["A"]
    assert report.reidentified == ()


def test_a_new_id_without_bars_that_both_have_is_another_company(lake):
    _, report = after_a_new_id(lake, None)
    assert [item.symbol for item in report.reused] == ["A"]


def test_a_provider_that_gives_no_bars_now_decides_nothing(lake):
    provider = Broker({"2": series("A")}, A="1")
    verify(lake, provider, "A")
    store_series(lake, series("A"))
    provider.ids["A"], provider.bars_are_down = "2", True
    report = verify(lake, provider, "A", FEB1 + 90 * DAY)
    assert (report.reused, state(lake, "A").provider_id) == ((), "1")
    assert "No bars now." in dict(report.silent)["A"]
    provider.bars_are_down = False
    assert verify(lake, provider, "A", FEB1 + 91 * DAY).reidentified[0].symbol == "A"


def test_a_listed_reverse_split_since_the_last_verification_keeps_the_company_at_a_provider_without_bars_by_id(lake):
    """A reverse split gives a share a new CUSIP, and Alpaca's asset a new id."""
    provider = Exchange(A="1")
    verify(lake, provider, "A")
    store_series(lake, series("A"))
    act(lake, ("A", "2024-03-01", "split", 0.1, None, None, None))
    provider.ids["A"] = "2"
    report = verify(lake, provider, "A", FEB1 + 90 * DAY)
    assert report.reused == ()
    assert report.reidentified[0].note == "another id since its reverse split of 2024-03-01"


@pytest.mark.parametrize(("by_new_id", "same"), [(series("A", seed=2), False), (series("A", factor=8.7654), True)])
def test_a_listed_reverse_split_is_no_proof_against_the_prices_of_another_company(lake, by_new_id, same):
    provider = Broker({"2": by_new_id}, A="1")
    verify(lake, provider, "A")
    store_series(lake, series("A"))
    act(lake, ("A", "2024-03-01", "split", 0.1, None, None, None))
    provider.ids["A"] = "2"
    report = verify(lake, provider, "A", FEB1 + 90 * DAY)
    assert ([item.symbol for item in report.reused], len(report.reidentified)) == ([] if same else ["A"], int(same))


def test_a_delisting_is_believed_before_the_prices(lake):
    provider = Broker({"2": series("A")}, A="1")
    verify(lake, provider, "A")
    store_series(lake, series("A"))
    act(lake, ("A", "2024-02-15", "delisting", None, None, None, None))
    provider.ids["A"] = "2"
    assert [item.symbol for item in verify(lake, provider, "A", FEB1 + 30 * DAY).reused] == ["A"]


def test_a_few_sessions_and_prices_that_stand_still_prove_nothing():
    short = series("A", sessions=SESSIONS[: FEWEST_SESSIONS - 1])
    assert same_series(short, short) is None
    still = series("A").assign(close=100.0)
    assert same_series(still, still) is None


@pytest.mark.parametrize("factor", [1.2345, 19 / 20, 17 / 13])
def test_an_odd_factor_is_no_split(factor):
    """Funds on one index trade in one proportion, too."""
    assert same_series(series("A"), series("A", factor=factor)) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 10_000), st.integers(0, 3), st.sampled_from([1.0, 0.25, 5.0]))
def test_a_series_is_itself_with_a_few_corrections_and_never_another(seed, corrected, factor):
    own, other = series("A", seed=seed), series("A", seed=seed + 10_001, factor=factor)
    mine = series("A", seed=seed, factor=factor)
    mine.loc[mine.index[:corrected], "close"] *= 1.05
    assert same_series(own, mine) is not None
    assert same_series(own, other) is None
