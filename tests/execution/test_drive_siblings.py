"""Two portfolios on one account: one venue, which must not step over the other's orders."""

import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.execution import drive
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.batches import batches_of
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import intents_of, open_batches
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk import checks
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger, Point
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    TUESDAY,
    D,
    adopt,
    fresh_copy,
    model,
    order,
    plan_of,
    resume,
    run,
    settings,
)
from tests.ledgers import sqlite_ledger

STRIDE = 1 if os.environ.get("SCIZOR_TORTURE") else 3
"""`make torture` dies at every point; the suite at every third, which meets each kind of point."""
BUY = order("b", "CCC", Side.BUY, "10")
NOTE = "2026-03-02 is not taken further: portfolio '{}' has orders to send first."
COMMAND = "Run: scizor run --portfolio {} --date 2026-03-02."


def _plan(portfolio: str) -> Plan:
    """A sale, and a buy that waits for it."""
    sell = order(f"{portfolio}-s", "AAA", Side.SELL, "5")
    buy = order(f"{portfolio}-b", "CCC", Side.BUY, "60.5")
    return replace(plan_of([sell, buy], held={"AAA": "5"}), portfolio=portfolio)


def _both_sent(ledger: Ledger) -> ModelBroker:
    """Both portfolios have sent their sale before the open, and hold their buy back."""
    for name in ("main", "other"):
        adopt(ledger, "AAA", "5", portfolio=name)
    broker = model(ledger, positions={"AAA": D(10)}, cash=D(2_000))
    broker.has_data = set()
    for name in ("main", "other"):
        run(ledger, broker, _plan(name), portfolio=name)
    assert broker.book.attempts == ["main-s", "other-s"]
    broker.has_data = None
    return broker


def _states(ledger: Ledger) -> list[BatchState]:
    with ledger.read() as connection:
        return [batch.state for name in ("main", "other") for batch in batches_of(connection, "paper", name)]


def test_the_venue_waits_for_a_sibling_that_has_orders_to_send_and_the_note_says_how(ledger: Ledger) -> None:
    broker = _both_sent(ledger)
    first = resume(ledger, broker)
    assert first.state is ExecutionState.WORKING
    assert first.notes == (f"{NOTE.format('other')} {COMMAND.format('other')}",)
    assert broker.book.steps == {MONDAY: 1}
    # The sale's money has come in, and only the other portfolio's own run may check and send its buy.
    assert broker.book.attempts == ["main-s", "other-s", "main-b"]
    second = resume(ledger, broker, portfolio="other")
    assert (second.state, second.counts, second.notes) == (ExecutionState.DONE, {"filled": 2}, ())
    # The first portfolio's batch was taken along to its end.
    assert _states(ledger) == [BatchState.DONE, BatchState.DONE]
    assert resume(ledger, broker).counts == {"filled": 2}


def test_the_venue_does_not_close_while_a_siblings_buys_could_still_go_with_the_cash_that_is_there(
    ledger: Ledger,
) -> None:
    broker = _both_sent(ledger)
    broker.fill_plan = {"AAA": []}
    first = resume(ledger, broker)
    assert (first.state, broker.book.steps) == (ExecutionState.WORKING, {MONDAY: broker.steps - 1})
    assert first.notes == (f"{NOTE.format('other')} {COMMAND.format('other')}",)
    second = resume(ledger, broker, portfolio="other")
    assert (second.state, second.counts) == (ExecutionState.DONE, {"expired": 1, "filled": 1})


def test_a_sibling_whose_settings_are_at_hand_is_driven_along_under_its_own_limits(ledger: Ledger) -> None:
    broker = _both_sent(ledger)
    other = settings(max_notional_per_order=D(100))
    result = resume(ledger, broker, siblings={"other": other})
    assert (result.state, result.counts, result.notes) == (ExecutionState.DONE, {"filled": 2}, ())
    assert _states(ledger) == [BatchState.DONE, BatchState.DONE]
    blocked = resume(ledger, broker, portfolio="other")
    assert blocked.counts == {"blocked": 1, "filled": 1}
    assert broker.book.attempts == ["main-s", "other-s", "main-b"]


def test_a_sibling_whose_settings_are_at_hand_is_driven_along_with_a_plan_that_is_new(ledger: Ledger) -> None:
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(2_000))
    adopt(ledger, "AAA", "5", portfolio="other")
    broker.has_data = set()
    run(ledger, broker, _plan("other"), portfolio="other")
    broker.has_data = None
    result = run(ledger, broker, plan_of([BUY]), siblings={"other": settings()})
    assert (result.state, result.counts, result.notes) == (ExecutionState.DONE, {"filled": 1}, ())
    assert broker.book.attempts == ["other-s", "b", "other-b"]


def test_a_sibling_is_released_in_its_own_increments(ledger: Ledger) -> None:
    broker = _both_sent(ledger)
    broker.fixed_buying_power = D(1_200)
    resume(ledger, broker, siblings={"other": settings(increments={"CCC": D(10)})}, increments={"CCC": D("0.001")})
    sent = {name: qty for name, _, _, qty in broker.sent()}
    assert (sent["main-b"], sent["other-b"]) == (D("59.999"), D(50))


