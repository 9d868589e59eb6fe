"""Processes over one ledger and one model exchange: how a run is made, interrupted, and judged by how it ends.

What belongs here: plans from wishes, the run of a process with its trouble, the second runner. What does not: which
of them happen, and in which order (`test_state_machine`), and what must hold (`protocol_laws`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side
from scizor_dagster.errors import AccountBusy, BrokerUnavailable, LedgerError
from scizor_dagster.execution.executor import ExecutionSettings, execute, follow
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import BatchRow, batches_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution import scenario
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.model_exchange import Placed
from tests.execution.protocol_laws import ACCOUNT, NAMES
from tests.execution.scenario import START, D, plan_of

CASH = D(10_000)
BUY_OPEN, BUY_CLOSE = PositionIntent.BUY_TO_OPEN, PositionIntent.BUY_TO_CLOSE
SELL_OPEN, SELL_CLOSE = PositionIntent.SELL_TO_OPEN, PositionIntent.SELL_TO_CLOSE
LEGITIMATE = (
    "The plan counts on",
    "is not the next one",
    "is still working",
    "is still frozen",
    "was admitted with plan",
    "lies before it",
    "The lease of account",
)
"""Words of the refusals that a run may end with; any other error of the ledger is a defect."""


def orders_of(plan_key: str, wish: tuple[str, str, int], held: Decimal, price: Decimal) -> list[PlannedOrder]:
    """What a planner may make of a wish on what is held: sales of it first, what needs cash second."""
    symbol, kind, size = wish
    qty = D(size) / 2
    side = Side.SELL if held < 0 or (held == 0 and kind == "against") else Side.BUY
    opens, closes = (BUY_OPEN, SELL_CLOSE) if side is Side.BUY else (SELL_OPEN, BUY_CLOSE)
    away = Side.SELL if side is Side.BUY else Side.BUY

    def one(leg: int, piece: int, to: Side, amount: Decimal, intent: PositionIntent, *after: str) -> PlannedOrder:
        name = f"{plan_key}-{symbol}-{leg}-{piece}"
        phase = 1 if intent is SELL_CLOSE else 2
        base = scenario.order(name, symbol, to, str(amount), phase=phase, intent=intent, leg=leg, slice_=piece)
        return base._replace(price_used=price, depends_on=after)

    if held == 0 or kind in ("open", "slices", "bracket"):
        amount = qty.to_integral_value() + 1 if side is Side.SELL or kind == "bracket" else qty
        if kind == "slices":
            return [one(1, piece, side, amount, opens) for piece in (1, 2)]
        made = one(1, 1, side, amount, opens)
        if kind != "bracket" or side is Side.SELL:
            return [made]
        return [made._replace(order_type=OrderType.BRACKET, take_profit=price * 2, stop_loss=price / 2)]
    part = (abs(held) / 2).quantize(Decimal("0.0001"))
    if kind == "part" and part > 0:
        return [one(1, 1, away, part, closes)]
    first = one(1, 1, away, abs(held), closes)
    if kind != "cross":
        return [first]
    turned = SELL_OPEN if away is Side.SELL else BUY_OPEN
    return [first, one(2, 1, away, qty.to_integral_value() + 1, turned, first.client_order_id)]


class Processes(RuleBasedStateMachine):
    """Two portfolios on one account. `template` is an empty ledger; `ledger` is opened once for all histories."""

    counts: ClassVar[Counter[str]] = Counter()
    template: ClassVar[Path]
    ledger: ClassVar[MortalLedger]

    def __init__(self) -> None:
        super().__init__()
        self.path = self.ledger.path
        self.ledger.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        copyfile(self.template, self.path)
        self.second = Ledger.open(f"sqlite:///{self.path}", synchronous="OFF")
        self.now = START
        self.calm_at = self.counts["runs"]
        self.attempts: dict[tuple[str, date], Plan] = {}
        self.owners: dict[str, str] = {}

    def _admitted(self, name: str) -> list[BatchRow]:
        with self.ledger.read() as connection:
            return batches_of(connection, ACCOUNT, name, self.world.today)

    def _plan(self, name: str, wanted: list[tuple[str, str, int]], other: bool, trouble: dict[str, Any]) -> None:
        world = self.world
        with self.ledger.read() as connection:
            holdings = owned(connection, ACCOUNT, name)
        batch = len(self._admitted(name)) + 1
        key = f"{name[0]}{world.today:%m%d}{batch}.{len(world.plans)}"
        orders = [
            order
            for wish in wanted
            for order in orders_of(key, wish, holdings.get(wish[0], D(0)), world.exchange.prices[wish[0]])
        ]
        held = {symbol: str(qty) for symbol, qty in holdings.items()}
        plan = plan_of(orders, session=world.today, batch=batch, held=held, plan_id=key)
        self._execute(replace(plan, portfolio=name), other, trouble)

    def _execute(self, plan: Plan, other: bool, trouble: dict[str, Any]) -> None:
        world = self.world
        self.attempts[plan.portfolio, plan.session] = plan
        world.plans[plan.plan_id] = plan
        self.owners |= dict.fromkeys((row.client_order_id for row in plan.orders), plan.portfolio)
        self._run(lambda parts: execute(plan, **parts), plan.portfolio, other, trouble)

    def _follow(self, name: str, other: bool, trouble: dict[str, Any]) -> None:
        self._run(lambda parts: follow(self.world.today, **parts), name, other, trouble)

    def _parts(self, name: str, other: bool, ledger: Ledger, broker: Any, holder: str) -> dict[str, Any]:
        beside = {sibling: self._settings() for sibling in NAMES if sibling != name} if other else None
        common = {"ledger": ledger, "broker": broker, "account": ACCOUNT, "portfolio": name, "holder": holder}
        return {**common, "clock": lambda: self.now, "settings": self._settings(), "siblings": beside}

    def _settings(self) -> ExecutionSettings:
        environment = "live" if self.live else "paper"
        return scenario.settings(
            starting_cash=CASH / 2,
            expected_environment=environment,
            live_trading=self.live,
            live_session=self.world.today if self.live else None,
        )

    def _run(
        self,
        work: Callable[[dict[str, Any]], Any],
        name: str,
        other: bool,
        trouble: dict[str, Any],
        *,
        calm: bool = False,
    ) -> None:
        """One process: it may die at any of its points, and finds the ledger as the one before has left it."""
        self.now += timedelta(seconds=1)
        line = self.world.line
        switch = KillSwitch(trouble.get("dies", 0))
        line.send_faults = list(trouble.get("sends go wrong", ()))
        line.goes_down(*trouble.get("line goes down", (None, 0, 0)))
        line.hidden_looks = trouble.get("new orders are hidden", 0)
        if "another run comes" in trouble:
            line.interrupt = self._second_runner(*trouble["another run comes"])
        self.ledger.switch = switch
        parts = self._parts(name, other, self.ledger, MortalBroker(line, switch), "first")
        self.counts["runs"] += 1
        with self._expected(calm):
            try:
                work(parts)
            except Killed:
                self.counts["deaths"] += 1
                self.ledger.close()
        self.ledger.switch = KillSwitch()
        line.interrupt = None
        line.goes_down(None, 0, 0)

    @contextmanager
    def _expected(self, calm: bool = False) -> Iterator[None]:
        """A run may end with a refusal that says why; nothing else may come out of it, and in calm nothing at all."""
        try:
            yield
        except AccountBusy:
            raise
        except BrokerUnavailable:
            if calm:
                raise
            self.counts["runs without a broker"] += 1
        except LedgerError as refusal:
            if calm or not any(words in refusal.problem for words in LEGITIMATE):
                raise
            self.counts["refusals"] += 1

    def _second_runner(self, takes_over: bool, where: str, nth: int) -> Callable[[str], None]:
        seen = 0

        def come(at: str) -> None:
            nonlocal seen
            seen += at == where
            if at != where or seen != nth:
                return
            self.world.line.interrupt = None
            parts = self._parts("other", True, self.second, self.world.line, "second")
            if takes_over:
                self.now += timedelta(minutes=10)
                with self._expected():
                    follow(self.world.today, **parts)
                self.counts["take-overs"] += 1
            else:
                try:
                    follow(self.world.today, **parts)
                except BrokerUnavailable:
                    return
                except AccountBusy:
                    self.counts["runs that found the account busy"] += 1
                    return
                self.world.broken.append(f"a second run was let in at '{where}' {nth}")

        return come

    def _set(self, state: TradingState, scope: str | None, takes_back: bool) -> None:
        self.now += timedelta(seconds=1)
        with self.second.transaction() as connection:
            parts: dict[str, Any] = {"reason": "drawn", "actor": "person", "now": self.now, "cancel_open": takes_back}
            set_state(connection, ACCOUNT, scope, state, **parts)
        self.world.standings[scope] = state
        if state is TradingState.ACTIVE:
            del self.world.standings[scope]

    def may_trade_by_hand(self) -> bool:
        """A few times, and never before the account's first execution: what lies before it concerns nobody."""
        return self.world.exchange.people < 3 and bool(self.world.rows("SELECT 1 FROM trades LIMIT 1"))

    def _some(self, number: int, wanted: Callable[[Placed], bool]) -> Placed | None:
        rows = [row for row in self.world.exchange.orders if wanted(row)]
        return rows[number % len(rows)] if rows else None

    def _acted_since(self, order: Placed) -> bool:
        """Whether its symbol has split or paid since: a broker books an execution of before with the shares of then."""
        return any(row.symbol == order.symbol and row.session > order.session for row in self.world.exchange.activities)
