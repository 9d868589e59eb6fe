"""Real money moves only under a person's arming, and a plan that asks for one only under a person's approval."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest
from scizor_dagster.errors import RiskLimitBreached
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.arming import arming_of, disarm
from scizor_dagster.ledger.plan_approvals import approval_in_force, approve_plan, withdraw_approval
from scizor_dagster.ledger.rows import batch_of, batches_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan, Side
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.held_back import held_back
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, TUESDAY, D, adopt, arm_until, model, order, plan_of, resume, run

BUY = order("b", "AAA", Side.BUY, "2")
LIVE = {"expected_environment": "live", "live_trading": True, "live_session": MONDAY}
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
HELD = {"AAA": "5"}


def two_sales() -> Plan:
    """Two orders of 100 each, which are sent one after the other."""
    return plan_of([order(f"s{n}", "AAA", Side.SELL, "1", slice_=n) for n in (1, 2)], held=HELD)


def live(ledger: Ledger) -> ModelBroker:
    return model(ledger, environment="live", positions={"AAA": D(5)})


def stops(ledger: Ledger) -> list[tuple[str, str, str, str, str | None]]:
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY)
    return [(row.limit, row.value, row.threshold, row.verdict, row.client_order_id) for row in rows]


def after_the_first_send(broker: ModelBroker, act: Callable[[], None]) -> None:
    sent = broker.submit

    def submit(request: OrderRequest) -> BrokerOrder:
        if not broker.book.attempts:
            act()
        return sent(request)

    broker.submit = submit  # type: ignore[method-assign]


def take_back(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert disarm(connection, "paper", "main", actor="kim", reason="", now=START) is not None


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def test_a_portfolio_that_is_disarmed_during_a_run_sends_nothing_more_and_what_is_out_is_followed(
    ledger: Ledger,
) -> None:
    adopt(ledger, "AAA", "5")
    broker = live(ledger)
    arm_until(ledger, broker, START + HOUR)
    after_the_first_send(broker, lambda: take_back(ledger))
    broker.has_data = set()
    result = run(ledger, broker, two_sales(), **LIVE)
    assert result.counts == {"ready": 1, "working": 1}
    assert result.state is ExecutionState.WORKING
    assert broker.book.attempts == ["s1"]
    assert stops(ledger) == [("arming", "disarmed by kim", "armed by a person", "waiting", "s2")]
    assert "scizor arm main --account M1 --until TIME --max-notional AMOUNT" in " ".join(result.notes)
    with ledger.read() as connection:
        (waiting,) = held_back(connection, "paper", "main", MONDAY)
    assert waiting.sentence == "sell 1 AAA: arming: disarmed by kim"
    arm_until(ledger, broker, START + HOUR)
    broker.has_data = None
    assert resume(ledger, broker, **LIVE).counts == {"filled": 2}
    assert broker.book.attempts == ["s1", "s2"]


def test_what_an_arming_has_kept_back_ends_with_its_session_and_says_why(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = live(ledger)
    arm_until(ledger, broker, START + HOUR)
    after_the_first_send(broker, lambda: take_back(ledger))
    result = run(ledger, broker, two_sales(), **LIVE)
    assert result.counts == {"expired": 1, "filled": 1}
    (reason,) = (row.reason for row in result.orders if row.state == "expired")
    assert reason.endswith("it waited (arming: disarmed by kim against armed by a person allowed)")
    assert broker.book.attempts == ["s1"]
    with ledger.read() as connection:
        (lost,) = held_back(connection, "paper", "main", MONDAY)
    assert (lost.lost, lost.why) == (True, "arming: disarmed by kim")


@pytest.mark.parametrize(("left", "sent"), [(-INSTANT, 0), (timedelta(0), 0), (INSTANT, 2)])
def test_an_arming_ends_at_its_very_instant_for_what_is_to_be_admitted(
    ledger: Ledger, left: timedelta, sent: int
) -> None:
    adopt(ledger, "AAA", "5")
    broker, clock = live(ledger), Clock()
    arm_until(ledger, broker, START + HOUR)
    clock.at = START + HOUR - left
    broker.time = clock.at
    if sent:
        assert run(ledger, broker, two_sales(), clock=clock, **LIVE).state is ExecutionState.DONE
    else:
        with pytest.raises(RiskLimitBreached, match="portfolio 'main' is expired at"):
            run(ledger, broker, two_sales(), clock=clock, **LIVE)
    assert len(broker.book.attempts) == sent


@pytest.mark.parametrize(("left", "sent"), [(-INSTANT, 1), (timedelta(0), 1), (INSTANT, 2)])
def test_an_arming_ends_at_its_very_instant_for_what_is_to_be_sent(ledger: Ledger, left: timedelta, sent: int) -> None:
    adopt(ledger, "AAA", "5")
    broker, clock = live(ledger), Clock()
    arm_until(ledger, broker, START + HOUR)
    after_the_first_send(broker, lambda: setattr(clock, "at", START + HOUR - left))
    result = run(ledger, broker, two_sales(), clock=clock, **LIVE)
    assert broker.book.attempts == ["s1", "s2"][:sent]
    assert result.counts == ({"filled": 2} if sent == 2 else {"expired": 1, "filled": 1})


@pytest.mark.parametrize(("amount", "admitted"), [("200", True), ("199.99", False)])
def test_the_orders_of_a_plan_fit_into_what_is_armed_or_none_is_admitted(
    ledger: Ledger, amount: str, admitted: bool
) -> None:
    adopt(ledger, "AAA", "5")
    broker = live(ledger)
    arm_until(ledger, broker, START + HOUR, amount)
    if admitted:
        assert run(ledger, broker, two_sales(), **LIVE).state is ExecutionState.DONE
        return
    with pytest.raises(
        RiskLimitBreached, match=r"worth 200\.00 USD, and portfolio 'main' is armed by jo.* for 199\.99"
    ):
        run(ledger, broker, two_sales(), **LIVE)
    assert stops(ledger) == [("armed_notional", "200", "199.99", "stopped", None)]
    assert broker.book.attempts == []


def test_what_is_armed_is_used_up_over_sessions_and_begins_anew_with_the_next_arming(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = live(ledger)
    arm_until(ledger, broker, START + HOUR, "300")
    assert run(ledger, broker, two_sales(), **LIVE).state is ExecutionState.DONE
    later = plan_of(
        [order(f"t{n}", "AAA", Side.SELL, "1", slice_=n) for n in (1, 2)], held={"AAA": "3"}, session=TUESDAY
    )
    tuesday = LIVE | {"live_session": TUESDAY}
    with pytest.raises(RiskLimitBreached, match=r"300\.00 USD, 200\.00 of it used"):
        run(ledger, broker, later, **tuesday)
    arm_until(ledger, broker, START + HOUR, "300")
    assert run(ledger, broker, later, **tuesday).state is ExecutionState.DONE
    with ledger.read() as connection:
        found = arming_of(connection, "paper", "main")
    assert found is not None
    assert found.sent == 200


def test_an_arming_for_less_that_comes_during_a_run_stops_at_its_own_amount(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = live(ledger)
    arm_until(ledger, broker, START + HOUR)
    after_the_first_send(broker, lambda: arm_until(ledger, broker, START + HOUR, "99"))
    result = run(ledger, broker, two_sales(), **LIVE)
    assert result.counts == {"expired": 1, "filled": 1}
    assert stops(ledger) == [("armed_notional", "100", "99", "waiting", "s2")]


def test_an_order_that_is_sent_again_counts_once(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    arm_until(ledger, broker, START + HOUR, "200")
    broker.submit_faults["b"] = ["lost"]
    assert run(ledger, broker, plan_of([BUY]), **LIVE).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "b"]
    with ledger.read() as connection:
        found = arming_of(connection, "paper", "main")
    assert found is not None
    assert found.sent == 200


def test_an_unknown_order_is_not_sent_again_once_the_portfolio_is_disarmed(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    arm_until(ledger, broker, START + HOUR)
    broker.submit_faults["b"] = ["lost"]
    broker.find_faults = 2
    assert run(ledger, broker, plan_of([BUY]), **LIVE).state is ExecutionState.FROZEN
    take_back(ledger)
    assert resume(ledger, broker, **LIVE).counts == {"unknown": 1}
    assert broker.book.attempts == ["b"]
    arm_until(ledger, broker, START + HOUR)
    assert resume(ledger, broker, **LIVE).counts == {"filled": 1}


def test_a_batch_names_who_armed_it_and_a_paper_one_nobody(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    arm_until(ledger, broker, START + HOUR, "500")
    run(ledger, broker, plan_of([BUY]), **LIVE)
    with ledger.read() as connection:
        batch = batch_of(connection, "paper", "main", MONDAY)
    assert batch is not None
    assert (batch.armed_by, batch.armed_at, batch.armed_until) == ("jo", START, START + HOUR)
    assert (batch.max_notional, batch.approved_by, batch.approved_at) == (500, None, None)


def test_an_arming_says_nothing_of_another_portfolio_of_the_account(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    arm_until(ledger, broker, START + HOUR, portfolio="other")
    with pytest.raises(RiskLimitBreached, match="portfolio 'main' is not armed"):
        run(ledger, broker, plan_of([BUY]), **LIVE)
    assert broker.book.attempts == []


def test_an_amount_that_was_armed_in_another_currency_permits_nothing(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    account = broker.account
    broker.account = lambda: replace(account(), currency="AUD")  # type: ignore[method-assign]
    arm_until(ledger, broker, START + HOUR)
    with pytest.raises(RiskLimitBreached, match="portfolio 'main' is armed in USD") as refused:
        run(ledger, broker, plan_of([BUY], currency="AUD"), **LIVE)
    assert "scizor arm main" in refused.value.remedy
    assert broker.book.attempts == []


def approve(ledger: Ledger, plan: Plan) -> None:
    with ledger.transaction() as connection:
        key = (plan.account, plan.portfolio, plan.session, plan.plan_id)
        approve_plan(connection, *key, actor="jo", reason="", now=START)


def test_a_plan_that_needs_an_approval_is_admitted_only_once_it_has_its_own(ledger: Ledger) -> None:
    broker, plan, other = model(ledger), plan_of([BUY]), plan_of([BUY], plan_id="q")
    for attempt in (lambda: None, lambda: approve(ledger, other)):
        attempt()
        with pytest.raises(RiskLimitBreached, match=r"waits for a person's approval.*scizor approve p"):
            run(ledger, broker, plan, needs_approval=True)
    assert stops(ledger) == [("approval", "not approved", "approved by a person", "stopped", None)]
    with ledger.read() as connection:
        assert batches_of(connection, "paper", "main") == []
    assert broker.book.attempts == []
    assert run(ledger, broker, other, needs_approval=True).state is ExecutionState.DONE
    with ledger.read() as connection:
        batch = batch_of(connection, "paper", "main", MONDAY)
    assert batch is not None
    assert (batch.approved_by, batch.approved_at, batch.armed_by) == ("jo", START, None)


def test_an_approval_that_was_taken_back_releases_nothing(ledger: Ledger) -> None:
    plan = plan_of([BUY])
    approve(ledger, plan)
    with ledger.transaction() as connection:
        approval = approval_in_force(connection, "paper", "main", MONDAY)
        assert approval is not None
        withdraw_approval(connection, approval, actor="jo", reason="", now=START)
        assert approval_in_force(connection, "paper", "main", MONDAY) is None
    with pytest.raises(RiskLimitBreached, match="waits for a person's approval"):
        run(ledger, model(ledger), plan, needs_approval=True)


def test_a_plan_without_orders_needs_nobody(ledger: Ledger) -> None:
    assert run(ledger, model(ledger), plan_of([]), needs_approval=True).state is ExecutionState.NOTHING_TO_DO
