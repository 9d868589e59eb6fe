"""What the end of a session sees: complete facts, the plan that was admitted, the cash of the whole account."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scizor_dagster.analytics.performance import read_performance
from scizor_dagster.brokers.protocol import BrokerFill
from scizor_dagster.errors import DataError
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.markets import collect_closed_session, fill_history, refresh_actions
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.rows import fills_of
from scizor_dagster.reconciliation.model import Pass, ReconciliationReport
from tests.projects import project_at, small_project, write_weights

FIRST, NEXT, SPLIT_DAY, AFTER = date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5), date(2025, 3, 6)
NOW = datetime(2025, 3, 31, 22, tzinfo=UTC)
BEFORE_OPEN = datetime(2025, 3, 3, 13, tzinfo=UTC)
WEIGHTS = {FIRST: {"AAPL": 0.4, "MSFT": 0.4}}
SHARED = {
    "main": {"capital": {"share": 0.5}},
    "other": {
        "market": "us",
        "account": "paper",
        "capital": {"share": 0.5},
        "signals": {"mode": "select", "strategy": "weekly", "as_of": "exact"},
    },
}


def collected(folder: Path, now: datetime = NOW, **changes: Any) -> Desk:
    project = small_project(folder, **changes)
    write_weights(folder / "weights.csv", WEIGHTS)
    desk = Desk(project.settings, lambda: now)
    refresh_symbols(desk, "us")
    refresh_actions(desk, "us")
    fill_history(desk, "us", (2025, 2025), None)
    change_lake(desk, "DELETE FROM corporate_actions WHERE ex_session >= '2025-02-25'")
    desk.lake.close()
    return at(desk, now)


def at(desk: Desk, now: datetime) -> Desk:
    return Desk(desk.settings, lambda: now)


def change_lake(desk: Desk, statement: str, *values: object) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(statement, list(values))


def change_ledger(desk: Desk, statement: str) -> None:
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(statement)


def trade(desk: Desk, portfolio: str = "main", session: date = FIRST) -> None:
    consolidate_session(desk, portfolio, session)
    plan_session(desk, portfolio, session)
    trade_session(desk, portfolio, session, "test")


def split_four_for_one(desk: Desk) -> None:
    row = {"market": "us", "symbol": "AAPL", "ex_session": SPLIT_DAY, "kind": "split", "ratio": 4.0, "source": "test"}
    with desk.lake.write() as cursor:
        append_rows(cursor, "corporate_actions", pd.DataFrame([{**row, "fetched_at": NOW}]))
    change_lake(
        desk,
        "UPDATE bars SET open=open/4, high=high/4, low=low/4, close=close/4, volume=volume*4 "
        "WHERE symbol = 'AAPL' AND session >= ?",
        SPLIT_DAY,
    )


def kinds(report: ReconciliationReport) -> list[tuple[str, str]]:
    return [(row.kind.value, row.severity.value) for row in report.break_rows]


Copies = Callable[[str], Desk]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`one` portfolio that has traded, and `two` on one account that have not."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    desk = collected(one)
    trade(desk)
    desk.lake.close()
    desk.ledger.close()
    collected(two, portfolios=SHARED).lake.close()
    return {"one": one, "two": two}


@pytest.fixture
def copy(templates: dict[str, Path], tmp_path: Path) -> Copies:
    def make(name: str) -> Desk:
        shutil.copytree(templates[name], tmp_path, dirs_exist_ok=True)
        return Desk(project_at(tmp_path).settings, lambda: NOW)

    return make


def test_a_plan_that_has_lost_an_order_is_a_break(copy: Copies) -> None:
    desk = copy("one")
    assert kinds(reconcile_session(desk, "main", FIRST)) == []
    change_lake(desk, "DELETE FROM planned_orders WHERE symbol = 'AAPL'")
    found = kinds(reconcile_session(desk, "main", FIRST))
    assert found
    assert set(found) == {("intent_without_plan", "error")}


def test_an_admitted_batch_without_its_plan_is_a_break(copy: Copies) -> None:
    desk = copy("one")
    change_lake(desk, "DELETE FROM plans")
    report = reconcile_session(desk, "main", FIRST)
    assert kinds(report) == [("plan_missing", "error")]
    assert report.state == "breaks"


def test_another_plan_of_the_session_does_not_stand_in_for_the_admitted_one(copy: Copies) -> None:
    desk = copy("one")
    change_lake(desk, "UPDATE plans SET plan_id = 'another'")
    assert kinds(reconcile_session(desk, "main", FIRST)) == [("plan_missing", "error")]


def test_cash_that_is_missing_on_a_shared_account_is_a_break_for_each_portfolio(copy: Copies) -> None:
    desk = copy("two")
    for name in SHARED:
        trade(desk, name)
    assert [kinds(reconcile_session(desk, name, FIRST)) for name in SHARED] == [[], []]
    change_ledger(desk, "UPDATE paper_accounts SET cash = CAST(CAST(cash AS REAL) - 20000 AS TEXT)")
    for name in SHARED:
        assert kinds(reconcile_session(desk, name, FIRST)) == [("cash_differs", "error")]


def test_cash_is_left_out_by_name_while_another_portfolio_has_open_orders(tmp_path: Path) -> None:
    desk = collected(tmp_path, BEFORE_OPEN, portfolios=SHARED)
    for name in SHARED:
        trade(desk, name)
    after = at(desk, datetime(2025, 3, 3, 22, tzinfo=UTC))
    collect_closed_session(after, "us", FIRST)
    follow_session(after, "main", FIRST, "follow")
    change_ledger(after, "UPDATE batches SET state = 'working' WHERE portfolio = 'other'")
    change_ledger(after, "DELETE FROM trades WHERE portfolio = 'other'")
    report = reconcile_session(after, "main", FIRST)
    assert ("cash_not_compared", "info") in kinds(report)
    assert "cash_differs" not in {kind for kind, _ in kinds(report)}
    assert "orders of portfolio 'other' of 2025-03-03 on this account are still open" in report.summary
    follow_session(after, "other", FIRST, "follow")
    assert kinds(reconcile_session(after, "main", FIRST)) == []


def test_interest_that_is_recorded_explains_the_cash(copy: Copies) -> None:
    desk = copy("one")
    change_ledger(desk, "UPDATE paper_accounts SET cash = CAST(CAST(cash AS REAL) + 12.5 AS TEXT)")
    assert kinds(reconcile_session(desk, "main", FIRST)) == [("cash_differs", "error")]
    change_ledger(
        desk,
        "INSERT INTO activities (account, activity_id, kind, session, symbol, amount, qty_factor, description, "
        "recorded_at) VALUES ('paper', 'I1', 'interest', '2025-03-03', NULL, '12.5', NULL, '', '2025-03-04 00:00:00')",
    )
    assert kinds(reconcile_session(desk, "main", FIRST)) == []


def test_a_split_in_an_idle_session_is_no_loss_when_the_session_is_only_reconciled_and_measured(copy: Copies) -> None:
    desk = copy("one")
    split_four_for_one(desk)
    measure_session(desk, "main", FIRST)
    assert reconcile_session(desk, "main", SPLIT_DAY).break_count == 0
    measured = measure_session(desk, "main", SPLIT_DAY)
    assert measured is not None
    assert abs(measured.row["return"].iloc[0]) < 0.1


def test_measuring_alone_lets_the_venue_go_through_the_session(copy: Copies) -> None:
    desk = copy("one")
    split_four_for_one(desk)
    measured = measure_session(desk, "main", SPLIT_DAY)
    assert measured is not None
    assert abs(measured.row["return"].iloc[0]) < 0.1


def test_a_row_that_was_stored_wrong_is_replaced_with_those_after_it(copy: Copies) -> None:
    desk = copy("one")
    for session in (FIRST, NEXT, SPLIT_DAY, AFTER):
        measured = measure_session(desk, "main", session)
    assert measured is not None
    right = measured.curve
    change_lake(desk, "UPDATE performance SET equity = equity * 0.7 WHERE session >= ?", SPLIT_DAY)
    change_lake(desk, "UPDATE performance SET return = -0.3, cumulative_return = -0.3 WHERE session >= ?", SPLIT_DAY)
    mended = measure_session(desk, "main", SPLIT_DAY)
    assert mended is not None
    pd.testing.assert_frame_equal(mended.curve, right)


def test_nothing_is_measured_while_orders_of_the_session_are_open(tmp_path: Path) -> None:
    desk = collected(tmp_path, BEFORE_OPEN)
    trade(desk)
    after = at(desk, datetime(2025, 3, 4, 22, tzinfo=UTC))
    for session in (FIRST, NEXT):
        collect_closed_session(after, "us", session)
    for session in (FIRST, NEXT):
        with pytest.raises(DataError, match=r"orders of 2025-03-03 \(portfolio 'main'\) are still open"):
            measure_session(after, "main", session)
    report = reconcile_session(after, "main", NEXT)
    assert kinds(report) == [("cash_not_compared", "info"), ("venue_behind", "working")]
    assert report.state == "working"
    with after.lake.read() as cursor:
        assert cursor.execute("SELECT count(*) FROM performance").fetchone() == (0,)


def test_orders_at_a_venue_that_was_left_in_the_middle_of_a_closed_session_are_at_work_and_no_breaks(
    tmp_path: Path,
) -> None:
    desk = collected(tmp_path, BEFORE_OPEN)
    trade(desk)
    after = at(desk, datetime(2025, 3, 3, 22, tzinfo=UTC))
    collect_closed_session(after, "us", FIRST)
    after.broker("paper", "us").advance(FIRST)
    report = reconcile_session(after, "main", FIRST)
    assert report.state == "working"
    assert report.break_count == 0
    follow_session(after, "main", FIRST, "follow")
    assert reconcile_session(after, "main", FIRST).state == "reconciled"
    next_morning = at(desk, datetime(2025, 3, 4, 13, 30, tzinfo=UTC))
    assert reconcile_session(next_morning, "main", FIRST).when.which is Pass.SECOND
    with next_morning.ledger.read() as connection:
        assert is_closed(connection, "paper", "main", FIRST), "its orders have ended, wherever the venue stands"


def test_reconciling_does_not_take_the_session_away_from_a_plan_that_waits(copy: Copies) -> None:
    desk = copy("two")
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    for name in SHARED:
        reconcile_session(desk, name, FIRST)
    with pytest.raises(DataError, match="has not gone through it"):
        measure_session(desk, "main", FIRST)
    assert len(trade_session(desk, "main", FIRST, "test").orders) > 0


def test_a_batch_of_which_nothing_was_sent_is_measured(tmp_path: Path) -> None:
    desk = collected(tmp_path, BEFORE_OPEN)
    trade(desk)
    change_ledger(desk, "UPDATE orders SET state = 'blocked', broker_order_id = NULL")
    change_ledger(desk, "UPDATE batches SET state = 'done'")
    change_ledger(desk, "DELETE FROM paper_orders")
    changed = at(desk, datetime(2025, 3, 3, 22, tzinfo=UTC))
    collect_closed_session(changed, "us", FIRST)
    measured = measure_session(changed, "main", FIRST)
    assert measured is not None
    assert measured.row["equity"].iloc[0] == 100_000


def test_nothing_is_measured_while_a_dividend_of_the_session_is_not_recorded(copy: Copies) -> None:
    desk = copy("one")
    split_four_for_one(desk)
    follow_session(desk, "main", SPLIT_DAY, "follow")
    change_ledger(desk, "DELETE FROM activities")
    with pytest.raises(DataError, match="are not recorded"):
        measure_session(desk, "main", SPLIT_DAY)


def test_a_holding_without_a_bar_of_the_session_is_named(copy: Copies) -> None:
    desk = copy("one")
    change_lake(desk, "DELETE FROM bars WHERE symbol = 'MSFT' AND session = ?", NEXT)
    measured = measure_session(desk, "main", NEXT)
    assert measured is not None
    assert (measured.unpriced, measured.stale) == ((), ("MSFT",))


def test_what_was_measured_is_measured_again_once_an_execution_of_it_is_corrected(copy: Copies) -> None:
    desk = copy("one")
    for session in (FIRST, NEXT):
        measure_session(desk, "main", session)
    before = read_performance(desk.lake, "main").set_index("session")
    with desk.ledger.transaction() as connection:
        fill = fills_of(connection, "paper", portfolio="main")[0]
        dearer = BrokerFill(
            fill.fill_id,
            fill.client_order_id,
            fill.symbol,
            fill.side,
            fill.qty,
            fill.price + 1,
            fill.fee,
            fill.session,
            fill.executed_at,
            revision=2,
        )
        record_fill(connection, "paper", FillNews(dearer, fill), portfolio="main", order_id=None, now=NOW)
    measure_session(desk, "main", NEXT)
    after = read_performance(desk.lake, "main").set_index("session")
    assert [round(gap, 6) for gap in before["cash"] - after["cash"]] == [float(fill.qty)] * 2
