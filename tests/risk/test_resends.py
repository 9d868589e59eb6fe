"""An order that is not found is checked anew before it is sent again: nothing goes around the limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.execution.executor import ExecutionState, follow
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.events import RiskEvent, risk_events_of
from scizor_dagster.risk.facts import MarketFacts
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, TUESDAY, D, adopt, model, order, plan_of, resume, run, settings

BUY = plan_of([order("b", "CCC", Side.BUY, "10")])
KNOWN = MarketFacts(
    equity=D(1_000),
    equity_before=D(1_000),
    prices={"CCC": D(20)},
    price_ages={"CCC": 0},
    daily_volumes={"CCC": D(100)},
)
STOPPING: dict[str, Any] = {
    "restricted": frozenset({"CCC"}),
    "allowed": frozenset({"AAA"}),
    "max_share_per_order": D(9),
    "max_notional_per_order": D(199),
    "max_price_age_sessions": D(3),
    "max_leverage": D("0.1"),
}
WAITING: dict[str, Any] = {"max_equity_jump": D("0.5"), "max_orders_per_minute": D(1)}


def _lost(ledger: Ledger, plan: Plan = BUY, **broker: Any) -> ModelBroker:
    """The first send has not arrived, and nobody could look yet; the venue rests."""
    lost = model(ledger, **broker)
    lost.submit_faults[plan.orders[0].client_order_id] = ["lost"]
    lost.find_faults = 1
    lost.has_data = set()
    assert run(ledger, lost, plan).counts == {"unknown": 1}
    return lost


def _rows(ledger: Ledger, *, passed: bool = False) -> list[RiskEvent]:
    with ledger.read() as connection:
        return risk_events_of(connection, "paper", MONDAY, passed=passed)


@pytest.mark.parametrize("name", [*STOPPING, *WAITING])
def test_an_order_that_a_limit_stops_by_now_is_not_sent_again_and_its_row_says_so(ledger: Ledger, name: str) -> None:
    broker = _lost(ledger)
    limit = {name: (STOPPING | WAITING)[name]}
    for _ in range(2):
        result = resume(ledger, broker, **limit)
        assert (result.state, result.counts) == (ExecutionState.FROZEN, {"unknown": 1})
        assert any(name in note for note in result.notes)
    (row,) = _rows(ledger)
    assert (row.limit, row.client_order_id) == (name, "b")
    assert row.verdict == ("stopped" if name in STOPPING else "waiting")
    assert broker.book.attempts == ["b"]


def test_an_order_that_is_not_sent_again_ends_with_its_session(ledger: Ledger) -> None:
    broker = _lost(ledger)
    broker.book.steps[MONDAY] = broker.steps
    result = resume(ledger, broker, restricted=frozenset({"CCC"}))
    assert (result.state, result.counts) == (ExecutionState.DONE, {"expired": 1})
    assert result.orders[0].reason == "proven absent at the broker, and its session is over"
    assert broker.book.attempts == ["b"]


def test_the_run_that_does_not_send_it_again_ends_it_when_the_venue_closes_the_session(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost"]
    broker.find_faults = 1
    broker.fill_plan = {"DDD": [D(0), D("0.5"), D("0.5")]}
    answers = iter([replace(KNOWN, price_ages={"CCC": 0, "DDD": 0})])

    def facts(_: date) -> MarketFacts:
        return next(answers, replace(KNOWN, price_ages={"DDD": 0}))

    both = plan_of([*BUY.orders, order("d", "DDD", Side.BUY, "10")])
    result = run(ledger, broker, both, facts=facts, max_price_age_sessions=D(3))
    assert (result.state, result.counts) == (ExecutionState.DONE, {"expired": 1, "filled": 1})
    assert result.orders[0].reason == (
        "proven absent at the broker, and its session is over, and it waited "
        "(max_price_age_sessions: no price is known against 3 allowed)"
    )
    assert any("b is not found and is not sent again" in note for note in result.notes)
    assert broker.book.attempts == ["b", "d"]


def test_an_order_that_is_not_sent_again_does_not_freeze_its_instrument_in_the_next_session(ledger: Ledger) -> None:
    broker = _lost(ledger)
    broker.has_data = {TUESDAY}
    plan = plan_of([order("t", "CCC", Side.BUY, "1"), order("u", "DDD", Side.BUY, "1")], session=TUESDAY)
    assert run(ledger, broker, plan, max_notional_per_order=D(100)).counts == {"filled": 2}
    assert resume(ledger, broker).counts == {"expired": 1}
    assert broker.book.attempts == ["b", "u", "t"]


EXACT: dict[str, Any] = {
    "max_total_notional": D(200),
    "max_session_orders": D(1),
    "max_session_turnover": D("0.2"),
    "max_repeated_orders": D(1),
    "max_adv_share": D("0.1"),
    "max_gross_value": D(200),
    "max_net_value": D(200),
    "max_name_weight": D("0.2"),
    "max_orders_per_minute": D(2),
}


@pytest.mark.parametrize("name", EXACT)
def test_an_order_that_is_sent_again_counts_once(ledger: Ledger, name: str) -> None:
    broker = _lost(ledger, buying_power=D(200))
    broker.has_data = None
    result = resume(ledger, broker, facts=lambda _: KNOWN, **{name: EXACT[name]})
    assert result.counts == {"filled": 1}
    assert broker.book.attempts == ["b", "b"]


def test_a_sale_that_is_sent_again_takes_what_is_owned_once(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = _lost(ledger, plan_of([order("s", "AAA", Side.SELL, "5")], held={"AAA": "5"}), positions={"AAA": D(5)})
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.positions["AAA"] == 0


def test_each_send_of_an_order_has_its_passed_verdict(ledger: Ledger) -> None:
    broker = _lost(ledger)
    broker.has_data = None
    for _ in range(2):
        resume(ledger, broker)
    rows = _rows(ledger, passed=True)
    assert [(row.client_order_id, row.verdict) for row in rows] == [("b", "passed")] * 2


def test_once_the_limits_let_it_go_it_is_sent_again(ledger: Ledger) -> None:
    broker = _lost(ledger)
    resume(ledger, broker, restricted=frozenset({"CCC"}))
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["b", "b"]


def test_the_facts_of_its_own_session_decide_whether_it_is_sent_again(ledger: Ledger) -> None:
    broker = _lost(ledger)
    known = {MONDAY: KNOWN}
    assert resume(ledger, broker, max_price_age_sessions=D(3), facts=known.__getitem__).counts == {"working": 1}
    assert broker.book.attempts == ["b", "b"]


def test_above_the_rate_it_is_sent_again_a_minute_later(ledger: Ledger) -> None:
    broker = _lost(ledger)
    limits: dict[str, Any] = {"max_orders_per_minute": D(1)}
    assert resume(ledger, broker, **limits).counts == {"unknown": 1}
    later: datetime = START + timedelta(minutes=2)
    broker.has_data = None
    parts: dict[str, Any] = {"ledger": ledger, "broker": broker, "account": "paper", "portfolio": "main"}
    assert follow(MONDAY, clock=lambda: later, holder="t", settings=settings(**limits), **parts).counts == {"filled": 1}


def test_without_the_buying_power_nothing_is_sent_again_and_the_next_run_asks_anew(ledger: Ledger) -> None:
    broker = _lost(ledger)
    broker.has_data = None
    broker.read_faults = 1
    result = resume(ledger, broker)
    assert result.counts == {"unknown": 1}
    assert any("it could not be checked" in note for note in result.notes)
    assert resume(ledger, broker).counts == {"filled": 1}


def test_only_a_run_that_knows_the_limits_of_its_portfolio_sends_it_again(ledger: Ledger) -> None:
    broker = _lost(ledger)
    result = resume(ledger, broker, portfolio="other")
    assert any("scizor run --portfolio main --date 2026-03-02" in note for note in result.notes)
    assert broker.book.attempts == ["b"]
    sibling = {"main": settings(restricted=frozenset({"CCC"}))}
    resume(ledger, broker, portfolio="other", siblings=sibling)
    assert broker.book.attempts == ["b"]
    broker.has_data = None
    resume(ledger, broker, portfolio="other", siblings={"main": settings()})
    assert broker.book.attempts == ["b", "b"]


@pytest.fixture
def two_shorts(ledger: Ledger) -> ModelBroker:
    """Two short sales at once, of which the first was lost."""
    short = PositionIntent.SELL_TO_OPEN
    names = ("x", "CCC"), ("y", "DDD")
    shorts = [order(name, symbol, Side.SELL, "10", phase=1, intent=short) for name, symbol in names]
    broker = model(ledger, buying_power=D(300))
    broker.submit_faults["x"] = ["lost"]
    broker.find_faults = 2
    broker.has_data = set()
    assert run(ledger, broker, plan_of(shorts)).counts == {"unknown": 1, "working": 1}
    return broker


def test_the_buying_power_of_now_decides_whether_it_is_sent_again(ledger: Ledger, two_shorts: ModelBroker) -> None:
    two_shorts.fixed_buying_power = D(199)
    assert resume(ledger, two_shorts).counts == {"unknown": 1, "working": 1}
    (row,) = _rows(ledger)
    assert (row.limit, row.value, row.threshold) == ("buying_power", "200", "199")
    two_shorts.fixed_buying_power = D(200)
    assert resume(ledger, two_shorts).counts == {"working": 2}
