"""What a broker says late, twice, in part, out of order or backwards: the ledger ends at the same truth.

A broker's day is a row of moments, each with the order and its executions as they were then. A poll may see the order
of one moment and executions of another, some missing, some twice, in any order, in old revisions. After one look at
the whole of it, both sides must be equal to the share and the cent.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder, OrderStatus, Side
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import cash_flow, fills_of, owned
from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import NOON, ModelBroker
from tests.execution.scenario import MONDAY, D, fresh_copy, model, order, plan_of, resume, run

QTY = D(10)
PARTS = st.lists(st.sampled_from(["fill", "correct", "bust", "end"]), min_size=1, max_size=9)


@dataclass(frozen=True)
class Moment:
    """Every execution in all its revisions so far, and the order as it was."""

    executions: tuple[BrokerFill, ...]
    order: BrokerOrder


def standing(executions: tuple[BrokerFill, ...]) -> dict[str, BrokerFill]:
    newest: dict[str, BrokerFill] = {}
    for fill in executions:
        if fill.fill_id not in newest or fill.revision > newest[fill.fill_id].revision:
            newest[fill.fill_id] = fill
    return newest


@st.composite
def days(draw: st.DrawFn) -> list[Moment]:
    first = BrokerOrder("b1", "b", "CCC", Side.BUY, QTY, D(0), None, OrderStatus.ACCEPTED, NOON, NOON)
    moments = [Moment((), first)]
    for step in draw(PARTS):
        now = moments[-1]
        there = standing(now.executions)
        executions, status = now.executions, now.order.status
        left = QTY - sum((fill.qty for fill in there.values()), D(0))
        if step == "fill" and left > 0 and status is not OrderStatus.FILLED:
            qty = D(draw(st.integers(1, int(left))))
            name, price = f"f{len(there) + 1}", _price(draw)
            new = BrokerFill(name, "b", "CCC", Side.BUY, qty, price, D("0.1"), MONDAY, NOON)
            executions = (*executions, new)
        elif step in ("correct", "bust") and there:
            old = there[draw(st.sampled_from(sorted(there)))]
            qty = D(draw(st.integers(1, int(old.qty) or 1))) if step == "correct" else D(0)
            executions = (*executions, replace(old, qty=qty, price=_price(draw), revision=old.revision + 1))
        elif step == "end" and status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
            status = draw(st.sampled_from([OrderStatus.CANCELED, OrderStatus.EXPIRED]))
        filled = sum((fill.qty for fill in standing(executions).values()), D(0))
        if not status.terminal:
            status = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED
            status = OrderStatus.FILLED if filled >= QTY else status
        moments.append(Moment(executions, replace(now.order, filled_qty=filled, status=status)))
    return moments


def _price(draw: st.DrawFn) -> Decimal:
    return D(draw(st.integers(1900, 2100))) / 100


@st.composite
def looks(draw: st.DrawFn) -> tuple[list[Moment], list[tuple[list[BrokerFill], BrokerOrder]]]:
    """A day, and what the polls of it see."""
    moments = draw(days())
    seen = []
    for _ in range(draw(st.integers(0, 5))):
        executions = draw(st.sampled_from(moments)).executions
        shown = draw(st.lists(st.sampled_from(executions), max_size=8)) if executions else []
        view = draw(st.sampled_from(moments)).order
        if draw(st.integers(0, 5)) == 0:
            view = replace(view, status=OrderStatus.UNKNOWN, reason="its status is 'novel'")
        seen.append((shown, view))
    # At last everything, in whatever order: old revisions after new ones too.
    return moments, [*seen, (list(draw(st.permutations(moments[-1].executions))), moments[-1].order)]


class Showing(ModelBroker):
    """A broker whose reads are what the test says."""

    shown: tuple[list[BrokerFill], list[BrokerOrder]] = ([], [])

    def fills(self, *_: Any) -> list[BrokerFill]:
        return self.shown[0]

    def orders(self, *_: Any) -> list[BrokerOrder]:
        return self.shown[1]


def expected_state(last: Moment) -> str:
    filled = last.order.filled_qty
    if filled >= QTY:
        return "filled"
    if last.order.status.terminal:
        return "canceled" if last.order.status is OrderStatus.FILLED else last.order.status.value
    return "partially_filled" if filled else "working"


@pytest.fixture(scope="module")
def sent(empty_ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger in which the order is working."""
    url = fresh_copy(empty_ledger, tmp_path_factory.mktemp("sent") / "ledger.sqlite")
    ledger = Ledger.open(url, synchronous="OFF")
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "10")]))
    ledger.close()
    return ledger.path


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(scene=looks())
def test_permuted_doubled_missing_and_backward_events_end_at_the_broker_s_truth(
    scene: tuple[list[Moment], list[tuple[list[BrokerFill], BrokerOrder]]],
    sent: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    moments, seen = scene
    ledger = Ledger.open(fresh_copy(sent, tmp_path_factory.mktemp("t") / "l.sqlite"), synchronous="OFF")
    broker = Showing(cash=D(1_000), prices={"CCC": D(20)})
    broker.has_data = set()
    last = moments[-1]
    broker.book.orders = [last.order]
    for shown, view in seen:
        broker.shown = (shown, [view])
        result = resume(ledger, broker)
    resume(ledger, broker)
    (row,) = result.orders
    truth = standing(last.executions).values()
    with ledger.read() as connection:
        recorded = {fill.fill_id: (fill.qty, fill.price) for fill in fills_of(connection, "paper") if fill.qty}
        assert recorded == {fill.fill_id: (fill.qty, fill.price) for fill in truth if fill.qty}
        assert owned(connection, "paper", "main").get("CCC", D(0)) == last.order.filled_qty
        spent = sum((fill.qty * fill.price + fill.fee for fill in truth), D(0))
        assert cash_flow(connection, "paper", "main") == -spent
        assert verify_chain(connection) == []
    assert (row.state.value, row.filled_qty) == (expected_state(last), last.order.filled_qty)
    assert broker.book.attempts == []
    ledger.close()
