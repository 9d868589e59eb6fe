"""The two doors: what they do in order, and what they refuse."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerOrder, OrderType, PositionIntent, Side
from scizor_dagster.errors import AccountBusy, BrokerUnavailable, LedgerError, RiskLimitBreached, WrongAccount
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.batches import admit, batches_of
from scizor_dagster.ledger.conversions import KIND as CONVERTED
from scizor_dagster.ledger.conversions import Conversion, conversion_of
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import activities_of, cash_flow, owned
from scizor_dagster.ledger.lease import DEFAULT_TTL, LIVELY, lease
from scizor_dagster.ledger.rows import intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from scizor_dagster.risk.events import limits_of
from scizor_dagster.risk.limits import NUMBERS
from scizor_dagster.risk.trading_state import TradingState
from tests.execution.halting import put
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger, Point
from tests.execution.scenario import (
    BEFORE,
    MONDAY,
    START,
    TUESDAY,
    D,
    adopt,
    arm_until,
    clock,
    full_plan,
    model,
    order,
    plan_of,
    resume,
    run,
)
from tests.ledgers import another, sqlite_ledger

BUY = order("b", "CCC", Side.BUY, "10")
SELL = order("s", "AAA", Side.SELL, "5")


def test_a_plan_is_carried_out_and_the_ledger_agrees_with_the_broker(ledger: Ledger) -> None:
    plan, held = full_plan()
    for symbol, qty in held.items():
        adopt(ledger, symbol, qty)
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()})
    result = run(ledger, broker, plan)
    assert result.state is ExecutionState.DONE
    assert result.counts == {"filled": 7}
    assert result.plan_id == plan.plan_id
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == broker.book.positions
        assert D(1_000) + cash_flow(connection, "paper", "main") == broker.book.cash
        assert verify_chain(connection) == []
    first = result.orders[0]
    assert (first.client_order_id, first.average_price, first.fees) == ("s-aaa-1", D(100), D("0.10"))


def test_each_order_of_a_result_says_what_was_planned_and_what_came_of_it(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "15")
    broker = model(ledger, positions={"AAA": D(15)})
    short = order("x", "AAA", Side.SELL, "4", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    limited = order("b", "CCC", Side.BUY, "10", slice_=2, order_type=OrderType.LIMIT)._replace(limit_price=D(21))
    plan = plan_of([order("s", "AAA", Side.SELL, "15"), limited, short], held={"AAA": "15"})
    for row, planned in zip(run(ledger, broker, plan).orders, plan.orders, strict=True):
        names = ("client_order_id", "symbol", "side", "order_type", "leg", "slice", "phase", "price_used")
        assert [getattr(row, name) for name in names] == [getattr(planned, name) for name in names]
        assert (row.planned_qty, row.final_qty, row.filled_qty) == (planned.qty,) * 3
        assert (row.state.value, row.fees) == ("filled", D("0.10"))


def test_running_a_finished_session_again_sends_nothing(ledger: Ledger) -> None:
    broker = model(ledger)
    first = run(ledger, broker, plan_of([BUY]))
    again = run(ledger, broker, plan_of([BUY]))
    followed = resume(ledger, broker)
    assert broker.book.attempts == ["b"]
    assert first == again == followed


def test_a_plan_without_orders_is_admitted_with_nothing_to_do(ledger: Ledger) -> None:
    broker = model(ledger)
    result = run(ledger, broker, plan_of([]))
    assert (result.state, result.counts, result.factor) == (ExecutionState.NOTHING_TO_DO, {}, None)
    assert resume(ledger, broker).state is ExecutionState.NOTHING_TO_DO


def test_a_session_before_the_account_clock_sends_nothing_and_says_so(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY], session=TUESDAY))
    earlier = run(ledger, broker, plan_of([order("late", "DDD", Side.BUY, "1")], session=MONDAY))
    assert earlier.state is ExecutionState.NO_PLAN
    assert "lies before it" in earlier.notes[0]
    assert broker.book.attempts == ["b"]


def test_a_session_before_the_account_clock_is_shown_as_it_ended(ledger: Ledger) -> None:
    broker, monday = model(ledger), plan_of([BUY])
    done = run(ledger, broker, monday)
    run(ledger, broker, plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY, plan_id="q"))
    again = run(ledger, broker, monday)
    assert (again.state, again.counts, again.orders) == (ExecutionState.DONE, {"filled": 1}, done.orders)


def test_sessions_that_are_skipped_are_named(ledger: Ledger) -> None:
    from scizor_dagster.execution.executor import execute
    from tests.execution.scenario import settings

    result = execute(
        plan_of([BUY], session=TUESDAY),
        ledger=ledger,
        broker=model(ledger),
        account="paper",
        portfolio="main",
        clock=clock,
        holder="t",
        settings=settings(),
        previous_unexecuted=[MONDAY],
    )
    assert result.skipped == (MONDAY,)
    assert result.notes == ("Session 2026-03-02 had a plan and is skipped for 2026-03-03.",)


def test_another_plan_for_a_session_is_refused_and_sends_nothing(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    with pytest.raises(LedgerError, match="batch number 2"):
        run(ledger, broker, plan_of([order("z", "DDD", Side.BUY, "1")], plan_id="q"))
    assert broker.book.attempts == ["b"]


def test_an_explicit_replan_with_the_next_number_is_carried_out(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    more = plan_of([order("z", "CCC", Side.BUY, "1")], plan_id="q", batch=2, held={"CCC": "10"})
    result = run(ledger, broker, more)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 2})
    assert resume(ledger, broker).batch_id == "paper/main/2026-03-02/2"


def test_a_broker_that_is_somebody_else_gets_no_order(ledger: Ledger) -> None:
    broker = model(ledger)
    for wrong in ("expected_broker", "expected_environment", "expected_account_id"):
        with pytest.raises(WrongAccount, match="model paper account M1"):
            run(ledger, broker, plan_of([BUY]), **{wrong: "other"})
        with pytest.raises(WrongAccount):
            resume(ledger, broker, **{wrong: "other"})
    assert broker.book.attempts == []


def test_an_account_in_another_currency_gets_no_order(ledger: Ledger) -> None:
    broker = model(ledger)
    with pytest.raises(WrongAccount, match="keeps USD, and the plan is in AUD"):
        run(ledger, broker, plan_of([BUY], currency="AUD"))
    assert resume(ledger, broker).state is ExecutionState.NO_PLAN


def test_a_plan_of_another_portfolio_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="portfolio 'other'"):
        run(ledger, model(ledger), replace(plan_of([BUY]), portfolio="other"))


LIVE = {"expected_environment": "live", "live_trading": True}


def test_prices_that_are_not_raw_never_size_a_live_order(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    with pytest.raises(RiskLimitBreached, match="adjustment 'split'"):
        run(ledger, broker, plan_of([BUY], adjustment="split"), live_session=MONDAY, **LIVE)
    assert run(ledger, model(ledger), plan_of([BUY], adjustment="split")).state is ExecutionState.DONE
    assert broker.book.attempts == []


def test_a_live_account_trades_only_when_armed_and_only_today(ledger: Ledger) -> None:
    broker = model(ledger, environment="live")
    with pytest.raises(RiskLimitBreached, match="does not trade now"):
        run(ledger, broker, plan_of([BUY]), live_session=TUESDAY, **LIVE)
    with pytest.raises(RiskLimitBreached, match="not armed"):
        run(ledger, broker, plan_of([BUY]), live_session=MONDAY, **LIVE)
    with ledger.read() as connection:
        assert batches_of(connection, "paper", "main") == []
    arm_until(ledger, broker, START + timedelta(hours=1))
    assert run(ledger, broker, plan_of([BUY]), live_session=MONDAY, **LIVE).state is ExecutionState.DONE
    assert broker.book.attempts == ["b"]


def test_live_orders_that_were_not_sent_in_their_session_end_as_expired(ledger: Ledger) -> None:
    broker = model(ledger, environment="live", positions={"AAA": D(5)})
    adopt(ledger, "AAA", "5")
    arm_until(ledger, broker, START + timedelta(hours=1))
    broker.has_data = set()
    run(ledger, broker, plan_of([SELL, BUY], held={"AAA": "5"}), live_session=MONDAY, **LIVE)
    broker.has_data = None
    result = resume(ledger, broker, live_session=TUESDAY, **LIVE)
    assert result.state is ExecutionState.DONE
    assert result.counts == {"expired": 1, "filled": 1}
    assert [row.reason for row in result.orders if row.side is Side.BUY] == ["never sent: its session is over"]
    assert broker.book.attempts == ["s"]


def test_what_a_death_kept_from_going_out_in_its_session_is_never_sent_after_it(ledger: Ledger, tmp_path: Path) -> None:
    mortal = MortalLedger.open(sqlite_ledger(tmp_path / "mortal"), synchronous="OFF")
    broker = model(mortal)
    mortal.switch = KillSwitch(Point("before submit", 1))
    with pytest.raises(Killed):
        run(mortal, MortalBroker(broker, mortal.switch), plan_of([BUY, order("d", "DDD", Side.BUY, "1")]))
    mortal.close()
    mortal.switch = KillSwitch()
    broker.book.steps[MONDAY] = broker.steps
    # A real broker would keep both for the session after.
    result = resume(mortal, broker, TUESDAY)
    assert (result.state, broker.book.attempts) == (ExecutionState.NO_PLAN, [])
    result = resume(mortal, broker)
    assert {row.client_order_id: row.state.value for row in result.orders} == {"b": "expired", "d": "expired"}
    assert [row.reason for row in result.orders][1] == "never sent: its session is over"
    mortal.close()


def test_a_plan_made_before_a_fill_arrived_is_refused(ledger: Ledger) -> None:
    broker = model(ledger, positions={"AAA": D(5)})
    adopt(ledger, "AAA", "5")
    with pytest.raises(LedgerError, match="counts on 8 AAA, and the portfolio owns 5"):
        run(ledger, broker, plan_of([SELL], held={"AAA": "8"}))
    assert broker.book.attempts == []
    assert resume(ledger, broker).state is ExecutionState.NO_PLAN


def test_a_session_without_data_stays_working_and_is_continued_when_the_data_is_there(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    assert run(ledger, broker, plan_of([BUY])).counts == {"working": 1}
    broker.has_data = {MONDAY}
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert broker.book.attempts == ["b"]


def test_orders_of_an_earlier_session_that_cannot_end_keep_the_next_from_being_sent(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = {TUESDAY}
    run(ledger, broker, plan_of([BUY]))
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY)
    asked: list[date] = []
    broker.advance = lambda session: asked.append(session) is not None  # type: ignore[method-assign]
    result = run(ledger, broker, tuesday)
    assert (result.state, result.batch_id, asked) == (ExecutionState.WORKING, None, [MONDAY])
    del broker.advance
    assert "still has orders of 2026-03-02" in result.notes[0]
    assert resume(ledger, broker, TUESDAY).state is ExecutionState.WORKING
    assert broker.book.attempts == ["b"]
    broker.has_data = None
    assert run(ledger, broker, tuesday).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "t"]


def test_two_runs_at_once_are_one_run_and_one_that_says_why_not(ledger: Ledger) -> None:
    second = another(ledger)
    broker = model(ledger)
    refused = []
    advance = broker.advance

    def meanwhile(session: object) -> bool:
        try:
            run(second, model(second), plan_of([BUY]), holder="second")
        except AccountBusy as busy:
            refused.append(busy.holder)
        return advance(MONDAY)

    broker.advance = meanwhile  # type: ignore[method-assign]
    assert run(ledger, broker, plan_of([BUY]), holder="first").state is ExecutionState.DONE
    assert set(refused) == {"first"}
    assert broker.book.attempts == ["b"]
    second.close()


def test_a_run_whose_lease_was_taken_stops_before_its_next_order(ledger: Ledger) -> None:
    other = another(ledger)
    broker = model(ledger)
    submit = broker.submit
    taken = []

    def slow(request: object) -> object:
        reply = submit(request)  # type: ignore[arg-type]
        late = lease(other, "paper", "thief", lambda: START + timedelta(hours=1))
        late.__enter__()
        taken.append(late)
        return reply

    broker.submit = slow  # type: ignore[assignment, method-assign]
    with pytest.raises(LedgerError, match="lost"):
        run(ledger, broker, plan_of([BUY, order("c", "DDD", Side.BUY, "1")]))
    assert broker.book.attempts == ["b"]
    for late in taken:
        late.__exit__(None, None, None)
    broker.submit = submit  # type: ignore[method-assign]
    assert run(other, broker, plan_of([BUY, order("c", "DDD", Side.BUY, "1")])).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "c"]
    other.close()


@pytest.mark.parametrize("slept", [LIVELY, DEFAULT_TTL, timedelta(hours=1)], ids=str)
def test_a_run_that_slept_between_mark_and_send_and_was_overtaken_does_not_send_when_it_wakes(
    ledger: Ledger, slept: timedelta
) -> None:
    other = another(ledger)
    broker, plan = model(ledger, unique=False), plan_of([BUY])
    woken: list[datetime] = []

    def sleeper() -> datetime:
        with other.read() as connection:
            marked = any(row.state.value == "sending" for row in intents_in(connection, "paper", list(IntentState)))
        if marked and not woken:
            woken.append(START + slept)
            # Before the lease has run out, an account is free whose holder was taken for dead.
            with other.transaction() as connection:
                connection.execute(leases.update().values(expires_at=START))
            overtaking = run(other, broker, plan, clock=lambda: woken[0], holder="second")
            assert overtaking.counts == {"unknown": 1}
        return woken[0] if woken else START

    with pytest.raises(LedgerError, match="lost"):
        run(ledger, broker, plan, clock=sleeper)
    assert broker.book.attempts == []
    other.close()


@pytest.mark.parametrize("slept", [LIVELY, timedelta(hours=-1)], ids=["ten seconds", "a clock that was set back"])
@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_a_run_that_slept_between_mark_and_send_sends_nothing_that_was_stopped_meanwhile(
    ledger: Ledger, slept: timedelta, state: TradingState
) -> None:
    other, broker, plan = another(ledger), model(ledger), plan_of([BUY])
    woken: list[datetime] = []

    def sleeper() -> datetime:
        with other.read() as connection:
            marked = any(row.state.value == "sending" for row in intents_in(connection, "paper", list(IntentState)))
        if marked and not woken:
            woken.append(START + slept)
            put(other, state, now=START)
        return woken[0] if woken else START

    stopped = run(ledger, broker, plan, clock=sleeper)
    assert (stopped.counts, broker.book.attempts) == ({"unknown": 1}, [])
    assert any("not sent after a sleep: trading_state" in note for note in stopped.notes)
    put(other, TradingState.ACTIVE)
    assert run(ledger, broker, plan).counts == {"filled": 1}
    assert broker.book.attempts == ["b"]
    other.close()


def test_a_run_that_was_overtaken_at_its_first_look_takes_no_order_of_the_other_run_for_a_strangers(
    ledger: Ledger,
) -> None:
    other = another(ledger)
    broker, plan = model(ledger, unique=False), plan_of([BUY])
    orders, now = broker.orders, [START]

    def overtaken(session: date) -> Sequence[BrokerOrder]:
        broker.orders = orders  # type: ignore[method-assign]
        now[0] = START + timedelta(hours=1)
        assert resume(other, broker, clock=lambda: now[0], holder="second").counts == {"filled": 1}
        return orders(session)

    with other.transaction() as connection:
        admit(connection, plan, starting_cash=D(1_000), now=START)
    broker.orders = overtaken  # type: ignore[method-assign]
    assert resume(ledger, broker, clock=lambda: now[0]).counts == {"filled": 1}
    assert broker.book.attempts == ["b"]
    other.close()


def test_following_a_session_without_a_plan_records_its_splits_and_dividends(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(10)})
    broker.book.activities += [
        BrokerActivity("a1", "split", MONDAY, "AAA", D(0), D(2)),
        BrokerActivity("a2", "dividend", MONDAY, "AAA", D("7.5"), None),
    ]
    for _ in range(2):
        assert resume(ledger, broker).state is ExecutionState.NO_PLAN
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == {"AAA": D(10)}
        assert cash_flow(connection, "paper", "main") == D("7.5")
        assert len(activities_of(connection, "paper")) == 2
    assert broker.book.steps[MONDAY] == broker.steps


def test_a_broker_that_cannot_be_read_at_the_start_means_nothing_is_admitted(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.read_faults = 1
    with pytest.raises(BrokerUnavailable):
        run(ledger, broker, plan_of([BUY]))
    with ledger.read() as connection:
        assert batches_of(connection, "paper", "main") == []


def test_a_broker_that_stops_answering_leaves_the_batch_working_with_a_note(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    submit = broker.submit

    def then_silence(request: object) -> object:
        broker.read_faults = 1
        return submit(request)  # type: ignore[arg-type]

    broker.submit = then_silence  # type: ignore[assignment, method-assign]
    result = run(ledger, broker, plan_of([SELL, BUY], held={"AAA": "5"}))
    assert result.state is ExecutionState.WORKING
    assert "stopped answering" in result.notes[0]
    broker.submit = submit  # type: ignore[method-assign]
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert broker.book.attempts == ["s", "b"]


def test_how_the_capital_came_about_is_recorded_with_the_first_batch_alone(ledger: Ledger) -> None:
    first = Conversion(D(1_500), "AUD", MONDAY, D(1_000), "1,500 AUD at 0.6667")
    broker = model(ledger)
    for number, conversion in ((1, first), (2, replace(first, amount=D(9)))):
        plan = plan_of([order(f"b{number}", "CCC", Side.BUY, "1")], batch=number, plan_id=str(number))
        plan = replace(plan, lines=()) if number == 2 else plan
        assert run(ledger, broker, plan, conversion=conversion).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert conversion_of(connection, "paper", "main") == first
        kinds = connection.exec_driver_sql("SELECT kind FROM events").scalars().all()
    assert kinds.count(CONVERTED) == 1


def test_one_order_costs_two_commits_beyond_those_of_its_batch(tmp_path: Path) -> None:
    def commits(count: int, folder: str) -> int:
        counting = MortalLedger.open(sqlite_ledger(tmp_path / folder), synchronous="OFF")
        counting.switch = KillSwitch()
        orders = [order(f"b{number}", "DDD", Side.BUY, "1") for number in range(count)]
        assert run(counting, model(counting), plan_of(orders)).state is ExecutionState.DONE
        counting.close()
        return len(counting.switch.numbers("after commit"))

    assert commits(12, "twelve") - commits(2, "two") == 2 * 10


def test_holdings_of_an_earlier_session_are_what_the_plan_is_compared_with(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5", session=BEFORE)
    broker = model(ledger, positions={"AAA": Decimal(10)})
    broker.book.activities.append(BrokerActivity("a1", "split", MONDAY, "AAA", D(0), D(2)))
    broker.has_data = set()
    resume(ledger, broker)
    broker.has_data = None
    # The split is known by now; the plan was rightly sized on what was held before its session.
    assert run(ledger, broker, plan_of([SELL], held={"AAA": "5"})).state is ExecutionState.DONE


def test_a_plan_whose_session_the_venue_has_closed_is_not_admitted(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.book.steps[MONDAY] = broker.steps
    result = run(ledger, broker, plan_of([BUY]))
    assert (result.state, broker.book.attempts) == (ExecutionState.NO_PLAN, [])
    assert "has closed 2026-03-02; its plan is not admitted" in result.notes[0]


def test_a_second_leg_is_dropped_with_its_reason_where_the_first_expires_at_the_close(ledger: Ledger) -> None:
    adopt(ledger, "BBB", "10")
    broker = model(ledger, positions={"BBB": D(10)})
    broker.fill_plan = {"BBB": []}
    short = order("x", "BBB", Side.SELL, "6", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    result = run(ledger, broker, plan_of([order("s", "BBB", Side.SELL, "10"), short], held={"BBB": "10"}))
    assert (result.counts, broker.book.attempts) == ({"dropped": 1, "expired": 1}, ["s"])
    assert result.orders[1].reason == "order s before it ended expired with 0 filled"


def test_the_limits_of_a_batch_are_rows_with_their_hash(ledger: Ledger) -> None:
    result = run(ledger, model(ledger), plan_of([order("b", "CCC", Side.BUY, "1")]), max_notional_per_order=D(500))
    assert result.batch_id is not None
    with ledger.read() as connection:
        found = limits_of(connection, result.batch_id)
        kinds = connection.exec_driver_sql("SELECT kind FROM events").scalars().all()
    assert "limits_in_force" in kinds
    assert set(found) == {*NUMBERS, "on_loss", "restricted", "allowed"}
    assert (found["max_notional_per_order"], found["max_leverage"]) == ("500", "unlimited")
    assert (found["restricted"], found["allowed"], found["on_loss"]) == ("none", "unlimited", "reducing")
