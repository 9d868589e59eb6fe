"""Orders that a person places: the same choke point, one for each key, and what the next rebalance makes of them."""

import itertools
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.analytics.virtual_positions import MANUAL as BY_HAND
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import AccountBusy, InputError, KeyReused, RiskLimitBreached
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow import manual_orders
from scizor_dagster.flow.attribution import closes_through, session_profits
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_lines import order_origins
from scizor_dagster.flow.explaining import explain
from scizor_dagster.flow.manual_orders import place_order
from scizor_dagster.flow.order_requests import OrderAsked, PlacedOrder
from scizor_dagster.flow.orders import cancel_order, order_named, orders_of
from scizor_dagster.flow.replaying import replay_sessions
from scizor_dagster.flow.unfinished import look_for_unfinished
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import MANUAL, Reason
from scizor_dagster.reconciliation.model import ReconciliationState
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.flow.desks import FIRST, NOW, SECOND, left_after_the_first, trade
from tests.projects import STRATEGY, project_at, write_weights

D = Decimal
DAY = date(2025, 3, 5)
LATER = date(2025, 3, 7)
TODAY = date(2025, 4, 1)
BEFORE_OPEN = datetime(2025, 4, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def _traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return left_after_the_first(tmp_path_factory.mktemp("traded"))


@pytest.fixture
def opened(_traded: Path, tmp_path: Path) -> Any:
    """Opens a copy of a project that has traded its first session, with keys of its portfolio set."""

    def open_copy(now: datetime = NOW, **keys: Any) -> Desk:
        shutil.copytree(_traded, tmp_path / "project")
        path = project_at(tmp_path / "project").settings.config_path
        config = yaml.safe_load(path.read_text())
        config["portfolios"]["main"] |= {"manual_orders": "absorb"} | keys
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        seconds = itertools.count()
        return Desk(project_at(path.parent).settings, lambda: now + timedelta(seconds=next(seconds)))

    return open_copy


def buy(qty: str = "10", **terms: Any) -> OrderAsked:
    given: dict[str, Any] = {"side": Side.BUY, "quantity": D(qty), "session": DAY}
    return OrderAsked("main", terms.pop("instrument", "META"), **(given | terms))


def place(desk: Desk, asked: OrderAsked | None = None, **how: Any) -> PlacedOrder:
    return place_order(desk, asked or buy(), **({"actor": "jo", "key": "k-1", "reason": "a tip"} | how))


def held(desk: Desk, through: date) -> dict[str, Decimal]:
    with desk.ledger.read() as connection:
        return owned(connection, "paper", "main", through=through)


def test_an_order_by_hand_is_a_plan_of_one_line_with_the_next_number_and_fills_like_any(opened: Any) -> None:
    desk = opened()
    placed = place(desk)
    assert (placed.created, placed.state, placed.batch_id) == (True, "filled", f"paper/main/{DAY}/1")
    assert placed.line is not None
    assert (placed.line.symbol, placed.line.reason, placed.line.delta_qty) == ("META", Reason.MANUAL, 10)
    assert held(desk, DAY)["META"] == 10
    plan = read_plan(desk.lake, "main", DAY, placed.plan_id)
    assert plan is not None
    assert (plan.origin, plan.provenance is not None) == (MANUAL, True)
    # The plan of a session is that of its weights.
    assert read_plan(desk.lake, "main", DAY) is None


def test_the_same_request_with_its_key_is_the_same_order_and_another_one_is_refused(opened: Any) -> None:
    desk = opened()
    first = place(desk)
    assert replace(place(desk), created=True) == first
    assert place(desk, dry_run=True).orders == first.orders
    for other, said in (
        ({"asked": buy("11")}, "quantity is 11 and was 10"),
        ({"asked": buy(session=LATER)}, "session is 2025-03-07 and was 2025-03-05"),
        ({"actor": "al"}, "actor is al and was jo"),
    ):
        with pytest.raises(KeyReused, match=said):
            place(desk, **other)
    assert held(desk, LATER)["META"] == 10


def test_a_dry_run_says_what_would_be_and_leaves_nothing_behind(opened: Any) -> None:
    desk = opened()
    dry = place(desk, dry_run=True)
    assert (dry.batch_id, dry.state, [item.decision for item in dry.verdicts]) == (None, "planned", ["passed"])
    with desk.ledger.read() as connection:
        assert batches_of(connection, "paper", "main", DAY) == []
    assert read_plan(desk.lake, "main", DAY, dry.plan_id) is None
    # Made with the same key it is the same plan.
    assert place(desk).plan_id == dry.plan_id
    nothing = place(desk, buy("0.0001", session=LATER), key="k-2", dry_run=True)
    assert (nothing.verdicts, nothing.line is not None and nothing.line.reason) == ((), Reason.BELOW_MIN_NOTIONAL)


@pytest.mark.parametrize(
    ("asked", "how", "said"),
    [
        (buy(instrument="ZZZ"), {}, "'ZZZ' is no instrument of market 'us'"),
        (buy(), {"key": ""}, "The idempotency key has 0 characters"),
        (buy(), {"actor": "a" * 65}, "The actor has 65 characters"),
        (buy(), {"reason": "two\nlines"}, "some that cannot be printed"),
        (buy(target=D(5)), {}, "gives quantity and target"),
        (buy("0.0001"), {}, "Nothing is ordered (below_min_notional)"),
        (buy(session=date(2025, 3, 8)), {}, "2025-03-08 is not a session"),
        (buy(session=date(2025, 4, 1)), {}, "Session 2025-04-01 is ahead"),
        (buy(session=date(2025, 2, 28)), {}, "Account 'paper' has traded 2025-03-03"),
    ],
)
def test_what_cannot_be_placed_is_refused_and_nothing_is_admitted(opened: Any, asked: Any, how: Any, said: str) -> None:
    desk = opened()
    with pytest.raises(InputError) as refused:
        place(desk, asked, **how)
    assert said in str(refused.value)
    with desk.ledger.read() as connection:
        assert [row.session for row in batches_of(connection, "paper", "main")] == [FIRST]


def test_a_portfolio_takes_no_orders_by_hand_unless_it_says_what_becomes_of_them(opened: Any) -> None:
    desk = opened(manual_orders="refuse")
    with pytest.raises(InputError, match="Portfolio 'main' takes no orders by hand"):
        place(desk)


def test_of_two_processes_with_one_key_the_second_finds_the_order_of_the_first(opened: Any, monkeypatch: Any) -> None:
    desk = opened()
    with lease(desk.ledger, "paper", "another", desk.clock), pytest.raises(AccountBusy):
        place(desk)
    # The second one has looked before the first was admitted, and finds the account held.
    first, real = place(desk, buy()), manual_orders._found
    answers = iter([None])
    monkeypatch.setattr(manual_orders, "_found", lambda *args: next(answers, None) or (real(*args) if done else None))
    monkeypatch.setattr(manual_orders, "_session", lambda *_: LATER)
    done: list[str] = []

    def busy(*_: Any) -> Any:
        done.append("looked")
        raise AccountBusy("paper", "another", "soon")

    monkeypatch.setattr(manual_orders, "_placed", busy)
    assert place(desk) == replace(first, created=False)
    monkeypatch.setattr(manual_orders, "_found", lambda *_: None)
    with pytest.raises(AccountBusy):
        place(desk)


def test_where_plans_are_approved_the_person_names_the_one_that_they_have_looked_at(opened: Any) -> None:
    desk = opened(approval="manual")
    with pytest.raises(RiskLimitBreached, match="carries out only what a person has looked at"):
        place(desk)
    dry = place(desk, dry_run=True)
    assert read_plan(desk.lake, "main", DAY, dry.plan_id) is None
    placed = place(desk, approves=dry.plan_id)
    assert placed.state == "filled"
    with desk.ledger.read() as connection:
        (batch,) = batches_of(connection, "paper", "main", DAY)
    assert batch.approved_by == "jo"


def test_under_a_halt_an_order_waits_and_one_that_is_taken_back_never_goes_out(opened: Any) -> None:
    desk = opened(BEFORE_OPEN)
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.HALTED, reason="a look", actor="jo", now=desk.clock())
    assert place(desk, buy(session=None), dry_run=True).verdicts[0].sentence.startswith("trading_state: ")
    placed = place(desk, buy(session=None))
    assert (placed.state, placed.session) == ("ready", TODAY)
    assert "Orders of portfolio 'main' wait; trading_state" in " ".join(placed.notes)
    canceled = cancel_order(desk, placed.orders[0].client_order_id, actor="jo", reason="no more")
    assert (canceled.order.intent.state, canceled.asked_by, canceled.note) == ("dropped", "jo", "")


