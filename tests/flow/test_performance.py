"""What measured sessions come to: profits that add up, money from outside that is no gain, and a benchmark beside."""

import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.analytics.attribution import GROUPINGS, read_lines, read_sums, summed
from scizor_dagster.analytics.performance import read_performance
from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.brokers.protocol import BrokerActivity
from scizor_dagster.errors import InputError
from scizor_dagster.flow.closing import go_through
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import refresh_prices
from scizor_dagster.flow.measuring import MeasuredSession, measure_session
from scizor_dagster.flow.performance import performance_of
from scizor_dagster.flow.wealth import wealth_before
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rebuilt import state_cash
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.signals.arithmetic import exact_arithmetic
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.projects import project_at, small_project, write_weights

D = Decimal
TREND = {FIRST: {"AAPL": 0.3, "MSFT": 0.3, "META": -0.1}, SECOND: {"AAPL": 0.4, "GOOG": 0.2}}
VALUE = {FIRST: {"MSFT": 0.1, "NVDA": 0.4}, SECOND: {"MSFT": 0.2, "META": 0.3}}
BETWEEN = date(2025, 3, 5)
AFTER = date(2025, 3, 12)
LATER = NOW + timedelta(hours=1)
SUMS = ("realised", "unrealised", "income", "fees", "inflow", "profit")


