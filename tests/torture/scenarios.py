"""What a process does in a trial, and how things stand when it begins.

Each scenario is prepared once for each kind of broker: a ledger that is kept as a template, and a book. Its command
may be given any number of times; given until it has ended, it is the recovery as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from scizor_dagster.brokers.protocol import BrokerActivity, PositionIntent, Side
from scizor_dagster.execution.executor import ExecutionResult, execute, follow
from scizor_dagster.ledger.manual_orders import Ask
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import MANUAL, Plan
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import ReconciliationReport, When
from scizor_dagster.reconciliation.reconcile import reconcile
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, Point
from tests.execution.scenario import MONDAY, D, adopt, order, parts, plan_of
from tests.torture.parties import CASH, Venue

Clock = Callable[[], datetime]
SHORT = PositionIntent.SELL_TO_OPEN
HELD = {"AAA": "40", "BBB": "10"}
PLAN = plan_of(
    [
        order("s-aaa-1", "AAA", Side.SELL, "10"),
        order("s-aaa-2", "AAA", Side.SELL, "5.5", slice_=2),
        order("s-bbb", "BBB", Side.SELL, "10"),
        order("b-ccc", "CCC", Side.BUY, "160.25"),
        order("x-bbb", "BBB", Side.SELL, "6", phase=2, intent=SHORT, depends_on=["s-bbb"], leg=2),
    ],
    held=HELD,
    buffer="100",
)
"""A sale in two slices, a crossing of zero in two legs, and a buy for more than the cash that comes in."""


def holding(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    """The portfolio owns what the plan counts on."""
    for symbol, qty in HELD.items():
        adopt(ledger, symbol, qty)


def run_plan(ledger: Ledger, broker: Any, clock: Clock, plan: Plan = PLAN) -> ExecutionResult:
    return execute(plan, **parts(ledger, broker, clock=clock))


BY_HAND = replace(plan_of([order("m-ddd", "DDD", Side.BUY, "5")], batch=2, buffer="100", plan_id="m"), origin=MANUAL)
"""What a person orders while the sales of the plan rest."""
ASK = Ask("key-1", "main", '{"quantity":"5","symbol":"DDD"}', "jo", "a tip", "absorb")


def place(ledger: Ledger, broker: Any, clock: Clock) -> ExecutionResult:
    """Asked for again it is the same order: its key says so."""
    return execute(BY_HAND, **parts(ledger, broker, clock=clock), ask=ASK)


def resume(ledger: Ledger, broker: Any, clock: Clock) -> ExecutionResult:
    return follow(MONDAY, **parts(ledger, broker, clock=clock))


def compared(ledger: Ledger, broker: Any, plans: Sequence[Plan] = (PLAN,)) -> ReconciliationReport:
    """The session's reconciliation, with every position and all money counted."""
    key = {"account": "paper", "portfolio": "main", "session": MONDAY}
    mine, theirs = read_sides(ledger, broker, **key, deposit=CASH)
    return reconcile(plans, mine, theirs, **key, closes={}, when=When())


def reconciled(ledger: Ledger, broker: Any, clock: Clock) -> ExecutionResult:
    """What every session ends with: look once more, and compare."""
    result = resume(ledger, broker, clock)
    compared(ledger, broker)
    return result


@dataclass(frozen=True)
class Scenario:
    """Attributes:
    prepare: Brings ledger and book to where the command begins; its venue has no faults.
    command: What a process does.
    plans: What the session is compared with at the end.
    """

    name: str
    prepare: Callable[[Ledger, Venue, Clock], None]
    command: Callable[[Ledger, Any, Clock], ExecutionResult]
    plans: tuple[Plan, ...] = (PLAN,)


def _died_while_sending(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    """One order was sent without an answer and cannot be looked up; one has arrived, and its sender died."""
    holding(ledger, venue, clock)
    venue.submit_faults["s-aaa-1"] = ["timeout_after"]
    venue.hidden, venue.sends_at_once = {"s-aaa-1"}, 1
    with suppress(Killed):
        run_plan(ledger, MortalBroker(venue, KillSwitch(Point("after submit", 1))), clock)
    venue.hidden = set()


def resting(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    """The sales rest at the broker before the open; the buys wait for them."""
    holding(ledger, venue, clock)
    venue.has_data = set()
    run_plan(ledger, venue, clock)
    venue.has_data = None


def _late_fills(ledger: Ledger, venue: Venue, clock: Clock) -> None:
    """The session is over, and a fill of it, a dividend and a fee have come since."""
    holding(ledger, venue, clock)
    run_plan(ledger, venue, clock)
    bought = next(row for row in venue.book.orders if row.client_order_id == "b-ccc")
    assert bought.filled_qty < bought.qty
    venue.fill("b-ccc", bought.qty - bought.filled_qty, session=MONDAY)
    for name, kind, symbol, amount in (("v1", "dividend", "AAA", D("7.5")), ("v2", "fee", None, D("-1.25"))):
        venue.book.activities.append(BrokerActivity(name, kind, MONDAY, symbol, amount, None))
        venue.book.cash += amount


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("plan", holding, run_plan),
        Scenario("rerun", _died_while_sending, run_plan),
        Scenario("follow", resting, resume),
        Scenario("reconcile", _late_fills, reconciled),
        Scenario("manual", resting, place, (PLAN, BY_HAND)),
    )
}
