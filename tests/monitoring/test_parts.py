"""Each figure says what the stores hold, and nothing where they hold nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.errors import LedgerError
from scizor_dagster.flow.approving import approve
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.states import IntentState as S
from scizor_dagster.marks import BACKUP, leave
from scizor_dagster.monitoring.machine import machine
from scizor_dagster.monitoring.money import money
from scizor_dagster.monitoring.prices import prices
from scizor_dagster.monitoring.readings import Readings
from scizor_dagster.monitoring.trading import trading
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.version import release
from tests.batches import leave_batch, leave_lease
from tests.filled import LAST_COLLECTED, NEXT, TRADED
from tests.monitoring.conftest import NOW
from tests.projects import small_project

MAIN = ("paper", "main")
LAST_CLOSE = datetime(2025, 2, 14, 21, 0, tzinfo=UTC).timestamp()
TRADED_CLOSE = datetime(2025, 2, 3, 21, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def value(found: Readings, name: str, *labels: str) -> float:
    return found.rows[name][labels]


def states_shown(found: Readings) -> list[str]:
    """The states that portfolio main's newest session is shown in."""
    return [state for (*_, state), here in found.rows["scizor_session_state"].items() if here]


def at(desk: Desk, now: datetime) -> Desk:
    return Desk(desk.settings, lambda: now)


def ask_for_approvals(desk: Desk) -> None:
    """Write into the desk's configuration that every plan of portfolio main waits for a person."""
    path = desk.settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["portfolios"]["main"]["approval"] = "manual"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def test_a_ledger_that_is_gone_is_a_part_that_cannot_be_read(desk: Desk) -> None:
    desk.settings.ledger_file.unlink()
    with pytest.raises(LedgerError, match="The ledger is gone, and 1 session"):
        trading(desk)


def test_prices_that_are_collected_are_fresh_and_whole(desk: Desk) -> None:
    found = prices(desk)
    assert value(found, "scizor_prices_newest_close_timestamp_seconds", "us") == LAST_CLOSE
    assert value(found, "scizor_prices_sessions_behind", "us") == 0
    assert value(found, "scizor_symbols_tracked", "us") == 6
    assert value(found, "scizor_symbols_with_gaps", "us") == 0


def test_sessions_that_are_not_collected_are_behind_and_their_bars_are_gaps(desk: Desk) -> None:
    # Monday is a holiday; Tuesday and Wednesday have closed.
    found = prices(at(desk, datetime(2025, 2, 20, 12, 0, tzinfo=UTC)))
    assert value(found, "scizor_prices_sessions_behind", "us") == 2
    assert value(found, "scizor_symbols_with_gaps", "us") == 6


def test_a_bar_that_is_gone_is_a_gap_of_one_symbol(desk: Desk) -> None:
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = 'AAPL' AND session = ?", [LAST_COLLECTED])
    assert value(prices(desk), "scizor_symbols_with_gaps", "us") == 1


def test_a_home_without_stores_is_behind_from_the_first_session_on_and_worth_nothing_that_is_said(
    tmp_path: Path,
) -> None:
    empty = Desk(small_project(tmp_path).settings, lambda: datetime(2025, 1, 4, tzinfo=UTC))
    found = prices(empty)
    assert value(found, "scizor_prices_newest_close_timestamp_seconds", "us") == 0
    assert value(found, "scizor_prices_sessions_behind", "us") == 2
    assert "scizor_symbols_tracked" not in found.rows
    assert (trading(empty).rows, money(empty).rows) == ({}, {})
    # What this process has asked brokers for is its own, and no store's.
    asked = {"scizor_requests_left", "scizor_requests_limit"}
    assert set(machine(empty).rows) - asked == {"scizor_build_info", "scizor_backup_timestamp_seconds"}
    assert not (tmp_path / "home").exists()


