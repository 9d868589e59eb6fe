"""A source's own adjusted closes check its actions: a dividend not adjusted for, and one not listed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.config import FilesProvider
from scizor_dagster.market_data.adjusted_closes import contradictions
from scizor_dagster.market_data.collect import collect_actions, collect_history, rebuild_prices
from scizor_dagster.market_data.files import FilesMarket
from scizor_dagster.market_data.jumps import Action
from scizor_dagster.market_data.observed_dividends import ObservedDividend, store_dividends, withdraw_dividends
from tests.market_data.support import NOW, XNYS, actions_frame, market, rows

EPOCH = date(1970, 1, 1)
JANUARY = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 31))


def _vendor(path: Path) -> tuple[pd.DataFrame, dict[str, list[Action]]]:
    table = pd.read_csv(path)
    days = pd.to_datetime(table[table.columns[0]].str[:10]).astype("datetime64[s]")
    bars = pd.DataFrame({"symbol": "X", "session": days, "close": table["Close"], "adj_close": table["Adj Close"]})
    paid = table["Dividends"] + table.get("Capital Gains", 0.0)
    actions = [
        Action.of("dividend", day.date(), 1.0, amount, "split")
        for day, amount in zip(days, paid, strict=True)
        if amount
    ]
    return bars, {"X": [action for action in actions if action is not None]}


def test_a_dividend_that_the_vendor_has_not_adjusted_for_is_found_and_the_mended_file_has_none(reference_data) -> None:
    folder = reference_data / "vendor_data_faults"
    (step,) = contradictions(*_vendor(folder / "8TRA-DE-1d-missing-div-adjust.csv"))
    assert not step.is_dividend("split")
    fault = step.fault(taken=False)
    assert (fault.kind, fault.first) == ("adjusted_close", date(2023, 6, 2))
    assert "that is 0 on a close of 18.79; its actions say 0.962746, that is 0.7" in fault.told
    assert contradictions(*_vendor(folder / "8TRA-DE-1d-missing-div-adjust-fixed.csv")) == ()


@pytest.mark.parametrize("name", [
    "EWG-1d-no-bad-divs", "AET-L-1d-100x-error-fixed", "DEX-AX-1d-bad-stock-split-fixed",
])  # fmt: skip
def test_years_of_sound_dividends_contradict_nothing(reference_data, name) -> None:
    assert contradictions(*_vendor(reference_data / "vendor_data_faults" / f"{name}.csv")) == ()


def test_a_changed_adjusted_close_alone_is_a_dividend_that_is_not_listed(reference_data) -> None:
    bars, actions = _vendor(reference_data / "vendor_data_faults" / "EWG-1d-no-bad-divs.csv")
    assert len(actions["X"]) >= 3
    left = {"X": actions["X"][1:]}
    missing = actions["X"][0]
    (step,) = contradictions(bars, left)
    assert (step.session - EPOCH).days == missing.day
    assert step.is_dividend("split")
    assert step.amount == pytest.approx(missing.amount, rel=0.001)


def _files(folder, closes, adjusted, adjustment="raw"):
    """A source of files whose bars of A have these closes and adjusted closes."""
    lines = ["symbol,session,open,high,low,close,volume,adj_close"]
    for at, day in enumerate(JANUARY):
        close = closes[at]
        lines.append(f"A,{day},{close},{close + 1},{close - 1},{close},{1000 + at},{adjusted[at]}")
    (folder / "prices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = FilesProvider(type="files", path="prices.csv", format="csv", adjustment=adjustment)
    return FilesMarket(settings, folder, XNYS)


def _collect(lake, provider):
    return collect_history(lake, "us", market(), provider, XNYS, ["A"], 2024, 2024, NOW, through=JANUARY[-1])


def _actions(lake):
    return rows(lake, "SELECT ex_session, kind, amount, source FROM corporate_actions ORDER BY 1")


def test_a_dividend_that_only_the_adjusted_closes_show_is_an_action_until_the_source_lists_it(lake, tmp_path) -> None:
    provider = _files(tmp_path, [50.0] * 21, [49.0] * 10 + [50.0] * 11)
    report = _collect(lake, provider)
    (fault,) = report.faults
    assert (fault.kind, fault.first) == ("adjusted_close", JANUARY[10])
    assert "taken as a dividend" in fault.told
    assert rows(lake, "SELECT count(*) FROM bars WHERE close = 50") == [(report.inserted,)]
    assert _actions(lake) == [(JANUARY[10], "dividend", 1.0, f"observed:{provider.name}")]
    rebuild_prices(lake, "us", NOW)
    assert rows(lake, "SELECT min(total_return_close), max(total_return_close) FROM prices") == [(49.0, 50.0)]
    asked = (lake, "us", market(), provider, ["A"], JANUARY[0], JANUARY[-1], NOW)
    collect_actions(*asked)
    assert len(_actions(lake)) == 1
    paid = actions_frame([("A", JANUARY[10].isoformat(), "dividend", None, 1.02, "USD", None)])
    provider.corporate_actions = lambda symbols, first, last: paid
    assert collect_actions(*asked).changed
    assert _actions(lake) == [(JANUARY[10], "dividend", 1.02, provider.name)]


@pytest.mark.parametrize(("closes", "adjusted", "why"), [
    ([50.0] * 21, [49.95] * 10 + [50.0] * 11, "too small for prices rounded to cents"),
    ([50.0] * 10 + [47.6] * 11, [47.619] * 10 + [47.6] * 11, "as well a stock dividend of 21:20"),
    ([50.0] * 21, [51.0] * 10 + [50.0] * 11, "adjusted upwards"),
    ([50.0] * 21, [30.0] * 10 + [50.0] * 11, "more than a dividend is"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_a_step_that_is_not_certainly_a_dividend_is_reported_alone(lake, tmp_path, closes, adjusted, why) -> None:
    report = _collect(lake, _files(tmp_path, closes, adjusted))
    assert [fault.kind for fault in report.faults] == ["adjusted_close"]
    assert _actions(lake) == []


def test_a_step_over_a_session_without_a_bar_has_no_certain_day_and_is_reported_alone(lake, tmp_path) -> None:
    provider = _files(tmp_path, [50.0] * 21, [49.0] * 10 + [50.0] * 11)
    text = (tmp_path / "prices.csv").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if str(JANUARY[10]) not in line]
    (tmp_path / "prices.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert [fault.kind for fault in _collect(lake, provider).faults] == ["adjusted_close"]
    assert _actions(lake) == []


@pytest.mark.parametrize(("paid", "listed", "withdrawn"), [
    (1.0, (0, 3.0), True), (1.0, (2, 1.01), True), (1.0, (2, 1.2), False), (1.0, (7, 1.0), False),
])  # fmt: skip
def test_a_listed_dividend_is_the_observed_one_on_its_day_or_by_its_amount_near_it(lake, paid, listed, withdrawn):
    days, amount = listed
    seen = date(2024, 1, 10)
    frame = actions_frame([("A", (seen + timedelta(days)).isoformat(), "dividend", None, amount, "USD", None)])
    with lake.write() as cursor:
        store_dividends(cursor, "us", "files", [ObservedDividend("A", seen, paid)], NOW)
        assert withdraw_dividends(cursor, "us", frame) is withdrawn


def test_fifteen_years_of_real_adjusted_closes_give_every_dividend_with_its_day_and_amount(reference_data) -> None:
    table = pd.read_parquet(reference_data / "asx_and_etf_adjclose_2010_2024" / "ohlcv.parquet")
    table = table.rename(columns={"close_price": "close", "Adj Close": "adj_close"})
    bars = table[table["symbol"].isin(["SPY", "CBA.AX"])].copy()
    bars["session"] = pd.to_datetime(bars["timestamp"]).astype("datetime64[s]")
    steps = contradictions(bars, {})
    assert all(step.is_dividend("split") for step in steps)
    assert [sum(step.symbol == symbol for step in steps) for symbol in ("SPY", "CBA.AX")] == [60, 30]
    last = [(str(step.session), round(step.amount, 2)) for step in steps if step.symbol == "SPY"][-4:]
    assert last == [("2024-03-15", 1.6), ("2024-06-21", 1.76), ("2024-09-20", 1.75), ("2024-12-20", 1.97)]


def test_an_observed_dividend_that_is_listed_a_day_later_is_not_stored_beside_it(lake):
    seen = ObservedDividend("AAA", date(2024, 2, 8), 0.5)
    with lake.write() as cursor:
        cursor.execute(
            "INSERT INTO corporate_actions (market, symbol, ex_session, kind, amount, source, fetched_at) "
            "VALUES ('us', 'AAA', DATE '2024-02-09', 'dividend', 0.51, 'files', now())"
        )
        for dividend in (seen, replace(seen, amount=2.0)):
            store_dividends(cursor, "us", "files", [dividend], datetime(2024, 2, 12, tzinfo=UTC))
        found = cursor.execute("SELECT ex_session, amount FROM corporate_actions ORDER BY 1").fetchall()
    assert found == [(date(2024, 2, 8), 2.0), (date(2024, 2, 9), 0.51)]
