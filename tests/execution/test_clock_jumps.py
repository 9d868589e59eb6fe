"""The machine's clock jumps between any two steps, and stands in another zone: nothing is sent twice, by nobody."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import AccountBusy, LedgerError, RiskLimitBreached
from scizor_dagster.execution.executor import ExecutionState, execute
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import batches
from scizor_dagster.ledger.verification import verify
from scizor_dagster.sessions import TradingCalendar
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    START,
    TUESDAY,
    D,
    arm_until,
    fresh_copy,
    full_plan,
    model,
    plan_of,
    settings,
)

JUMPS = [
    timedelta(**{unit: sign * count})
    for unit, count in (("seconds", 3), ("minutes", 3), ("hours", 1), ("hours", 11), ("days", 1), ("days", 40))
    for sign in (1, -1)
]
"""Seconds to weeks, forward and back: by NTP, by a change of the clocks, by a machine that slept or was restored."""
TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
JUMPS_EACH = 20 if TORTURE else 3
"""Steps of a run, drawn by a seed, at which each of them comes."""
ZONES = ("Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati", "Pacific/Niue", "Australia/Lord_Howe")
HALVES = {"AAA": [D("0.5"), D("0.5")], "CCC": [D(0), D("0.5"), D("0.5")]}
BEFORE_MIDNIGHT = datetime(2026, 3, 3, 4, 59, 59, tzinfo=UTC)
"""In New York, where it is still Monday."""


class Hand:
    """A clock that a test moves, and that moves itself by `pace` each time it is read."""

    def __init__(self, at: datetime = START, pace: timedelta = timedelta(0)) -> None:
        self.at, self.pace = at, pace

    def __call__(self) -> datetime:
        self.at += self.pace
        return self.at


class JumpingSwitch(KillSwitch):
    """A point before and after every commit and call, at one of which something happens once."""

    def __init__(self, at: int, then: Any) -> None:
        super().__init__(0)
        self._due, self._then = at, then

    def point(self, name: str) -> None:
        super().point(name)
        # Not within a transaction: nobody else could write meanwhile.
        if self._due and self.count >= self._due and name != "before commit":
            self._due = 0
            self._then()


def _broker(ledger: Ledger, *, unique: bool = True) -> ModelBroker:
    held = {symbol: D(qty) for symbol, qty in full_plan()[1].items()}
    broker = model(ledger, positions=held, steps=5, unique=unique)
    broker.fill_plan = dict(HALVES)
    return broker


def _run(ledger: Ledger, broker: Any, hand: Any, **changes: Any) -> ExecutionState:
    base = {"account": "paper", "portfolio": "main", "holder": "tester"}
    found = execute(full_plan()[0], ledger=ledger, broker=broker, clock=hand, settings=settings(**changes), **base)
    return found.state


def _undisturbed(template: Path, folder: Path) -> tuple[ModelBroker, KillSwitch]:
    ledger, switch = _opened(template, folder / "calm"), KillSwitch()
    ledger.switch = switch
    broker = _broker(ledger)
    assert _run(ledger, MortalBroker(broker, switch), Hand()) is ExecutionState.DONE
    ledger.close()
    return broker, switch


def _opened(template: Path, folder: Path) -> MortalLedger:
    return MortalLedger.open(fresh_copy(template, folder / "l.sqlite"), synchronous="OFF")


def _check(ledger: Ledger, broker: ModelBroker, expected: ModelBroker, label: object) -> None:
    assert broker.sent() == expected.sent(), label
    assert (broker.book.positions, broker.book.cash) == (expected.book.positions, expected.book.cash), label
    with ledger.read() as connection:
        assert verify(connection) == [], label
        assert owned(connection, "paper", "main") == {s: q for s, q in broker.book.positions.items() if q}, label
        assert connection.execute(sa.select(sa.func.count()).select_from(batches)).scalar() == 1, label


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_jump_of_the_clock_between_any_two_steps_changes_nothing_that_is_sent(
    holding_ledger: Path, tmp_path: Path, jump: timedelta, record_property: Any
) -> None:
    expected, calm = _undisturbed(holding_ledger, tmp_path)
    steps = sorted(random.Random(f"{jump}").sample(range(1, calm.count), JUMPS_EACH))
    for at in steps:
        ledger, hand = _opened(holding_ledger, tmp_path / str(at)), Hand()

        def leap(hand: Hand = hand) -> None:
            hand.at += jump

        switch = JumpingSwitch(at, leap)
        ledger.switch = switch
        broker = _broker(ledger)
        assert _run(ledger, MortalBroker(broker, switch), hand) is ExecutionState.DONE, at
        assert hand.at == START + jump
        assert _run(ledger, broker, hand) is ExecutionState.DONE
        _check(ledger, broker, expected, (jump, at))
        ledger.close()
    record_property(f"jumps by {jump}, duplicates and second batches 0", len(steps))


@pytest.mark.parametrize("unique", [True, False], ids=["an id counts once", "an id may be taken twice"])
def test_a_jump_that_lets_a_second_run_take_the_account_never_lets_two_of_them_send(
    holding_ledger: Path, tmp_path: Path, unique: bool, record_property: Any
) -> None:
    """The second run is whole within one step of the first, which holds a lease that has expired by the jump alone."""
    _, calm = _undisturbed(holding_ledger, tmp_path)
    counts: Counter[str] = Counter()
    for at in range(2, calm.count, 1 if TORTURE else 5):
        first, second = _opened(holding_ledger, tmp_path / str(at)), None
        hand, broker = Hand(), _broker(first, unique=unique)
        second = Ledger.open(f"sqlite:///{first.path}", synchronous="OFF")

        def take_over(second: Ledger = second, hand: Hand = hand, broker: ModelBroker = broker) -> None:
            hand.at += timedelta(days=1)
            _run(second, broker, hand)

        switch = JumpingSwitch(at, take_over)
        first.switch = switch
        try:
            counts[f"the first one ended {_run(first, MortalBroker(broker, switch), hand)}"] += 1
        except (LedgerError, AccountBusy):
            counts["the first one lost the account"] += 1
        _run(first, broker, hand)
        sent = Counter(name for name, *_ in broker.sent())
        assert set(sent.values()) == {1}, (at, sent)
        state = _run(first, broker, hand)
        assert state is ExecutionState.DONE or not unique, at
        with first.read() as connection:
            assert verify(connection) == []
            assert owned(connection, "paper", "main") == {s: q for s, q in broker.book.positions.items() if q}, at
        second.close()
        first.close()
    assert counts["the first one lost the account"] >= 8
    record_property("second runs within a step of the first, duplicates 0", dict(counts))


@pytest.mark.parametrize("back", [timedelta(days=30), timedelta(hours=1)], ids=str)
def test_a_clock_that_was_ahead_and_is_right_again_does_not_lock_the_account_until_it_is_there(
    holding_ledger: Path, tmp_path: Path, back: timedelta
) -> None:
    ledger, hand = _opened(holding_ledger, tmp_path), Hand(START + back)
    broker = _broker(ledger)
    ledger.switch = KillSwitch(20)
    with suppress(Killed):
        _run(ledger, MortalBroker(broker, ledger.switch), hand)
    assert ledger.switch.dead
    ledger.switch = KillSwitch()
    hand.at = START
    assert _run(ledger, broker, hand) is ExecutionState.DONE
    ledger.close()


def test_a_run_that_begins_before_midnight_and_ends_after_it_is_of_one_session(
    holding_ledger: Path, tmp_path: Path
) -> None:
    expected, _ = _undisturbed(holding_ledger, tmp_path)
    ledger, hand = _opened(holding_ledger, tmp_path / "night"), Hand(BEFORE_MIDNIGHT, timedelta(milliseconds=50))
    broker = _broker(ledger)
    assert _run(ledger, broker, hand) is ExecutionState.DONE
    assert hand.at.astimezone(TradingCalendar("XNYS").timezone).date() == TUESDAY
    assert {request.session for request in broker.book.requests} == {MONDAY}
    _check(ledger, broker, expected, "midnight")
    ledger.close()


@pytest.mark.parametrize("apart", [*JUMPS, *(timedelta(seconds=n) for n in (-6, -5, 0, 5, 6))], ids=str)
def test_a_live_account_is_not_traded_where_the_brokers_clock_and_ours_are_more_than_seconds_apart(
    ledger: Ledger, apart: timedelta
) -> None:
    broker = model(ledger, environment="live")
    broker.time = START + apart
    arm_until(ledger, broker, START + timedelta(hours=1))
    live = {"expected_environment": "live", "live_trading": True, "live_session": MONDAY}
    base = {"account": "paper", "portfolio": "main", "holder": "t", "settings": settings(**live), "clock": Hand()}
    plan = plan_of([row._replace(depends_on=()) for row in full_plan()[0].orders if row.symbol == "DDD"])
    if abs(apart) <= timedelta(seconds=5):
        execute(plan, ledger=ledger, broker=broker, **base)
        assert len(broker.book.attempts) == 1
        return
    with pytest.raises(RiskLimitBreached, match="apart"):
        execute(plan, ledger=ledger, broker=broker, **base)
    assert broker.book.attempts == []


@contextmanager
def _machine_in(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize("zone", ZONES)
def test_the_zone_of_the_machine_changes_nothing(holding_ledger: Path, tmp_path: Path, zone: str) -> None:
    expected, _ = _undisturbed(holding_ledger, tmp_path)
    with _machine_in(zone):
        assert time.tzname != ("UTC", "UTC")
        ledger = _opened(holding_ledger, tmp_path / "there")
        broker = _broker(ledger)
        assert _run(ledger, broker, lambda: datetime.now(UTC)) is ExecutionState.DONE
        _check(ledger, broker, expected, zone)
        ledger.close()