def test_a_traded_session_is_counted_in_its_states(desk: Desk) -> None:
    found = trading(at(desk, datetime(2025, 2, 3, 23, 0, tzinfo=UTC)))
    assert value(found, "scizor_orders", *MAIN, "filled") == 4
    assert sum(found.rows["scizor_orders"].values()) == 4
    assert value(found, "scizor_session_state", *MAIN, "done") == 1
    assert sum(found.rows["scizor_session_state"].values()) == 1
    assert value(found, "scizor_trading_state", *MAIN, "active") == 1
    assert value(found, "scizor_last_traded_close_timestamp_seconds", *MAIN) == TRADED_CLOSE
    assert value(found, "scizor_last_traded_due_timestamp_seconds", *MAIN) == TRADED_CLOSE + 3 * HOUR
    assert value(found, "scizor_reconciled_timestamp_seconds", *MAIN) > TRADED_CLOSE
    assert value(found, "scizor_account_entry_timestamp_seconds", "paper") > TRADED_CLOSE
    for name in ("scizor_orders_open", "scizor_orders_unknown", "scizor_locks", "scizor_live"):
        assert value(found, name, *MAIN) == 0, name
    assert set(found.rows["scizor_breaks_open"].values()) == {0}
    assert "scizor_armed_until_timestamp_seconds" not in found.rows


def test_a_session_that_closes_early_is_due_when_one_that_does_not_would_be(desk: Desk) -> None:
    early = date(2025, 7, 3)
    leave_batch(desk, early, {"AAPL": S.WORKING})
    found = trading(at(desk, datetime(2025, 7, 3, 21, 0, tzinfo=UTC)))
    close = datetime(2025, 7, 3, 17, 0, tzinfo=UTC).timestamp()
    assert value(found, "scizor_last_traded_close_timestamp_seconds", *MAIN) == close
    # Three hours after 16:00 in New York, when orders are followed at 18:00 on every day.
    assert value(found, "scizor_last_traded_due_timestamp_seconds", *MAIN) == close + 6 * HOUR


def test_a_portfolio_that_has_traded_nothing_has_neither_a_close_nor_a_time_by_which_it_is_due(desk: Desk) -> None:
    found = trading(at(desk, datetime(2025, 2, 1, 12, 0, tzinfo=UTC)))
    assert value(found, "scizor_last_traded_close_timestamp_seconds", *MAIN) == 0
    assert value(found, "scizor_last_traded_due_timestamp_seconds", *MAIN) == 0


@pytest.mark.parametrize(
    ("holder", "expires_at", "unknown"),
    [
        pytest.param("run 1", NOW + timedelta(minutes=1), 0, id="held"),
        pytest.param(None, NOW + timedelta(minutes=1), 1, id="given back"),
        pytest.param("run 1", NOW, 1, id="abandoned"),
    ],
)
def test_an_order_that_is_being_sent_is_unknown_once_no_run_holds_its_account(
    desk: Desk, holder: str | None, expires_at: datetime, unknown: int
) -> None:
    leave_batch(desk, date(2025, 2, 14), {"AAPL": S.SENDING, "MSFT": S.WORKING})
    leave_lease(desk, holder, expires_at)
    found = trading(desk)
    assert value(found, "scizor_orders_unknown", *MAIN) == unknown
    assert value(found, "scizor_orders", *MAIN, "sending") == 1
    assert value(found, "scizor_orders_open", *MAIN) == 2


def test_a_session_whose_plan_waits_for_a_person_awaits_approval_until_one_has(desk: Desk) -> None:
    ask_for_approvals(desk)
    before_open = datetime(2025, 2, 10, 13, 0, tzinfo=UTC)
    waiting = at(desk, before_open)
    assert states_shown(trading(waiting)) == ["no_plan"]
    consolidate_session(waiting, "main", NEXT)
    plan = plan_session(waiting, "main", NEXT).plan
    assert states_shown(trading(waiting)) == ["awaiting_approval"]
    approve(waiting, plan, actor="jo", reason="seen")
    assert states_shown(trading(waiting)) == ["no_plan"]


def test_a_plan_that_cannot_be_looked_for_leaves_out_the_state_and_no_other_figure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def damaged(*_: object) -> None:
        raise OSError("the lake is gone")

    monkeypatch.setattr("scizor_dagster.monitoring.trading.awaiting_plan", damaged)
    # A portfolio that asks for no approval has no plan that waits, and nobody looks for one.
    assert states_shown(trading(at(desk, NOW))) == ["no_plan"]
    ask_for_approvals(desk)
    found = trading(at(desk, NOW))
    assert "scizor_session_state" not in found.rows
    assert value(found, "scizor_orders_unknown", *MAIN) == 0
    assert "the lake is gone" in caplog.text
    # What the ledger alone knows is shown all the same.
    assert states_shown(trading(at(desk, datetime(2025, 2, 3, 23, 0, tzinfo=UTC)))) == ["done"]


