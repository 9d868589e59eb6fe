"""A backtest from its request to the lake: kept whole and once, or not at all, and equal to what it was made from."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from scizor_dagster.analytics import costs_model, performance, ratios
from scizor_dagster.analytics.costs_model import Commission, CostModel
from scizor_dagster.analytics.costs_store import store_costs
from scizor_dagster.analytics.ratios import sessions_a_year
from scizor_dagster.backtest import engine, engine_loop, figures, model, storage
from scizor_dagster.backtest.engine import BacktestCancelled
from scizor_dagster.backtest.model import Costs
from scizor_dagster.backtest.pages import page_of
from scizor_dagster.backtest.request import read_request
from scizor_dagster.backtest.storage import (
    TABLES_OF,
    backtest_named,
    delete_backtest,
    list_backtests,
    moment_of,
    read_frames,
)
from scizor_dagster.config import WeightRules
from scizor_dagster.errors import DataError, InputError, PriceUnavailable, SignalRefused
from scizor_dagster.flow import backtests
from scizor_dagster.flow.backtest_prices import EVERY_DAY
from scizor_dagster.flow.backtest_targets import Rules, matrix_of
from scizor_dagster.flow.backtest_weights import _Weights
from scizor_dagster.flow.backtests import MADE_BY, _per_share, prepare, run_request, year_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.bar_store import Origin, store_bars
from scizor_dagster.planning.rules_file import FileFractionalShares
from scizor_dagster.sessions import TradingCalendar
from tests.market_data.support import XNYS, bars_frame
from tests.projects import small_project, write_weights

NOW = datetime(2025, 3, 17, 22, tzinfo=UTC)
SESSIONS = XNYS.sessions(date(2025, 1, 2), date(2025, 3, 14))
NAMES = ("AAPL", "MSFT", "NVDA")
WEIGHTS = {
    date(2025, 1, 13): {"AAPL": 0.4, "MSFT": 0.4},
    date(2025, 2, 3): {"AAPL": 0.2, "MSFT": 0.3, "NVDA": 0.4},
    date(2025, 3, 3): {"NVDA": 0.5},
}


@pytest.fixture(autouse=True)
def _as_it_stands(monkeypatch):
    # Compiling would take longer than all of these runs.
    monkeypatch.setenv("SCIZOR_KERNEL", "python")


def walk(seed=7, names=NAMES):
    draw = np.random.default_rng(seed)
    rows = []
    for name in names:
        closes = 100 * np.exp(np.cumsum(draw.normal(0.0, 0.02, len(SESSIONS))))
        for day, close in zip(SESSIONS, closes, strict=True):
            price = round(float(close), 2)
            rows.append((name, str(day), price, price + 1, price - 1, round(price + 0.25, 2), 1e6))
    return bars_frame(rows)


def desk_at(folder, now=NOW, **changes):
    project = small_project(folder, **changes)
    write_weights(folder / "weights.csv", WEIGHTS)
    desk = Desk(project.settings, lambda: now)
    with desk.lake.write() as cursor:
        store_bars(cursor, walk(), Origin("us", "raw", False, "x", NOW))
    return desk


@pytest.fixture
def desk(tmp_path):
    made = desk_at(tmp_path)
    yield made
    made.lake.close()


def rows_of(desk):
    with desk.lake.read() as cursor:
        return {name: cursor.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES_OF}


def test_a_backtest_of_a_portfolio_is_kept_whole_and_once(desk):
    ran = run_request(desk, read_request({"portfolio": "main", "name": "mine"}))
    head, frames = ran.head, ran.frames
    assert (ran.fresh, head.title, head.market, head.portfolio) == (True, "mine", "us", "main")
    assert (head.start, head.first_session, head.last_session) == (date(2025, 1, 10), date(2025, 1, 13), SESSIONS[-1])
    stored = rows_of(desk)
    assert stored["backtests"] == 1
    assert stored["backtest_equity"] == len(frames.equity) == head.sessions
    assert stored["backtest_trades"] == len(frames.trades) > 6
    again = run_request(desk, read_request({"portfolio": "main", "name": "mine"}), _never)
    assert (again.fresh, again.head.backtest_id) == (False, head.backtest_id)
    assert rows_of(desk) == stored
    for name in ("equity", "months", "trades", "instruments"):
        told, read = getattr(frames, name), getattr(again.frames, name)[list(getattr(frames, name).columns)]
        pd.testing.assert_frame_equal(told.astype(object), read.astype(object), check_dtype=False)
    assert {name: value for name, value in again.head.figures.items() if value == value} == {
        name: value for name, value in head.figures.items() if value == value
    }


def _never(_done, _total):
    raise AssertionError("a kept backtest is not run again")


def test_what_is_kept_adds_up(desk):
    ran = run_request(desk, read_request({"portfolio": "main", "commission_bps": 10.0, "cash_rate": 0.02}))
    equity, trades = ran.frames.equity, ran.frames.trades
    with desk.lake.read() as cursor:
        held = cursor.execute(
            "SELECT session, sum(value), count(*) FROM backtest_positions GROUP BY session ORDER BY session"
        ).fetchall()
    by_day = {day: (value, count) for day, value, count in held}
    for row in equity.to_dict("records"):
        value, count = by_day.get(row["session"], (0.0, 0))
        assert row["cash"] + value == pytest.approx(row["equity"], abs=1e-6)
        assert (row["positions"], row["net"]) == (count, pytest.approx(value))
    assert equity["commission"].sum() == pytest.approx(trades["commission"].sum())
    assert equity["commission"].sum() == pytest.approx(equity["traded"].sum() * 1e-3, rel=0.01)
    profit = ran.head.equity - ran.head.capital
    assert ran.frames.instruments["profit"].sum() + equity["interest"].sum() == pytest.approx(profit, abs=0.02)
    assert ran.frames.months["profit"].sum() == pytest.approx(profit)
    linked = (1 + ran.frames.months["return"]).prod() - 1
    assert linked == pytest.approx(ran.head.figures["total_return"]) == pytest.approx(profit / ran.head.capital)
    # Interest counts from the session before the first one that trades.
    assert equity["interest"].iloc[0] < 100_000 * 0.02 * 4 / 365


def test_other_inputs_rules_or_costs_are_another_backtest(desk, tmp_path):
    made = {prepare(desk, read_request({"portfolio": "main"})).backtest_id}
    made.add(prepare(desk, read_request({"portfolio": "main", "capital": 5000.0})).backtest_id)
    made.add(prepare(desk, read_request({"portfolio": "main", "slippage_bps": 1.0})).backtest_id)
    write_weights(tmp_path / "weights.csv", {**WEIGHTS, date(2025, 3, 3): {"NVDA": 0.4}})
    made.add(prepare(desk, read_request({"portfolio": "main"})).backtest_id)
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE bars SET close = close + 0.01 WHERE symbol = 'AAPL' AND session = '2025-02-03'")
    made.add(prepare(desk, read_request({"portfolio": "main"})).backtest_id)
    assert len(made) == 5


def test_what_the_planner_knows_of_an_instrument_and_where_returns_begin_are_inputs_too(desk):
    prepared = prepare(desk, read_request({"portfolio": "main"}))
    first, *others = prepared.history.instruments
    made = {prepared.backtest_id, replace(prepared, begins=prepared.begins - 1).backtest_id}
    for change in ({"lot": 100}, {"fractionable": False}, {"tradable": False}, {"shortable": False}):
        history = replace(prepared.history, instruments=(replace(first, **change), *others))
        made.add(replace(prepared, history=history).backtest_id)
    made.add(replace(prepared, sessions_a_year=250).backtest_id)
    assert len(made) == 7


def test_the_code_of_a_result_is_all_that_makes_its_numbers():
    package = Path(backtests.__file__).parent.parent
    named = {path.relative_to(package).as_posix() for pattern in MADE_BY for path in package.glob(pattern)}
    assert len(named) > len(MADE_BY) > 5
    for module in (engine, engine_loop, model, figures, ratios, performance, costs_model):
        assert Path(module.__file__).relative_to(package).as_posix() in named


@pytest.mark.parametrize(
    ("frequency", "year"), [("B", 252), ("D", 365), ("W", 52), ("ME", 12), ("QE", 4), ("12h", 252)]
)
def test_without_a_calendar_a_year_has_as_many_sessions_as_the_file(frequency, year):
    count = 12 if frequency == "12h" else 80
    days = tuple(sorted({stamp.date() for stamp in pd.date_range("2010-01-01", periods=count, freq=frequency)}))
    source = SimpleNamespace(calendar=TradingCalendar(EVERY_DAY))
    assert year_of(source, SimpleNamespace(sessions=days)) == year


@pytest.mark.parametrize(("adjustment", "told"), [("raw", False), ("split", True), ("total_return", True)])
def test_a_fee_by_the_share_on_adjusted_prices_is_named(adjustment, told):
    costs = Costs(commission=Commission(per_share=0.005))
    assert bool(_per_share(SimpleNamespace(adjustment=adjustment), [Costs(), costs])) == told
    assert _per_share(SimpleNamespace(adjustment=adjustment), [Costs()]) == []


def test_a_run_that_is_cancelled_or_dies_while_it_is_written_leaves_nothing(desk, monkeypatch):
    request = read_request({"portfolio": "main"})
    with pytest.raises(BacktestCancelled):
        run_request(desk, request, lambda _done, _total: False)
    whole = storage.append_rows

    def dies(cursor, table, frame):
        if table == "backtest_decisions":
            raise KeyboardInterrupt
        return whole(cursor, table, frame)

    monkeypatch.setattr(storage, "append_rows", dies)
    with pytest.raises(KeyboardInterrupt):
        run_request(desk, request)
    assert set(rows_of(desk).values()) == {0}


def test_a_deleted_backtest_is_in_no_table_and_others_stay(desk):
    first = run_request(desk, read_request({"portfolio": "main"})).head
    second = run_request(desk, read_request({"portfolio": "main", "keep_positions": False})).head
    assert {one.backtest_id for one in list_backtests(desk.lake)} == {second.backtest_id, first.backtest_id}
    assert backtest_named(desk.lake, first.short) == backtest_named(desk.lake, first.backtest_id)
    delete_backtest(desk.lake, first.backtest_id)
    assert list_backtests(desk.lake) == [backtest_named(desk.lake, second.backtest_id)]
    assert rows_of(desk)["backtest_positions"] == rows_of(desk)["backtest_decisions"] == 0
    with pytest.raises(InputError, match=r"no backtest '.*scizor backtest list"):
        backtest_named(desk.lake, first.short)
    run_request(desk, read_request({"portfolio": "main"}))
    with pytest.raises(InputError, match="2 backtests begin with ''"):
        backtest_named(desk.lake, "")


def test_one_instrument_in_one_session_leads_from_weight_to_cost(desk):
    head = run_request(desk, read_request({"portfolio": "main"})).head
    moment = moment_of(desk.lake, head.backtest_id, "AAPL", date(2025, 2, 3))
    assert moment.decided == {"session": date(2025, 2, 3), "weight": 0.2, "reason": "rebalance"}
    [trade] = moment.trades
    assert trade["planned"] == trade["filled"] < 0
    assert trade["reference"] != trade["price"]
    assert trade["spread"] > 0
    assert moment.before["units"] + trade["filled"] == moment.held["units"]
    quiet = moment_of(desk.lake, head.backtest_id, "AAPL", date(2025, 2, 4))
    assert (quiet.trades, quiet.decided["session"]) == ((), date(2025, 2, 3))
    assert moment_of(desk.lake, head.backtest_id, "GOOG", date(2025, 2, 4)).decided is None


def test_no_plan_knows_what_its_session_brings(desk):
    request = read_request({"portfolio": "main"})
    before = run_request(desk, request).frames.trades
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE bars SET open = 50, low = 1, close = 2 WHERE session >= '2025-02-03'")
    after = run_request(desk, request).frames.trades
    names = ["session", "symbol", "planned", "reference"]
    day = pd.Timestamp(2025, 2, 3)
    pd.testing.assert_frame_equal(before[before["session"] <= day][names], after[after["session"] <= day][names])


def test_a_session_that_has_not_closed_is_not_there(tmp_path):
    early = desk_at(tmp_path, datetime(2025, 3, 14, 15, tzinfo=UTC))
    prepared = prepare(early, read_request({"portfolio": "main"}))
    assert prepared.history.sessions[-1] == date(2025, 3, 13)
    early.lake.close()


def test_stored_targets_are_the_weights_of_the_files(desk):
    for day in WEIGHTS:
        consolidate_session(desk, "main", day)
    files = prepare(desk, read_request({"portfolio": "main"}))
    stored = prepare(desk, read_request({"portfolio": "main", "stored": True}))
    rows = prepare(desk, read_request({"portfolio": "main", "strategy": "weekly", "stored": True}))
    for other in (stored, rows):
        np.testing.assert_array_equal(files.schedule.rows, other.schedule.rows)
        np.testing.assert_array_equal(files.schedule.weights, other.schedule.weights)


def test_all_at_once_and_session_by_session_make_the_same_schedule(desk, monkeypatch):
    at_once = prepare(desk, read_request({"portfolio": "main"}))
    monkeypatch.setattr(_Weights, "_is_plain", property(lambda _self: False))
    slowly = prepare(desk, read_request({"portfolio": "main"}))
    np.testing.assert_array_equal(at_once.schedule.rows, slowly.schedule.rows)
    np.testing.assert_array_equal(at_once.schedule.weights, slowly.schedule.weights)


@pytest.mark.parametrize("dated", ["signal_close", "trade_session"])
def test_without_a_calendar_weights_of_a_day_off_trade_in_the_next_date_of_the_prices_either_way(
    desk, tmp_path, monkeypatch, dated
):
    # Fridays, whose next day is no date of the prices, and a Saturday.
    path = write_weights(
        tmp_path / "mine.csv",
        {date(2025, 1, 10): {"AAPL": 0.4}, date(2025, 1, 25): {"AAPL": 0.2}, date(2025, 1, 31): {"AAPL": 0.3}},
    )
    closes = walk().pivot(index="session", columns="symbol", values="close")
    closes.to_csv(tmp_path / "prices.csv")
    request = read_request({"weights": str(path), "prices": str(tmp_path / "prices.csv"), "dated": dated})
    at_once = prepare(desk, request).schedule
    monkeypatch.setattr(_Weights, "_is_plain", property(lambda _: False))
    slowly = prepare(desk, request).schedule
    assert len(at_once.rows) == 3
    np.testing.assert_array_equal(at_once.rows, slowly.rows)
    np.testing.assert_array_equal(at_once.weights, slowly.weights)


def test_a_portfolio_on_a_file_of_prices_keeps_the_calendar_of_its_market(desk, tmp_path):
    closes = walk().pivot(index="session", columns="symbol", values="close").drop(index=pd.Timestamp(2025, 1, 15))
    closes.to_csv(tmp_path / "prices.csv")
    prepared = prepare(desk, read_request({"portfolio": "main", "prices": str(tmp_path / "prices.csv")}))
    assert date(2025, 1, 15) in prepared.history.sessions
    assert prepared.sessions_a_year == sessions_a_year(XNYS, 2025)


def test_a_blend_with_overlays_is_what_live_consolidation_makes_of_the_same_files(tmp_path):
    blend = {"mode": "blend", "strategy": None, "overlays": [{"cap_per_name": 0.35}],
             "strategies": [{"id": "weekly", "capital": 0.6}, {"id": "other", "capital": 0.4}]}  # fmt: skip
    desk = desk_at(tmp_path, portfolios={"main": {"signals": blend}})
    entry = {"id": "other", "path": "other.csv", "format": "csv"}
    manifest = yaml.safe_load((tmp_path / "strategy_manifest.yaml").read_text(encoding="utf-8"))
    manifest["strategies"].append(entry)
    (tmp_path / "strategy_manifest.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    days = list(WEIGHTS)
    write_weights(tmp_path / "other.csv", {day: {"MSFT": 0.5, "NVDA": 0.3} for day in (*days[:2], date(2025, 2, 18))})
    prepared = prepare(desk, read_request({"portfolio": "main"}))
    names = [item.symbol for item in prepared.history.instruments]
    assert [prepared.history.sessions[row] for row in prepared.schedule.rows] == days[:2]
    for day, row in zip(days, prepared.schedule.weights, strict=False):
        targets = {one.symbol: float(one.target_weight) for one in consolidate_session(desk, "main", day).rows}
        assert dict(zip(names, row.tolist(), strict=True)) == {name: targets.get(name, 0.0) for name in names}
    assert any("In 2 sessions not every strategy has weights" in note for note in prepared.schedule.notes)
    desk.lake.close()


def test_weights_from_before_the_first_stored_price_are_left_out_and_no_time_is_made_up(desk, tmp_path):
    path = write_weights(tmp_path / "old.csv", {date(2020, 1, 6): {"AAPL": 0.4}, date(2025, 1, 13): {"AAPL": 0.5}})
    prepared = prepare(desk, read_request({"weights": str(path)}))
    assert prepared.history.sessions[0] == SESSIONS[0]
    assert prepared.history.sessions[prepared.begins] == date(2025, 1, 10)
    assert any("before the first session that trades and are left out: 2020-01-06" in note
               for note in prepared.schedule.notes)  # fmt: skip


def test_weights_that_hold_on_are_rebalanced_every_session_as_long_as_they_may(tmp_path):
    signals = {"as_of": "latest", "max_age_sessions": 2}
    desk = desk_at(tmp_path, portfolios={"main": {"signals": signals}})
    prepared = prepare(desk, read_request({"portfolio": "main"}))
    days = [prepared.history.sessions[row] for row in prepared.schedule.rows]
    expected = [day for start in WEIGHTS for day in XNYS.sessions(start, SESSIONS[-1])[:3]]
    assert days == expected
    desk.lake.close()


def test_an_unknown_id_refuses_the_file_with_its_line_or_is_set_aside_by_name(desk, tmp_path):
    path = write_weights(tmp_path / "mine.csv", {date(2025, 1, 13): {"AAPL": 0.4, "ZZZ": 0.1}})
    with pytest.raises(
        SignalRefused, match=r"mine\.csv: The weight file was refused: unknown_id.*ZZZ.*--unknown-ids quarantine. N"
    ):
        prepare(desk, read_request({"weights": str(path)}))
    with pytest.raises(SignalRefused, match="is not in the universe of market us"):
        prepare(desk, read_request({"weights": str(path)}))
    lenient = prepare(desk, read_request({"weights": str(path), "unknown_ids": "quarantine"}))
    assert any(
        "its weight in cash and what is held of it left as it is: ZZZ" in note for note in lenient.schedule.notes
    )
    assert lenient.schedule.weights.tolist() == [[0.4]]


def test_what_a_target_that_was_set_aside_may_mean_keeps_its_holding_as_live(desk, tmp_path):
    for day in WEIGHTS:
        consolidate_session(desk, "main", day)
    with desk.lake.write() as cursor:
        cursor.execute(
            "UPDATE target_weights SET status = 'ambiguous_id', symbol = '', candidates = 'AAPL,GOOG' "
            "WHERE symbol = 'AAPL' AND session = '2025-02-03'"
        )
        cursor.execute(
            "UPDATE target_weights SET status = 'strategy_idle' WHERE symbol = 'NVDA' AND session = '2025-03-03'"
        )
    prepared = prepare(desk, read_request({"portfolio": "main", "stored": True}))
    names = [item.symbol for item in prepared.history.instruments]
    kept = [[name for name, left in zip(names, row, strict=True) if left] for row in prepared.schedule.kept]
    assert kept == [[], ["AAPL"], ["NVDA"]]
    assert prepared.schedule.weights[1:, names.index("AAPL")].tolist() == [0.0, 0.0]
    frames = run_request(desk, read_request({"portfolio": "main", "stored": True}), store=False).frames
    sold = frames.trades[frames.trades["filled"] < 0].groupby("symbol", observed=True)["session"].min()
    assert sold["AAPL"] == pd.Timestamp(2025, 3, 3)
    assert "NVDA" not in sold.index


def test_an_id_that_may_be_two_tickers_leaves_alone_what_another_id_has_bought(desk, tmp_path):
    (tmp_path / "ids.csv").write_text("id,ticker\n1,AAPL\n2,AAPL\n2,MSFT\n", encoding="utf-8")
    path = tmp_path / "strategy_manifest.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    manifest["strategies"][0] |= {
        "mapping": {"file": "ids.csv", "id_column": "id", "symbol_column": "ticker"},
        "on_unknown_id": "quarantine",
        "max_quarantined_weight": 0.5,
    }
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    write_weights(tmp_path / "weights.csv", {date(2025, 1, 13): {"1": 0.4}, date(2025, 2, 3): {"2": 0.3}})
    prepared = prepare(desk, read_request({"portfolio": "main"}))
    names = [item.symbol for item in prepared.history.instruments]
    assert prepared.schedule.kept[:, names.index("AAPL")].tolist() == [False, True]
    result = run_request(desk, read_request({"portfolio": "main"}), store=False)
    assert len(result.frames.trades) == 1


def test_the_weight_of_an_id_that_may_be_two_tickers_counts_in_the_sum_as_live(desk, tmp_path, monkeypatch):
    (tmp_path / "ids.csv").write_text("id,ticker\n1,AAPL\n2,GOOG\n2,MSFT\n3,NVDA\n", encoding="utf-8")
    path = tmp_path / "strategy_manifest.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    manifest["strategies"][0] |= {
        "mapping": {"file": "ids.csv", "id_column": "id", "symbol_column": "ticker"},
        "max_quarantined_weight": 0.5,
    }
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    write_weights(tmp_path / "weights.csv", {SESSIONS[7]: {"1": 0.4, "2": 0.3, "3": 0.301}, SESSIONS[9]: {"1": 0.4}})
    expected = [[pytest.approx(0.4 / 1.001)], [0.4]]
    assert prepare(desk, read_request({"portfolio": "main"})).schedule.weights[:, :1].tolist() == expected
    monkeypatch.setattr(_Weights, "_is_plain", property(lambda _self: False))
    assert prepare(desk, read_request({"portfolio": "main"})).schedule.weights[:, :1].tolist() == expected
    rules = Rules(WeightRules(), FileFractionalShares(max_total_weight=1.0, adjust_for_overflow=False))
    day = date(2025, 1, 13)
    assert matrix_of({day: {"A": 0.4}}, rules, {}, {day: [0.601]}).weights.tolist() == [[0.4]]
    with pytest.raises(DataError, match=r"With what was set aside, the weights of 2025-01-13 sum to 1.1; at most 1"):
        matrix_of({day: {"A": 0.4}}, rules, {}, {day: [0.7]})


def test_a_benchmark_is_compared_by_its_total_returns(desk):
    rebuild_prices(desk.lake, "us", NOW)
    frames = run_request(desk, read_request({"portfolio": "main", "benchmark": "MSFT.XNAS"})).frames
    closes = walk().set_index(["symbol", "session"])["close"]["MSFT"]
    expected = closes.pct_change().loc[pd.Timestamp(2025, 1, 13) :].to_numpy()
    np.testing.assert_allclose(frames.equity["benchmark_return"].to_numpy(dtype=float), expected)
    assert frames.figures["benchmark_return"] == pytest.approx((1 + expected).prod() - 1)


def test_a_benchmark_that_nobody_knows_is_refused_before_anything_runs(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(backtests, "run_backtest", _never)
    with pytest.raises(InputError, match=r"The benchmark MSTF is not in market 'us'. Did you mean MSFT"):
        run_request(desk, read_request({"portfolio": "main", "benchmark": "MSTF"}))
    with pytest.raises(PriceUnavailable, match="The benchmark GOOG has no total-return prices in the lake"):
        run_request(desk, read_request({"portfolio": "main", "benchmark": "GOOG"}))
    wide = walk().pivot(index="session", columns="symbol", values="close")
    wide.rename_axis("date").to_csv(tmp_path / "prices.csv", date_format="%Y-%m-%d")
    asked = {"weights": str(tmp_path / "weights.csv"), "prices": str(tmp_path / "prices.csv")}
    with pytest.raises(InputError, match=r"The benchmark SPY is not in the file of prices. Name one that has prices"):
        run_request(desk, read_request(asked | {"benchmark": "SPY"}))
    assert prepare(desk, read_request(asked | {"benchmark": "NVDA.XNAS"})).benchmark is not None


def test_a_larger_delay_or_interest_on_cash_begins_no_curve_earlier_and_takes_no_price_away(desk):
    plain = prepare(desk, read_request({"portfolio": "main"}))
    for more in ({"delay": 3}, {"cash_rate": 0.05}, {"delay": 3, "cash_rate": 0.05}):
        other = prepare(desk, read_request({"portfolio": "main"} | more))
        assert other.history.sessions == plain.history.sessions
        assert (other.begins, other.choices.begins) == (plain.begins, plain.begins)
        assert other.history.sessions[other.begins] == date(2025, 1, 10)
        assert other.begins > 3


def test_interest_begins_with_the_curve(desk):
    ran = run_request(desk, read_request({"portfolio": "main", "cash_rate": 0.05, "first": "2025-01-08"}), store=False)
    assert (ran.head.start, ran.head.first_session) == (date(2025, 1, 7), date(2025, 1, 8))
    equity = ran.frames.equity
    assert equity["equity"].iloc[0] == pytest.approx(100_000 * (1 + 0.05 / 365))
    assert (equity["interest"] > 0).all()


def test_a_symbol_of_the_universe_without_prices_is_named(desk, tmp_path):
    path = write_weights(tmp_path / "mine.csv", {date(2025, 1, 13): {"AAPL": 0.4, "GOOG": 0.1}})
    ran = run_request(desk, read_request({"weights": str(path)}))
    assert any("so that their weight stays in cash: GOOG (up to 10.00%)" in note for note in ran.head.notes)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "Name a portfolio, a strategy or a file"),
        ({"portfolio": "main", "rules": "r.yaml"}, "portfolio has rules of its own"),
        ({"portfolio": "main", "delay": 0, "fill": "open"}, "delay 0 goes with fill close"),
        ({"portfolio": "main", "first": "2025-02-01", "last": "2025-01-01"}, "after last"),
        ({"portfolio": "main", "commission_bps": -1.0}, "commission_bps '-1.0'"),
        ({"portfolio": "main", "wieghts": "x"}, "wieghts"),
        ({"portfolio": "main", "prices": "p.csv", "market": "us"}, "'prices' names a file"),
        ({"weights": "w.csv", "stored": True}, "'stored' takes weights out of the lake"),
        ({"weights": "w.csv", "calendar": "XNYS"}, "go with 'prices'"),
        ({"weights": "w.csv", "parameters": {"top": 3}}, "'rebalance' are of a strategy in Python"),
        ({"strategy": "own", "stored": True, "rebalance": "weekly"}, "'rebalance' are of a strategy in Python"),
        ({"strategy": "own", "dated": "signal_close"}, "'dated' is of a file of weights"),
        ({"strategy": "own", "weights": "w.csv", "unknown_ids": "refuse"}, "'unknown_ids' is of a file of weights"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(values, told):
    with pytest.raises(InputError, match=told):
        read_request(values)


def test_what_cannot_be_run_says_so_before_anything_is_read(desk, tmp_path):
    with pytest.raises(InputError, match="does not know NOPE"):
        prepare(desk, read_request({"portfolio": "main", "symbols": ["NOPE"]}))
    with pytest.raises(InputError, match="No weights trade in the sessions"):
        prepare(desk, read_request({"portfolio": "main", "first": "2025-03-10"}))
    with pytest.raises(InputError, match="is no format of weight files"):
        prepare(desk, read_request({"weights": str(tmp_path / "w.txt")}))
    with pytest.raises(PriceUnavailable, match="none of their split prices: the factors are not computed"):
        prepare(desk, read_request({"portfolio": "main", "kind": "split", "first": "2025-01-13"}))


def test_costs_are_those_learned_or_of_the_venue_and_the_notes_say_which(desk):
    venue = prepare(desk, read_request({"portfolio": "main"}))
    assert venue.choices.costs.half_spread_bps == 1.0
    assert any("Costs of account 'paper' at the embedded exchange" in note for note in venue.notes)
    model = CostModel(3.0, 0.5, 1.0, 0.1, orders=40, session=date(2025, 2, 28), fitted=True)
    store_costs(desk.lake, "main", date(2025, 2, 28), [], {("portfolio", "main"): model}, NOW, venue="paper")
    learned = prepare(desk, read_request({"portfolio": "main", "slippage_bps": 2.0, "first": "2025-03-03"}))
    assert learned.choices.costs.half_spread_bps == 3.0
    assert learned.choices.costs_of["AAPL"].slippage_bps == 2.0
    assert learned.choices.costs_of["AAPL"].impact_bps == pytest.approx(0.5 * 200, rel=0.5)
    assert "learned from 40 orders of portfolio 'main' up to 2025-02-28" in learned.notes[0]
    assert "In place of that, as given: slippage_bps 2." in learned.notes[0]


def test_learned_costs_know_nothing_of_the_time_of_the_backtest(desk):
    model = CostModel(3.0, 0.5, 1.0, 0.1, orders=40, session=date(2025, 2, 28), fitted=True)
    store_costs(desk.lake, "main", date(2025, 2, 28), [], {("portfolio", "main"): model}, NOW, venue="paper")
    earlier = prepare(desk, read_request({"portfolio": "main", "first": "2025-02-03"}))
    assert earlier.choices.costs == prepare(desk, read_request({"portfolio": "main"})).choices.costs
    assert not earlier.choices.costs_of
    assert "up to 2025-02-28 is not used, for nobody knew it in 2025-02-03: half a spread of 3.00" in earlier.notes[0]
    request = read_request({"portfolio": "main", "first": "2025-03-03"})
    before = prepare(desk, request).choices
    # Whatever comes later, costs stay as they are.
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE bars SET close = 2 * close, high = 2 * high WHERE session >= '2025-03-03'")
    after = prepare(desk, request).choices
    assert (after.costs, after.costs_of) == (before.costs, before.costs_of)
    assert before.costs.half_spread_bps == 3.0
    sigmas = walk().set_index(["session", "symbol"])["close"].unstack()[: pd.Timestamp(2025, 2, 28)].pct_change().std()
    assert before.costs_of["AAPL"].impact_bps == pytest.approx(0.5 * sigmas["AAPL"] * 1e4)
    assert before.costs.impact_bps == pytest.approx(0.5 * sigmas.median() * 1e4)


def test_the_page_of_a_kept_backtest_is_that_of_a_fresh_one_and_names_what_it_was_made_from(desk):
    from scizor_dagster.analytics.report.page import render

    rebuild_prices(desk.lake, "us", NOW)
    request = read_request({"portfolio": "main", "benchmark": "MSFT.XNAS"})
    fresh = run_request(desk, request)
    page = render(page_of(fresh.head, fresh.frames))
    kept = backtest_named(desk.lake, fresh.head.backtest_id)
    assert render(page_of(kept, read_frames(desk.lake, kept.backtest_id))) == page
    for text in ("What was paid", "Exposure and turnover by year", fresh.head.backtest_id, "weights.csv", "MSFT.XNAS"):
        assert text in page
