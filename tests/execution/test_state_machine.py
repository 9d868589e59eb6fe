"""Random histories of one account against a model exchange: whatever happens, in whatever order, the laws hold.

Hypothesis draws the steps and shrinks a history that breaks a law to a short program of steps, which it prints:
that program is the replay. The laws themselves are in `protocol_laws`, each with its name.

The suite draws the same sample every time; `SCIZOR_SEED` draws another one, and `SCIZOR_TORTURE=1` ten thousand
histories of fifty steps.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scizor_dagster.brokers.protocol import BrokerIdentity, Side, VenuePhase
from scizor_dagster.execution.executor import cancel_open, follow
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.rows import open_batches
from scizor_dagster.risk.trading_state import TradingState
from tests.execution.kill_switch import MortalLedger
from tests.execution.model_exchange import ModelExchange
from tests.execution.model_line import SEND_FAULTS, ModelLine
from tests.execution.processes import CASH, Processes
from tests.execution.protocol_laws import ACCOUNT, NAMES, World, check, check_calm
from tests.execution.scenario import MONDAY, PRICES, START, D, fresh_copy

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
SEED = os.environ.get("SCIZOR_SEED")
EXAMPLES, STEPS = (10_000, 50) if TORTURE else (150, 40)
SYMBOLS = sorted(PRICES)

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


class Account(Processes):
    """Two portfolios on one account, their runs, a person, a venue, and everything that goes wrong between them."""

    @initialize(unique=st.booleans(), live=st.booleans(), wanted=wishes, trouble=calm_or_not)
    def opened(self, unique: bool, live: bool, wanted: list[tuple[str, str, int]], trouble: dict[str, Any]) -> None:
        self.live = live
        exchange = ModelExchange(cash=CASH, prices=PRICES, unique=unique, owner_of=self.owners.get)
        line = ModelLine(exchange, lambda: self.now, "live" if live else "paper")
        self.world = World(self.ledger, exchange, line, MONDAY)
        self.world.open(self.path)
        line.on_send = self.world.watch_send
        if live:
            identity = BrokerIdentity("model", "live", "M1")
            with self.ledger.transaction() as connection:
                for name in NAMES:
                    arm(
                        connection,
                        ACCOUNT,
                        name,
                        identity,
                        until=START + timedelta(days=400),
                        max_notional=D(10**9),
                        currency="USD",
                        actor="t",
                        reason="",
                        now=START,
                    )
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
        # Nobody is asked for what is older: a fill that shows later is a break of position and cash.
        reach = world.today - self._settings().lookback
        world.line.withheld -= {fill.fill_id for fill in world.exchange.fills if fill.session <= reach}
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