def test_a_portfolio_without_orders_does_not_take_the_venue_over_a_siblings(ledger: Ledger) -> None:
    broker = _both_sent(ledger)
    looked = resume(ledger, broker, portfolio="third")
    assert {NOTE.format(name) for name in ("main", "other")} == {note.split(" Run:")[0] for note in looked.notes}
    assert broker.book.steps == {MONDAY: 1}
    resume(ledger, broker)
    assert resume(ledger, broker, portfolio="other").state is ExecutionState.DONE
    assert resume(ledger, broker).state is ExecutionState.DONE


def test_a_siblings_earlier_session_keeps_the_next_one_waiting_until_its_own_run_has_sent(ledger: Ledger) -> None:
    broker = model(ledger, positions={"AAA": D(5)})
    adopt(ledger, "AAA", "5", portfolio="other")
    broker.has_data = set()
    run(ledger, broker, _plan("other"), portfolio="other")
    broker.has_data = None
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY)
    result = run(ledger, broker, tuesday)
    assert (result.state, result.batch_id) == (ExecutionState.WORKING, None)
    assert any("Portfolio 'other' still has orders of 2026-03-02" in note for note in result.notes)
    assert any(COMMAND.format("other") in note for note in result.notes)
    assert broker.book.attempts == ["other-s"]
    assert resume(ledger, broker, portfolio="other").counts == {"filled": 2}
    assert run(ledger, broker, tuesday).state is ExecutionState.DONE


def test_a_siblings_unknown_order_and_what_waits_for_it_do_not_hold_the_venue(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(2_000))
    broker.submit_faults["o-1"] = ["timeout_after"]
    broker.hidden = {"o-1"}
    broker.has_data = set()
    slices = [order("o-1", "DDD", Side.BUY, "1"), order("o-2", "DDD", Side.BUY, "1", slice_=2)]
    run(ledger, broker, replace(plan_of(slices), portfolio="other"), portfolio="other")
    broker.has_data = None
    result = run(ledger, broker, plan_of([BUY]))
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 1})
    assert broker.book.attempts == ["o-1", "b"]


def test_death_at_any_point_of_a_run_for_two_portfolios_changes_nothing_that_is_sent(
    ledger: Ledger, tmp_path: Path
) -> None:
    book = _both_sent(ledger).book
    ledger.close()
    count = 0

    def follow_both(at: int) -> tuple[Any, ...]:
        url = fresh_copy(ledger.path, tmp_path / str(at) / "l.sqlite")
        mortal = MortalLedger.open(url, synchronous="OFF")
        broker = model(mortal)
        broker.book = deepcopy(book)
        mortal.switch = switch = KillSwitch(at)
        try:
            resume(mortal, MortalBroker(broker, switch), siblings={"other": settings()})
        except Killed:
            assert at, "dies only where it is told to"
        mortal.switch = KillSwitch()
        # Continued as a person would who was told by the notes: each portfolio by its own command.
        ends = [resume(mortal, broker, portfolio=name).state for name in ("main", "other", "main")]
        assert ends[1:] == [ExecutionState.DONE] * 2, (at, ends)
        with mortal.read() as connection:
            assert verify_chain(connection) == []
            assert open_batches(connection, "paper") == []
            both = [owned(connection, "paper", name) for name in ("main", "other")]
        mortal.close()
        nonlocal count
        count = max(count, switch.count)
        return broker.sent(), broker.book.positions, broker.book.cash, both

    expected = follow_both(0)
    assert [name for name, *_ in expected[0]] == ["main-b", "main-s", "other-b", "other-s"]
    for at in range(1, count + 1, STRIDE):
        assert follow_both(at) == expected, at


