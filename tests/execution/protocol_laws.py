"""The laws of the protocol over a ledger and a model exchange, each a function that fails by its name.

What belongs here: what must hold after every step, and what must hold once the broker was read in calm. What does
not: the steps (`test_state_machine`). The ledger is read past its own code, by plain SQL over a connection of its own.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.brokers.protocol import OrderRequest, VenuePhase
from scizor_dagster.ledger.events import GENESIS, verify_chain
from scizor_dagster.ledger.holdings import cash_flow, foreign, owned
from scizor_dagster.ledger.states import TRANSITIONS, IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.trading_state import TradingState
from tests.execution.model_exchange import ModelExchange, Placed
from tests.execution.model_line import ModelLine

ZERO = Decimal(0)
TOLERANCE = Decimal("0.000001")
"""Of a cent: what shares of a dividend lose by division."""
ACCOUNT = "paper"
NAMES = ("main", "other")
Row = dict[str, Any]


@dataclass
class World:
    """Everything that the laws look at.

    Attributes:
        plans: Every plan that was handed in, by its id; admitted or not.
        standings: What a person has set last, by portfolio; None is the account.
        broken: What was found wrong at the moment of a send.
        final: Each final quantity as it was first seen.
        sends: Sends that reached the line, with those that were lost.
    """

    ledger: Ledger
    exchange: ModelExchange
    line: ModelLine
    today: date
    plans: dict[str, Plan] = field(default_factory=dict)
    standings: dict[str | None, TradingState] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    final: dict[str, str] = field(default_factory=dict)
    sends: int = 0
    seen_events: int = 0
    last_hash: str = GENESIS
    states: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Row] = field(default_factory=dict)
    new_events: list[Row] = field(default_factory=list)
    _sql: sqlite3.Connection | None = None
    _version: int = -1

    def open(self, path: Path) -> None:
        self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._sql.row_factory = sqlite3.Row

    def close(self) -> None:
        if self._sql is not None:
            self._sql.close()
            self._sql = None

    def rows(self, statement: str, *values: object) -> list[Row]:
        assert self._sql is not None
        return [dict(row) for row in self._sql.execute(statement, values)]

    def refresh(self) -> bool:
        """Read what was committed since; whether anything was."""
        version = self.rows("PRAGMA data_version")[0]["data_version"]
        if version == self._version:
            self.new_events = []
            return False
        self._version = version
        self.orders = {row["client_order_id"]: row for row in self.rows("SELECT * FROM orders")}
        self.new_events = self.rows("SELECT * FROM events WHERE seq > ? ORDER BY seq", self.seen_events)
        return True

    def ours(self) -> list[Placed]:
        """Orders at the exchange that have an id of a plan's."""
        return [row for row in self.exchange.orders if row.parent is None and not row.client_order_id.startswith("per")]

    def standing(self, portfolio: str) -> TradingState:
        states = [self.standings.get(scope, TradingState.ACTIVE) for scope in (None, portfolio)]
        return max(states, key=lambda state: state.strictness)

    def watch_send(self, request: OrderRequest) -> None:
        """The laws of the moment of a send; kept and not raised, for the protocol takes an error for a lost answer."""
        self.sends += 1
        try:
            self._judge(request)
        except Exception as error:
            self.broken.append(f"{request} could not be judged: {error!r}")

    def _judge(self, request: OrderRequest) -> None:
        row = next(iter(self.rows("SELECT * FROM orders WHERE client_order_id = ?", request.client_order_id)), None)
        if row is None:
            self.broken.append(f"{request.client_order_id} was sent before it was committed")
            return
        for law in SEND_LAWS:
            if not law(self, request, row):
                held = self.exchange.owned(row["portfolio"])
                self.broken.append(f"{law.__name__}: {request}, of {held} and {self.exchange.open_orders()}")


def marked_before_the_send(_: World, request: OrderRequest, row: Row) -> bool:
    """What is sent is committed as `sending`, in its final quantity, with a verdict on exactly these parameters."""
    cleared = row["parameter_hash"] == row["cleared_hash"] is not None
    return row["state"] == "sending" and Decimal(row["final_qty"]) == request.qty and cleared


def nothing_against_the_trading_state(world: World, request: OrderRequest, row: Row) -> bool:
    """No order goes out after a halt, and none that opens while reducing."""
    state = world.standing(row["portfolio"])
    opens = request.intent.value.endswith("_to_open")
    return state is TradingState.ACTIVE or (state is TradingState.REDUCING and not opens)


def nothing_for_a_frozen_instrument(world: World, request: OrderRequest, _: Row) -> bool:
    """No order goes out while another one of its instrument may or may not exist."""
    doubtful = "SELECT client_order_id FROM orders WHERE symbol = ? AND state IN ('sending', 'unknown')"
    return [row["client_order_id"] for row in world.rows(doubtful, request.symbol)] == [request.client_order_id]


