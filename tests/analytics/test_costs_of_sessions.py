"""Sessions of a small desk, measured from its plan, ledger and bars, and what is kept of them."""

import shutil
from dataclasses import asdict, fields, replace
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
from scizor_dagster.flow.costs import cost_report, measure_costs
from scizor_dagster.flow.costs_learning import learned_models
from scizor_dagster.flow.costs_market import markets_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.schemas import cost_models_schema, order_costs_schema, schema_failures
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.rows import FillRow, fills_of
from scizor_dagster.planning.frames import read_inputs, read_plan, store_plan
from tests.flow.desks import FIRST, NOW, SECOND, add_action, collected, trade
from tests.projects import project_at, write_weights

LATER = date(2025, 3, 17)
ALPACA_ACCOUNT = {
    "broker": "alpaca", "environment": "live", "account_id": "123456789", "currency": "USD", "initial_cash": 100_000.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a session that has been traded, and a later one whose plan never was; both are measured."""
    folder = tmp_path_factory.mktemp("traded")
    desk = reconfigured(collected(folder), weights={"max_weight": 0.5, "allow_short": True})
    write_weights(folder / "weights.csv", {FIRST: {"AAPL": 0.3, "MSFT": 0.3, "NVDA": 0.2, "GOOG": -0.04}})
    trade(desk, FIRST)
    store_unexecuted(desk)
    for session in (FIRST, SECOND):
        measure_costs(desk, "main", session)
    desk.lake.close()
    desk.ledger.close()
    return folder


def store_unexecuted(desk: Desk) -> None:
    """The plan of the second session: the first one's orders once more."""
    plan = read_plan(desk.lake, "main", FIRST)
    assert plan is not None
    archive = read_inputs(desk.lake, plan.plan_id)
    assert archive is not None
    orders = tuple(order._replace(client_order_id=f"{order.client_order_id}-2") for order in plan.orders)
    priced_on = SECOND - timedelta(days=3)
    later = replace(plan, plan_id="unexecuted", session=SECOND, priced_on=priced_on, orders=orders)
    store_plan(desk.lake, later, archive, lake_snapshot=1, code_version="", source="test", fetched_at=NOW)


def copied(home: Path, folder: Path) -> Desk:
    shutil.copytree(home, folder, dirs_exist_ok=True)
    return Desk(project_at(folder).settings, lambda: NOW)


@pytest.fixture(scope="module")
def measured(traded: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The two sessions, for what reads them, or measures again what has not changed."""
    return copied(traded, tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="module")
def live(traded: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The two sessions, with an account at a broker in the place of the embedded exchange."""
    return reconfigured(copied(traded, tmp_path_factory.mktemp("live")), accounts={"paper": ALPACA_ACCOUNT})


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    """The two sessions, for what changes them."""
    return copied(traded, tmp_path)


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


def restate(desk: Desk, *, symbol: str | None = None, price: D = D(0), qty: D = D(0), busted: bool = False) -> FillRow:
    """The broker corrects the first execution, of all or of `symbol`; returns it as it was."""
    with desk.ledger.transaction() as connection:
        fill = next(row for row in fills_of(connection, "paper", portfolio="main") if symbol in (None, row.symbol))
        left = D(0) if busted else fill.qty + qty
        news = told(fill, qty=left, price=fill.price + price, revision=2)
        record_fill(connection, "paper", FillNews(news, fill), portfolio="main", order_id=fill.client_order_id, now=NOW)
    return fill


def told(fill: FillRow, **changes: Any) -> BrokerFill:
    """The execution as the broker would tell of it."""
    named = {field.name: getattr(fill, field.name) for field in fields(BrokerFill)}
    return BrokerFill(**(named | changes))


def by_id(rows: list[OrderCost]) -> dict[str, OrderCost]:
    return {row.client_order_id: row for row in rows}


def test_what_is_stored_is_what_was_measured_and_agrees_with_the_ledger(measured: Desk) -> None:
    rows = read_costs(measured.lake, "main")
    with measured.ledger.read() as connection:
        fills = fills_of(connection, "paper", portfolio="main")
    assert {row.session for row in rows} == {FIRST, SECOND}
    assert {row.side for row in rows if row.filled_qty} == set(Side)
    assert len([row for row in rows if row.filled_qty]) == 6
    for row in (row for row in rows if row.session == FIRST):
        mine = [fill for fill in fills if fill.client_order_id == row.client_order_id]
        assert row.filled_qty == sum(fill.qty for fill in mine)
        assert row.decision_price is not None
        paid = sum(fill.qty * (fill.price - row.decision_price) * row.side.sign + fill.fee for fill in mine)
        assert row.total == sum(row.part(part) or D(0) for part in PARTS) == paid
        assert (row.left_out, row.unknown, row.arrival_source) == ((), {}, "session open")
        assert (row.half_spread_bps, row.spread_source, row.venue) == (D(1), "venue", "paper")
    assert schema_failures(order_costs_schema(), stored(measured, "order_costs")).empty
    assert schema_failures(cost_models_schema(), stored(measured, "cost_models")).empty


def test_purchases_that_fill_at_the_open_cost_the_spread_and_impact_of_the_venue(measured: Desk) -> None:
    """The exchange's own rule by hand: half a spread of 1 bps and 5 bps times the root of the share of a third."""
    bars = markets_of(measured, "main", ["NVDA"], FIRST)["NVDA"]
    (row,) = (row for row in read_costs(measured.lake, "main", FIRST, FIRST) if row.symbol == "NVDA")
    with measured.lake.read() as cursor:
        found = cursor.execute("SELECT volume FROM bars WHERE symbol = 'NVDA' AND session = ?", [FIRST]).fetchone()
    assert found is not None
    expected = 1 + 5 * (float(row.filled_qty) / (found[0] / 3)) ** 0.5
    assert row.against_arrival is not None
    assert float(row.against_arrival / row.filled_qty / bars.bar["open"]) * 1e4 == pytest.approx(expected, abs=0.01)


def test_measuring_again_changes_nothing(measured: Desk) -> None:
    before = {table: stored(measured, table).drop(columns="fetched_at") for table in ("order_costs", "cost_models")}
    again = measure_costs(measured, "main", SECOND)
    assert again.restated == ()
    for table, frame in before.items():
        keys = ["session", frame.columns[0], frame.columns[2]]
        now = stored(measured, table).drop(columns="fetched_at")
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
    fill = restate(desk, busted=True)
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


def test_a_plan_that_was_never_executed_costs_what_it_missed(measured: Desk) -> None:
    planned = read_plan(measured.lake, "main", SECOND)
    assert planned is not None
    rows = read_costs(measured.lake, "main", SECOND)
    assert {row.client_order_id for row in rows} == {order.client_order_id for order in planned.orders}
    assert {row.state for row in rows} == {"not_admitted"}
    assert all(row.total == row.missed != 0 for row in rows)


def test_what_a_second_plan_of_the_session_took_over_is_missed_once(desk: Desk) -> None:
    """Twenty of the first plan are left, when the second one orders thirty at two more each, and gets 25."""
    planned = read_plan(desk.lake, "main", FIRST)
    assert planned is not None
    (first,) = (order for order in planned.orders if order.symbol == "NVDA")
    fill = restate(desk, symbol="NVDA", qty=D(-20))
    anew = first._replace(client_order_id="anew", qty=D(30), price_used=first.price_used + 2, depends_on=(), phase=1)
    later = told(fill, fill_id="F2", client_order_id="anew", qty=D(25))
    with desk.ledger.transaction() as connection:
        admit(connection, replace(planned, plan_id="again", batch=2, orders=(anew,)), starting_cash=D(0), now=NOW)
        record_fill(connection, "paper", FillNews(later, None), portfolio="main", order_id="anew", now=NOW)
    costs = measure_costs(desk, "main", FIRST)
    one, two = (by_id(list(costs.rows))[name] for name in (first.client_order_id, "anew"))
    assert (one.replanned_qty, one.missed_qty, one.missed) == (20, 0, 40)
    assert (two.replanned_qty, two.missed_qty) == (0, 5)
    assert two.close_price is not None
    paper = first.qty * (two.close_price - first.price_used) + (30 - 20) * (two.close_price - anew.price_used)
    bought = [(first.qty - 20, fill.price, fill.fee), (D(25), fill.price, fill.fee)]
    real = sum(qty * (two.close_price - price) - fee for qty, price, fee in bought)
    assert (one.total or D(0)) + (two.total or D(0)) == paper - real
    assert (one.decision_value, two.decision_value) == (
        (first.qty - 20) * first.price_used,
        30 * anew.price_used,
    )
    assert read_costs(desk.lake, "main", FIRST, FIRST) == sorted(
        costs.rows, key=lambda row: (row.symbol, row.client_order_id)
    )


def test_a_session_without_an_order_stores_nothing(measured: Desk) -> None:
    idle = measure_costs(measured, "main", date(2025, 3, 5))
    assert (idle.rows, idle.model) == ((), None)
    assert idle.frame().empty
    assert {row.session for row in read_costs(measured.lake, "main")} == {FIRST, SECOND}
    assert len(stored(measured, "cost_models")) == 2


def test_what_is_not_a_sessions_order_any_more_is_taken_out(measured: Desk) -> None:
    idle = date(2025, 3, 5)
    row = replace(read_costs(measured.lake, "main", FIRST, FIRST)[0], session=idle)
    store_costs(measured.lake, "main", idle, [row], {}, NOW)
    measure_costs(measured, "main", idle)
    assert read_costs(measured.lake, "main", idle, idle) == []


def test_no_session_knows_a_model_that_was_learned_from_it_or_later(measured: Desk) -> None:
    assert cost_model(measured.lake, "main", FIRST, commission=IBKR_US) == replace(ASSUMED, commission=IBKR_US)
    known = {day: cost_model(measured.lake, "main", day).session for day in (SECOND, SECOND + timedelta(days=1))}
    assert known == {SECOND: FIRST, SECOND + timedelta(days=1): SECOND}
    assert {row.model_session for row in read_costs(measured.lake, "main", SECOND)} == {FIRST}
    assert cost_model(measured.lake, "us", LATER, "market") == cost_model(measured.lake, "nobody", LATER) == ASSUMED


def test_an_earlier_session_measured_late_learns_from_nothing_after_it(measured: Desk) -> None:
    assert measure_costs(measured, "main", FIRST).model == cost_model(measured.lake, "main", SECOND)


def test_a_year_of_orders_makes_a_model_of_its_own(desk: Desk) -> None:
    rows = read_costs(desk.lake, "main", FIRST, FIRST)
    older = [replace(row, session=FIRST - timedelta(days=day)) for day in range(1, 15) for row in rows]
    with desk.lake.write() as cursor:
        append_rows(cursor, "order_costs", cost_frame(older).assign(source="test", fetched_at=NOW))
    model = measure_costs(desk, "main", FIRST).model
    assert model is not None
    assert (model.fitted, model.orders, model.sessions, model.commission) == (True, 15 * len(rows), 15, FREE)
    assert 0 <= model.half_spread_bps < 2.5
    assert 0 <= model.impact_coefficient < 0.5, "the embedded exchange is cheaper than the assumption"
    assert cost_model(desk.lake, "main", SECOND) == model


def test_a_market_learns_from_real_venues_alone(measured: Desk, live: Desk) -> None:
    rows = read_costs(measured.lake, "main", FIRST, FIRST)
    assert set(learned_models(measured, "main", FIRST, rows)) == {("portfolio", "main")}
    models = learned_models(live, "main", FIRST, rows)
    assert set(models) == {("portfolio", "main"), ("market", "us")}
    assert (models["market", "us"].orders, models["portfolio", "main"].orders) == (0, 0)
    real = [replace(row, venue="alpaca/live") for row in rows]
    assert {model.orders for model in learned_models(live, "main", FIRST, real).values()} == {len(real)}
    assert {model.commission for model in models.values()} == {ALPACA}


def test_a_portfolio_on_another_venue_knows_no_model_of_the_one_before(measured: Desk, live: Desk) -> None:
    simulated, real = (cost_report(desk, "main", FIRST, FIRST, by="symbol", worst=0).model for desk in (measured, live))
    assert (simulated.session, real.session) == (FIRST, None)
    assert real == replace(ASSUMED, commission=ALPACA)


def test_where_no_quote_is_known_a_spread_is_estimated_or_no_less_than_a_tick(live: Desk) -> None:
    symbols = ["AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA"]
    found = markets_of(live, "main", [*symbols, "NONE"], SECOND)
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


def test_a_report_groups_what_is_stored_also_by_strategy(measured: Desk) -> None:
    report = cost_report(measured, "main", date.min, date.max, by="strategy", worst=2)
    assert [group.label for group in report.groups] == ["unknown", "weekly"], (
        "what the second session wanted of whom is not known"
    )
    assert sum(group.total for group in report.groups) == report.total.total
    assert len(report.worst) == 2
    assert report.model.session == SECOND
    assert cost_report(measured, "main", LATER, LATER, by="month", worst=2).rows == ()


def test_the_exits_of_brackets_are_orders_of_their_own(desk: Desk) -> None:
    """One leaves a cent better than its take-profit, one a cent worse than its stop-loss."""
    with desk.ledger.read() as connection:
        entries = {row.symbol: row for row in fills_of(connection, "paper", portfolio="main")}
    levels = {"NVDA": ("take-profit", D(3), D("0.01")), "MSFT": ("stop-loss", D(-3), D("-0.01"))}
    for symbol, (_, distance, further) in levels.items():
        entry = entries[symbol]
        profit, loss, order_id = entry.price + 3, entry.price - 3, entry.client_order_id
        change_ledger(
            desk,
            f"UPDATE orders SET order_type = 'bracket', take_profit = '{profit}', stop_loss = '{loss}' "
            f"WHERE client_order_id = '{order_id}'",
        )
        left = entry.price + distance + further
        leg = told(entry, fill_id=f"X{symbol}", client_order_id=f"leg-{symbol}", side=Side.SELL, price=left)
        with desk.ledger.transaction() as connection:
            record_fill(connection, "paper", FillNews(leg, None), portfolio="main", order_id=order_id, now=NOW)
    rows = measure_costs(desk, "main", FIRST).rows
    exits = {row.symbol: row for row in rows if row.kind == "exit"}
    assert exits.keys() == levels.keys()
    assert len([row for row in rows if row.kind == "order"]) == 6
    for symbol, (word, distance, further) in levels.items():
        row, entry = exits[symbol], entries[symbol]
        assert (row.side, row.planned_qty, row.missed, row.delay) == (Side.SELL, row.filled_qty, 0, 0)
        assert (row.reason, row.decision_source) == (f"exit of {entry.client_order_id}", word)
        assert row.decision_price == entry.price + distance
        assert row.total == sum(row.part(part) or D(0) for part in PARTS) == row.fees - further * row.filled_qty


def test_a_frame_of_costs_meets_its_schema_whatever_is_unknown(desk: Desk) -> None:
    row = read_costs(desk.lake, "main")[0]
    always = {"planned_qty", "sent_qty", "filled_qty", "unit_factor", "dividend", "filled_value", "fees"}
    perhaps = [name for name, value in asdict(row).items() if isinstance(value, float | D) and name not in always]
    bare = replace(row, **dict.fromkeys(perhaps))
    assert schema_failures(order_costs_schema(), cost_frame([bare])).empty
    store_costs(desk.lake, "main", LATER, [replace(bare, session=LATER)], {}, NOW)
    assert read_costs(desk.lake, "main", LATER) == [replace(bare, session=LATER)]
