"""A lost ledger is built anew from the broker's own books, and nothing is sent twice with it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import AccountState, BrokerPosition, OrderStatus, Side
from scizor_dagster.errors import BrokerUnavailable, LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.execution.rebuilding import Rebuilt, rebuild_account
from scizor_dagster.ledger.holdings import account_flow, cash_flow, last_prices, owned
from scizor_dagster.ledger.rebuilt import cash_is_stated, opening_cash
from scizor_dagster.ledger.rows import batches_of, fills_of, intents_of
from scizor_dagster.ledger.states import BatchState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.cash import cash_breaks
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import BreakKind
from scizor_dagster.reconciliation.reconcile import order_results
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger, Point
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    PRICES,
    START,
    TUESDAY,
    D,
    clock,
    fresh_copy,
    full_plan,
    model,
    order,
    plan_of,
    resume,
    run,
    settings,
)
from tests.ledgers import sqlite_ledger

DIGEST = "0123456789ab"


def _named(plan: Plan) -> Plan:
    """The plan with ids as the planner makes them."""
    names = {
        row.client_order_id: f"SCZ_{plan.session:%Y%m%d}_{plan.batch}_{row.symbol}_"
        f"{'B' if row.side is Side.BUY else 'S'}_{DIGEST[:-2]}{number:02x}"
        for number, row in enumerate(plan.orders)
    }
    orders = [
        row._replace(client_order_id=names[row.client_order_id], depends_on=tuple(names[n] for n in row.depends_on))
        for row in plan.orders
    ]
    return replace(plan, orders=tuple(orders))


def _rebuilt(ledger: Ledger, broker: ModelBroker, sessions: Sequence[Any] = (MONDAY,), **changes: Any) -> Rebuilt:
    values: dict[str, Any] = {
        "portfolio": "main",
        "portfolio_of": lambda _: "main",
        "adopt": False,
        "cash": None,
        "settings": settings(),
    }
    return rebuild_account(
        ledger=ledger,
        broker=broker,
        account="paper",
        sessions=sessions,
        clock=clock,
        holder="rebuild",
        prefix="SCZ",
        instrument_ids={"AAA": "AAA.XNYS"},
        actor="ann",
        **(values | changes),
    )


@pytest.fixture
def traded(holding_ledger: Path, tmp_path: Path) -> tuple[Ledger, ModelBroker, Plan]:
    """A ledger that held 40 AAA and 10 BBB and has traded the full plan, with its broker."""
    plan, held = full_plan()
    plan = _named(plan)
    ledger = Ledger.open(fresh_copy(holding_ledger, tmp_path / "old" / "l.sqlite"), synchronous="OFF")
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()}, steps=5)
    broker.fill_plan = {"AAA": [D("0.5"), D("0.5")]}
    assert run(ledger, broker, plan).state is ExecutionState.DONE
    broker.committed = None
    return ledger, broker, plan


def test_orders_fills_and_positions_are_those_of_the_broker(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    old, broker, plan = traded
    found = _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    with old.read() as before, ledger.read() as after:
        assert owned(after, "paper", "main") == owned(before, "paper", "main")
        assert {f.fill_id: (f.symbol, f.qty, f.price, f.portfolio) for f in fills_of(before, "paper")} == {
            f.fill_id: (f.symbol, f.qty, f.price, f.portfolio) for f in fills_of(after, "paper")
        }
        (batch,) = batches_of(after, "paper", "main")
        assert batch.starting_cash + cash_flow(after, "paper", "main") == broker.book.cash
        assert verify(after) == []
    assert sorted(found.orders) == sorted(row.client_order_id for row in plan.orders)
    assert {row.symbol: row.adopted for row in found.positions if row.adopted} == {"AAA": D(40), "BBB": D(10)}
    assert all(row.owned == row.at_broker and row.foreign == 0 for row in found.positions)


def test_the_plan_that_was_sent_before_is_not_sent_again(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, plan = traded
    sent = broker.sent()
    with pytest.raises(LedgerError, match=r"which this ledger has not sent, such as SCZ_20260302_1_AAA_S"):
        run(ledger, broker, plan)
    _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    with pytest.raises(LedgerError, match="was admitted with plan"):
        run(ledger, broker, plan)
    assert broker.sent() == sent


def test_what_a_refused_run_has_recorded_for_nobody_is_its_portfolios_once_the_orders_are_taken_in(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    old, broker, plan = traded
    with pytest.raises(LedgerError, match="which this ledger has not sent"):
        run(ledger, broker, plan)
    resume(ledger, broker)
    with ledger.read() as connection:
        assert {fill.portfolio for fill in fills_of(connection, "paper")} == {None}
    _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    with old.read() as before, ledger.read() as after:
        assert owned(after, "paper", "main") == owned(before, "paper", "main")
        assert cash_flow(after, "paper", "main") == cash_flow(before, "paper", "main")
        recorded = len(fills_of(after, "paper"))
        assert verify(after) == []
    assert _rebuilt(ledger, broker).fills == 0
    with ledger.read() as connection:
        assert len(fills_of(connection, "paper")) == recorded


def test_what_was_adopted_while_its_order_was_not_known_is_not_owned_twice(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    old, broker, _ = traded
    _rebuilt(ledger, broker, portfolio_of=lambda _: None, adopt=True, cash=broker.book.cash)
    _rebuilt(ledger, broker)
    with old.read() as before, ledger.read() as after:
        assert owned(after, "paper", "main") == owned(before, "paper", "main")


def test_trading_goes_on_in_the_next_session(traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger) -> None:
    _, broker, _ = traded
    _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    held = broker.book.positions["CCC"]
    sale = order("s", "CCC", Side.SELL, "5")
    plan = _named(plan_of([sale], session=TUESDAY, held={"CCC": str(held)}, plan_id="q"))
    assert run(ledger, broker, plan).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert owned(connection, "paper", "main")["CCC"] == held - 5 == broker.book.positions["CCC"]
        assert verify(connection) == []


def test_what_was_sent_before_the_ledger_was_lost_counts_against_the_limits_of_its_session(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, plan = traded
    _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    broker.book.steps[MONDAY] = 1
    held = broker.book.positions["CCC"]
    again = _named(plan_of([order("s", "CCC", Side.SELL, "5")], batch=2, held={"CCC": str(held)}, plan_id="q"))
    result = run(ledger, broker, again, max_session_orders=D(len(plan.orders)))
    blocked = [row for row in result.orders if row.state.value == "blocked"]
    assert [(row.symbol, "max_session_orders" in row.reason) for row in blocked] == [("CCC", True)]


def test_cash_is_counted_from_what_a_person_has_said_and_the_account_shows(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, _ = traded
    with ledger.read() as connection:
        assert (opening_cash(connection, "paper"), cash_is_stated(connection, "paper", "main")) == (None, False)
    broker.book.cash -= D("123.4567")
    _rebuilt(ledger, broker, adopt=True, cash=D(5))
    with ledger.read() as connection:
        assert cash_is_stated(connection, "paper", "main")
        assert not cash_is_stated(connection, "paper", "other")
        opening = opening_cash(connection, "paper")
        assert opening is not None
        assert opening + account_flow(connection, "paper") == broker.book.cash
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=MONDAY, deposit=D(1_000_000))
    assert list(cash_breaks(ours, theirs)) == []
    broker.book.cash += 1
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=MONDAY, deposit=D(1_000_000))
    assert [row.kind for row in cash_breaks(ours, theirs)] == [BreakKind.CASH_DIFFERS]


def test_a_rebuild_that_is_repeated_changes_nothing(traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger) -> None:
    _, broker, _ = traded
    _rebuilt(ledger, broker)
    with ledger.read() as connection:
        before = owned(connection, "paper", "main"), len(fills_of(connection, "paper"))
    again = _rebuilt(ledger, broker)
    with ledger.read() as connection:
        assert (owned(connection, "paper", "main"), len(fills_of(connection, "paper"))) == before
    assert (again.orders, again.fills) == ((), 0)


def test_what_no_order_explains_stays_foreign_unless_it_is_adopted(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, _ = traded
    found = _rebuilt(ledger, broker)
    assert {row.symbol: row.foreign for row in found.positions if row.foreign} == {"AAA": D(40), "BBB": D(10)}


def test_an_order_of_another_prefix_or_of_nobody_is_left_out_and_the_latter_named(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, plan = traded
    other = replace(broker.book.orders[0], client_order_id=f"OTH_20260302_1_AAA_S_{DIGEST}", broker_order_id="o")
    hand = replace(broker.book.orders[0], client_order_id="by hand", broker_order_id="h")
    for strange in (other, hand):
        broker.book.orders.append(strange)
        broker.book.requests.append(broker.book.requests[0])
    known = {row.client_order_id for row in plan.orders[1:]}
    found = _rebuilt(ledger, broker, portfolio_of=lambda name: "main" if name in known else None)
    assert set(found.orders) == known
    assert found.strangers == (plan.orders[0].client_order_id,)
    with ledger.read() as connection:
        unowned = [fill for fill in fills_of(connection, "paper") if fill.portfolio is None]
    assert {fill.client_order_id for fill in unowned} == {plan.orders[0].client_order_id}


def test_an_order_that_still_rests_is_followed_to_its_end(ledger: Ledger, tmp_path: Path) -> None:
    old = Ledger.open(sqlite_ledger(tmp_path / "old"), synchronous="OFF")
    broker = model(old, steps=5)
    broker.has_data = set()
    plan = _named(plan_of([order("b", "AAA", Side.BUY, "3", phase=1)]))
    assert run(old, broker, plan).state is ExecutionState.WORKING
    broker.committed = None
    _rebuilt(ledger, broker)
    broker.has_data = None
    assert resume(ledger, broker).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == {"AAA": Decimal(3)}
    assert len(broker.sent()) == 1


def _resting_alone(ledger: Ledger, tmp_path: Path, **changes: Any) -> ModelBroker:
    """A broker with one order at rest, taken in by a ledger that knew nothing of it."""
    old = Ledger.open(sqlite_ledger(tmp_path / "old"), synchronous="OFF")
    broker = model(old, **changes)
    broker.has_data = set()
    plan = _named(plan_of([order("b", "AAA", Side.BUY, "3", phase=1)]))
    assert run(old, broker, plan).state is ExecutionState.WORKING
    broker.committed = None
    _rebuilt(ledger, broker)
    return broker


def test_a_rebuilt_order_that_fills_later_is_reconciled_without_a_price_that_sized_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    broker = _resting_alone(ledger, tmp_path)
    broker.has_data = None
    assert resume(ledger, broker).state is ExecutionState.DONE
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=MONDAY)
    (result,) = order_results((), ours, theirs)
    assert (result.filled_qty, result.price_used, result.slippage_bps) == (3, 0, None)


def test_a_rebuilt_order_that_became_unknown_and_shows_no_more_ends_once_its_absence_is_proven(
    ledger: Ledger, tmp_path: Path
) -> None:
    broker = _resting_alone(ledger, tmp_path, unique=False)
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.UNKNOWN, reason="suspended")
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    broker.book.orders.clear()
    broker.book.requests.clear()
    broker.book.steps[MONDAY] = broker.steps
    broker.absent_looks, broker.visible_after = 3, timedelta(minutes=1)
    states = []
    for minute in range(1, 5):
        result = resume(ledger, broker, clock=lambda now=START + timedelta(minutes=minute): now)
        states.append(result.orders[0].state.value)
    assert states == ["unknown", "unknown", "expired", "expired"]


def test_buys_that_a_restored_ledger_releases_leave_the_money_of_those_that_were_sent_before(
    holding_ledger: Path, tmp_path: Path
) -> None:
    backup, lost = tmp_path / "backup.sqlite", tmp_path / "lost.sqlite"
    before = Ledger.open(fresh_copy(holding_ledger, backup), synchronous="OFF")
    broker = model(before, positions={"AAA": D(40), "BBB": D(10)}, cash=D(0), steps=5, unique=False)
    broker.has_data = set()
    orders = [
        order("s", "AAA", Side.SELL, "10"),
        order("b1", "CCC", Side.BUY, "50"),
        order("b2", "DDD", Side.BUY, "100"),
    ]
    run(before, broker, _named(plan_of(orders, held={"AAA": "40"})), starting_cash=D(0))
    before.close()
    broker.fill(broker.book.orders[0].client_order_id, D(10), session=MONDAY, step=0)
    dead = MortalLedger.open(fresh_copy(backup, lost), synchronous="OFF")
    broker.watch(f"sqlite:///{lost}")
    dead.switch = KillSwitch(Point("before submit", 2))
    with pytest.raises(Killed):
        resume(dead, MortalBroker(broker, dead.switch), starting_cash=D(0))
    dead.close()
    restored = Ledger.open(f"sqlite:///{backup}", synchronous="OFF")
    broker.committed = None
    _rebuilt(restored, broker)
    resume(restored, broker, starting_cash=D(0))
    bought = [(symbol, qty) for _, symbol, side, qty in broker.sent() if side == "buy"]
    assert [symbol for symbol, _ in bought] == ["CCC", "DDD"]
    assert sum(qty * PRICES[symbol] for symbol, qty in bought) <= broker.book.cash
    restored.close()


def test_a_ledger_from_before_its_orders_were_sent_sends_none_of_them_again_whatever_the_broker_takes(
    holding_ledger: Path, tmp_path: Path
) -> None:
    plan, held = full_plan()
    plan = _named(plan)
    ledger = MortalLedger.open(fresh_copy(holding_ledger, tmp_path / "l.sqlite"), synchronous="OFF")
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()}, steps=5, unique=False)
    ledger.switch = KillSwitch(Point("before submit", 1))
    with pytest.raises(Killed):
        run(ledger, MortalBroker(broker, ledger.switch), plan)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "l.sqlite", isolation_level=None)) as raw:
        raw.execute("UPDATE orders SET state = 'ready' WHERE state = 'sending'")
    old = Ledger.open(fresh_copy(tmp_path / "l.sqlite", tmp_path / "backup.sqlite"), synchronous="OFF")
    ledger.switch = KillSwitch()
    assert run(ledger, broker, plan).state is ExecutionState.DONE
    sent, broker.committed = broker.sent(), None
    for again in (lambda: run(old, broker, plan), lambda: resume(old, broker), lambda: resume(old, broker, TUESDAY)):
        with pytest.raises(LedgerError, match="which this ledger has not sent"):
            again()
    found = _rebuilt(old, broker)
    assert sorted(found.orders) == [name for name, *_ in sent]
    assert resume(old, broker).state is ExecutionState.DONE
    assert broker.sent() == sent
    with old.read() as before, ledger.read() as after:
        assert owned(before, "paper", "main") == owned(after, "paper", "main")
    old.close()
    ledger.close()


def test_a_portfolio_whose_beginning_the_ledger_knows_keeps_it_whatever_cash_it_is_said_to_have(
    traded: tuple[Ledger, ModelBroker, Plan],
) -> None:
    old, broker, _ = traded
    with old.read() as connection:
        (before,) = batches_of(connection, "paper", "main")
    found = _rebuilt(old, broker, adopt=True, cash=D(7))
    assert "Portfolio 'main' began with 1,000.00, as the ledger knows; it stays so." in found.notes
    with old.read() as connection:
        assert [batch.starting_cash for batch in batches_of(connection, "paper", "main")] == [before.starting_cash]
        assert verify(connection) == []


def test_a_portfolio_of_which_the_broker_shows_no_order_begins_with_what_is_adopted_and_trades_on(
    ledger: Ledger,
) -> None:
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(300))
    found = _rebuilt(ledger, broker, adopt=True, cash=D(300))
    assert [(row.symbol, row.owned, row.adopted) for row in found.positions] == [("AAA", D(5), D(5))]
    with ledger.read() as connection:
        (batch,) = batches_of(connection, "paper", "main")
        assert (batch.batch, batch.starting_cash, batch.state) == (0, D(300), BatchState.NOTHING_TO_DO)
        assert verify(connection) == []
    plan = _named(plan_of([order("s", "AAA", Side.SELL, "5")], session=TUESDAY, held={"AAA": "5"}))
    assert run(ledger, broker, plan).state is ExecutionState.DONE


@pytest.mark.parametrize(("paid", "price"), [(D(80), D(80)), (None, D(100))])
def test_what_is_adopted_is_worth_what_was_paid_for_it_or_else_its_price_of_now(
    ledger: Ledger, paid: Decimal | None, price: Decimal
) -> None:
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(300))
    broker.positions = lambda: [BrokerPosition("AAA", D(5), D(100), paid)]  # type: ignore[method-assign]
    _rebuilt(ledger, broker, adopt=True, cash=D(300))
    with ledger.read() as connection:
        assert last_prices(connection, "paper", ["AAA"]) == {"AAA": price}


def test_orders_whose_owner_is_found_out_later_join_the_batch_of_the_others_with_what_they_filled(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    old, broker, plan = traded
    names = [row.client_order_id for row in plan.orders]
    first = _rebuilt(ledger, broker, portfolio_of=lambda name: "main" if name in names[:3] else None)
    second = _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    assert (sorted(first.orders), sorted(first.strangers)) == (sorted(names[:3]), sorted(names[3:]))
    assert (sorted(second.orders), second.strangers) == (sorted(names[3:]), ())
    with old.read() as before, ledger.read() as after:
        (batch,) = batches_of(after, "paper", "main")
        assert sorted(row.position for row in intents_of(after, batch.batch_id)) == list(range(len(names)))
        assert {fill.portfolio for fill in fills_of(after, "paper")} == {"main"}
        assert owned(after, "paper", "main") == owned(before, "paper", "main")
        assert verify(after) == []
    assert {row.symbol: row.adopted for row in second.positions if row.adopted} == {"AAA": D(40), "BBB": D(10)}


def test_fills_that_a_look_has_recorded_as_nobodys_before_the_rebuild_are_the_portfolios(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, plan = traded
    bracket = next(order for order in broker.book.orders if order.symbol == "CCC")
    leg = replace(bracket, client_order_id="leg", broker_order_id="l", side=Side.SELL, qty=D(1), filled_qty=D(0))
    leg = replace(leg, parent_client_order_id=bracket.client_order_id, status=OrderStatus.ACCEPTED)
    broker.book.orders.append(leg)
    broker.book.requests.append(broker.book.requests[0])
    broker.fill("leg", D(1), session=MONDAY)
    resume(ledger, broker)
    with ledger.read() as connection:
        assert {fill.portfolio for fill in fills_of(connection, "paper")} == {None}
    found = _rebuilt(ledger, broker, adopt=True, cash=broker.book.cash)
    assert sorted(found.orders) == sorted(row.client_order_id for row in plan.orders)
    with ledger.read() as after:
        assert {fill.portfolio for fill in fills_of(after, "paper")} == {"main"}
        assert owned(after, "paper", "main") == {name: qty for name, qty in broker.book.positions.items() if qty}
        (batch,) = batches_of(after, "paper", "main")
        assert batch.starting_cash + cash_flow(after, "paper", "main") == broker.book.cash
        assert verify(after) == []
    assert all(row.owned == row.at_broker and row.foreign == 0 for row in found.positions)
    again = _rebuilt(ledger, broker)
    assert (again.orders, again.fills) == ((), 0)
    with ledger.read() as after:
        assert {fill.version for fill in fills_of(after, "paper")} == {2}


def test_what_was_adopted_while_nobody_knew_whose_it_was_is_not_owned_twice_when_somebody_does(
    traded: tuple[Ledger, ModelBroker, Plan], ledger: Ledger
) -> None:
    _, broker, _ = traded
    first = _rebuilt(ledger, broker, portfolio_of=lambda _: None, adopt=True, cash=broker.book.cash)
    assert {row.symbol: row.adopted for row in first.positions} == {row.symbol: row.owned for row in first.positions}
    second = _rebuilt(ledger, broker)
    assert len(second.orders) == len(first.strangers)
    assert {row.symbol: row.owned for row in second.positions} == {row.symbol: row.owned for row in first.positions}
    assert all(row.foreign == 0 for row in second.positions)
    with ledger.read() as connection:
        assert verify(connection) == []


@pytest.mark.parametrize("fills", [1, 20], ids=["then still", "all the time"])
def test_the_cash_of_an_account_is_that_of_a_moment_of_which_every_fill_is_known(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fills: int
) -> None:
    broker = _resting_alone(ledger, tmp_path)
    (name,) = (row.client_order_id for row in broker.book.orders)
    left = [D("0.1")] * fills
    asked = broker.account

    def money_while_it_fills() -> AccountState:
        found = asked()
        if left:
            broker.fill(name, left.pop(), session=MONDAY)
        return found

    monkeypatch.setattr(broker, "account", money_while_it_fills)
    wanted = {"adopt": True, "cash": D(500), "settings": settings(max_rounds=3)}
    if fills > 3:
        with pytest.raises(BrokerUnavailable, match="Orders fill while their money is counted"):
            _rebuilt(ledger, broker, **wanted)
        return
    _rebuilt(ledger, broker, **wanted)
    with ledger.read() as connection:
        opening = opening_cash(connection, "paper")
        assert opening is not None
        assert opening + account_flow(connection, "paper") == broker.book.cash