def second_leg_after_the_first(world: World, _: OrderRequest, row: Row) -> bool:
    """The second leg of a crossing goes out once the first has filled whole at the broker."""
    parents = [world.exchange.find(name) for name in json.loads(row["depends_on"])]
    wanted = {order.client_order_id: order.qty for plan in world.plans.values() for order in plan.orders}
    return all(parent is not None and parent.filled >= wanted[parent.client_order_id] for parent in parents)


def never_after_its_session(world: World, request: OrderRequest, _: Row) -> bool:
    """Nothing goes out for a session that the venue has closed: a real broker would keep it for the next one."""
    return world.exchange.phase(request.session) is not VenuePhase.OVER


def never_sells_what_it_does_not_own(world: World, request: OrderRequest, row: Row) -> bool:
    """A close takes no more than what the portfolio owns at the exchange, less what its open closes still take."""
    if not request.intent.value.endswith("_to_close"):
        return True
    held = world.exchange.owned(row["portfolio"]).get(request.symbol, ZERO)
    closes = "SELECT client_order_id FROM orders WHERE portfolio = ? AND symbol = ? AND intent LIKE '%_to_close'"
    closing = {found["client_order_id"] for found in world.rows(closes, row["portfolio"], request.symbol)}
    # One that is sent again may have arrived since it was proven absent; its id keeps it from being there twice.
    closing.discard(request.client_order_id)
    under_way = sum((order.left for order in world.exchange.open_orders() if order.client_order_id in closing), ZERO)
    return request.qty <= -held * request.side.sign - under_way


SEND_LAWS = (
    marked_before_the_send,
    nothing_against_the_trading_state,
    nothing_for_a_frozen_instrument,
    second_leg_after_the_first,
    never_after_its_session,
    never_sells_what_it_does_not_own,
)


def every_send_was_lawful(world: World) -> None:
    """Nothing was found wrong at the moment of a send; see `SEND_LAWS`."""
    assert not world.broken, world.broken


def no_order_twice(world: World) -> None:
    """No client order id is at the broker twice."""
    names = [row.client_order_id for row in world.ours()]
    assert len(names) == len(set(names)), names


def nothing_but_intents(world: World) -> None:
    """Whatever the broker has under an id of a plan is an intent of the ledger, in its quantity."""
    for placed in world.ours():
        row = world.orders.get(placed.client_order_id)
        assert row is not None, placed
        assert (row["symbol"], row["side"], Decimal(row["final_qty"])) == (placed.symbol, placed.side, placed.qty)


def plans_are_admitted_whole(world: World) -> None:
    """The intents of a batch are the orders of its plan, all of them, as planned."""
    for batch in world.rows("SELECT batch_id, plan_id FROM batches"):
        plan = world.plans[batch["plan_id"]]
        found = {
            name: (row["symbol"], row["side"], Decimal(row["planned_qty"]))
            for name, row in world.orders.items()
            if row["batch_id"] == batch["batch_id"]
        }
        assert found == {row.client_order_id: (row.symbol, row.side.value, row.qty) for row in plan.orders}


def quantities_are_written_once(world: World) -> None:
    """A final quantity is the planned one, or what the stored factor leaves of it; once written it never changes."""
    factors = {row["batch_id"]: Decimal(row["factor"]) for row in world.rows("SELECT * FROM releases")}
    for name, row in world.orders.items():
        if row["final_qty"] is None:
            assert name not in world.final
            continue
        assert world.final.setdefault(name, row["final_qty"]) == row["final_qty"]
        final, planned = Decimal(row["final_qty"]), Decimal(row["planned_qty"])
        if row["phase"] == 1 or row["intent"] == "buy_to_close":
            assert final == planned, row
        elif row["intent"] == "buy_to_open":
            assert final == scaled_down(planned, factors[row["batch_id"]], row["order_type"]), row
        else:
            assert final <= planned, row


def scaled_down(planned: Decimal, factor: Decimal, order_type: str) -> Decimal:
    """`factor` of the planned quantity in its own decimals; a bracket in whole shares."""
    if factor == 1:
        return planned
    digits = max(-int(planned.normalize().as_tuple().exponent), 0)
    step = Decimal(1) if order_type != "market" else Decimal(1).scaleb(-digits)
    return (planned * factor / step).to_integral_value(ROUND_DOWN) * step


def buys_stay_within_the_cash(world: World) -> None:
    """A release never spends more than its cash, and its cash never exceeds what the broker has shown."""
    for event in world.new_events:
        if event["kind"] != "released":
            continue
        payload = json.loads(event["payload"])
        assert Decimal(payload["cash"]) <= max(world.line.cash_shown)
        release = world.rows("SELECT * FROM releases WHERE batch_id = ?", payload["batch_id"])[0]
        spent = sum(
            (
                Decimal(row["final_qty"]) * Decimal(row["price_used"])
                for row in world.orders.values()
                if row["batch_id"] == payload["batch_id"] and row["intent"] == "buy_to_open"
                and row["phase"] == 2 and row["final_qty"] is not None
            ),
            ZERO,
        )  # fmt: skip
        assert spent <= Decimal(release["cash"])


