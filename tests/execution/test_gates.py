"""What the broker says of itself stops a whole run before anything is admitted: identity, clock, positions."""

from datetime import timedelta
from decimal import Decimal

import pytest

from scizor_dagster.errors import BrokerUnavailable, RiskLimitBreached, ScizorError, WrongAccount
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import SYNTHETIC, Side
from scizor_dagster.risk.events import risk_events_of
from tests.execution.scenario import MONDAY, START, TUESDAY, adopt, arm_until, model, order, plan_of, run

BUY = order("b", "AAA", Side.BUY, "2")
LIVE = {"expected_environment": "live", "live_trading": True, "live_session": MONDAY}


def _nothing_admitted(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return batches_of(connection, "paper", "main") == []


@pytest.mark.parametrize(
    ("number", "environment", "expected"),
    [
        (100, "paper", {"expected_account_id": ""}),
        (100, "paper", {"expected_account_id": "M2"}),
        (101, "paper", LIVE),
        (101, "live", {}),
    ],
)
def test_100_101_an_account_that_is_not_the_one_configured_is_never_traded(
    ledger: Ledger, number: int, environment: str, expected: dict[str, object]
) -> None:
    broker = model(ledger, environment=environment)
    with pytest.raises(WrongAccount, match="the configuration expects model"):
        run(ledger, broker, plan_of([BUY]), **expected)
    assert _nothing_admitted(ledger)
    assert broker.book.attempts == []


@pytest.mark.parametrize("listed", [{}, {"AAA": Decimal(0)}], ids=["no position", "a position of none"])
def test_103_an_empty_list_of_positions_is_not_believed_where_the_ledger_knows_of_some(
    ledger: Ledger, listed: dict[str, Decimal]
) -> None:
    adopt(ledger, "AAA", "5")
    adopt(ledger, "BBB", "3", portfolio="other")
    broker = model(ledger, positions=listed)
    with pytest.raises(BrokerUnavailable, match=r"no position at all.* own 2 \(AAA, BBB\)") as caught:
        run(ledger, broker, plan_of([BUY], held={"AAA": "5"}))
    assert "reconcile first" in caught.value.remedy
    assert _nothing_admitted(ledger)
    assert broker.book.attempts == []


def test_an_account_that_has_never_held_anything_may_begin(ledger: Ledger) -> None:
    assert run(ledger, model(ledger, positions={}), plan_of([BUY])).state is ExecutionState.DONE


@pytest.mark.parametrize(("seconds", "stops"), [(-6, True), (6, True), (5, False), (-5, False), (0, False)])
def test_106_a_live_broker_whose_clock_differs_by_more_than_five_seconds_stops_the_run(
    ledger: Ledger, seconds: int, stops: bool
) -> None:
    broker = model(ledger, environment="live")
    broker.time = START + timedelta(seconds=seconds)
    arm_until(ledger, broker, START + timedelta(hours=1))
    if not stops:
        assert run(ledger, broker, plan_of([BUY]), **LIVE).state is ExecutionState.DONE
        return
    with pytest.raises(RiskLimitBreached, match="6 s apart, 5 are allowed"):
        run(ledger, broker, plan_of([BUY]), **LIVE)
    assert _stopped(ledger) == [("broker_clock", "6 s apart", "5 s", "stopped", None)]
    assert _nothing_admitted(ledger)


def _stopped(ledger: Ledger) -> list[tuple[str, str, str, str, str | None]]:
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY)
    assert all(row.limits_hash for row in rows)
    return [(row.limit, row.value, row.threshold, row.verdict, row.client_order_id) for row in rows]


STOPS = {
    "account_identity": ({"expected_account_id": "M2"}, {}, "model paper account M1", "model paper account M2"),
    "arming": (LIVE, {}, "not armed", "armed by a person"),
    "live_session": (LIVE | {"live_session": TUESDAY}, {}, "2026-03-02", "2026-03-03"),
    "price_adjustment": (LIVE, {"adjustment": "split"}, "split", "raw"),
    "synthetic_prices": (LIVE, {"notes": (SYNTHETIC,)}, "synthetic", "real"),
    "account_currency": ({}, {"currency": "AUD"}, "USD", "AUD"),
}


@pytest.mark.parametrize("limit", STOPS)
def test_a_gate_that_stops_a_run_is_one_row_however_often_it_is_run(ledger: Ledger, limit: str) -> None:
    changes, plan, value, threshold = STOPS[limit]
    broker = model(ledger, environment="live" if "live_session" in changes else "paper")
    for _ in range(2):
        with pytest.raises((RiskLimitBreached, WrongAccount)):
            run(ledger, broker, plan_of([BUY], **plan), **changes)
    assert _stopped(ledger) == [(limit, value, threshold, "stopped", None)]
    assert broker.book.attempts == []


def test_the_clock_of_a_paper_exchange_is_not_compared(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.time = START - timedelta(days=400)
    assert run(ledger, broker, plan_of([BUY])).state is ExecutionState.DONE


def test_every_stop_is_one_of_the_projects_errors_and_says_what_to_do(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    with pytest.raises(ScizorError) as caught:
        run(ledger, model(ledger, positions={}), plan_of([BUY], held={"AAA": "5"}))
    assert caught.value.where == "account paper"
    assert caught.value.remedy


def test_an_account_with_real_money_is_refused_whatever_is_armed_where_live_trading_is_off(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    arm_until(ledger, broker, START + timedelta(hours=1))
    with pytest.raises(RiskLimitBreached, match="this run may not trade real money"):
        run(ledger, broker, plan_of([BUY]), **LIVE | {"live_trading": False})
    assert _stopped(ledger) == [("live_trading", "live", "paper", "stopped", None)]
    assert _nothing_admitted(ledger)
    assert broker.book.attempts == []