def test_a_second_leg_that_another_portfolios_run_made_ready_is_looked_after_and_left_to_that_portfolio(
    tmp_path: Path,
) -> None:
    ledger = MortalLedger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    adopt(ledger, "BBB", "10", portfolio="other")
    broker = model(ledger, positions={"BBB": D(10)})
    short = order("x", "BBB", Side.SELL, "6", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    crossing = replace(plan_of([order("s", "BBB", Side.SELL, "10"), short], held={"BBB": "10"}), portfolio="other")
    ledger.switch = KillSwitch()
    broker.has_data = set()
    run(ledger, broker, crossing, portfolio="other")
    broker.fill("s", D(10), session=MONDAY)
    slowed = {"portfolio": "other", "max_orders_per_minute": D(1)}
    assert resume(ledger, broker, **slowed).counts == {"filled": 1, "ready": 1}
    broker.restate("f1", qty=D(4))
    assert resume(ledger, broker).state is ExecutionState.NO_PLAN
    # The broker's word on the first leg is taken in; what follows from it is for the portfolio's own run.
    with ledger.read() as connection:
        first, second = intents_of(connection, open_batches(connection, "paper")[0].batch_id)
    assert (first.filled_qty, second.state, broker.book.attempts) == (4, IntentState.READY, ["s"])
    assert resume(ledger, broker, portfolio="other").counts == {"canceled": 1, "dropped": 1}
    assert broker.book.attempts == ["s"]
    ledger.close()


def _opposite(portfolio: str, name: str, side: Side) -> Plan:
    return replace(plan_of([order(name, "AAA", side, "5")], held={"AAA": "5"}), portfolio=portfolio, plan_id=name * 32)


def _one_rests(ledger: Ledger, first: Side, **changes: Any) -> ModelBroker:
    """Order `m` of `main` is at the broker, and the other portfolio's plan was made before it was."""
    for name in ("main", "other"):
        adopt(ledger, "AAA", "5", portfolio=name)
    broker = model(ledger, positions={"AAA": D(10)}, cash=D(2_000), **changes)
    broker.has_data = set()
    run(ledger, broker, _opposite("main", "m", first))
    return broker


@pytest.mark.parametrize("unique", [True, False], ids=["wash trades refused", "wash trades let through"])
@pytest.mark.parametrize("first", [Side.BUY, Side.SELL])
def test_an_order_waits_at_its_send_while_a_siblings_of_the_other_side_is_open(
    ledger: Ledger, first: Side, unique: bool
) -> None:
    broker = _one_rests(ledger, first, unique=unique)
    waiting = run(ledger, broker, _opposite("other", "o", first.opposite), portfolio="other")
    assert broker.book.attempts == ["m"]
    assert (waiting.state, waiting.counts) == (ExecutionState.WORKING, {"ready": 1})
    assert "opposite_order: a " in waiting.notes[0]
    assert "order m of the other side is open in the account" in waiting.notes[0]
    assert resume(ledger, broker, portfolio="other").counts == {"ready": 1}, "asked again, and it waits again"
    broker.fill("m", D(5), session=MONDAY)
    assert resume(ledger, broker, portfolio="other", siblings={"main": settings()}).counts == {"working": 1}
    assert broker.book.attempts == ["m", "o"]
    broker.has_data = None
    assert resume(ledger, broker, portfolio="other").counts == {"filled": 1}
    with ledger.read() as connection:
        assert open_batches(connection, "paper") == []


def test_an_order_that_waited_for_a_siblings_to_the_end_of_its_session_ends_unsent_with_the_reason(
    ledger: Ledger,
) -> None:
    broker = _one_rests(ledger, Side.BUY)
    broker.fill_plan = {"AAA": []}
    broker.has_data = None
    result = run(ledger, broker, _opposite("other", "o", Side.SELL), portfolio="other", siblings={"main": settings()})
    assert (result.state, result.counts) == (ExecutionState.DONE, {"expired": 1})
    assert "it waited (opposite_order: a sell while order m" in result.orders[0].reason
    assert broker.book.attempts == ["m"]


def test_two_portfolios_whose_orders_wait_for_each_others_do_not_keep_the_venue_from_ending_either(
    tmp_path: Path,
) -> None:
    """Neither can go out before an order of the other side has ended, whoever runs: the venue has to step."""
    ledger = MortalLedger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    adopt(ledger, "AAA", "5", portfolio="main")
    adopt(ledger, "CCC", "5", portfolio="other")
    broker = model(ledger, positions={"AAA": D(5), "CCC": D(5)}, cash=D(2_000))
    broker.has_data = set()
    ledger.switch = KillSwitch(Point("after submit", 1))
    with pytest.raises(Killed):
        run(ledger, MortalBroker(broker, ledger.switch), _crosswise("main", "m", "AAA", "CCC"))
    ledger.switch = KillSwitch()
    other = run(ledger, broker, _crosswise("other", "o", "CCC", "AAA"), portfolio="other")
    assert other.counts == resume(ledger, broker).counts == {"working": 1, "ready": 1}
    broker.has_data = None
    for name in ("main", "other", "main"):
        resume(ledger, broker, portfolio=name)
    assert resume(ledger, broker).counts == resume(ledger, broker, portfolio="other").counts == {"filled": 2}
    assert sorted(broker.book.attempts) == ["m-b", "m-s", "o-b", "o-s"]
    ledger.close()


def _crosswise(portfolio: str, name: str, sold: str, bought: str) -> Plan:
    orders = [order(f"{name}-s", sold, Side.SELL, "5"), order(f"{name}-b", bought, Side.BUY, "5", phase=1)]
    return replace(plan_of(orders, held={sold: "5"}), portfolio=portfolio, plan_id=name * 32)


def test_an_opposite_order_that_comes_between_the_verdict_and_the_send_keeps_the_order_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that had ended and is taken back: the check of a moment ago is not enough."""
    broker = _one_rests(ledger, Side.BUY)
    blind = drive.clear
    monkeypatch.setattr(
        drive, "clear", lambda run, batch, settings: _without_opposite(blind, run, batch, settings, monkeypatch)
    )
    result = run(ledger, broker, _opposite("other", "o", Side.SELL), portfolio="other")
    assert (broker.book.attempts, result.counts) == (["m"], {"ready": 1})
    assert "opposite_order" in result.notes[0]


def _without_opposite(blind: Any, *args: Any) -> Any:
    *handed, patch = args
    with patch.context() as blinded:
        blinded.setattr(checks, "crosses", lambda *_: None)
        return blind(*handed)
