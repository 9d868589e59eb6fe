"""A broker that shows an order late: one look that does not find it proves nothing, whatever else has happened."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState
from scizor_dagster.ledger.absences import absence_of, record_absence
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.intents import frozen_symbols, load
from scizor_dagster.ledger.rows import open_batches
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, Point
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, TUESDAY, D, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")
OTHER = order("d", "DDD", Side.BUY, "10")
MINUTE = timedelta(minutes=1)


class _Lagging:
    """A broker that shows `b` after `lag`, says that it may take a minute, and one clock for both sides."""

    def __init__(self, ledger: Ledger, *, fault: str | None, lag: timedelta, looks: int = 1, **changes: Any) -> None:
        self.ledger = ledger
        self.broker: ModelBroker = model(ledger, **changes)
        self.broker.submit_faults["b"] = [fault]
        self.broker.lags["b"] = lag
        self.broker.visible_after = MINUTE
        self.broker.absent_looks = looks
        # The other order takes the venue through its session.
        self.broker.fill_plan = {"DDD": [D(0), D(0), D(1)]}
        self.at(0)

    def at(self, seconds: float) -> None:
        self.broker.time = START + timedelta(seconds=seconds)

    @property
    def clock(self) -> Callable[[], datetime]:
        return lambda: self.broker.time

    def run(self, **changes: Any) -> ExecutionResult:
        return run(self.ledger, self.broker, plan_of([BUY, OTHER]), clock=self.clock, **changes)

    def resume(self, **changes: Any) -> ExecutionResult:
        return resume(self.ledger, self.broker, clock=self.clock, **changes)

    def close(self) -> None:
        """The venue closes the session; nothing of `b` has filled."""
        self.broker.book.steps[MONDAY] = self.broker.steps

    def looks(self) -> list[float]:
        """When it was looked for in vain, in seconds after the first send."""
        wanted = sa.select(events.c.at).where(events.c.kind == "order_absent").order_by(events.c.seq)
        with self.ledger.read() as connection:
            return [(at - START).total_seconds() for at in connection.execute(wanted).scalars()]


def _states(result: ExecutionResult) -> dict[str, str]:
    return {row.client_order_id: row.state.value for row in result.orders}


def _lives_and_is_found(case: _Lagging) -> None:
    """Once it is shown, the order is ours, whatever the ledger has made of it."""
    case.at(600)
    assert _states(case.resume())["b"] == "filled"
    assert [name for name, *_ in case.broker.sent()] == ["b", "d"]
    with case.ledger.read() as connection:
        assert owned(connection, "paper", "main") == case.broker.book.positions
        assert frozen_symbols(connection, "paper") == {}
        assert open_batches(connection, "paper") == []


@pytest.mark.parametrize("unique", [True, False])
def test_an_order_that_is_not_shown_yet_when_its_session_is_over_has_not_expired(ledger: Ledger, unique: bool) -> None:
    case = _Lagging(ledger, fault="timeout_after", lag=timedelta(seconds=50), unique=unique)
    result = case.run()
    assert _states(result) == {"b": "unknown", "d": "filled"}
    assert result.state is ExecutionState.FROZEN
    assert any("its session is over, and its absence is not proven" in note for note in result.notes)
    _lives_and_is_found(case)


def test_a_refusal_of_a_second_send_is_not_believed_while_the_first_may_not_be_shown_yet(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="timeout_after", lag=timedelta(seconds=50))
    case.broker.submit_faults["b"].append("no_power")
    case.broker.has_data = set()
    result = case.run()
    assert case.broker.book.attempts == ["b", "b", "d"]
    assert _states(result) == {"b": "unknown", "d": "working"}
    assert any("refused when sent again: 403: insufficient buying power; of the first" in n for n in result.notes)
    case.broker.has_data = None
    _lives_and_is_found(case)


def test_a_refused_second_send_does_not_begin_the_wait_anew_and_a_later_one_is_final(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="lost", lag=timedelta(0))
    case.broker.submit_faults["b"] += ["no_power", "no_power"]
    case.broker.has_data = set()
    case.run()
    case.at(60)
    result = case.resume()
    assert _states(result) == {"b": "rejected", "d": "working"}
    assert result.orders[0].reason == "403: insufficient buying power"
    assert case.broker.book.attempts == ["b", "b", "d", "b"]


def test_a_second_send_without_an_answer_begins_the_wait_anew(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="lost", lag=timedelta(0))
    case.broker.submit_faults["b"] += ["lost"]
    case.broker.has_data = set()
    case.run()
    case.broker.submit_faults["b"] = ["lost"]
    case.at(45)
    case.resume()
    case.close()
    case.at(90)
    assert _states(case.resume())["b"] == "unknown"
    case.at(105)
    assert _states(case.resume())["b"] == "expired"
    assert case.looks() == [105]


def test_absence_takes_as_many_looks_as_the_broker_needs_each_a_wait_after_the_one_before(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="lost", lag=timedelta(0), looks=3, unique=False)
    case.broker.has_data = set()
    assert _states(case.run())["b"] == "unknown"
    for seconds in (30, 70, 100, 140):
        case.at(seconds)
        assert _states(case.resume())["b"] == "unknown"
    assert case.looks() == [70, 140]
    case.close()
    case.at(199)
    result = case.resume()
    assert _states(result)["b"] == "unknown"
    assert any("2 of 3 looks count, the next one from 2026-03-02T14:03:20+00:00 on" in note for note in result.notes)
    case.at(200)
    result = case.resume()
    assert (result.orders[0].state, result.orders[0].reason) == (
        "expired",
        "proven absent at the broker, and its session is over",
    )
    assert case.broker.book.attempts == ["b", "d"]


@pytest.mark.parametrize(("dies", "state"), [("before submit", "unknown"), ("after submit", "filled")])
def test_where_an_id_is_taken_twice_an_order_whose_sender_died_is_adopted_or_unknown_until_its_session_is_over(
    ledger: Ledger, dies: str, state: str
) -> None:
    broker, plan = model(ledger, unique=False), plan_of([BUY, OTHER])
    with pytest.raises(Killed):
        run(ledger, MortalBroker(broker, KillSwitch(Point(dies, 1))), plan)
    assert _states(run(ledger, broker, plan)) == {"b": state, "d": "filled"}
    with ledger.read() as connection:
        wanted = sa.select(events.c.payload).where(events.c.kind == "intent_unknown").order_by(events.c.seq)
        first = connection.execute(wanted).scalars().first()
    assert "a run ended while it was being sent" in (first or "")
    assert broker.book.attempts == (["d"] if state == "unknown" else ["b", "d"])
    broker.book.steps[MONDAY] = broker.steps
    assert _states(resume(ledger, broker))["b"] == ("expired" if state == "unknown" else "filled")


def test_looks_of_runs_that_died_count_and_a_proof_is_noted_once(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="lost", lag=timedelta(0), unique=False)
    case.broker.has_data = set()
    case.run()
    for seconds in (60, 120, 600):
        case.at(seconds)
        assert _states(case.resume())["b"] == "unknown"
    assert case.looks() == [60]


def test_an_expired_order_that_the_broker_shows_after_all_is_taken_back_with_its_batch(ledger: Ledger) -> None:
    case = _Lagging(ledger, fault="timeout_after", lag=timedelta(seconds=300), unique=False)
    case.broker.fill_plan["CCC"] = [D("0.4"), D(0), D(0)]
    case.run()
    case.at(70)
    result = case.resume()
    assert (result.state, _states(result)["b"]) == (ExecutionState.DONE, "expired")
    # The next session finds the fill; the batch is open again, and the run after it ends it.
    case.at(600)
    case.broker.fill_plan = {}
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY, held={"DDD": "10"})
    assert run(ledger, case.broker, tuesday, clock=case.clock).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == case.broker.book.positions == {"CCC": 4, "DDD": 11}
        assert [batch.session for batch in open_batches(connection, "paper")] == [MONDAY]
    case.resume(session=TUESDAY)
    result = case.resume()
    assert (result.state, _states(result)["b"], result.orders[0].filled_qty) == (ExecutionState.DONE, "expired", 4)
    with ledger.read() as connection:
        assert open_batches(connection, "paper") == []


def test_a_look_that_came_too_soon_for_the_wait_that_is_asked_for_now_does_not_count(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost"]
    broker.hidden = {"b"}
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "10")]))
    with ledger.transaction() as connection:
        intent = load(connection, "b")
        soon = START + timedelta(minutes=1)
        noted = record_absence(connection, intent, now=soon, needed=1, wait=timedelta(minutes=1))
        assert noted.proven
        asked = absence_of(connection, intent, needed=1, wait=timedelta(minutes=5))
    assert (asked.proven, asked.looks, asked.next_look) == (False, (), START + timedelta(minutes=5))
