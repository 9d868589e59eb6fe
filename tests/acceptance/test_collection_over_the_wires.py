"""Ten years of many symbols at each door: validated, killed and resumed, healed and restated, with every call counted.

The number of symbols is that of the shipped universes (357) where SCIZOR_TORTURE is set.
"""

import os
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from math import ceil
from multiprocessing import get_context
from pathlib import Path

import pytest

from scizor_dagster.market_data import filling
from scizor_dagster.market_data.alpaca import PAGES_PER_BATCH, POINTS_PER_PAGE
from scizor_dagster.market_data.filling import BATCHES_UNDER_WAY, SYMBOLS_PER_WRITE
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.ibkr import SYMBOLS_PER_BATCH
from scizor_dagster.paper_exchange.data import SessionAction
from tests.acceptance.long_market import (
    BARS,
    CONTRACTS,
    FIRST,
    LAST,
    XNYS,
    Collecting,
    collect_elsewhere,
    collecting,
    exchange,
    source,
)
from tests.market_data.support import market, new_lake, rows

SYMBOLS = 357 if os.environ.get("SCIZOR_TORTURE") else 60
WIRES = ("ibkr", "alpaca")
SESSIONS = len(XNYS.sessions(FIRST, LAST))
SLACK = 1.05
YOUNG = "S007"
LISTED = date(2021, 6, 1)


@pytest.fixture(params=WIRES)
def desk(request: pytest.FixtureRequest, tmp_path: Path):
    with collecting(tmp_path, request.param, SYMBOLS) as made:
        made.trading.listed[YOUNG] = LISTED
        yield made


def least(desk: Collecting, symbols: int, sessions: int) -> int:
    """The calls that no collection of so many bars can do without."""
    return symbols if desk.wire == "ibkr" else ceil(symbols * sessions / POINTS_PER_PAGE)


def under_way(desk: Collecting) -> int:
    return BATCHES_UNDER_WAY * (SYMBOLS_PER_BATCH if desk.wire == "ibkr" else PAGES_PER_BATCH)


class _Killed(BaseException):
    """What no handler of errors catches."""


def _dying(after: int) -> Callable[..., None]:
    """`filling._store`, which is not reached again once it has run so often."""
    original, done = filling._store, iter(range(10_000))

    def store(*arguments: object) -> None:
        if next(done) >= after:
            raise _Killed
        original(*arguments)

    return store


def test_ten_years_are_validated_collected_resumed_healed_and_restated(
    desk: Collecting, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    counts: dict[str, int] = {}
    report = desk.validate()
    assert (report.verified, report.unverified) == (SYMBOLS, ())
    if desk.wire == "ibkr":
        assert desk.counted.calls.pop(CONTRACTS) == SYMBOLS

    with monkeypatch.context() as patch:
        patch.setattr(filling, "_store", _dying(after=1))
        with pytest.raises(_Killed):
            desk.history()
    counts["until the kill"] = desk.calls()
    kept = rows(desk.lake, "SELECT symbol, count(*) FROM bars GROUP BY 1")
    assert kept
    assert all(count == SESSIONS for symbol, count in kept if symbol != YOUNG)
    history = desk.history()
    counts["resumed"] = desk.calls()
    assert history.calls == counts["resumed"]
    bars = SYMBOLS * SESSIONS - len(XNYS.sessions(FIRST, LISTED - timedelta(days=1)))
    assert rows(desk.lake, "SELECT count(*), count(DISTINCT (symbol, session)) FROM bars") == [(bars, bars)]
    left = SYMBOLS - len(kept)
    assert counts["resumed"] <= least(desk, left, SESSIONS) * SLACK + 1
    everything = least(desk, SYMBOLS, SESSIONS)
    assert counts["until the kill"] + counts["resumed"] <= everything * SLACK + under_way(desk)
    desk.history()
    counts["again"] = desk.calls()
    assert counts["again"] == 0

    days = XNYS.sessions(LAST, LAST + timedelta(days=10))[1:5]
    desk.venue.settle(days[2])
    daily = desk.daily(days[2])
    counts["two days missed"] = desk.calls()
    assert (daily.inserted, daily.missing, daily.quarantined) == (3 * SYMBOLS, (), 0)
    assert counts["two days missed"] == least(desk, SYMBOLS, 8)

    before = rows(desk.lake, "SELECT close FROM bars WHERE symbol = 'S003' ORDER BY session LIMIT 1")[0][0]
    desk.venue.market_data.events.append(SessionAction("S003", days[3], "split", ratio=Decimal(2)))
    desk.venue.settle(days[3])
    split = desk.daily(days[3])
    counts["a day with a split"] = desk.calls()
    after = rows(desk.lake, "SELECT close FROM bars WHERE symbol = 'S003' ORDER BY session LIMIT 1")[0][0]
    if desk.wire == "ibkr":
        assert [(row.symbol, row.factor, row.refetched) for row in split.suspected_splits] == [("S003", 0.5, True)]
        assert after == pytest.approx(before / 2, abs=0.01)
        assert counts["a day with a split"] == SYMBOLS + 1
        assert CONTRACTS not in desk.counted.calls
    else:
        assert (split.suspected_splits, after) == ((), before)
        assert counts["a day with a split"] == 1
    record_property(f"calls at {desk.wire}, {SYMBOLS} symbols x {SESSIONS} sessions", str(counts))


@pytest.mark.parametrize("wire", WIRES)
def test_ten_years_take_the_least_calls(
    wire: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    symbols = 357 if os.environ.get("SCIZOR_TORTURE") else 12
    with collecting(tmp_path, wire, symbols) as desk:
        report = desk.history()
        asked, wanted = desk.calls(), least(desk, symbols, SESSIONS)
        record_property(f"ten years at {wire}", f"{asked} calls, {wanted} at least")
        assert wanted <= asked <= wanted * SLACK
        assert (report.calls, report.gaps) == (asked, 0)


def test_a_process_that_is_killed_loses_only_what_was_under_way(tmp_path: Path) -> None:
    names, since, calls = 230, date(2024, 1, 2), 210
    sessions = len(XNYS.sessions(since, LAST))
    with exchange(tmp_path, "ibkr", names) as (venue, trading, counted, port):
        lake = new_lake(tmp_path)
        # When so many have been asked for, more have been answered than wait to be written together.
        assert calls > BATCHES_UNDER_WAY * SYMBOLS_PER_BATCH + SYMBOLS_PER_WRITE
        counted.alarm = (BARS, calls)
        arguments = ("ibkr", port, trading.names, lake.location, since, venue.now())
        process = get_context("spawn").Process(target=collect_elsewhere, args=arguments)
        process.start()
        assert counted.reached.wait(60)
        process.kill()
        process.join()
        lost = counted.calls.pop(BARS)
        kept = dict(rows(lake, "SELECT symbol, count(*) FROM bars GROUP BY 1"))
        assert len(kept) >= SYMBOLS_PER_WRITE
        assert set(kept.values()) == {sessions}
        with source("ibkr", port, trading.names) as provider:
            common = (lake, "us", market(FIRST), provider, XNYS, trading.names, since.year, LAST.year, venue.now())
            report = collect_history(*common, since=since)
        assert report.gaps == 0
        assert counted.calls[BARS] == names - len(kept)
        assert lost - len(kept) <= BATCHES_UNDER_WAY * SYMBOLS_PER_BATCH + SYMBOLS_PER_WRITE
        lake.close()
