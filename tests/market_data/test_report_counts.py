"""What a collection says it has stored is what the lake has more, has otherwise, and has still."""

from datetime import date, timedelta

import pandas as pd
import pytest

from scizor_dagster.market_data.bar_store import Origin, insert_missing
from scizor_dagster.market_data.collect import collect_history, collect_session
from tests.market_data.support import NOW, XNYS, CountingMarket, FrameMarket, flat_bars, market, rows

DAYS = XNYS.sessions(date(2024, 1, 18), date(2024, 3, 1))
LAST = DAYS[-1]
VALUES = ["open", "high", "low", "close"]
KEPT = ("frame", NOW - timedelta(minutes=1))
OTHERS = ("before", NOW - timedelta(minutes=1))


def _early(day: date) -> tuple:
    return "frame", XNYS.close_at(day) + timedelta(minutes=1)


STORED = {
    "NEW": dict.fromkeys(DAYS[:-1], KEPT),
    "SAME": dict.fromkeys(DAYS, KEPT),
    "CHANGED": dict.fromkeys(DAYS, KEPT),
    "RESTATED": dict.fromkeys(DAYS, KEPT),
    "HEALED": {day: KEPT for day in DAYS[:-1] if day != DAYS[-9]},
    "SPLIT": dict.fromkeys(DAYS[:-1], KEPT),
    "SPLIT_WITH_A_GAP": {day: KEPT for day in DAYS if day not in DAYS[4:6]},
    "OTHERS": {day: KEPT if day < DAYS[-3] else OTHERS for day in DAYS},
    "EARLY": {day: KEPT if day != DAYS[-7] else _early(day) for day in DAYS},
    "EARLY_AND_RIGHT": {day: KEPT if day != LAST else _early(day) for day in DAYS},
    "BAD": dict.fromkeys(DAYS[:-1], KEPT),
    "SILENT": dict.fromkeys(DAYS[:-1], KEPT),
}
"""Stored sessions of each symbol, each with its source and when it was asked."""


def _answer() -> pd.DataFrame:
    bars = flat_bars(list(STORED), DAYS, price=60.0)

    def of(symbol, *days):
        return (bars["symbol"] == symbol) & bars["session"].isin(pd.to_datetime(days or DAYS))

    changed = of("CHANGED", LAST) | of("RESTATED", DAYS[-3]) | of("EARLY", DAYS[-7])
    bars.loc[changed, "close"] += 0.07
    split = of("SPLIT") | of("SPLIT_WITH_A_GAP")
    bars.loc[split, VALUES] /= 2
    bars.loc[split, "volume"] *= 2
    bars.loc[of("BAD", LAST), "close"] = -1.0
    return bars[~of("SILENT", LAST)]


@pytest.fixture
def filled(lake):
    bars = flat_bars(list(STORED), DAYS, price=60.0)
    with lake.write() as cursor:
        for origin in sorted({each for days in STORED.values() for each in days.values()}):
            wanted = {(symbol, day) for symbol, days in STORED.items() for day, each in days.items() if each == origin}
            keys = pd.Series(zip(bars["symbol"], bars["session"].dt.date, strict=True))
            insert_missing(cursor, bars[keys.isin(wanted)], Origin("us", "split", False, *origin))
    return lake


def _bars(lake):
    found = rows(lake, "SELECT symbol, session, source, open, high, low, close, volume FROM bars")
    return {(symbol, day): (source, values) for symbol, day, source, *values in found}


@pytest.mark.parametrize(
    ("made_of", "force", "first", "rewritten"),
    [
        (FrameMarket, False, DAYS[-3], {"CHANGED", "SPLIT", "SPLIT_WITH_A_GAP", "OTHERS", "EARLY"}),
        (CountingMarket, False, LAST, {"SPLIT", "SPLIT_WITH_A_GAP", "EARLY"}),
        (CountingMarket, True, LAST, {"CHANGED", "SPLIT", "SPLIT_WITH_A_GAP", "OTHERS", "EARLY"}),
    ],
    ids=["file", "counting", "forced"],
)
def test_the_counts_of_a_collection_are_what_it_has_done_to_the_lake(filled, made_of, force, first, rewritten):
    before = _bars(filled)
    provider = made_of(_answer(), adjustment="split")
    report = collect_session(
        filled, "us", market(DAYS[0]), provider, XNYS, list(STORED), LAST, NOW, first=first, force=force
    )
    after = _bars(filled)
    assert set(before) <= set(after)
    both = {key: (before[key], after[key]) for key in before}
    others = {key for key, (old, new) in both.items() if old[0] != new[0]}
    changed = {key for key, (old, new) in both.items() if old[1] != new[1]} - others
    unchanged = {key for key in set(both) - others - changed if key[1] >= first}
    assert (report.inserted, report.changed, report.preferred, report.unchanged, report.quarantined) == (
        len(after) - len(before), len(changed), len(others), len(unchanged), 1,
    )  # fmt: skip
    named = {key for key in after if key[1] >= first}
    assert report.stored == len(named | others | changed | (set(after) - set(before)))
    assert rewritten <= {symbol for symbol, _ in others | changed}


def test_history_says_how_many_stored_bars_it_has_replaced(filled):
    before = _bars(filled)
    provider = CountingMarket(_answer(), adjustment="split")
    report = collect_history(filled, "us", market(DAYS[0]), provider, XNYS, list(STORED), 2024, 2024, NOW, force=True)
    after = _bars(filled)
    others = {key for key in before if before[key][0] != after[key][0]}
    changed = {key for key in before if before[key][1] != after[key][1]} - others
    assert (report.inserted, report.changed, report.preferred) == (len(after) - len(before), len(changed), len(others))
