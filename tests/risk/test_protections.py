"""Protections: round trips out of fills, and what a run of losses locks for how long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.config import Cooldown, MaxDrawdown, StoplossGuard
from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import NOISE
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.risk.acceptance import accept_equity, accepted_equity, is_accepted
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.locks import LOSS_UNKNOWN, DueLock, lift, lift_unknown_loss, locks_of, store_locks
from scizor_dagster.risk.losses import LossFigures, loss_figures, stop_after_losses
from scizor_dagster.risk.protections import Exit, Movement, due_locks, exits_of
from scizor_dagster.risk.trading_state import TradingState, set_state, standing, states_of
from tests.execution.scenario import MONDAY, START, D, adopt, model, order, plan_of, resume, run
from tests.risk.orders import limits

FIRST = date(2026, 3, 2)
DAYS = [day for day in (FIRST + timedelta(days=n) for n in range(60)) if day.weekday() < 5]
"""Sessions of a calendar without holidays; DAYS[5] is the Monday after the first."""


def _fill(day: int, symbol: str, qty: str, price: str, fee: str = "0") -> Movement:
    return Movement(DAYS[day], symbol, D(qty), -D(qty) * D(price) - D(fee))


def test_a_round_trip_ends_where_the_position_is_back_at_zero_and_counts_its_fees() -> None:
    trades = [_fill(0, "AAA", "10", "5", "1"), _fill(1, "AAA", "-4", "6"), _fill(2, "AAA", "-6", "4", "1")]
    assert exits_of(trades) == [Exit(DAYS[2], "AAA", D(-4))]
    assert exits_of(trades[:2]) == []


@pytest.mark.parametrize(("left", "ends"), [(NOISE, 1), (2 * NOISE, 0)])
def test_what_is_left_of_a_position_by_arithmetic_alone_is_no_position(left: Decimal, ends: int) -> None:
    trades = [_fill(0, "AAA", "10", "5"), _fill(1, "AAA", str(left - 10), "6")]
    assert len(exits_of(trades)) == ends


def test_a_position_that_crosses_zero_ends_one_round_trip_and_begins_the_next() -> None:
    trades = [_fill(0, "AAA", "10", "5"), _fill(1, "AAA", "-15", "4"), _fill(2, "AAA", "5", "3")]
    assert exits_of(trades) == [Exit(DAYS[1], "AAA", D(-10)), Exit(DAYS[2], "AAA", D(5))]


def test_a_split_is_no_result_and_no_exit() -> None:
    split = Movement(DAYS[1], "AAA", factor=D(2))
    trades = [_fill(0, "AAA", "10", "8"), split, _fill(2, "AAA", "-20", "4")]
    assert exits_of(trades) == [Exit(DAYS[2], "AAA", D(0))]


def test_a_delisting_that_leaves_nothing_ends_the_position_with_what_was_paid_for_it() -> None:
    gone = Movement(DAYS[1], "AAA", cash=D(12), factor=D(0))
    assert exits_of([_fill(0, "AAA", "10", "8"), gone]) == [Exit(DAYS[1], "AAA", D(-68))]
    worthless = Movement(DAYS[1], "AAA", factor=D(0))
    again = [_fill(0, "AAA", "10", "8", "1"), worthless, _fill(3, "AAA", "1", "8"), _fill(4, "AAA", "-1", "9")]
    assert exits_of(again) == [Exit(DAYS[1], "AAA", D(-81)), Exit(DAYS[4], "AAA", D(1))]
    assert exits_of([worthless]) == [], "nothing was held"


def _locks(protection: Any, exits: Sequence[Exit] = (), equity: Any = None, at: int = 0) -> list[DueLock]:
    return due_locks([protection], exits, equity or {}, DAYS, DAYS[at])


def _loss(day: int, symbol: str = "AAA", result: str = "-1") -> Exit:
    return Exit(DAYS[day], symbol, D(result))


def test_a_cooldown_locks_the_symbol_for_its_sessions_over_a_weekend_and_then_no_more() -> None:
    rule = Cooldown(kind="cooldown", sessions=3)
    held = [at for at in range(12) if _locks(rule, [_loss(3)], at=at)]
    assert held == [4, 5, 6]
    (lock,) = _locks(rule, [_loss(3)], at=5)
    assert (lock.symbol, lock.from_session, lock.until_session) == ("AAA", DAYS[4], DAYS[6])
    assert lock.reason == f"AAA was closed on {DAYS[3]} with a result of -1.00"


@pytest.mark.parametrize("result", ["0", "0.01"])
def test_an_exit_without_a_loss_locks_nothing(result: str) -> None:
    assert _locks(Cooldown(kind="cooldown", sessions=3), [_loss(3, result=result)], at=4) == []


def test_a_guard_locks_the_portfolio_after_so_many_losses_within_its_lookback() -> None:
    rule = StoplossGuard(kind="stoploss_guard", count=2, lookback_sessions=3, lock_sessions=2)
    assert _locks(rule, [_loss(0)], at=1) == []
    assert _locks(rule, [_loss(0), _loss(3, "BBB")], at=4) == []
    (lock,) = _locks(rule, [_loss(1), _loss(3, "BBB")], at=4)
    assert (lock.symbol, lock.from_session, lock.until_session) == (None, DAYS[4], DAYS[5])
    assert _locks(rule, [_loss(1), _loss(3, "BBB")], at=6) == []


def test_a_fall_of_the_equity_locks_the_portfolio_above_its_threshold_and_not_at_it() -> None:
    rule = MaxDrawdown(kind="max_drawdown", threshold=0.1, lookback_sessions=3, lock_sessions=1)
    assert _locks(rule, equity={DAYS[0]: D(100), DAYS[1]: D(90)}, at=2) == []
    (lock,) = _locks(rule, equity={DAYS[0]: D(100), DAYS[1]: D("89.99")}, at=2)
    assert (lock.symbol, lock.until_session) == (None, DAYS[2])
    assert lock.reason == f"equity of {DAYS[1]} is 10.01 % below the highest of 3 sessions"
    assert _locks(rule, equity={DAYS[0]: D(100), DAYS[3]: D(50)}, at=4) == [], "the high is older than the lookback"


@pytest.mark.parametrize(("high", "low"), [("0", "-5"), ("-1", "-5"), ("10", "-5")])
def test_an_equity_that_falls_where_nothing_was_left_has_lost_all_of_it_and_more(high: str, low: str) -> None:
    rule = MaxDrawdown(kind="max_drawdown", threshold=0.9, lookback_sessions=3, lock_sessions=1)
    (lock,) = _locks(rule, equity={DAYS[0]: D(high), DAYS[1]: D(low)}, at=2)
    assert D(lock.value) >= 1
    assert _locks(rule, equity={DAYS[0]: D(low), DAYS[1]: D(low)}, at=2) == [], "it has not fallen"


def test_what_happens_in_the_session_itself_locks_from_the_next_one() -> None:
    assert _locks(Cooldown(kind="cooldown", sessions=3), [_loss(3)], at=3) == []


def _due(symbol: str | None = "CCC") -> DueLock:
    return DueLock(symbol, "cooldown", "CCC was closed with a loss", MONDAY, MONDAY)


def _store(ledger: Ledger, *due: DueLock) -> list[str]:
    with ledger.transaction() as connection:
        return store_locks(connection, "paper", "main", due, now=START)


def test_a_finding_that_is_measured_again_is_the_same_lock_and_stays_lifted(ledger: Ledger) -> None:
    rule = Cooldown(kind="cooldown", sessions=3)
    (before,) = _locks(rule, [_loss(0, result="-10")], at=1)
    (after,) = _locks(rule, [_loss(0, result="-10.37")], at=1)
    (lock_id,) = _store(ledger, before)
    assert _store(ledger, after) == []
    with ledger.transaction() as connection:
        lift(connection, lock_id, actor="ann", reason="a transfer", now=START)
    assert _store(ledger, after, before) == []
    longer = _locks(Cooldown(kind="cooldown", sessions=4), [_loss(0)], at=1)
    assert len(_store(ledger, *longer, *longer)) == 1, "a rule that locks for longer is another finding, and one"


def test_the_history_names_a_lock_when_it_begins_and_when_it_is_lifted(ledger: Ledger) -> None:
    (lock_id,) = _store(ledger, _due())
    with ledger.transaction() as connection:
        lift(connection, lock_id, actor="ann", reason="why", now=START)
        wanted = sa.select(events.c.kind, events.c.payload).order_by(events.c.seq)
        kept = {row.kind: json.loads(row.payload) for row in connection.execute(wanted)}
    assert kept["unlocked"] == {"lock_id": lock_id, "lifted_by": "ann", "lift_reason": "why"}
    named = {"lock_id": lock_id, "portfolio": "main", "symbol": "CCC", "kind": "cooldown"}
    assert named.items() <= kept["locked"].items()


def test_two_locks_of_many_are_never_taken_for_one(ledger: Ledger) -> None:
    # The first eight digits of what these two symbols' locks are told by are the same.
    alike = [_due("S82898"), _due("S163490")]
    assert len(set(_store(ledger, *alike))) == 2
    with ledger.read() as connection:
        assert {lock.symbol for lock in locks_of(connection, "paper", "main")} == {"S82898", "S163490"}


def test_a_lock_that_the_machine_lifted_holds_again_when_it_is_due_again(ledger: Ledger) -> None:
    due = DueLock(None, LOSS_UNKNOWN, "no prices", MONDAY, MONDAY, "no prices", "a loss that is known")
    (lock_id,) = _store(ledger, due)
    with ledger.transaction() as connection:
        lift_unknown_loss(connection, "paper", "main", MONDAY, now=START)
        assert locks_of(connection, "paper", "main", MONDAY) == []
    assert _store(ledger, due) == [lock_id]
    with ledger.transaction() as connection:
        lift(connection, lock_id, actor="ann", reason="seen", now=START)
    assert _store(ledger, due) == []


@pytest.mark.parametrize(
    ("rule", "value", "threshold"),
    [
        (Cooldown(kind="cooldown", sessions=3), "-10.00", "no loss"),
        (
            StoplossGuard(kind="stoploss_guard", count=1, lookback_sessions=3, lock_sessions=2),
            "1 losing exits",
            "fewer than 1",
        ),
        (MaxDrawdown(kind="max_drawdown", threshold=0.1, lookback_sessions=3, lock_sessions=1), "0.2500", "0.1"),
    ],
)
def test_a_lock_writes_one_verdict_with_its_figures_and_what_it_stops(
    ledger: Ledger, rule: Any, value: str, threshold: str
) -> None:
    wealth = {DAYS[0]: D(100), DAYS[1]: D(75)} if isinstance(rule, MaxDrawdown) else {}
    exits = [_loss(1, result="-10")]
    for _ in range(2):
        _store(ledger, *_locks(rule, exits, wealth, at=2))
    with ledger.read() as connection:
        (event,) = risk_events_of(connection, "paper")
    assert (event.limit, event.value, event.threshold, event.verdict) == (rule.kind, value, threshold, "waiting")
    assert (event.session, event.client_order_id) == (DAYS[2], None)
    symbol, until = event.checked["lock"]
    assert symbol == ("AAA" if isinstance(rule, Cooldown) else "every symbol")
    assert until.startswith("closing orders until 2026-03-")


def test_a_lock_keeps_a_buy_waiting_with_its_row_until_a_person_lifts_it(ledger: Ledger) -> None:
    (lock_id,) = _store(ledger, _due())
    assert _store(ledger, _due()) == [], "the same finding is one lock"
    broker = model(ledger)
    broker.has_data = set()
    plan = plan_of([order("b", "CCC", Side.BUY, "1"), order("d", "DDD", Side.BUY, "1")])
    result = run(ledger, broker, plan)
    assert (broker.book.attempts, result.counts) == (["d"], {"ready": 1, "working": 1})
    assert any(f"lock {lock_id}" in note and "scizor risk locks" in note for note in result.notes)
    with ledger.transaction() as connection:
        (event,) = [row for row in risk_events_of(connection, "paper", MONDAY) if row.client_order_id == "b"]
        assert (event.limit, event.verdict) == ("lock", "waiting")
        lift(connection, lock_id, actor="ann", reason="a transfer", now=START)
    assert _store(ledger, _due()) == [], "one that was lifted stays lifted"
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 2}
    with ledger.read() as connection:
        (lock,) = locks_of(connection, "paper", "main")
        assert verify_chain(connection) == []
    assert (lock.lifted_by, lock.lifted_at) == ("ann", START)


def test_a_lock_of_the_portfolio_lets_a_sale_out(ledger: Ledger) -> None:
    _store(ledger, _due(None))
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "1")], held={"AAA": "5"})
    assert run(ledger, broker, plan).counts == {"expired": 1, "filled": 1}
    assert broker.book.attempts == ["s"]


def test_a_lock_that_is_unknown_lifted_or_lifted_without_a_reason_is_refused(ledger: Ledger) -> None:
    (lock_id,) = _store(ledger, _due())
    with ledger.transaction() as connection:
        for wrong, reason, words in (("nothing", "why", "There is no such lock"), (lock_id, " ", "reason")):
            with pytest.raises(InputError, match=words):
                lift(connection, wrong, actor="ann", reason=reason, now=START)
        lift(connection, lock_id, actor="ann", reason="why", now=START)
        with pytest.raises(InputError, match="lifted before, by ann"):
            lift(connection, lock_id, actor="bob", reason="why", now=START)


FALL = ((DAYS[0], D(120)), (DAYS[1], D(100)), (DAYS[2], D(90)))


def _stop(ledger: Ledger, figures: Sequence[LossFigures], rules: PreTradeLimits) -> None:
    with ledger.transaction() as connection:
        stop_after_losses(connection, "paper", "main", DAYS[3], figures, rules, now=START)


def test_losses_are_figures_of_each_session_against_the_one_before_and_the_highest() -> None:
    (newest,) = loss_figures(FALL, D(100), DAYS[2])
    assert newest == LossFigures(DAYS[2], D("0.1"), D("0.25"))
    assert [row.session for row in loss_figures(FALL, D(100), DAYS[1])] == [DAYS[1], DAYS[2]]
    assert loss_figures(FALL, D(100), DAYS[9]) == (newest,), "the newest is always looked at"
    assert loss_figures([], D(100)) == ()
    assert loss_figures([(DAYS[0], D(80))], D(100)) == (LossFigures(DAYS[0], D("0.2"), D("0.2")),)
    assert loss_figures([(DAYS[0], D(0)), (DAYS[1], D(5))], D(100))[1].day_loss == 1


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30), st.integers(1, 10_000), st.integers(2, 9))
def test_a_drawdown_is_never_smaller_than_the_days_loss_and_neither_knows_the_size_of_the_money(
    wealth: list[int], starting: int, scale: int
) -> None:
    curve = [(FIRST + timedelta(days=day), D(value)) for day, value in enumerate(wealth)]
    figures = loss_figures(curve, D(starting))
    assert all(0 <= row.day_loss <= row.drawdown < 1 for row in figures)
    larger = loss_figures([(day, value * scale) for day, value in curve], D(starting * scale))
    assert [round(row.drawdown, 20) for row in larger] == [round(row.drawdown, 20) for row in figures]


@pytest.mark.parametrize(
    ("limit", "states"),
    [
        ({"max_day_loss": "0.1"}, []),
        ({"max_day_loss": "0.0999"}, [TradingState.REDUCING]),
        ({"max_drawdown": "0.25"}, []),
        ({"max_drawdown": "0.2499", "on_loss": TradingState.HALTED}, [TradingState.HALTED]),
        ({}, []),
    ],
)
def test_a_loss_above_its_limit_sets_the_state_once(ledger: Ledger, limit: Any, states: list[TradingState]) -> None:
    for _ in range(2):
        _stop(ledger, loss_figures(FALL, D(100), DAYS[2]), limits(**limit))
    with ledger.read() as connection:
        assert [row.state for row in states_of(connection, "paper")] == states


def test_a_loss_of_a_session_that_nobody_looked_at_is_seen_by_the_next_look(ledger: Ledger) -> None:
    fell_early = ((DAYS[0], D(80)), (DAYS[1], D(79)), (DAYS[2], D(79)))
    _stop(ledger, loss_figures(fell_early, D(100), DAYS[0]), limits(max_day_loss="0.1"))
    with ledger.read() as connection:
        (row,) = states_of(connection, "paper")
    assert row.reason == f"max_day_loss: 0.2000 at the close of {DAYS[0]} against 0.1 allowed"


def test_a_loss_stop_writes_one_verdict_with_its_figures_and_what_it_stops(ledger: Ledger) -> None:
    rules = limits(max_day_loss="0.05", max_drawdown="0.2")
    _stop(ledger, loss_figures(FALL, D(100), DAYS[2]), rules)
    again = loss_figures((*FALL[:2], (DAYS[2], D("89.5"))), D(100), DAYS[2])
    _stop(ledger, again, rules)
    with ledger.read() as connection:
        events = {event.limit: event for event in risk_events_of(connection, "paper", DAYS[3])}
        assert len(risk_events_of(connection, "paper")) == 2, "measured again it is the same finding"
    assert {(name, row.value, row.threshold, row.verdict) for name, row in events.items()} == {
        ("max_day_loss", "0.1", "0.05", "waiting"),
        ("max_drawdown", "0.25", "0.2", "waiting"),
    }
    assert events["max_drawdown"].checked["trading_state"] == ("reducing", "closing orders")


def test_a_loss_never_loosens_what_a_person_has_set_nor_undoes_a_resume(ledger: Ledger) -> None:
    figures = loss_figures([(DAYS[0], D(50))], D(100))
    rules = limits(max_day_loss="0.1")
    person: dict[str, Any] = {"reason": "a test", "actor": "ann", "now": START}

    def in_force() -> TradingState:
        _stop(ledger, figures, rules)
        with ledger.read() as connection:
            return standing(connection, "paper", "main", START).state

    with ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.HALTED, **person)
    assert in_force() is TradingState.HALTED
    with ledger.read() as connection:
        assert [row.state for row in states_of(connection, "paper")] == [TradingState.HALTED, TradingState.REDUCING]
    with ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.ACTIVE, **person)
    assert in_force() is TradingState.ACTIVE, "who resumed has seen the loss stop too"


def test_only_the_lock_of_an_unknown_loss_ends_when_the_loss_is_known(ledger: Ledger) -> None:
    unknown = DueLock(None, LOSS_UNKNOWN, "no prices", MONDAY, MONDAY)
    _store(ledger, _due(), unknown)
    with ledger.transaction() as connection:
        lift_unknown_loss(connection, "paper", "main", MONDAY, now=START)
        assert [lock.kind for lock in locks_of(connection, "paper", "main", MONDAY)] == ["cooldown"]


def test_a_loss_that_is_known_before_one_session_is_not_known_before_another(ledger: Ledger) -> None:
    days = (MONDAY, MONDAY + timedelta(days=1))
    _store(ledger, *(DueLock(None, LOSS_UNKNOWN, "no prices", day, day) for day in days))
    with ledger.transaction() as connection:
        for _ in range(2):
            lift_unknown_loss(connection, "paper", "main", days[0], now=START)
        assert [len(locks_of(connection, "paper", "main", day)) for day in days] == [0, 1]


def test_a_jump_of_the_equity_is_accepted_with_a_reason_or_not_at_all(ledger: Ledger) -> None:
    with ledger.transaction() as connection, pytest.raises(LedgerError, match=r"needs a reason.*--reason"):
        accept_equity(connection, "paper", "main", MONDAY, D(2_000), actor="ann", reason=" ", now=START)
    with ledger.read() as connection:
        assert accepted_equity(connection, "paper", "main", MONDAY) is None


@pytest.mark.parametrize("equity", ["NaN", "Infinity"])
def test_an_equity_that_is_no_amount_is_not_accepted(ledger: Ledger, equity: str) -> None:
    with ledger.transaction() as connection, pytest.raises(LedgerError, match=f"equity {equity}"):
        accept_equity(connection, "paper", "main", MONDAY, D(equity), actor="ann", reason="why", now=START)


def test_a_jump_of_the_equity_holds_the_session_until_it_is_accepted(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()

    def jumped(_: date) -> MarketFacts:
        return MarketFacts(equity=D(2_000), equity_before=D(1_000))

    held: dict[str, Any] = {"facts": jumped, "max_equity_jump": D("0.3")}
    plan = plan_of([order("b", "CCC", Side.BUY, "1")])
    result = run(ledger, broker, plan, **held)
    assert (broker.book.attempts, result.counts) == ([], {"ready": 1})
    assert any("scizor risk accept-equity --portfolio main --session 2026-03-02" in note for note in result.notes)

    def accept(equity: str) -> bool:
        given: dict[str, Any] = {"actor": "ann", "reason": "a deposit", "now": START}
        with ledger.transaction() as connection:
            return accept_equity(connection, "paper", "main", MONDAY, D(equity), **given)

    assert accept("1999.50")
    assert resume(ledger, broker, **held).counts == {"ready": 1}, "another figure was accepted"
    assert [accept("2000.01"), accept("2000")] == [True, False], "up to a cent it is the same figure"
    with ledger.read() as connection:
        assert accepted_equity(connection, "paper", "main", MONDAY) == D("2000.01")
        assert not is_accepted(connection, "paper", "main", MONDAY, None)
        wanted = sa.select(events.c.payload).where(events.c.kind == "equity_accepted").order_by(events.c.seq)
        kept = [json.loads(payload)["equity"] for payload in connection.execute(wanted).scalars()]
        assert kept == ["1999.50", "2000.01"]
        assert verify_chain(connection) == []
    broker.has_data = None
    assert resume(ledger, broker, **held).counts == {"filled": 1}
