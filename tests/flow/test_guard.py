"""The loss stops look at every session, measured or not, and at every portfolio that orders can go out for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import catch_up, follow_session
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.risk import guard_account, guard_session
from scizor_dagster.flow.wealth import wealth_before
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.tables import activities, risk_events, risk_locks, trading_states
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.locks import locks_of
from scizor_dagster.risk.trading_state import states_of
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.flow.test_risk import with_risk
from tests.projects import project_at

LAST = date(2025, 3, 7)
"""The session before SECOND; only FIRST was traded, and nothing was measured."""
THIRD = date(2025, 3, 11)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard")
    desk = collected(folder)
    trade(desk, FIRST)
    shutil.copytree(folder / "home", folder / "behind")
    catch_up(desk, "main", LAST)
    for store in (desk.lake, desk.ledger):
        store.close()
    return folder


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    shutil.copytree(traded, tmp_path / "desk")
    return Desk(project_at(tmp_path / "desk").settings, lambda: NOW)


def _change_bars(desk: Desk, statement: str, *values: object) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(statement, list(values))


def _fall(desk: Desk, since: date = LAST, until: date = SECOND) -> None:
    """Every price loses four tenths from `since` to before `until`."""
    fallen = ", ".join(f"{name} = {name} * 0.6" for name in ("open", "high", "low", "close"))
    _change_bars(desk, f"UPDATE bars SET {fallen} WHERE session >= ? AND session < ?", since, until)


def _states(desk: Desk) -> list[tuple[str | None, str]]:
    with desk.ledger.read() as connection:
        return [(row.portfolio, row.state.value) for row in states_of(connection, "paper")]


def _locks(desk: Desk, session: date = SECOND) -> list[str]:
    with desk.ledger.read() as connection:
        return [lock.sentence for lock in locks_of(connection, "paper", "main", session)]


def test_a_loss_that_nobody_measured_reduces_the_portfolio_and_is_a_row_of_its_own(desk: Desk) -> None:
    guard_session(desk, "main", SECOND)
    assert _states(desk) == [], "a quiet week stops nothing"
    _fall(desk)
    for _ in range(2):
        guard_session(desk, "main", SECOND)
    assert _states(desk) == [("main", "reducing")]
    with desk.ledger.read() as connection:
        (event,) = risk_events_of(connection, "paper", SECOND)
        (state,) = states_of(connection, "paper")
    assert (event.limit, event.threshold, event.checked["trading_state"][1]) == (
        "max_day_loss",
        "0.2",
        "closing orders",
    )
    assert 0.2 < float(event.value) < 0.4
    assert f"at the close of {LAST}" in state.reason


def test_a_loss_in_the_middle_of_a_week_without_any_run_is_seen_although_prices_have_come_back(desk: Desk) -> None:
    _fall(desk, date(2025, 3, 5), date(2025, 3, 6))
    guard_session(desk, "main", SECOND)
    assert _states(desk) == [("main", "reducing")]


def test_what_is_valued_here_is_what_measuring_would_have_found(desk: Desk) -> None:
    valued = wealth_before(desk, "main", SECOND).points
    assert [day for day, _ in valued] == desk.calendar("us").sessions(FIRST, LAST)
    for session, _ in valued:
        assert measure_session(desk, "main", session) is not None
    measured = wealth_before(desk, "main", SECOND).points
    assert [float(value) for _, value in valued] == pytest.approx([float(value) for _, value in measured])


def test_where_the_last_close_cannot_be_valued_opening_orders_wait_until_it_can(desk: Desk) -> None:
    with desk.lake.read() as cursor:
        kept = cursor.execute("SELECT * FROM bars WHERE session = ?", [LAST]).fetch_df()
    _change_bars(desk, "DELETE FROM bars WHERE session = ?", LAST)
    guard_session(desk, "main", SECOND, admits=True)
    (lock,) = _locks(desk)
    assert f"the loss before {SECOND} cannot be measured: no prices of {LAST} are stored" in lock
    assert f"scizor collect daily --market us --date {LAST}" in lock
    assert f"scizor run --portfolio main --date {SECOND}" in lock
    with desk.lake.write() as cursor:
        cursor.register("kept", kept)
        cursor.execute("INSERT INTO bars SELECT * FROM kept")
    guard_session(desk, "main", SECOND)
    assert _locks(desk) == []


def test_what_the_ledger_does_not_hold_yet_is_an_unknown_loss_and_never_a_false_one(desk: Desk) -> None:
    folder = desk.settings.config_path.parent
    behind = Desk(replace(desk.settings, home=folder / "behind"), lambda: NOW)
    _fall(behind)
    guard_session(behind, "main", SECOND)
    assert _locks(behind) == [], "no order of the session is about to go out"
    guard_session(behind, "main", SECOND, admits=True)
    (lock,) = _locks(behind)
    assert f"what happened up to {LAST} is not recorded" in lock
    assert f"scizor reconcile --portfolio main --date {LAST}" in lock
    assert _states(behind) == []
    catch_up(behind, "main", LAST)
    guard_session(behind, "main", SECOND)
    assert (_locks(behind), _states(behind)) == ([], [("main", "reducing")])


def test_a_holding_without_any_price_is_an_unknown_loss_and_not_a_total_one(desk: Desk) -> None:
    _change_bars(desk, "DELETE FROM bars WHERE symbol = 'AAPL'")
    guard_session(desk, "main", SECOND, admits=True)
    (lock,) = _locks(desk)
    assert "no price of AAPL is stored" in lock
    assert _states(desk) == []


def test_without_a_limit_on_losses_nothing_waits_for_a_price(desk: Desk) -> None:
    free = with_risk(desk, limits={"max_day_loss": "unlimited", "max_drawdown": "unlimited"})
    _change_bars(free, "DELETE FROM bars WHERE session = ?", LAST)
    guard_session(free, "main", SECOND, admits=True)
    assert _locks(free) == []


def test_money_that_is_taken_out_of_the_account_is_no_loss(desk: Desk) -> None:
    row = {"account": "paper", "activity_id": "w", "kind": "withdrawal", "session": LAST, "symbol": None}
    with desk.ledger.transaction() as connection:
        values = {"amount": Decimal(-60_000), "qty_factor": None, "description": "to the bank", "recorded_at": NOW}
        connection.execute(activities.insert().values(**row, **values))
    before = wealth_before(desk, "main", SECOND)
    guard_session(desk, "main", SECOND)
    assert _states(desk) == []
    assert all(value > 90_000 for _, value in before.points)


def test_a_delisting_for_nothing_is_a_losing_exit(desk: Desk) -> None:
    locking = with_risk(desk, protections=[{"kind": "cooldown", "sessions": 5}])
    row = {"account": "paper", "activity_id": "d", "kind": "delisting", "session": LAST, "symbol": "AAPL"}
    with locking.ledger.transaction() as connection:
        values = {"amount": Decimal(0), "qty_factor": Decimal(0), "description": "bankrupt", "recorded_at": NOW}
        connection.execute(activities.insert().values(**row, **values))
    guard_session(locking, "main", SECOND)
    assert any("AAPL was closed on 2025-03-07 with a result of -" in lock for lock in _locks(locking))


def test_a_session_before_the_last_traded_or_measured_one_sets_nothing(desk: Desk) -> None:
    trade(desk, SECOND)
    _fall(desk, until=SECOND + timedelta(days=30))
    with desk.ledger.transaction() as connection:
        for table in (trading_states, risk_locks, risk_events):
            connection.execute(table.delete())
    for old in (FIRST, LAST):
        guard_session(desk, "main", old)
        assert _states(desk) == [], old
    follow_session(desk, "main", FIRST, "again")
    assert (_states(desk), _locks(desk)) == ([], [])
    guard_session(desk, "main", SECOND)
    assert _states(desk) == [("main", "reducing")], "the newest one does"


def test_a_measured_session_makes_older_ones_old_without_any_trade(desk: Desk) -> None:
    _fall(desk, date(2025, 3, 4), SECOND)
    assert measure_session(desk, "main", LAST) is not None
    guard_session(desk, "main", date(2025, 3, 6))
    assert _states(desk) == []
    guard_session(desk, "main", LAST)
    assert _states(desk) == [("main", "reducing")]


def test_a_history_that_is_traded_again_in_order_sets_the_states_of_the_time(desk: Desk) -> None:
    _fall(desk)
    result = trade(desk, SECOND)
    assert _states(desk) == [("main", "reducing")]
    assert {(row.side.value, row.state.value) for row in result.orders} == {("sell", "filled"), ("buy", "expired")}
    assert result.state is ExecutionState.DONE


def test_a_portfolio_that_a_siblings_run_sends_for_is_guarded_by_that_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read_plan(desk.lake, "main", FIRST)
    assert plan is not None
    order = plan.orders[0]._replace(client_order_id="sibling", phase=1)
    sibling = replace(plan, portfolio="other", session=SECOND, orders=(order,), plan_id="o" * 64)
    with desk.ledger.transaction() as connection:
        admit(connection, sibling, starting_cash=Decimal(1_000), now=NOW)
    other = desk.config.portfolios["main"]
    shared = desk.config.model_copy(update={"portfolios": {"main": other, "other": other}})
    monkeypatch.setitem(desk.__dict__, "config", shared)
    guarded: list[tuple[str, date]] = []
    monkeypatch.setattr("scizor_dagster.flow.risk.guard_session", lambda _, name, day: guarded.append((name, day)))
    guard_account(desk, "paper", LAST)
    assert guarded == [], "its session is still to come"
    for look in (
        lambda: guard_account(desk, "paper", SECOND),
        lambda: catch_up(desk, "main", THIRD),
        lambda: follow_session(desk, "main", THIRD, "look"),
    ):
        guarded.clear()
        monkeypatch.setattr("scizor_dagster.flow.following.follow", lambda *_, **__: None)
        look()
        assert ("other", SECOND) in guarded
