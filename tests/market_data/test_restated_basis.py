"""A restatement that contradicts what the source's prices are declared to be is held, whatever it is called.

A raw source never rewrites its past, and one that is adjusted for splits does not for dividends: such a series, taken
as it comes, would be adjusted twice by the actions.
"""

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.market_data.collect import collect_history, collect_session
from scizor_dagster.market_data.provider import FailureReason, SymbolFailure
from tests.market_data.support import NOW, XNYS, FrameMarket, actions_frame, flat_bars, market, rows

SESSIONS = XNYS.sessions(pd.Timestamp("2024-01-02").date(), pd.Timestamp("2024-03-01").date())
LAST = SESSIONS[-1]
PRICES = ["open", "high", "low", "close"]


MOVES = {
    "SPLIT": (0.25, 4.0, 1.0),
    "SPIN_OFF": (1 / 1.061, 1.061, 1.0),
    "DIVIDENDS": (0.992, 1.0, 1.0),
    "EARLY_DIVIDENDS": (0.75, 1.0, 0.99),
    "SPLIT_AND_DIVIDEND": (0.25 * 0.985, 4.0, 1.0),
    "SPLIT_AND_EARLY_DIVIDEND": (0.25, 4.0, 0.985),
    "PRICE_FACTOR": (1.37, 1.0, 1.0),
    "CURRENCY_UNIT": (0.01, 1.0, 1.0),
}
"""By symbol the factors on its prices, on its volumes, and besides on its prices before the twentieth session."""
DIVIDENDS = {name for name in MOVES if "DIVIDEND" in name}
HELD = {"raw": set(MOVES), "split": {*DIVIDENDS, "CURRENCY_UNIT"}, "total_return": {"CURRENCY_UNIT"}}
SYMBOLS = [*MOVES, "STILL"]


def _bars(symbols=tuple(SYMBOLS)):
    bars = flat_bars(symbols, SESSIONS, price=60.0)
    return bars.assign(volume=10_000.0 + 37 * (np.arange(len(bars)) % 11))


def _moved():
    bars = _bars()
    for symbol, (price, volume, before) in MOVES.items():
        own = bars["symbol"] == symbol
        bars.loc[own, PRICES] *= price
        bars.loc[own, "volume"] *= volume
        bars.loc[own & (bars["session"] < pd.Timestamp(SESSIONS[20])), PRICES] *= before
    return bars


@pytest.mark.parametrize("adjustment", HELD)
def test_a_series_is_replaced_only_where_its_source_may_have_moved_it(lake, adjustment):
    before = FrameMarket(_bars(), adjustment=adjustment)
    collect_history(lake, "us", market(), before, XNYS, SYMBOLS, 2024, 2024, NOW, through=SESSIONS[-2])
    closes = "SELECT symbol, list(close ORDER BY session) FROM bars GROUP BY symbol"
    stored = dict(rows(lake, closes))
    after = FrameMarket(_moved(), adjustment=adjustment)
    report = collect_session(lake, "us", market(), after, XNYS, SYMBOLS, LAST, NOW)
    held, unit = HELD[adjustment], {"CURRENCY_UNIT"}
    assert {split.symbol: split.refetched for split in report.suspected_splits} == {s: s not in held for s in MOVES}
    assert {symbol for symbol, found in rows(lake, closes) if found == stored[symbol]} == held
    reasons = dict(rows(lake, "SELECT symbol, reason FROM quarantined_bars"))
    assert reasons == dict.fromkeys(held - unit, "restated_source") | dict.fromkeys(unit, "unit_error")
    seen = dict(rows(lake, "SELECT symbol, ratio FROM corporate_actions WHERE kind = 'split'"))
    assert seen == {s: pytest.approx(MOVES[s][1]) for s in MOVES if s.startswith("SP") and s not in held}