def test_before_the_open_it_rests_beside_a_rebalance_that_counts_it(opened: Any) -> None:
    desk = opened(BEFORE_OPEN)
    write_weights(desk.config.folder / "weights.csv", {TODAY: {"AAPL": 0.3, "META": 0.2}})
    placed = place(desk, buy(session=None))
    assert placed.state == "working"
    result = trade(desk, TODAY)
    assert result.state is ExecutionState.WORKING
    plan = read_plan(desk.lake, "main", TODAY)
    assert plan is not None
    assert (plan.batch, {line.symbol: line.working_qty for line in plan.lines}["META"]) == (2, 10)
    assert reconcile_session(desk, "main", TODAY).state is ReconciliationState.WORKING
    assert look_for_unfinished(desk, "main", TODAY, desk.clock()).reason.startswith("The orders of 2025-04-01 wait")
    # A second one is planned beside what waits to be sent of the rebalance.
    assert place(desk, buy("1", session=None), key="k-2").batch_id == f"paper/main/{TODAY}/3"
    canceled = cancel_order(desk, placed.orders[0].client_order_id, actor="jo", reason="no more")
    assert (canceled.order.intent.state, canceled.note) == ("canceled", "")


# What the next rebalance makes of it.


def _rebalanced(desk: Desk) -> Any:
    place(desk)
    reconciled = reconcile_session(desk, "main", DAY)
    assert (reconciled.state, reconciled.break_count) == (ReconciliationState.RECONCILED, 0)
    trade(desk, SECOND)
    assert reconcile_session(desk, "main", SECOND).state is ReconciliationState.RECONCILED
    plan = read_plan(desk.lake, "main", SECOND)
    assert plan is not None
    return plan, {line.symbol: line for line in plan.lines}