def test_what_is_open_unknown_stopped_and_left_behind_is_counted(desk: Desk) -> None:
    leave_batch(desk, date(2025, 2, 14), {"AAPL": S.UNKNOWN, "MSFT": S.WORKING, "NVDA": S.FILLED})
    leave_lease(desk, "run 1", NOW - timedelta(minutes=1))
    with desk.ledger.transaction() as connection:
        words = {"reason": "a look", "actor": "ann", "now": NOW}
        set_state(connection, "paper", "main", TradingState.HALTED, **words)
    found = trading(desk)
    assert value(found, "scizor_orders", *MAIN, "unknown") == 1
    assert value(found, "scizor_orders_unknown", *MAIN) == 1
    assert value(found, "scizor_orders_open", *MAIN) == 2
    assert (
        value(found, "scizor_session_state", *MAIN, "frozen") + value(found, "scizor_session_state", *MAIN, "working")
        == 1
    )
    assert value(found, "scizor_trading_state", *MAIN, "halted") == 1
    assert value(found, "scizor_account_abandoned", "paper") == 1
    leave_lease(desk, "run 1", NOW + timedelta(minutes=1))
    again = trading(desk)
    assert (value(again, "scizor_account_at_work", "paper"), value(again, "scizor_account_abandoned", "paper")) == (
        1,
        0,
    )


def test_a_portfolio_is_worth_what_was_measured_last(desk: Desk) -> None:
    with desk.lake.read() as cursor:
        row = cursor.execute("SELECT equity, cash FROM performance WHERE session = ?", [TRADED]).fetchone()
    assert row is not None
    found = money(desk)
    assert value(found, "scizor_equity", *MAIN, "USD") == row[0]
    assert value(found, "scizor_cash", *MAIN, "USD") == row[1]
    assert value(found, "scizor_performance_close_timestamp_seconds", *MAIN) == TRADED_CLOSE
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE performance SET drawdown = -0.25")
    assert value(money(desk), "scizor_drawdown", *MAIN) == 0.25


def test_a_portfolio_that_was_never_measured_where_it_trades_says_so_and_is_worth_nothing_that_is_said(
    desk: Desk,
) -> None:
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE performance SET account = 'another'")
    assert money(desk).rows == {"scizor_performance_close_timestamp_seconds": {MAIN: 0.0}}


def test_the_machine_says_how_large_the_stores_are_and_when_they_were_backed_up(desk: Desk) -> None:
    leave(desk.settings.home, BACKUP, NOW)
    found = machine(desk)
    assert found.rows["scizor_build_info"].popitem()[0][0] == release()
    assert value(found, "scizor_backup_timestamp_seconds") == NOW.timestamp()
    for name in ("disk_free_bytes", "lake_bytes", "lake_files", "lake_snapshots", "ledger_entries"):
        assert value(found, f"scizor_{name}") > 0, name


LIVE = {"broker": "alpaca", "environment": "live", "account_id": "A123", "currency": "USD", "initial_cash": 1.0}


def test_a_portfolio_with_real_money_says_until_when_it_may_trade_it(tmp_path: Path) -> None:
    project = small_project(tmp_path, accounts={"real": LIVE}, portfolios={"main": {"account": "real"}})
    live, owner = Desk(project.settings, lambda: NOW), ("real", "main")
    words = {"max_notional": Decimal(1), "currency": "USD", "actor": "ann", "reason": "a test", "now": NOW}
    until = NOW + timedelta(hours=1)
    for identity, expected in (("other", 0.0), ("A123", until.timestamp())):
        with live.ledger.transaction() as connection:
            arm(connection, "real", "main", BrokerIdentity("alpaca", "live", identity), until=until, **words)
        found = trading(live)
        assert value(found, "scizor_live", *owner) == 1
        assert value(found, "scizor_armed_until_timestamp_seconds", *owner) == expected
    assert value(trading(at(live, until)), "scizor_armed_until_timestamp_seconds", *owner) == 0