def test_what_is_held_says_what_to_do(lake):
    names = ["SPIN_OFF", "STILL"]
    before = FrameMarket(_bars())
    collect_history(lake, "us", market(), before, XNYS, names, 2024, 2024, NOW, through=SESSIONS[-2])
    collect_session(lake, "us", market(), FrameMarket(_moved()), XNYS, names, LAST, NOW)
    ((detail,),) = rows(lake, "SELECT detail FROM quarantined_bars")
    assert "raw prices do not change like that" in detail
    assert "scizor collect history SPIN_OFF --market us --again-as raw" in detail


@pytest.mark.parametrize("of_another", [False, True], ids=["its own", "of another source"])
def test_a_series_that_lacks_a_stored_session_says_how_it_is_taken_without_it_and_so_it_is(lake, of_another):
    before = FrameMarket(_bars(["A"]), adjustment="split")
    collect_history(lake, "us", market(), before, XNYS, ["A"], 2024, 2024, NOW, through=SESSIONS[-2])
    if of_another:
        with lake.write() as cursor:
            cursor.execute("UPDATE bars SET source = 'before'")
    moved = _bars(["A"])
    moved.loc[:, PRICES] /= 2
    moved["volume"] *= 2
    after = FrameMarket(moved.drop(index=4), adjustment="split")
    # Of another source's bars nobody can say that they were split: a factor on prices is all there is.
    report = collect_session(lake, "us", market(), after, XNYS, ["A"], LAST, NOW, first=SESSIONS[-6])
    assert [split.refetched for split in report.suspected_splits] == [False]
    said = {detail for (detail,) in rows(lake, "SELECT detail FROM quarantined_bars")}
    (detail,) = said
    assert f"of the stored sessions 1 could not be had anew and believed, the first of {SESSIONS[4]}" in detail
    assert "scizor collect history A --market us --again-as split" in detail
    collect_history(lake, "us", market(), after, XNYS, ["A"], 2024, 2024, NOW, again_as="split", named=["A"])
    assert rows(lake, "SELECT count(*), max(close) < 40 FROM bars") == [(len(SESSIONS) - 1, True)]
    assert rows(lake, "SELECT count(*) FROM quarantined_bars") == [(0,)]


def test_a_series_whose_question_failed_is_held_until_the_source_answers(lake):
    before = FrameMarket(_bars(["A", "STILL"]), adjustment="split")
    collect_history(lake, "us", market(), before, XNYS, ["A", "STILL"], 2024, 2024, NOW, through=SESSIONS[-2])

    class Failing(FrameMarket):
        failed = {}

        def daily_bars(self, symbols, first, last, now):
            whole = first <= SESSIONS[0]
            self.failed = {"A": SymbolFailure(FailureReason.NO_ANSWER, "no answer in 60 s")} if whole else {}
            yield from () if whole else super().daily_bars(symbols, first, last, now)

    moved = _bars(["A", "STILL"])
    moved.loc[moved["symbol"] == "A", PRICES] /= 2
    moved.loc[moved["symbol"] == "A", "volume"] *= 2
    collect_session(lake, "us", market(), Failing(moved, None, "split"), XNYS, ["A", "STILL"], LAST, NOW)
    ((detail,),) = rows(lake, "SELECT detail FROM quarantined_bars")
    assert "no answer in 60 s" in detail
    assert "--again-as" not in detail


def test_a_split_of_a_source_that_pays_no_dividend_is_not_taken_for_one_through_rounding(lake):
    bars = _bars(["A", "B"])
    bars.loc[:, PRICES] = (bars[PRICES] / 400).round(3)
    before = FrameMarket(bars, adjustment="split")
    collect_history(lake, "us", market(), before, XNYS, ["A", "B"], 2024, 2024, NOW, through=SESSIONS[-2])
    moved = bars.copy()
    own = moved["symbol"] == "A"
    moved.loc[own, PRICES] = (moved.loc[own, PRICES] / 3).round(3)
    moved.loc[own, "volume"] *= 3
    listed = actions_frame([("A", LAST.isoformat(), "split", 3.0, None, None, None)])
    report = collect_session(
        lake, "us", market(), FrameMarket(moved, listed, "split"), XNYS, ("A", "B"), LAST, NOW
    )  # fmt: skip
    assert [split.refetched for split in report.suspected_splits] == [True]