def desk_at(folder: Path, now: datetime = NOW, **more: Any) -> Desk:
    """Two strategies share the capital, whose returns are compared with AMZN."""
    signals = {
        "mode": "blend",
        "strategy": None,
        "strategies": [{"id": "trend", "capital": 0.6}, {"id": "value", "capital": 0.4}],
    }
    main = {"signals": signals, "benchmark": "AMZN.XNAS", **more}
    small_project(folder, portfolios={"main": main}, weights={"allow_short": True})
    entries = [{"id": name, "path": f"{name}.csv", "format": "csv"} for name in ("trend", "value")]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    return Desk(project_at(folder).settings, lambda: now)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions that were traded, of four that were measured."""
    folder = tmp_path_factory.mktemp("measured")
    collected(folder).lake.close()
    write_weights(folder / "trend.csv", TREND)
    write_weights(folder / "value.csv", VALUE)
    desk = desk_at(folder)
    refresh_prices(desk, "us")
    trade(desk, FIRST)
    for session in (FIRST, BETWEEN):
        measured(desk, session)
    trade(desk, SECOND)
    for session in (SECOND, AFTER):
        measured(desk, session)
    desk.lake.close()
    desk.ledger.close()
    return folder


Copies = Callable[..., Desk]


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Copies:
    def make(now: datetime = NOW, **more: Any) -> Desk:
        shutil.copytree(template, tmp_path, dirs_exist_ok=True)
        return desk_at(tmp_path, now, **more)

    return make


def measured(desk: Desk, session: date) -> MeasuredSession:
    found = measure_session(desk, "main", session)
    assert found is not None
    return found


def told(desk: Desk, kind: str, session: date, amount: str, at: datetime = NOW) -> None:
    said = BrokerActivity(f"{kind}-{session}", kind, session, None, D(amount), None)
    with desk.ledger.transaction() as connection:
        record_activity(connection, "paper", said, now=at)


def forget(desk: Desk, after: date) -> None:
    """The sessions after `after` are not measured."""
    with desk.lake.write() as cursor:
        for table in ("performance", "profit_by_instrument", "profit_by_strategy"):
            cursor.execute(f"DELETE FROM {table} WHERE session > ?", [after])


def stored(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    return {by: read_lines(desk.lake, by, "main", date.min, date.max) for by in ("instrument", "strategy")}


def test_profits_by_strategy_sum_to_those_by_instrument_and_these_to_the_equity(copy: Copies) -> None:
    desk = copy()
    curve, lines = read_performance(desk.lake, "main"), stored(desk)
    before = 100_000.0
    with exact_arithmetic():
        for row in curve.to_dict("records"):
            today = {by: [line for line in of if line["session"] == row["session"]] for by, of in lines.items()}
            symbols = {line["symbol"] for line in today["instrument"]}
            for symbol in symbols:
                whole = next(line for line in today["instrument"] if line["symbol"] == symbol)
                parts = [line for line in today["strategy"] if line["symbol"] == symbol]
                for name in ("qty", "value", "income", "fees", "inflow", "profit"):
                    assert sum(part[name] for part in parts) == whole[name], (symbol, name)
            profit = sum(line["profit"] for line in today["instrument"])
            assert float(profit) == pytest.approx(row["equity"] - before - row["flows"], abs=1e-8)
            before = row["equity"]
    assert curve["equity"].nunique() == 4
    summary = performance_of(desk, "main")
    assert float(summary.amounts["profit"]) == pytest.approx(summary.equity - summary.equity_before, abs=1e-7)
    for by in GROUPINGS:
        lines = read_lines(desk.lake, by, "main", date.min, date.max)
        assert read_sums(desk.lake, by, "main", FIRST, AFTER) == summed(lines, by)
        assert sum(row["profit"] for row in summary.profits[by]) == pytest.approx(summary.amounts["profit"])


def test_each_strategy_holds_its_part_of_what_the_portfolio_holds(copy: Copies) -> None:
    desk = copy()
    lines = [line for line in stored(desk)["strategy"] if line["session"] == AFTER]
    held = {(line["strategy"], line["symbol"]): line["qty"] for line in lines if line["qty"]}
    assert {symbol: name for name, symbol in held if symbol != "META"} == {
        "AAPL": "trend", "GOOG": "trend", "MSFT": "value",
    }  # fmt: skip
    # The one leaves a short position and the other buys, of which little was filled: each is as far on its way.
    trend, value = held["trend", "META"], held["value", "META"]
    assert trend < 0 < value
    with desk.ledger.read() as connection:
        mine = owned(connection, "paper", "main", through=AFTER)
    assert trend + value == mine["META"]
    assert {symbol: qty for (_, symbol), qty in held.items() if symbol != "META"} == {
        symbol: qty for symbol, qty in mine.items() if symbol != "META"
    }
    first = [line for line in stored(desk)["strategy"] if line["session"] == FIRST and line["symbol"] == "MSFT"]
    parts = {line["strategy"]: line["qty"] for line in first}
    assert float(parts["trend"] / parts["value"]) == pytest.approx(0.18 / 0.04)


def test_profits_that_are_not_there_are_added_up_from_the_first_session(copy: Copies) -> None:
    desk = copy()
    before = stored(desk)
    with desk.lake.write() as cursor:
        for table in ("profit_by_instrument", "profit_by_strategy"):
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute("UPDATE performance SET account_money = NULL")
    assert any("by an earlier version" in note for note in performance_of(desk, "main").notes)
    measured(desk, AFTER)
    last = {by: [line for line in of if line["session"] == AFTER] for by, of in before.items()}
    assert stored(desk) == last


def test_a_session_that_was_not_measured_is_in_the_profit_of_the_next_one(copy: Copies) -> None:
    desk = copy()
    whole = performance_of(desk, "main")
    forget(desk, FIRST)
    measured(desk, AFTER)
    gap = performance_of(desk, "main")
    assert (gap.sessions, gap.amounts["profit"]) == (2, whole.amounts["profit"])
    assert gap.time_weighted == pytest.approx(whole.time_weighted)
    assert [row["strategy"] for row in gap.profits["strategy"]] == [
        row["strategy"] for row in whole.profits["strategy"]
    ]


def test_a_deposit_is_no_gain_of_any_session_though_it_is_told_late(copy: Copies) -> None:
    desk = copy(LATER)
    before = read_performance(desk.lake, "main")
    told(desk, "deposit", BETWEEN, "10000", at=LATER)
    measured(desk, AFTER)
    after = read_performance(desk.lake, "main")
    assert [round(gap, 6) for gap in after["equity"] - before["equity"]] == [0, 10_000, 10_000, 10_000]
    assert list(after["flows"]) == [0, 10_000, 0, 0]
    assert list(after["return"][:2]) == pytest.approx(list(before["return"][:2]))
    summary = performance_of(desk, "main")
    assert (summary.flows, summary.amounts["inflow"]) == (10_000, 10_000)
    assert summary.amounts["profit"] == performance_of(copy(), "main").amounts["profit"]
    assert summary.money_weighted.period != pytest.approx(summary.time_weighted)


def test_interest_and_fees_of_the_account_are_profit_and_none_of_a_portfolio_of_an_amount(copy: Copies) -> None:
    desk = copy(LATER)
    before = performance_of(desk, "main").amounts["profit"]
    told(desk, "interest", AFTER, "30")
    told(desk, "fee", AFTER, "-5")
    row = measured(desk, AFTER).row.iloc[0]
    assert (row["account_money"], row["flows"]) == (25, 0)
    assert performance_of(desk, "main").amounts["profit"] == before + 25
    desk.lake.close()
    amount = desk_at(desk.config.folder, LATER, capital={"share": None, "amount": 100_000.0})
    assert measured(amount, AFTER).row["account_money"].iloc[0] == 0
    assert performance_of(amount, "main").amounts["profit"] == before


def test_a_deposit_is_neither_loss_nor_gain_to_what_watches_losses(copy: Copies) -> None:
    desk = copy(LATER)
    days = (date(2025, 3, 13), date(2025, 3, 14))
    told(desk, "deposit", AFTER, "50000")
    last = measured(desk, AFTER).row.iloc[0]
    go_through(desk, "main", days[0])
    wealth = wealth_before(desk, "main", days[1])
    assert wealth.points[-1][0] == days[0]
    newest = measured(desk, days[0]).row.iloc[0]
    assert float(wealth.points[-1][1]) == pytest.approx(100_000 * (1 + newest["cumulative_return"]))
    assert abs(last["return"]) < 0.1


def test_an_adopted_position_is_no_gain_and_belongs_to_no_strategy(copy: Copies) -> None:
    desk = copy(LATER)
    before = read_performance(desk.lake, "main").iloc[-1]
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", "NVDA", D(100), price=D(1), session=AFTER, actor="ann", now=NOW)
    row = measured(desk, AFTER).row.iloc[0]
    assert row["return"] == pytest.approx(before["return"])
    assert row["flows"] == pytest.approx(row["equity"] - before["equity"])
    assert row["flows"] > 1000
    strategies = {row["strategy"]: row["inflow"] for row in performance_of(desk, "main").profits["strategy"]}
    assert float(strategies["(unassigned)"]) == pytest.approx(row["flows"])


def test_what_is_adopted_when_a_ledger_is_built_anew_was_there_before(copy: Copies) -> None:
    desk = copy(LATER)
    cash = {"cash": D(1), "starting_cash": D(100_000), "account_cash": D(1)}
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", "NVDA", D(100), price=D(1), session=AFTER, actor="ann", now=NOW)
        state_cash(connection, "paper", "main", AFTER, **cash, now=NOW)
    told(desk, "deposit", AFTER, "500")
    before = read_performance(desk.lake, "main").iloc[-1]
    row = measured(desk, AFTER).row.iloc[0]
    assert (row["flows"], row["account_money"]) == (0, 0)
    assert row["return"] > before["return"] + 0.01


def test_what_is_adopted_after_a_ledger_was_built_anew_comes_from_outside(copy: Copies) -> None:
    desk = copy(LATER)
    before = read_performance(desk.lake, "main").iloc[-1]
    cash = {"cash": D(1), "starting_cash": D(100_000), "account_cash": D(1)}
    with desk.ledger.transaction() as connection:
        state_cash(connection, "paper", "main", AFTER, **cash, now=NOW)
        adopt(connection, "paper", "main", "NVDA", D(100), price=D(1), session=AFTER, actor="ann", now=LATER)
    row = measured(desk, AFTER).row.iloc[0]
    assert row["flows"] == pytest.approx(row["equity"] - before["equity"])
    assert row["flows"] > 1000
    assert row["return"] == pytest.approx(before["return"])


def test_a_ledger_that_was_built_anew_leaves_the_returns_of_before_and_goes_on_from_them(copy: Copies) -> None:
    desk = copy(LATER + timedelta(hours=1))
    before, summary = read_performance(desk.lake, "main"), performance_of(desk, "main")
    price = closes_of(last_closes(desk.lake, "us", AFTER))["NVDA"].price
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", "NVDA", 100_000 / price, price=D(1), session=AFTER, actor="ann", now=LATER)
        connection.exec_driver_sql("UPDATE batches SET origin = 'rebuilt'")
        told_cash = {"cash": D(1), "starting_cash": D(0), "account_cash": D(1)}
        state_cash(connection, "paper", "main", AFTER, **told_cash, now=LATER)
    measured(desk, AFTER)
    after, since = read_performance(desk.lake, "main"), performance_of(desk, "main")
    assert list(after["equity"]) == pytest.approx(list(before["equity"]))
    assert list(after["cumulative_return"]) == pytest.approx(list(before["cumulative_return"]))
    assert since.equity_before == pytest.approx(summary.equity_before)
    assert since.money_weighted.period == pytest.approx(summary.money_weighted.period)
    wealth = wealth_before(desk, "main", date(2025, 3, 13))
    assert float(wealth.starting) == pytest.approx(100_000)


def test_money_that_an_earlier_version_left_out_of_the_equity_is_no_gain_of_the_next_session(copy: Copies) -> None:
    desk = copy()
    before = read_performance(desk.lake, "main")
    told(desk, "deposit", BETWEEN, "10000")
    forget(desk, SECOND)
    with desk.lake.write() as cursor:
        for table in ("profit_by_instrument", "profit_by_strategy"):
            cursor.execute(f"DELETE FROM {table}")
        missing = ("account_money", "earlier_flows", "account", "venue")
        cursor.execute(f"UPDATE performance SET {', '.join(f'{name} = NULL' for name in missing)}")
    row = measured(desk, AFTER).row.iloc[0]
    gain = before["equity"].iloc[3] - before["equity"].iloc[2]
    assert row["equity"] == pytest.approx(before["equity"].iloc[3] + 10_000)
    assert (row["flows"], row["earlier_flows"]) == (10_000, 10_000)
    assert row["return"] == pytest.approx(gain / (before["equity"].iloc[2] + 10_000))


def test_what_is_adopted_in_a_session_that_is_not_measured_has_earned_since(copy: Copies) -> None:
    desk = copy()
    before = read_performance(desk.lake, "main")
    price = float(closes_of(last_closes(desk.lake, "us", SECOND))["NVDA"].price)
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", "NVDA", D(900), price=D(1), session=SECOND, actor="ann", now=NOW)
    forget(desk, BETWEEN)
    row = measured(desk, AFTER).row.iloc[0]
    assert (row["flows"], row["earlier_flows"]) == pytest.approx((900 * price, 900 * price))
    assert row["return"] == pytest.approx(row["equity"] / (before["equity"].iloc[1] + 900 * price) - 1)


def test_an_adopted_symbol_counts_at_its_stated_price_until_it_has_a_close(copy: Copies) -> None:
    desk = copy()
    before = read_performance(desk.lake, "main").iloc[-1]
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", "NEWCO", D(100), price=D(3), session=AFTER, actor="ann", now=NOW)
    found = measured(desk, AFTER)
    row = found.row.iloc[0]
    assert (row["flows"], row["unpriced"], found.unpriced) == (300, 0, ())
    assert row["equity"] == pytest.approx(before["equity"] + 300)
    assert row["return"] == pytest.approx(before["return"])
    assert measured(desk, date(2025, 3, 13)).curve["flows"].iloc[-1] == 0


def test_a_renamed_holding_is_no_flow_and_stays_with_its_strategies(copy: Copies) -> None:
    desk = copy()
    before = read_performance(desk.lake, "main").iloc[-1]
    with desk.ledger.transaction() as connection:
        qty = owned(connection, "paper", "main")["META"]
        for symbol, shares in (("META", -qty), ("FB2", qty)):
            adopt(connection, "paper", "main", symbol, shares, price=D(600), session=AFTER, actor="ann", now=NOW)
    row = measured(desk, AFTER).row.iloc[0]
    price = closes_of(last_closes(desk.lake, "us", AFTER))["META"].price
    assert row["flows"] == 0
    assert row["equity"] == pytest.approx(before["equity"] + float(qty * (600 - price)))
    held = {}
    for line in stored(desk)["strategy"]:
        if line["session"] == AFTER and line["qty"]:
            held[line["strategy"], line["symbol"]] = line["qty"]
    assert {name for name, symbol in held if symbol == "FB2"} == {"trend", "value"}
    assert not [name for name, symbol in held if symbol == "META"]


def test_a_portfolio_on_another_account_begins_anew_and_leaves_what_it_was_on_the_first(copy: Copies) -> None:
    desk = copy()
    before = read_performance(desk.lake, "main")
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE performance SET account = 'simulated' WHERE session <= ?", [SECOND])
        # An earlier version did not say: these are of where the next ones are.
        cursor.execute("UPDATE performance SET account = NULL, venue = NULL WHERE session < ?", [SECOND])
    found = measured(desk, AFTER)
    assert list(found.curve["session"]) == [AFTER]
    assert found.row["return"].iloc[0] == pytest.approx(before["equity"].iloc[3] / 100_000 - 1)
    after = read_performance(desk.lake, "main")
    assert list(after["equity"]) == pytest.approx(list(before["equity"]))
    assert list(after["cumulative_return"][:3]) == pytest.approx(list(before["cumulative_return"][:3]))
    assert (performance_of(desk, "main").sessions, wealth_before(desk, "main", date(2025, 3, 13)).points[0][0]) == (
        1,
        AFTER,
    )


def test_the_benchmark_s_total_return_stands_beside_and_what_is_missing_of_it_is_said(copy: Copies) -> None:
    desk = copy()
    summary = performance_of(desk, "main")
    with desk.lake.read() as cursor:
        query = (
            "SELECT total_return_close FROM prices WHERE symbol = 'AMZN' AND session IN ('2025-02-28', '2025-03-12')"
        )
        start, end = (price for (price,) in cursor.execute(f"{query} ORDER BY session").fetchall())
    assert summary.benchmark_ratios["benchmark_return"] == pytest.approx(end / start - 1)
    curve = measured(desk, AFTER).curve
    assert curve["benchmark"].iloc[-1] == pytest.approx(100_000 * end / start)
    assert any("4 sessions have a return" in note for note in summary.notes)
    for wrong, said in ((None, "No benchmark is configured"), ("SPY.ARCX", "SPY.ARCX is not in the universe")):
        other = performance_of(copy(benchmark=wrong), "main")
        assert other.benchmark_ratios == {}
        assert any(said in note for note in other.notes)
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = 'AMZN'")
    assert any("no total-return prices of AMZN.XNAS" in note for note in performance_of(desk, "main").notes)


def test_a_period_counts_from_the_measured_session_before_it(copy: Copies) -> None:
    desk = copy()
    curve = read_performance(desk.lake, "main")
    part = performance_of(desk, "main", first=date(2025, 3, 6), last=SECOND)
    assert (part.start, part.first, part.last, part.sessions) == (BETWEEN, SECOND, SECOND, 1)
    assert part.time_weighted == pytest.approx(curve["return"].iloc[2])
    assert part.equity_before == curve["equity"].iloc[1]
    with pytest.raises(InputError, match="from 2025-03-13 was measured"):
        performance_of(desk, "main", first=date(2025, 3, 13))
