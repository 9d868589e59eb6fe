"""A market whose source is on another basis now is collected anew: whole, resumable, never with two bases at once."""

from datetime import date

import pytest

from scizor_dagster.errors import BrokerUnavailable, DataError, InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.collect import collect_history
from scizor_dagster.market_data.revisions import revisions
from tests.market_data.support import NOW, XNYS, FrameMarket, flat_bars, market, rows

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 2, 1))
SYMBOLS = ["A", "B", "C"]
BASES = "SELECT adjustment, list(DISTINCT symbol ORDER BY symbol) FROM bars GROUP BY 1"


class _Breaking(FrameMarket):
    """A source that is asked for one symbol at a time, and breaks at one of them."""

    broken = ""
    calls_made = 0

    def calls(self, symbols, sessions):
        return symbols

    def symbols_per_batch(self, sessions):
        return 1

    def daily_bars(self, symbols, first, last, now):
        self.calls_made += 1
        if self.broken in symbols:
            raise BrokerUnavailable("The source is down.", remedy="Try again.")
        yield from super().daily_bars(symbols, first, last, now)


def _bars(price=60.0):
    return flat_bars(SYMBOLS, SESSIONS, price=price)


def _collect(lake: Lake, provider, **more):
    return collect_history(lake, "us", market(), provider, XNYS, SYMBOLS, 2024, 2024, NOW, through=SESSIONS[-1], **more)


@pytest.fixture
def raw(lake):
    _collect(lake, FrameMarket(_bars()))
    with lake.write() as cursor:
        cursor.execute("INSERT INTO adjustment_factors VALUES ('us', 'A', '1900-01-01', 0.5, 0.5, 'x', ?)", [NOW])
    return lake


def test_another_adjustment_is_refused_with_the_command_that_collects_the_market_anew(raw):
    with pytest.raises(DataError, match=r"scizor collect history --market us --again-as split\. Else"):
        _collect(raw, FrameMarket(_bars(30.0), adjustment="split"))


def test_a_collection_on_another_basis_that_breaks_off_leaves_one_basis_and_gaps_and_is_resumed(raw):
    source = _Breaking(_bars(30.0), adjustment="split")
    source.broken = "B"
    with pytest.raises(BrokerUnavailable):
        _collect(raw, source, again_as="split")
    ((basis, stored),) = rows(raw, BASES)
    assert basis == "split"
    assert set(stored) <= {"A", "C"}
    assert rows(raw, "SELECT count(*) FROM adjustment_factors") == [(0,)]
    source.broken, source.calls_made = "", 0
    report = _collect(raw, source, again_as="split")
    assert (report.set_aside, report.gaps, source.calls_made) == (0, 0, 3 - len(stored))
    assert rows(raw, BASES) == [("split", SYMBOLS)]
    old, new = revisions(raw, "us", "B", SESSIONS[3])
    assert (old.adjustment, old.reason, new.adjustment) == ("raw", "set_aside", "split")


def test_named_series_are_taken_anew_on_the_same_basis_and_no_others(raw):
    report = _collect(raw, FrameMarket(_bars(45.0)), again_as="raw", named=["B"])
    assert report.set_aside == len(SESSIONS)
    fresh = "SELECT symbol FROM bars WHERE close BETWEEN 44 AND 46 GROUP BY symbol HAVING count(*) = ?"
    assert rows(raw, fresh.replace("?", str(len(SESSIONS)))) == [("B",)]
    assert rows(raw, "SELECT DISTINCT symbol FROM bar_revisions") == [("B",)]


def test_named_series_are_refused_while_others_are_on_another_basis_and_nothing_is_set_aside(raw):
    before = raw.snapshot()
    words = r"2 more symbols whose bars are not split prices \(B, C\).*"
    with pytest.raises(InputError, match=words) as refused:
        _collect(raw, FrameMarket(_bars(30.0), adjustment="split"), again_as="split", named=["A"])
    assert refused.value.remedy.endswith("scizor collect history --market us --again-as split.")
    assert raw.snapshot() == before


def test_a_repeat_goes_on_with_named_series_and_takes_them_anew_only_where_that_is_meant(raw):
    def again(price, **more):
        return _collect(raw, FrameMarket(_bars(price)), again_as="raw", named=["B"], **more).set_aside

    assert again(45.0) == len(SESSIONS)
    assert again(45.0) == 0
    assert again(45.0, force=True) == len(SESSIONS)
    with raw.write() as cursor:
        cursor.execute(
            "INSERT INTO quarantined_bars (market, symbol, session, reason, source, fetched_at) "
            "VALUES ('us', 'B', ?, 'restated_source', 'frame', ?)",
            [SESSIONS[-1], NOW],
        )
    assert again(50.0) == len(SESSIONS)
    assert again(50.0) == 0
    with raw.write() as cursor:
        cursor.execute("UPDATE bar_revisions SET replaced_at = replaced_at - INTERVAL 2 DAY")
    assert again(50.0) == len(SESSIONS)


def test_a_basis_that_the_source_does_not_give_is_refused_and_nothing_is_set_aside(raw):
    before = raw.snapshot()
    with pytest.raises(InputError, match="gives raw prices, not split"):
        _collect(raw, FrameMarket(_bars()), again_as="split")
    assert raw.snapshot() == before


def test_made_up_bars_are_not_set_aside_for_real_ones(raw):
    made_up = FrameMarket(_bars(), adjustment="split")
    made_up.synthetic = True
    with pytest.raises(DataError, match="market of its own, or use another"):
        _collect(raw, made_up, again_as="split")
    made_up = FrameMarket(_bars())
    made_up.synthetic = True
    with pytest.raises(DataError, match="market of its own, or use another"):
        _collect(raw, made_up, again_as="raw", named=["A"])
    assert rows(raw, BASES) == [("raw", SYMBOLS)]


def test_bars_of_uncertain_identity_outlive_a_new_basis(lake):
    _collect(lake, FrameMarket(_bars()))
    with lake.write() as cursor:
        cursor.execute("UPDATE bars SET symbol = 'A@2024-01-03' WHERE symbol = 'A'")
        for reason in ("identity_uncertain", "not_positive"):
            cursor.execute(
                "INSERT INTO quarantined_bars (market, symbol, session, reason, source, fetched_at) "
                "VALUES ('us', 'A@2024-01-03', ?, ?, 'file', ?)",
                [SESSIONS[0], reason, NOW],
            )
    _collect(lake, FrameMarket(_bars(), adjustment="split"), again_as="split")
    assert rows(lake, "SELECT symbol, reason FROM quarantined_bars") == [("A@2024-01-03", "identity_uncertain")]