def test_a_portfolio_that_absorbs_trades_it_back_to_the_targets(opened: Any) -> None:
    desk = opened(manual_orders="absorb")
    _, lines = _rebalanced(desk)
    assert (lines["META"].reason, lines["META"].current_qty, lines["META"].kept_qty) == (Reason.LIQUIDATE, 10, 0)
    assert "META" not in held(desk, SECOND)
    _replays_equal(desk)


def test_a_portfolio_that_keeps_sets_it_apart_until_a_manual_order_takes_it_back(opened: Any) -> None:
    desk = opened(manual_orders="keep")
    place(desk, buy("3", instrument="AAPL", session=date(2025, 3, 4)), key="k-0")
    plan, lines = _rebalanced(desk)
    assert (lines["META"].reason, lines["META"].kept_qty, lines["META"].delta_qty) == (Reason.KEPT, 10, 0)
    assert lines["AAPL"].kept_qty == 3
    now = held(desk, SECOND)
    assert now["META"] == 10
    assert now["AAPL"] == (lines["AAPL"].target_qty or 0) + 3
    assert "Set apart, as manual orders have bought it" in " ".join(plan.notes)
    profits, _ = session_profits(desk, "main", SECOND, closes_through(desk, "main", SECOND), None, kept=False)
    assert {symbol for name, symbol in profits.by_strategy if name == BY_HAND} == {"AAPL", "META"}
    assert profits.by_strategy[BY_HAND, "META"].value == profits.by_instrument["META"].value > 0
    assert profits.by_strategy[STRATEGY, "AAPL"].value > profits.by_strategy[BY_HAND, "AAPL"].value > 0
    back = OrderAsked("main", "META.XNAS", target=D(0), session=date(2025, 3, 11))
    assert place(desk, back, key="k-3").state == "filled"
    assert "META" not in held(desk, date(2025, 3, 11))
    _replays_equal(desk)


def _replays_equal(desk: Desk) -> None:
    found = replay_sessions(desk, "main", FIRST, NOW.date())
    differences = [item for session in found.sessions for item in session.findings if item.kind == "difference"]
    assert differences == []
    assert all(session.equal for session in found.sessions)
    assert len({session.plan_id for session in found.sessions}) == len(orders_by_batch(desk))


def orders_by_batch(desk: Desk) -> set[str]:
    return {item.intent.batch_id for item in orders_of(desk, "main")}


def test_a_fill_is_explained_by_who_has_asked_for_it(opened: Any) -> None:
    desk = opened()
    placed = place(desk)
    (order,) = placed.orders
    told = explain(desk, order.client_order_id)
    text = json.dumps(told.to_json())
    assert told.to_json()["complete"]
    first = told.links[0]
    assert first.facts["idempotency_key"] == "k-1"
    assert (first.facts["actor"], first.facts["reason"]) == ("jo", "a tip")
    assert "manual" in text
    with desk.ledger.read() as connection:
        from scizor_dagster.ledger.rows import fills_for_orders

        fill = fills_for_orders(connection, "paper", [order.client_order_id])[order.client_order_id][0]
    assert explain(desk, fill.fill_id).links[1].facts["idempotency_key"] == "k-1"
    position = explain(desk, "META.XNAS", session=DAY)
    assert "manual order k-1 of jo" in json.dumps(position.to_json())
    (origin,) = order_origins(desk, "main", DAY).to_dict("records")
    assert (origin["file"], origin["line"]) == ("manual order of jo", "k-1")
    # And forward, from the key.
    assert [link.step for link in explain(desk, "k-1").links] == [link.step for link in told.links]


def test_orders_are_listed_and_found_with_who_has_asked_for_them(opened: Any) -> None:
    desk = opened()
    placed = place(desk)
    name = placed.orders[0].client_order_id
    (mine,) = orders_of(desk, "main", by_hand=True)
    assert mine.to_json()["actor"] == "jo"
    assert order_named(desk, name) == mine
    assert {item.to_json()["origin"] for item in orders_of(desk)} == {"plan", "manual"}
    assert orders_of(desk, session=LATER) == []
    with pytest.raises(InputError, match="There is no order 'nothing'"):
        order_named(desk, "nothing")
    ended = cancel_order(desk, name, actor="jo", reason="too late")
    assert (ended.order, ended.asked_by) == (mine, "")
    with pytest.raises(InputError, match="The reason is empty"):
        cancel_order(desk, name, actor="jo", reason=" ")
