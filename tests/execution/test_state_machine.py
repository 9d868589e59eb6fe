"""Random histories of one account against a model exchange: whatever happens, in whatever order, the laws hold.

Hypothesis draws the steps and shrinks a history that breaks a law to a short program of steps, which it prints:
that program is the replay. The laws themselves are in `protocol_laws`, each with its name.

The suite draws the same sample every time; `SCIZOR_SEED` draws another one, and `SCIZOR_TORTURE=1` ten thousand
histories of fifty steps.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scizor_dagster.brokers.protocol import BrokerIdentity, OrderType, PositionIntent, Side, VenuePhase
from scizor_dagster.errors import AccountBusy, BrokerUnavailable, LedgerError
from scizor_dagster.execution.executor import ExecutionSettings, cancel_open, execute, follow
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import BatchRow, batches_of, open_batches
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution import scenario
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.model_exchange import ModelExchange, Placed
from tests.execution.model_line import SEND_FAULTS, ModelLine
from tests.execution.protocol_laws import ACCOUNT, NAMES, World, check, check_calm
from tests.execution.scenario import MONDAY, PRICES, START, D, fresh_copy, plan_of

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
SEED = os.environ.get("SCIZOR_SEED")
EXAMPLES, STEPS = (10_000, 50) if TORTURE else (150, 40)
SYMBOLS = sorted(PRICES)
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

wishes = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.sampled_from(["open", "open", "slices", "bracket", "against", "part", "all", "cross"]),
        st.integers(1, 60),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda wish: wish[0],
)
appetites = st.lists(st.integers(0, 3), min_size=1, max_size=4)
portfolios = st.sampled_from(NAMES)
TROUBLES: dict[str, Any] = {
    "dies": st.integers(1, 90),
    "sends go wrong": st.lists(st.sampled_from([None, *SEND_FAULTS]), min_size=1, max_size=3),
    "line goes down": st.tuples(st.sampled_from(["before", "after"]), st.integers(0, 40), st.integers(1, 60)),
    "new orders are hidden": st.integers(1, 4),
    "another run comes": st.tuples(
        st.booleans(), st.sampled_from(["before submit", "after submit", "read"]), st.integers(1, 4)
    ),
}
"""What goes wrong in one run: at which point it dies; what becomes of its first sends; after how many calls the line
is down and for how many; for how many looks new orders are hidden; whether another run takes over, and where."""
calm_or_not = st.one_of(
    st.just({}), *(st.fixed_dictionaries({name: drawn}) for name, drawn in TROUBLES.items()),
    st.fixed_dictionaries({name: TROUBLES[name] for name in ("dies", "sends go wrong")}),
)  # fmt: skip
mostly = st.sampled_from([True, True, True, False])


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


class Account(RuleBasedStateMachine):
    """Two portfolios on one account, their runs, a person, a venue, and everything that goes wrong between them."""

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
        self.second = Ledger(self.path, "OFF")
        self.now = START
        self.calm_at = self.counts["runs"]
        self.attempts: dict[tuple[str, date], Plan] = {}
        self.owners: dict[str, str] = {}

    @initialize(unique=st.booleans(), live=st.booleans(), wanted=wishes, trouble=calm_or_not)
    def opened(self, unique: bool, live: bool, wanted: list[tuple[str, str, int]], trouble: dict[str, Any]) -> None:
        self.live = live
        exchange = ModelExchange(cash=CASH, prices=PRICES, unique=unique, owner_of=self.owners.get)
        line = ModelLine(exchange, lambda: self.now, "live" if live else "paper")
        self.world = World(self.ledger, exchange, line, MONDAY)
        self.world.open(self.path)
        line.on_send = self.world.watch_send
        if live:
            with self.ledger.transaction() as connection:
                identity = BrokerIdentity("model", "live", "M1")
                arm(connection, ACCOUNT, identity, actor="t", now=START, until=START + timedelta(days=400))
        self._plan("main", wanted, False, trouble)

    # Runs of the protocol.

    # Hypothesis leaves half of the rules out of a history: what histories live from has more than one.

    @rule(name=portfolios, wanted=wishes, other=mostly, trouble=calm_or_not)
    def plan_is_executed(self, name: str, wanted: list[tuple[str, str, int]], other: bool, trouble: Any) -> None:
        """A plan for this session: the next batch where one has ended, and where one has not that one goes on."""
        admitted = self._admitted(name)
        if admitted and admitted[-1].state.open:
            self._follow(name, other, trouble)
        else:
            self._plan(name, wanted, other, trouble)

    @rule(wanted=wishes, trouble=calm_or_not)
    def portfolio_is_planned_anew(self, wanted: list[tuple[str, str, int]], trouble: Any) -> None:
        """Whatever has become of the batch before."""
        self._plan("main", wanted, True, trouble)

    @rule(name=portfolios, other=mostly, trouble=calm_or_not)
    def plan_is_executed_again(self, name: str, other: bool, trouble: Any) -> None:
        """The newest plan of the session once more, as a retry by hand does."""
        plan = self.attempts.get((name, self.world.today))
        if plan is not None:
            self._execute(plan, other, trouble)

    @rule(name=portfolios, other=mostly, trouble=calm_or_not)
    def session_is_followed(self, name: str, other: bool, trouble: Any) -> None:
        self._follow(name, other, trouble)

    @rule(appetites=appetites, trouble=calm_or_not)
    def session_goes_on(self, appetites: list[int], trouble: Any) -> None:
        """The venue steps, and each portfolio is followed."""
        for name in NAMES:
            self.venue_may_step(appetites)
            self._follow(name, True, trouble)

    @precondition(lambda self: len(self.world.exchange.steps) > 1)
    @rule(name=portfolios, trouble=calm_or_not)
    def session_before_is_followed(self, name: str, trouble: Any) -> None:
        day = self.world.today - timedelta(days=1)
        self._run(lambda parts: follow(day, **parts), name, True, trouble)

    @precondition(lambda self: self.world.standings)
    @rule(name=portfolios, other=mostly, trouble=calm_or_not)
    def open_orders_are_canceled(self, name: str, other: bool, trouble: Any) -> None:
        """What a halt that takes orders back does beside the runs."""
        self._run(lambda parts: cancel_open(**parts), name, other, trouble)

    # What the broker shows late.

    @precondition(lambda self: self.world.exchange.fills and not self.world.line.withheld)
    @rule(share=st.integers(1, 3))
    def fills_are_withheld(self, share: int) -> None:
        self.world.line.withheld |= {fill.fill_id for fill in self.world.exchange.fills[-share:]}

    @precondition(lambda self: self.world.line.withheld)
    @rule()
    def fills_arrive(self) -> None:
        self.world.line.withheld.clear()

    # What the venue does, and people.

    @rule(appetites=appetites)
    def venue_may_step(self, appetites: list[int]) -> None:
        """A venue that steps when it is asked may take so many steps; one that moves by itself takes one."""
        if self.live:
            self.world.exchange.step(self.world.today, appetites[0])
        else:
            self.world.line.granted = list(appetites)

    @precondition(lambda self: self.world.exchange.open_orders())
    @rule(number=st.integers(0, 20), whole=st.booleans())
    def order_fills(self, number: int, whole: bool) -> None:
        if self.world.exchange.phase(self.world.today) in (VenuePhase.OPEN, VenuePhase.CLOSING):
            order = self._some(number, lambda row: row.may_fill and (row.parent is None or whole))
            if order is not None:
                half = (order.left / 2).quantize(Decimal("0.0001"))
                self.world.exchange.fill(order, order.left if whole or half == 0 else half)

    @precondition(lambda self: any(row.left and not row.open for row in self.world.exchange.orders))
    @rule(number=st.integers(0, 20))
    def late_fill_comes(self, number: int) -> None:
        """Of an order that had ended, in this session or the one before."""
        week = self.world.today - timedelta(days=1)
        order = self._some(number, lambda row: not row.open and row.left > 0 and row.session >= week and not row.parent)
        if order is not None and not self._acted_since(order):
            self.world.exchange.fill(order, order.left)

    @precondition(lambda self: self.world.exchange.open_orders())
    @rule(number=st.integers(0, 20))
    def person_cancels(self, number: int) -> None:
        order = self._some(number, lambda row: row.open)
        if order is not None:
            self.world.exchange.cancel(order)

    @precondition(lambda self: self.world.exchange.open_orders())
    @rule(number=st.integers(0, 20), qty=st.integers(1, 40))
    def person_replaces(self, number: int, qty: int) -> None:
        """With another quantity: ours ends, and an order that is not ours takes its place."""
        order = self._some(number, lambda row: row.open and row.parent is None)
        if order is not None:
            self.world.exchange.replace(order, D(qty))

    @precondition(lambda self: self.may_trade_by_hand())
    @rule(symbol=st.sampled_from(SYMBOLS), side=st.sampled_from(list(Side)), qty=st.integers(1, 30))
    def person_trades(self, symbol: str, side: Side, qty: int) -> None:
        self.world.exchange.trade(symbol, side, D(qty), self.world.today)

    @precondition(lambda self: not self.world.standings and self.world.orders)
    @rule(
        state=st.sampled_from([TradingState.HALTED, TradingState.REDUCING]),
        scope=st.sampled_from([None, *NAMES]),
        takes_back=st.booleans(),
    )
    def person_halts(self, state: TradingState, scope: str | None, takes_back: bool) -> None:
        self._set(state, scope, takes_back)

    @precondition(lambda self: any(self.world.standings.values()))
    @rule()
    def person_resumes(self) -> None:
        for scope in list(self.world.standings):
            self._set(TradingState.ACTIVE, scope, False)

    @precondition(lambda self: self.world.orders)
    @rule(
        splits=st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from([D(2), D("0.5"), D(3)]), max_size=1),
        dividends=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 200), max_size=1),
    )
    def session_ends(self, splits: dict[str, Decimal], dividends: dict[str, int]) -> None:
        """The rest of the session passes, and the next one begins with its corporate actions."""
        world = self.world
        while world.exchange.phase(world.today) is not VenuePhase.OVER:
            world.exchange.step(world.today, 1)
        world.line.granted.clear()
        world.today += timedelta(days=1)
        self.now = datetime(world.today.year, world.today.month, world.today.day, 14, 0, tzinfo=UTC)
        for symbol, factor in splits.items():
            world.exchange.split(symbol, factor, world.today)
        for symbol, cents in dividends.items():
            signs = {qty > 0 for (_, of), qty in world.exchange.book.items() if of == symbol and qty}
            # Where some are long and some short the payment between them is no matter of the account's.
            if len(signs) == 1:
                world.exchange.dividend(symbol, D(cents) / 100, world.today)

    @precondition(lambda self: self.counts["runs"] - self.calm_at > 6)
    @rule()
    def everything_is_read_in_calm(self) -> None:
        """Nothing goes wrong, and both portfolios are followed: ledger and exchange agree in everything."""
        world = self.world
        world.line.calm()
        for name in (*NAMES, NAMES[0]):
            self._run(lambda parts: follow(world.today, **parts), name, True, {}, calm=True)
        with self.ledger.read() as connection:
            left = [row for row in open_batches(connection, ACCOUNT) if row.session < world.today]
        assert all(row.state == "frozen" for row in left)
        check_calm(world)
        self.calm_at = self.counts["runs"]
        self.counts["calm looks"] += 1

    @invariant()
    @precondition(lambda self: hasattr(self, "world"))
    def every_law_holds(self) -> None:
        check(self.world)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.session_ends({}, {})
                self.everything_is_read_in_calm()
                self.counts["histories"] += 1
                self.counts["orders at the exchange"] += len(self.world.ours())
                self.counts["sends"] += self.world.sends
        finally:
            if hasattr(self, "world"):
                self.world.close()
            self.second.close()
            self.ledger.close()

    # How a run is run.

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


@pytest.mark.timeout(24 * 3_600 if TORTURE else 900)
def test_whatever_happens_in_whatever_order_every_law_of_the_protocol_holds(
    empty_ledger: Path, record_property: Any
) -> None:
    drawn = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    Account.counts.clear()
    with TemporaryDirectory() as folder:
        Account.template = empty_ledger
        Account.ledger = MortalLedger.open(fresh_copy(empty_ledger, Path(folder) / "l.sqlite"), synchronous="OFF")
        machine: Any = Account if SEED is None else seed(int(SEED))(Account)
        run_state_machine_as_test(machine, settings=drawn)
    for name, count in sorted(Account.counts.items()):
        record_property(name, count)
    for name in ("deaths", "take-overs", "refusals", "runs without a broker", "runs that found the account busy"):
        assert Account.counts[name] > EXAMPLES / 20, name
