"""Every fault of a price feed, in one real file: through provider and collection to what a plan may use of it.

Each row of `CASES` is one instrument of the file, by the number that the fault has in the catalogue of bad
inputs. Cases that are no fault of a bar are the tests below the table. Not here, with the reason:

- 88, two vendors differ: a market has one source; the choke point compares where there are two.
- 90, an early close that the calendar does not know: a daily bar does not show it; the schedules ask the broker.
- 92, a missing rate: unlike currencies are refused in the configuration (tests/core/test_config_corpus.py).
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from scizor_dagster.config import FilesProvider, PriceQuality
from scizor_dagster.errors import DataError, InputError, SessionNotClosed
from scizor_dagster.market_data.collect import collect_actions, collect_symbols
from scizor_dagster.market_data.files import FilesMarket
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.plausibility import REASONS, doubt
from scizor_dagster.market_data.provider import Listing
from scizor_dagster.market_data.reading import instruments, last_closes, quarantined_since, unscheduled_days
from scizor_dagster.market_data.session_bars import collect_session
from scizor_dagster.sessions import TradingCalendar
from tests.market_data.support import XNYS, FrameMarket, actions_frame, entry, flat_bars, market, new_lake, rows

SESSION = date(2024, 2, 26)
SATURDAY = date(2024, 2, 24)
BEFORE = date(2024, 2, 23)
NOW = datetime(2024, 2, 26, 22, tzinfo=UTC)
SESSIONS = XNYS.sessions(date(2023, 11, 1), SESSION)
NO_BAR: dict[str, Any] = {"close": None}
STILL = {"open": 50.0, "high": 50.0, "low": 50.0, "close": 50.0}
WHOLE = ("open", "high", "low", "close")


def _times(factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in zip(WHOLE, (100.0, 102.0, 98.0, 100.0), strict=True)}


@dataclass(frozen=True)
class Case:
    """One instrument: what its last bar says instead, its actions, and the reason it is quarantined for.

    Attributes:
        reason: None where the bar is right and must be believed; `missing` where there is none to believe.
        last: Number of last sessions that `bar` stands on.
        twin: A second row of the last session.
        saturday: A row on the Saturday before.
    """

    number: int
    name: str
    reason: str | None
    bar: dict[str, Any] = field(default_factory=dict)
    actions: tuple[tuple[str, float], ...] = ()
    last: int = 1
    twin: dict[str, Any] | None = None
    saturday: dict[str, Any] | None = None


CASES = (
    Case(75, "ZERO", "bad_price", {"close": 0.0}),
    Case(75, "NEGATIVE", "bad_price", {"low": -98.0}),
    Case(76, "EMPTY", "bad_price", {"close": ""}),
    Case(76, "NAN", "bad_price", {"close": "nan"}),
    Case(76, "INF", "bad_price", {"high": "inf"}),
    Case(76, "NOBAR", "missing", NO_BAR),
    Case(77, "CROSSED", "high_below_low", {"high": 97.0, "open": 97.0, "close": 97.0}),
    Case(77, "ABOVE", "close_outside_range", {"close": 103.0}),
    Case(77, "OPENLOW", "open_outside_range", {"open": 90.0}),
    Case(78, "NOVOLUME", "no_volume", {"volume": 0.0}),
    Case(78, "BADVOLUME", "bad_volume", {"volume": -1.0}),
    Case(79, "TENFOLD", "price_jump", _times(10.0)),
    Case(79, "TENTH", "price_jump", _times(0.1)),
    Case(79, "SPIKE", "price_jump", {"high": 1000.0, "close": 1000.0}),
    Case(79, "REVERSE", None, _times(10.0), (("split", 0.1),)),
    Case(80, "HALF", "suspected_split", _times(0.5)),
    Case(80, "SPLIT", None, _times(0.5), (("split", 2.0),)),
    Case(80, "UNMOVED", "price_jump", {}, (("split", 2.0),)),
    Case(80, "WRONGWAY", "price_jump", _times(2.0), (("split", 2.0),)),
    Case(80, "SPECIAL", None, _times(0.5), (("dividend", 50.0),)),
    Case(80, "CRASH", None, {"open": 100.0, "low": 58.0, "close": 60.0}),
    Case(81, "FROZEN", "unchanged_price", STILL, last=6),
    Case(81, "REPEATED", "repeated_bar", {"volume": 1234.0}, last=2),
    Case(82, "OLD", "missing", NO_BAR, last=3),
    Case(86, "PENCE", "unit_error", _times(100.0)),
    Case(86, "POUNDS", "unit_error", _times(0.01)),
    Case(89, "TWICE", "conflicting_duplicate", {}, twin={"close": 100.5}),
    Case(89, "SAME", None, {}, twin={}),
    Case(90, "OPENED", None, saturday={"close": 101.0}),
    Case(90, "COPIED", None, saturday={"volume": 5000.0 + len(SESSIONS) - 2}),
    Case(75, "PLAIN", None),
)
SYMBOLS = [case.name for case in CASES]


def _row(case: Case, day: date, index: int, changes: dict[str, Any]) -> str:
    values = {"open": 100.0, "high": 102.0, "low": 98.0, "close": 100.0, "volume": 5000.0 + index}
    if case.reason == "unchanged_price":
        values |= {"open": 49.0, "high": 51.0, "low": 48.0, "close": 50.0 + 0.1 * (index % 3)}
    values |= changes
    return ",".join([case.name, day.isoformat(), *(str(values[name]) for name in (*WHOLE, "volume"))])


def _lines(case: Case) -> list[str]:
    lines = []
    for index, day in enumerate(SESSIONS):
        changes = case.bar if index >= len(SESSIONS) - case.last else {}
        if changes is not NO_BAR:
            lines.append(_row(case, day, index, changes))
    if case.twin is not None:
        lines.append(_row(case, SESSION, len(SESSIONS) - 1, case.twin))
    if case.saturday is not None:
        lines.append(_row(case, SATURDAY, 0, case.saturday))
    return lines


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> FilesMarket:
    """The file of all cases, and that of their actions."""
    folder = tmp_path_factory.mktemp("feed")
    lines = [line for case in CASES for line in _lines(case)]
    future = f"PLAIN,2030-01-02,{','.join(['100'] * 4)},1"
    text = "\n".join(["symbol,session,open,high,low,close,volume", *lines, future])
    (folder / "prices.csv").write_text(text + "\n", encoding="utf-8")
    actions = ["symbol,ex_session,kind,ratio,amount,currency"]
    for case in CASES:
        for kind, size in case.actions:
            ratio, amount = (size, "") if kind == "split" else ("", size)
            actions.append(f"{case.name},{SESSION},{kind},{ratio},{amount},USD")
    (folder / "actions.csv").write_text("\n".join(actions) + "\n", encoding="utf-8")
    return FilesMarket(_settings(path="prices.csv", actions="actions.csv"), folder, XNYS)


def _settings(**changes: Any) -> FilesProvider:
    return FilesProvider(**({"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw"} | changes))


def _history(lake, provider, symbols, now, **keys):
    return collect_history(lake, "us", market(SESSIONS[0]), provider, XNYS, symbols, 2023, 2024, now, **keys)


def _session(lake, provider, symbols, now=NOW, session=SESSION, **keys):
    return collect_session(lake, "us", market(SESSIONS[0]), provider, XNYS, symbols, session, now, **keys)


def _announced(lake, provider) -> None:
    collect_actions(lake, "us", market(), provider, SYMBOLS, SESSIONS[0], SESSION, NOW)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory, feed: FilesMarket):
    """A lake with the history up to the session before, then the session itself."""
    lake = new_lake(tmp_path_factory.mktemp("lake"))
    _announced(lake, feed)
    _history(lake, feed, SYMBOLS, NOW, through=BEFORE)
    report = _session(lake, feed, SYMBOLS)
    return lake, report


def test_every_fault_of_a_bar_has_the_response_of_the_catalogue(collected, capsys) -> None:
    lake, report = collected
    out = {row["symbol"]: row for row in quarantined_since(lake, "us", SESSION).to_dict("records")}
    newest = {row["symbol"]: row["session"] for row in last_closes(lake, "us", SESSION).to_dict("records")}
    counts: Counter[str] = Counter()
    silent = []
    for case in CASES:
        believed = newest[case.name] == SESSION
        response = out[case.name]["reason"] if case.name in out else None if believed else "missing"
        counts[response or "believed"] += 1
        if believed and case.reason is not None:
            silent.append(case.name)
        assert response == case.reason, case
        if response in REASONS:
            assert out[case.name]["detail"]
        if response == "missing":
            assert case.name in report.missing
    with capsys.disabled():
        shown = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        sys.stdout.write(f"\nprices: {len(CASES)} cases ({shown}); silent {len(silent)}\n")
    assert silent == []


def test_bars_that_are_not_believed_never_reach_the_bars(collected) -> None:
    lake, _report = collected
    doubted = {case.name for case in CASES if case.reason not in (None, "missing")}
    stored = {symbol for (symbol,) in rows(lake, f"SELECT symbol FROM bars WHERE session = '{SESSION}'")}
    assert stored & doubted == set()
    assert rows(lake, "SELECT count(*) FROM bars WHERE session > '2024-02-26'") == [(0,)]


def test_collecting_again_changes_nothing(collected, feed: FilesMarket) -> None:
    lake, _report = collected
    snapshot = lake.snapshot()
    again = _session(lake, feed, SYMBOLS)
    assert (again.inserted, again.changed, lake.snapshot()) == (0, 0, snapshot)


def test_history_in_one_go_has_the_same_doubts_as_session_after_session(tmp_path, collected, feed: FilesMarket) -> None:
    lake, _report = collected
    at_once = new_lake(tmp_path)
    _announced(at_once, feed)
    _history(at_once, feed, SYMBOLS, NOW)
    query = "SELECT symbol, session, reason, detail FROM quarantined_bars ORDER BY ALL"
    assert rows(at_once, query) == rows(lake, query)


def test_only_new_values_on_a_day_without_a_session_speak_against_the_calendar(collected) -> None:
    lake, _report = collected
    assert unscheduled_days(lake, "us", SATURDAY, SESSION) == {SATURDAY: 1}


def test_an_accepted_bar_is_stored_and_the_bars_after_it_are_believed(tmp_path, feed: FilesMarket) -> None:
    lake = new_lake(tmp_path)
    _history(lake, feed, ["HALF"], NOW, through=BEFORE)
    assert _session(lake, feed, ["HALF"], accepted={("HALF", SESSION): 49.0}).inserted == 0
    assert _session(lake, feed, ["HALF"], accepted={("HALF", SESSION): 50.0}).inserted == 1


def test_a_doubted_level_stays_out_until_it_is_explained(tmp_path) -> None:
    days = XNYS.sessions(date(2024, 2, 1), date(2024, 2, 15))
    bars = flat_bars(["A"], days, price=100.0)
    bars.loc[bars.index >= 8, list(WHOLE)] /= 2
    lake, provider = new_lake(tmp_path), FrameMarket(bars)
    later = datetime(2024, 3, 1, 22, tzinfo=UTC)
    _history(lake, provider, ["A"], later, through=days[7])
    for day in days[8:]:
        assert _session(lake, provider, ["A"], later, day).stored == 0
    provider.actions = actions_frame([("A", days[8].isoformat(), "split", 2.0, None, None, None)])
    assert _history(lake, provider, ["A"], later, through=days[-1]).inserted == len(days) - 8


def _doubts(bars: pd.DataFrame, **quality: Any) -> list[str]:
    found = doubt(bars, bars.iloc[:0], PriceQuality(**quality), lambda _symbols: {}, frozenset(), {})
    return [REASONS[index] for index in found.reasons if index >= 0]


@pytest.mark.parametrize(("factor", "left"), [(0.5, 0), (0.05, 24)])
def test_history_that_has_held_a_new_level_believes_it_unless_it_looks_like_a_unit(factor, left) -> None:
    bars = flat_bars(["A"], SESSIONS, price=100.0)
    bars.loc[bars.index >= len(bars) - 24, list(WHOLE)] *= factor
    assert _doubts(bars) == ["price_jump"] * left


def test_a_thin_instrument_may_have_sessions_without_a_trade() -> None:
    bars = flat_bars(["A"], SESSIONS)
    bars["volume"] = [float(10 ** (index % 4)) for index in range(len(bars))]
    bars.loc[bars.index % 9 == 8, "volume"] = 0.0
    assert _doubts(bars) == []


def test_the_limits_can_be_set() -> None:
    bars = flat_bars(["A"], SESSIONS[:10], price=100.0)
    bars.loc[9, list(WHOLE)] *= 1.5
    assert _doubts(bars) == []
    assert _doubts(bars, max_price_jump=1.4) == ["suspected_split"]
    bars.loc[9, list(WHOLE)] *= 100
    assert _doubts(bars, max_price_jump="unlimited") == []


@pytest.mark.parametrize("stamp", ["2024-01-03 09:30:00", "2024-01-03T16:00"])
def test_84_a_timestamp_without_its_zone_is_refused_by_line_before_anything_is_read(tmp_path: Path, stamp: str) -> None:
    header = "symbol,session,open,high,low,close,volume"
    (tmp_path / "prices.csv").write_text(f"{header}\nA,{stamp},1,1,1,1,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"'{stamp}' in column 'session' is not a session date") as caught:
        FilesMarket(_settings(), tmp_path, XNYS).lookup(["A"])
    assert caught.value.where == f"{tmp_path / 'prices.csv'}:2"


def test_85_a_session_is_not_collected_before_it_has_closed(tmp_path, feed: FilesMarket) -> None:
    lake = new_lake(tmp_path)
    with pytest.raises(SessionNotClosed, match="has not closed"):
        _session(lake, feed, ["PLAIN"], datetime(2024, 2, 26, 20, 59, tzinfo=UTC))
    assert rows(lake, "SELECT count(*) FROM bars") == [(0,)]


def test_86_an_instrument_of_another_currency_at_the_source_is_not_tradable(tmp_path) -> None:
    lake, provider = new_lake(tmp_path), FrameMarket(flat_bars(["A", "B", "C"], SESSIONS))
    provider.listings = {
        "A": (Listing("A", "1", currency="GBX"),),
        "B": (Listing("B", "1"), Listing("B", "2")),
        "C": (),
    }
    collect_symbols(lake, "us", market(), [entry(symbol) for symbol in "ABCD"], provider, NOW)
    assert {item.symbol: item.tradable for item in instruments(lake, "us")} == {
        "A": False, "B": False, "C": False, "D": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "adjustment", "words"),
    [
        ({"close": "Adj Close"}, "raw", "'Adj Close' is adjusted by its name, and the prices are declared as raw"),
        ({"close": "adjClose"}, "total_return", "'adjClose' is adjusted by its name, and 'open' is not"),
        ({name: f"adj_{name}" for name in WHOLE}, "raw", "declared as raw"),
    ],
)
def test_87_columns_of_two_bases_are_refused_in_the_configuration(columns, adjustment, words) -> None:
    with pytest.raises(ValidationError, match=words):
        _settings(columns=columns, adjustment=adjustment)


def test_87_prices_of_another_basis_are_never_put_beside_stored_ones(tmp_path) -> None:
    lake = new_lake(tmp_path)
    bars = flat_bars(["A"], SESSIONS)
    _history(lake, FrameMarket(bars), ["A"], NOW, through=BEFORE)
    with pytest.raises(DataError, match="holds raw bars") as caught:
        _session(lake, FrameMarket(bars, adjustment="total_return"), ["A"])
    assert caught.value.where == "markets.us.provider"


def test_91_nothing_is_dated_beyond_the_end_of_the_calendar() -> None:
    calendar = TradingCalendar("XNYS")
    with pytest.raises(InputError, match="outside the calendar XNYS") as caught:
        calendar.next_session(calendar.last)
    assert "update exchange_calendars" in caught.value.remedy
    with pytest.raises(InputError, match="outside the calendar"):
        calendar.last_closed(datetime.combine(calendar.last + timedelta(days=9), datetime.min.time(), UTC))


def test_actions_may_be_stored_after_the_bars_that_they_explain(tmp_path, feed: FilesMarket) -> None:
    lake = new_lake(tmp_path)
    assert _history(lake, feed, ["SPLIT", "SPECIAL"], NOW).quarantined == 0