def states_move_along_the_table(world: World) -> None:
    """Every change of state is one that the table of transitions has, and the rows are where the last one led."""
    for event in world.new_events:
        if not event["kind"].startswith("intent_"):
            continue
        name, payload = event["client_order_id"], json.loads(event["payload"])
        before, after = IntentState(payload["from"]), IntentState(payload["to"])
        assert after in TRANSITIONS[before], (name, before, after)
        assert world.states.get(name, before.value) == before.value
        world.states[name] = after.value
    for name, state in world.states.items():
        assert world.orders[name]["state"] == state


def history_is_whole(world: World) -> None:
    """Every entry of the history follows from the one before it."""
    for event in world.new_events:
        assert event["seq"] == world.seen_events + 1
        assert event["previous_hash"] == world.last_hash
        world.seen_events, world.last_hash = event["seq"], event["hash"]


def executions_are_the_brokers(world: World) -> None:
    """Each recorded execution is one of the broker's, once, and belongs to the portfolio whose order it is of."""
    fills = {fill.fill_id: fill for fill in world.exchange.fills}
    for row in world.rows("SELECT * FROM trades"):
        fill = fills[row["fill_id"]]
        assert (Decimal(row["qty"]), Decimal(row["price"]), row["side"]) == (fill.qty, fill.price, fill.side)
        assert row["portfolio"] == world.exchange.owner_of(fill.client_order_id.removesuffix(".tp").removesuffix(".sl"))


LAWS = (
    every_send_was_lawful,
    no_order_twice,
    nothing_but_intents,
    plans_are_admitted_whole,
    quantities_are_written_once,
    buys_stay_within_the_cash,
    states_move_along_the_table,
    history_is_whole,
    executions_are_the_brokers,
)
"""After every step. `history_is_whole` notes how far the others have read: it comes after them."""


def live_orders_are_live(world: World) -> None:
    """No order that may still fill at the broker has ended in the ledger, and none that has ended is open there."""
    for placed in world.ours():
        state = IntentState(world.orders[placed.client_order_id]["state"])
        assert state.at_broker == placed.open, (placed, state)


def every_share_is_owned_once(world: World) -> None:
    """What the portfolios own and what is nobody's are the broker's positions, each with its own owner."""
    with world.ledger.read() as connection:
        for name in NAMES:
            assert owned(connection, ACCOUNT, name) == world.exchange.owned(name)
        assert foreign(connection, ACCOUNT, world.line.positions()) == world.exchange.owned(None)


def cash_agrees_to_the_cent(world: World) -> None:
    """Cash of each portfolio and of the account, from the ledger's executions and activities."""
    exchange = world.exchange
    with world.ledger.read() as connection:
        for name in NAMES:
            difference = cash_flow(connection, ACCOUNT, name) - exchange.flows.get(name, ZERO)
            assert abs(difference) < TOLERANCE, (name, difference)
    signs = {"buy": -1, "sell": 1}
    total = exchange.deposit
    for row in world.rows("SELECT side, qty, price, fee FROM trades"):
        total += signs[row["side"]] * Decimal(row["qty"]) * Decimal(row["price"]) - Decimal(row["fee"])
    for row in world.rows("SELECT amount FROM activities"):
        total += Decimal(row["amount"])
    assert abs(total - exchange.cash) < TOLERANCE


def every_order_ends_once(world: World) -> None:
    """Once its session is over every planned order is in one terminal state.

    Where ids are not unique one that the broker does not have stays unknown: it may never be sent again by machine.
    """
    for name, row in world.orders.items():
        if world.exchange.phase(date.fromisoformat(row["session"])) is not VenuePhase.OVER:
            continue
        state = IntentState(row["state"])
        never_found = not world.exchange.unique and world.exchange.find(name) is None
        assert state.terminal or (state is IntentState.UNKNOWN and never_found), (name, state, row["reason"])


def the_stored_history_verifies(world: World) -> None:
    """The ledger's own check of its history passes."""
    with world.ledger.read() as connection:
        assert verify_chain(connection) == []


CALM_LAWS = (
    live_orders_are_live,
    every_share_is_owned_once,
    cash_agrees_to_the_cent,
    every_order_ends_once,
    the_stored_history_verifies,
)
"""Once every read works again, nothing is withheld, and both portfolios were followed."""


def check(world: World) -> None:
    """Every law that holds at any time."""
    world.refresh()
    for law in LAWS:
        law(world)
    world.line.cash_shown.clear()


def check_calm(world: World) -> None:
    """Every law, with those that hold once the broker was read in calm."""
    check(world)
    for law in CALM_LAWS:
        law(world)
