"""The stages of a session in plain Python, as assets and the command line call them."""

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.errors import (
    DataError,
    InputError,
    NotASession,
    PriceUnavailable,
    RiskLimitBreached,
    SessionNotClosed,
    StaleTick,
)
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.passes import close_past
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.flow.weight_files import weight_sessions
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import batch_of
from scizor_dagster.planning.model import Reason
from scizor_dagster.reconciliation.model import Pass, Source
from tests.flow.desks import EARLY, FIRST, NOW, SECOND, add_action, collected, trade
from tests.projects import project_at, write_weights

THIRD = date(2025, 3, 17)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    collected(folder)
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Desk:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Desk(project_at(tmp_path).settings, lambda: NOW)


def test_two_rebalances_fill_and_reconcile_to_the_cent(desk: Desk) -> None:
    for session in (FIRST, SECOND):
        assert trade(desk, session).state is ExecutionState.DONE
        assert reconcile_session(desk, "main", session).break_count == 0
    measured = measure_session(desk, "main", SECOND)
    assert measured is not None
    assert list(measured.curve["session"]) == [SECOND]


def test_a_plan_is_sized_on_the_last_session_closed_before_it(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    plan = plan_session(desk, "main", FIRST).plan
    assert plan.priced_on == EARLY
    assert {line.price_session for line in plan.lines} == {EARLY}


def test_making_a_plan_twice_gives_the_same_plan(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    once = plan_session(desk, "main", FIRST)
    again = plan_session(desk, "main", FIRST)
    assert again.plan == once.plan
    assert not again.kept


def test_an_admitted_plan_is_kept_even_when_the_targets_change_afterwards(desk: Desk, tmp_path: Path) -> None:
    trade(desk, FIRST)
    admitted = plan_session(desk, "main", FIRST)
    write_weights(tmp_path / "weights.csv", {FIRST: {"GOOG": 0.5}})
    consolidate_session(desk, "main", FIRST)
    assert plan_session(desk, "main", FIRST).plan == admitted.plan
    assert admitted.kept


def test_trading_a_session_again_sends_nothing_new(desk: Desk) -> None:
    trade(desk, FIRST)
    with desk.ledger.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM paper_orders").scalar()
    again = trade(desk, FIRST)
    with desk.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM paper_orders").scalar() == before
    assert again.state is ExecutionState.DONE


def test_an_earlier_session_sends_nothing_and_returns_what_the_ledger_holds(desk: Desk) -> None:
    trade(desk, SECOND)
    late = trade(desk, FIRST)
    assert late.state is ExecutionState.NO_PLAN
    assert late.orders == ()
    assert any("nothing is sent" in note for note in late.notes)


def test_an_instrument_that_splits_in_the_session_waits(desk: Desk) -> None:
    add_action(desk, "MSFT", FIRST, "split", 4.0)
    consolidate_session(desk, "main", FIRST)
    lines = {line.symbol: line for line in plan_session(desk, "main", FIRST).plan.lines}
    assert lines["MSFT"].reason is Reason.CORPORATE_ACTION
    assert lines["MSFT"].delta_qty == 0
    assert lines["AAPL"].reason is Reason.OPEN


def test_a_split_in_an_idle_session_reaches_the_holdings_of_the_next_plan(desk: Desk) -> None:
    add_action(desk, "NVDA", date(2025, 3, 5), "split", 2.0)
    trade(desk, FIRST)
    with desk.ledger.read() as connection:
        bought = Decimal(connection.exec_driver_sql("SELECT filled_qty FROM orders WHERE symbol = 'NVDA'").scalar_one())
    consolidate_session(desk, "main", SECOND)
    lines = {line.symbol: line for line in plan_session(desk, "main", SECOND).plan.lines}
    assert lines["NVDA"].current_qty == 2 * bought


def test_a_plan_without_targets_is_refused_with_the_remedy(desk: Desk) -> None:
    with pytest.raises(InputError, match="Materialize target_weights"):
        plan_session(desk, "main", date(2025, 3, 4))


def test_a_plan_on_a_day_without_a_session_is_refused(desk: Desk) -> None:
    with pytest.raises(NotASession, match="2025-03-07 or 2025-03-10"):
        plan_session(desk, "main", date(2025, 3, 8))


def test_a_plan_is_refused_while_the_session_before_has_no_prices(tmp_path: Path) -> None:
    collected(tmp_path, now=datetime(2025, 3, 7, 15, tzinfo=UTC))
    desk = Desk(project_at(tmp_path).settings, lambda: datetime(2025, 3, 10, 13, tzinfo=UTC))
    consolidate_session(desk, "main", SECOND)
    with pytest.raises(PriceUnavailable, match="scizor collect daily --market us --date 2025-03-07"):
        plan_session(desk, "main", SECOND)


def test_a_session_that_has_not_closed_is_not_collected(tmp_path: Path) -> None:
    desk = collected(tmp_path, now=datetime(2025, 3, 10, 19, 59, tzinfo=UTC))
    with pytest.raises(SessionNotClosed):
        collect_closed_session(desk, "us", SECOND)


def test_orders_rest_until_the_prices_of_their_session_are_collected(tmp_path: Path) -> None:
    before_open = collected(tmp_path, now=datetime(2025, 3, 3, 13, tzinfo=UTC))
    waiting = trade(before_open, FIRST)
    assert waiting.state is ExecutionState.WORKING
    assert reconcile_session(before_open, "main", FIRST).break_count == 0
    assert measure_session(before_open, "main", FIRST) is None
    after_close = Desk(before_open.settings, lambda: datetime(2025, 3, 3, 22, tzinfo=UTC))
    collect_closed_session(after_close, "us", FIRST)
    assert trade_session(after_close, "main", FIRST, "follow").state is ExecutionState.DONE
    assert reconcile_session(after_close, "main", FIRST).break_count == 0


def test_nothing_is_sent_after_a_session_that_ended_with_breaks(desk: Desk) -> None:
    trade(desk, FIRST)
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM trades WHERE symbol = 'NVDA'")
        connection.exec_driver_sql("UPDATE paper_positions SET qty = '1' WHERE symbol = 'AAPL'")
    assert reconcile_session(desk, "main", FIRST).break_count > 0
    with pytest.raises(RiskLimitBreached, match=r"open breaks are worth .*max_break_value_pct allows 0.02"):
        trade(desk, SECOND)
    with desk.ledger.read() as connection:
        assert [row.symbol for row in open_breaks(connection, "paper")] == ["AAPL"]
        assert not is_closed(connection, "paper", "main", FIRST)


def test_a_small_break_keeps_its_instrument_alone_from_trading_until_the_parties_agree_again(desk: Desk) -> None:
    trade(desk, FIRST)
    with desk.ledger.read() as connection:
        before = owned(connection, "paper", "main")["AAPL"]
    _set_paper_position(desk, "AAPL", before + 1)
    assert [row.symbol for row in reconcile_session(desk, "main", FIRST).break_rows] == ["AAPL"]
    logged = reconcile_session(desk, "main", FIRST, which=Pass.FIRST, source=Source.LOGS)
    assert (logged.break_rows, logged.state) == ((), "reconciled")
    sent = {row.symbol for row in trade(desk, SECOND).orders}
    lines = {line.symbol: line for line in plan_session(desk, "main", SECOND).plan.lines}
    assert (lines["AAPL"].reason, "AAPL" in sent, len(sent) > 0) == (Reason.FROZEN, False, True)
    assert "locked by break" in lines["AAPL"].note
    _set_paper_position(desk, "AAPL", before)
    assert reconcile_session(desk, "main", SECOND).break_count == 0
    with desk.ledger.read() as connection:
        assert open_breaks(connection, "paper") == []
        assert is_closed(connection, "paper", "main", SECOND)
    for words, asked in (("asks the broker", Source.LOGS), ("has not closed", None)):
        later = Desk(desk.settings, lambda: datetime(2025, 3, 3, 13, tzinfo=UTC))
        with pytest.raises(InputError, match=words):
            reconcile_session(later, "main", FIRST, which=Pass.SECOND, source=asked)


def test_a_day_whose_difference_was_cleared_by_a_later_session_is_closed_before_the_next_plan(desk: Desk) -> None:
    trade(desk, FIRST)
    with desk.ledger.read() as connection:
        before = owned(connection, "paper", "main")["AAPL"]
    _set_paper_position(desk, "AAPL", before + 1)
    reconcile_session(desk, "main", FIRST)
    trade(desk, SECOND)
    _set_paper_position(desk, "AAPL", before)
    assert reconcile_session(desk, "main", SECOND).break_count == 0
    with desk.ledger.read() as connection:
        assert not is_closed(connection, "paper", "main", FIRST)
    close_past(desk, "main", THIRD)
    with desk.ledger.read() as connection:
        assert is_closed(connection, "paper", "main", FIRST)


def _set_paper_position(desk: Desk, symbol: str, qty: Decimal) -> None:
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE paper_positions SET qty = '{qty}' WHERE symbol = '{symbol}'")


def test_a_run_that_starts_long_after_its_tick_is_refused(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    with pytest.raises(StaleTick, match="minutes late"):
        trade_session(desk, "main", FIRST, "test-run", scheduled_for="2025-03-31T13:00:00+00:00")


def test_a_run_that_was_scheduled_for_a_time_ahead_of_the_clock_is_refused_with_both_times(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    for ahead in (timedelta(minutes=1, seconds=1), timedelta(hours=3), timedelta(days=40)):
        scheduled = (NOW + ahead).isoformat()
        with pytest.raises(StaleTick, match="ahead of this machine's clock") as refused:
            trade_session(desk, "main", FIRST, "test-run", scheduled_for=scheduled)
        assert scheduled in str(refused.value)
        assert NOW.isoformat(timespec="seconds") in str(refused.value)
    for tag in ("soon", "", "2025-03-03T09:00:00"):
        with pytest.raises(StaleTick, match=f"scheduled for '{tag}'"):
            trade_session(desk, "main", FIRST, "test-run", scheduled_for=tag)
    with desk.ledger.read() as connection:
        assert batch_of(connection, "paper", "main", FIRST) is None
    barely = (NOW + timedelta(seconds=30)).isoformat()
    assert trade_session(desk, "main", FIRST, "test-run", scheduled_for=barely).state is ExecutionState.DONE


def test_a_planned_session_that_is_passed_over_is_named(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    assert trade(desk, SECOND).skipped == (FIRST,)


def test_the_sessions_of_the_weight_file_are_known_without_storing_anything(desk: Desk) -> None:
    assert weight_sessions(desk, "main") == frozenset({FIRST, SECOND})
    with desk.lake.read() as cursor:
        assert cursor.execute("SELECT count(*) FROM signals").fetchone() == (0,)


def test_following_a_session_leaves_a_plan_that_was_not_admitted_alone(desk: Desk) -> None:
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    followed = follow_session(desk, "main", FIRST, "follow")
    assert followed.state is ExecutionState.NO_PLAN
    with desk.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 0


def test_a_plan_for_a_session_that_the_venue_has_closed_is_not_admitted_and_says_so(desk: Desk) -> None:
    follow_session(desk, "main", FIRST, "follow")
    late = trade(desk, FIRST)
    assert late.state is ExecutionState.NO_PLAN
    assert late.orders == ()
    assert any("has closed 2025-03-03" in note for note in late.notes)


def test_a_session_that_is_ahead_is_neither_planned_nor_traded(desk: Desk) -> None:
    ahead = date(2025, 4, 1)
    with pytest.raises(InputError, match="is ahead"):
        plan_session(desk, "main", ahead)
    with pytest.raises(InputError, match="is ahead"):
        trade_session(desk, "main", ahead, "test-run")


def test_no_plan_is_made_while_orders_of_an_earlier_session_are_open(tmp_path: Path) -> None:
    desk = collected(tmp_path, now=datetime(2025, 3, 3, 13, tzinfo=UTC))
    assert trade(desk, FIRST).state is ExecutionState.WORKING
    later = Desk(desk.settings, lambda: datetime(2025, 3, 10, 13, tzinfo=UTC))
    for session in (date(2025, 3, 4), date(2025, 3, 5), date(2025, 3, 6), date(2025, 3, 7)):
        collect_closed_session(later, "us", session)
    with later.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE session = ?", [FIRST])
    consolidate_session(later, "main", SECOND)
    with pytest.raises(DataError, match="scizor collect daily --date 2025-03-03"):
        plan_session(later, "main", SECOND)


def test_a_feed_that_gave_almost_nothing_sizes_no_order(desk: Desk) -> None:
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE session = ? AND symbol <> 'AAPL'", [EARLY])
    consolidate_session(desk, "main", FIRST)
    with pytest.raises(PriceUnavailable, match="1 of 6 symbols have a price of 2025-02-28"):
        plan_session(desk, "main", FIRST)


def test_a_sale_that_cannot_fill_does_not_cost_the_session_its_buys(desk: Desk) -> None:
    trade(desk, FIRST)
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE session = ? AND symbol = 'MSFT'", [SECOND])
    result = trade(desk, SECOND)
    filled = {row.symbol for row in result.orders if row.filled_qty > 0}
    states = {row.symbol: str(row.state) for row in result.orders}
    assert states["MSFT"] == "expired"
    assert "GOOG" in filled
    assert "rejected" not in states.values()
    assert reconcile_session(desk, "main", SECOND).break_count == 0
