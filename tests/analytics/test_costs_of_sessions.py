"""Sessions of a small desk, measured from its plan, ledger and bars, and what is kept of them."""

import shutil
from dataclasses import asdict, replace
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from scizor_dagster.analytics.costs import PARTS
from scizor_dagster.analytics.costs_model import ALPACA, ASSUMED, FREE, IBKR_US
from scizor_dagster.analytics.costs_store import OrderCost, cost_frame, cost_model, read_costs, store_costs
from scizor_dagster.brokers.protocol import BrokerFill, Side
from scizor_dagster.flow.costs import SessionCosts, cost_report, measure_costs
from scizor_dagster.flow.costs_learning import learned_models
from scizor_dagster.flow.costs_market import markets_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.lake.schemas import cost_models_schema, order_costs_schema, schema_failures
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.rows import fills_of
from tests.flow.desks import FIRST, NOW, SECOND, WEIGHTS, add_action, collected, trade
from tests.projects import project_at, write_weights

LATER = date(2025, 3, 17)
ALPACA_ACCOUNT = {
    "broker": "alpaca", "environment": "live", "account_id": "123456789", "currency": "USD", "initial_cash": 100_000.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose two sessions have been traded and measured."""
    folder = tmp_path_factory.mktemp("traded")
    desk = collected(folder)
    for session in (FIRST, SECOND):
        trade(desk, session)
        measure_costs(desk, "main", session)
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    return Desk(project_at(tmp_path).settings, lambda: NOW)


def reconfigured(desk: Desk, **sections: Any) -> Desk:
    """The same home under a changed configuration."""
    path = desk.settings.config_path
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))
    desk.lake.close()
    return Desk(desk.settings, lambda: NOW)


def change_ledger(desk: Desk, statement: str) -> None:
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(statement)


def stored(desk: Desk, table: str) -> pd.DataFrame:
    with desk.lake.read() as cursor:
        return cursor.execute(f"SELECT * FROM {table}").df()


def restate(desk: Desk, *, price: D, qty: D | None = None) -> Any:
    """The broker corrects the first execution of all; returns it as it was."""
    with desk.ledger.transaction() as connection:
        fill = fills_of(connection, "paper", portfolio="main")[0]
        news = BrokerFill(
            fill.fill_id, fill.client_order_id, fill.symbol, fill.side, fill.qty if qty is None else qty,
            fill.price + price, fill.fee, fill.session, fill.executed_at, revision=2,
        )  # fmt: skip
        record_fill(connection, "paper", FillNews(news, fill), portfolio="main", order_id=fill.client_order_id, now=NOW)
    return fill


def by_id(rows: list[OrderCost]) -> dict[str, OrderCost]:
    return {row.client_order_id: row for row in rows}


def test_what_is_stored_is_what_was_measured_and_agrees_with_the_ledger(desk: Desk) -> None:
    rows = read_costs(desk.lake, "main")
    with desk.ledger.read() as connection:
        fills = fills_of(connection, "paper", portfolio="main")
    assert {row.session for row in rows} == {FIRST, SECOND}
    assert {row.side for row in rows} == set(Side)
    for row in rows:
        mine = [fill for fill in fills if fill.client_order_id == row.client_order_id]
        assert row.filled_qty == sum(fill.qty for fill in mine)
        assert row.decision_price is not None
        paid = sum(fill.qty * (fill.price - row.decision_price) * row.side.sign + fill.fee for fill in mine)
        assert row.total == sum(row.part(part) or D(0) for part in PARTS) == paid
        assert (row.left_out, row.unknown, row.arrival_source) == ((), {}, "session open")
        assert (row.half_spread_bps, row.spread_source, row.venue) == (D(1), "venue", "paper")
    assert schema_failures(order_costs_schema(), stored(desk, "order_costs")).empty
    assert schema_failures(cost_models_schema(), stored(desk, "cost_models")).empty


def test_purchases_that_fill_at_the_open_cost_the_spread_and_impact_of_the_venue(desk: Desk) -> None:
    """The exchange's own rule by hand: half a spread of 1 bps and 5 bps times the root of the share of a third."""
    bars = markets_of(desk, "main", ["NVDA"], FIRST)["NVDA"]
    (row,) = (row for row in read_costs(desk.lake, "main", FIRST, FIRST) if row.symbol == "NVDA")
    with desk.lake.read() as cursor:
        found = cursor.execute("SELECT volume FROM bars WHERE symbol = 'NVDA' AND session = ?", [FIRST]).fetchone()
    assert found is not None
    expected = 1 + 5 * (float(row.filled_qty) / (found[0] / 3)) ** 0.5
    assert row.against_arrival is not None
    assert float(row.against_arrival / row.filled_qty / bars.bar["open"]) * 1e4 == pytest.approx(expected, abs=0.01)


def test_measuring_again_changes_nothing(desk: Desk) -> None:
    before = {table: stored(desk, table).drop(columns="fetched_at") for table in ("order_costs", "cost_models")}
    again = measure_costs(desk, "main", SECOND)
    assert again.restated == ()
    for table, frame in before.items():
        keys = ["session", frame.columns[0], frame.columns[2]]
        now = stored(desk, table).drop(columns="fetched_at")
        pd.testing.assert_frame_equal(
            now.sort_values(keys, ignore_index=True), frame.sort_values(keys, ignore_index=True), check_dtype=False
        )


def test_an_execution_that_was_corrected_is_measured_again_with_the_next_session(desk: Desk) -> None:
    before = by_id(read_costs(desk.lake, "main", FIRST, FIRST))
    fill = restate(desk, price=D(1))
    assert measure_costs(desk, "main", SECOND).restated == (FIRST,)
    after = by_id(read_costs(desk.lake, "main", FIRST, FIRST))
    was, now = before[fill.client_order_id], after[fill.client_order_id]
    assert now.total == (was.total or D(0)) + fill.qty
    assert {name: row for name, row in after.items() if name != fill.client_order_id} == {
        name: row for name, row in before.items() if name != fill.client_order_id
    }


def test_an_execution_that_was_taken_back_is_missed(desk: Desk) -> None:
    fill = restate(desk, price=D(0), qty=D(0))
    row = by_id(list(measure_costs(desk, "main", FIRST).rows))[fill.client_order_id]
    assert (row.filled_qty, row.missed_qty) == (0, row.planned_qty)
    assert row.close_price is not None
    assert row.decision_price is not None
    assert row.missed == row.total == row.planned_qty * (row.close_price - row.decision_price)


def test_orders_that_were_blocked_count_with_what_they_missed(desk: Desk) -> None:
    change_ledger(desk, "UPDATE orders SET state = 'blocked', reason = 'max_gross_value' WHERE symbol = 'NVDA'")
    change_ledger(desk, "DELETE FROM trades WHERE symbol = 'NVDA'")
    costs = measure_costs(desk, "main", FIRST)
    (row,) = (row for row in costs.rows if row.symbol == "NVDA")
    assert (row.state, row.reason, row.sent_qty, row.filled_qty) == ("blocked", "max_gross_value", 0, 0)
    assert row.total == row.missed != 0
    assert costs.total.missed_value == row.decision_value


def test_a_plan_that_was_never_executed_costs_what_it_missed(desk: Desk) -> None:
    write_weights(desk.config.folder / "weights.csv", WEIGHTS | {LATER: {"AAPL": 0.3}})
    consolidate_session(desk, "main", LATER)
    planned = plan_session(desk, "main", LATER).plan
    costs = measure_costs(desk, "main", LATER)
    assert {row.client_order_id for row in costs.rows} == {order.client_order_id for order in planned.orders}
    assert {row.state for row in costs.rows} == {"not_admitted"}
    assert all(row.total == row.missed for row in costs.rows)


def test_a_session_without_an_order_stores_nothing(desk: Desk) -> None:
    idle = measure_costs(desk, "main", date(2025, 3, 5))
    assert (idle.rows, idle.model) == ((), None)
    assert idle.frame().empty
    assert {row.session for row in read_costs(desk.lake, "main")} == {FIRST, SECOND}
    assert len(stored(desk, "cost_models")) == 2


def test_what_is_not_a_sessions_order_any_more_is_taken_out(desk: Desk) -> None:
    idle = date(2025, 3, 5)
    row = replace(read_costs(desk.lake, "main", FIRST, FIRST)[0], session=idle)
    store_costs(desk.lake, "main", idle, [row], {}, NOW)
    measure_costs(desk, "main", idle)
    assert read_costs(desk.lake, "main", idle, idle) == []


def test_no_session_knows_a_model_that_was_learned_from_it_or_later(desk: Desk) -> None:
    assert cost_model(desk.lake, "main", FIRST, commission=IBKR_US) == replace(ASSUMED, commission=IBKR_US)
    known = {day: cost_model(desk.lake, "main", day).session for day in (SECOND, SECOND + timedelta(days=1))}
    assert known == {SECOND: FIRST, SECOND + timedelta(days=1): SECOND}
    assert {row.model_session for row in read_costs(desk.lake, "main", SECOND)} == {FIRST}
    assert cost_model(desk.lake, "us", LATER, "market") == cost_model(desk.lake, "nobody", LATER) == ASSUMED


def test_an_earlier_session_measured_late_learns_from_nothing_after_it(desk: Desk) -> None:
    assert measure_costs(desk, "main", FIRST).model == cost_model(desk.lake, "main", SECOND)


def test_a_year_of_orders_makes_a_model_of_its_own(desk: Desk) -> None:
    rows = read_costs(desk.lake, "main", FIRST, FIRST)
    older = [replace(row, session=FIRST - timedelta(days=day)) for day in range(1, 15) for row in rows]
    with desk.lake.write() as cursor:
        append_rows(cursor, "order_costs", cost_frame(older).assign(source="test", fetched_at=NOW))
    model = measure_costs(desk, "main", FIRST).model
    assert model is not None
    assert (model.fitted, model.orders, model.sessions, model.commission) == (True, 75, 15, FREE)
    assert 0 <= model.half_spread_bps < 2.5
    assert 0 <= model.impact_coefficient < 0.5, "the embedded exchange is cheaper than the assumption"
    assert cost_model(desk.lake, "main", SECOND) == model


def test_a_market_learns_from_real_venues_alone(desk: Desk) -> None:
    rows = read_costs(desk.lake, "main", SECOND)
    assert set(learned_models(desk, "main", SECOND, rows)) == {("portfolio", "main")}
    live = reconfigured(desk, accounts={"paper": ALPACA_ACCOUNT})
    models = learned_models(live, "main", SECOND, rows)
    assert set(models) == {("portfolio", "main"), ("market", "us")}
    assert (models["market", "us"].orders, models["portfolio", "main"].orders) == (0, 11)
    real = [replace(row, venue="alpaca/live") for row in rows]
    assert learned_models(live, "main", SECOND, real)["market", "us"].orders == len(real)
    assert {model.commission for model in models.values()} == {ALPACA}


def test_where_no_quote_is_known_a_spread_is_estimated_or_no_less_than_a_tick(desk: Desk) -> None:
    symbols = ["AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA"]
    found = markets_of(reconfigured(desk, accounts={"paper": ALPACA_ACCOUNT}), "main", [*symbols, "NONE"], SECOND)
    spreads = {symbol: found[symbol].half_spread_bps for symbol in symbols}
    assert {spread.source for spread in spreads.values()} <= {"estimated", "tick"}
    last = found["AAPL"].closes[max(found["AAPL"].closes)]
    if spreads["AAPL"].source == "tick":
        assert spreads["AAPL"].value == (D("0.005") / last * 10_000).quantize(D("0.0001"))
    nothing = found["NONE"]
    assert (nothing.bar, nothing.adv, nothing.volatility, nothing.half_spread_bps.value) == ({}, None, None, None)


def test_a_split_in_the_past_is_no_volatility(desk: Desk) -> None:
    before = markets_of(desk, "main", ["NVDA"], SECOND)["NVDA"]
    day = date(2025, 2, 20)
    with desk.lake.write() as cursor:
        scaled = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        cursor.execute(f"UPDATE bars SET {scaled}, volume = volume / 4 WHERE symbol = 'NVDA' AND session < ?", [day])
    add_action(desk, "NVDA", day, "split", 4.0)
    after = markets_of(desk, "main", ["NVDA"], SECOND)["NVDA"]
    assert after.volatility == pytest.approx(before.volatility)
    assert after.adv == pytest.approx(before.adv, rel=0.01)


def test_a_report_groups_what_is_stored_also_by_strategy(desk: Desk) -> None:
    report = cost_report(desk, "main", date.min, date.max, by="strategy", worst=2)
    assert [group.label for group in report.groups] == ["unknown", "weekly"], "MSFT was sold, and nobody wants it"
    assert sum(group.total for group in report.groups) == report.total.total
    assert len(report.worst) == 2
    assert report.model.session == SECOND
    assert cost_report(desk, "main", LATER, LATER, by="month", worst=2).rows == ()


@pytest.fixture(scope="module")
def bracketed(tmp_path_factory: pytest.TempPathFactory) -> SessionCosts:
    """A session of brackets so near that each leaves within it."""
    desk = collected(tmp_path_factory.mktemp("bracketed"))
    risk = yaml.safe_load(desk.settings.config_path.read_text())["risk"]
    whole = risk | {"fractional_shares": risk["fractional_shares"] | {"enabled": False}}
    desk = reconfigured(desk, execution={"mode_on_buy": "bracket", "tp_pct": 0.01, "sl_pct": 0.01}, risk=whole)
    trade(desk, FIRST)
    return measure_costs(desk, "main", FIRST)


def test_the_exits_of_brackets_are_orders_of_their_own(bracketed: SessionCosts) -> None:
    entries = {row.client_order_id: row for row in bracketed.rows if row.kind == "order"}
    exits = [row for row in bracketed.rows if row.kind == "exit"]
    assert exits
    for row in exits:
        parent = entries[row.reason.removeprefix("exit of ")]
        assert row.side is parent.side.opposite
        assert (row.planned_qty, row.missed, row.delay) == (row.filled_qty, 0, 0)
        assert row.decision_source in ("take-profit", "stop-loss")
        assert row.decision_price is not None
        worse = row.filled_value < row.filled_qty * row.decision_price
        assert row.decision_source == "stop-loss" or not worse
        assert row.total == sum(row.part(part) or D(0) for part in PARTS)


def test_a_frame_of_costs_meets_its_schema_whatever_is_unknown(desk: Desk) -> None:
    row = read_costs(desk.lake, "main")[0]
    always = {"planned_qty", "sent_qty", "filled_qty", "unit_factor", "dividend", "filled_value", "fees"}
    perhaps = [name for name, value in asdict(row).items() if isinstance(value, float | D) and name not in always]
    bare = replace(row, **dict.fromkeys(perhaps))
    assert schema_failures(order_costs_schema(), cost_frame([bare])).empty
    store_costs(desk.lake, "main", LATER, [replace(bare, session=LATER)], {}, NOW)
    assert read_costs(desk.lake, "main", LATER) == [replace(bare, session=LATER)]
