"""The run of a backtest: session after session through the planner that trades.

What belongs here: `run_backtest`, and what the compiled loop leaves to exact arithmetic. What does not: where weights
and prices come from, and figures of a result.

The time line: row t of the prices is session t, and a schedule's row t is traded in session t. Its plan is made after
the close `delay` sessions before, sized on the equity and the last known closes of then; overnight, actions apply; the
orders fill at a price of session t. Cash is marked to nothing else than these: no plan reads what its session brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest import engine_loop
from scizor_dagster.backtest.engine_actions import apply_actions
from scizor_dagster.backtest.engine_checks import check_run, refuse_price
from scizor_dagster.backtest.engine_model import ACTIONS, BAD_FILL, BAD_PRICE, DONE, FULL, Account, Rates, Setting
from scizor_dagster.backtest.engine_setup import (
    account_of,
    book_of,
    market_of,
    output_of,
    rates_of,
    setting_of,
    with_room,
)
from scizor_dagster.backtest.model import Action, Choices, History, Result, Schedule
from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.errors import ScizorError
from scizor_dagster.planning import compiled
from scizor_dagster.planning.books import PreparedBook, prepare, settle_decisions
from scizor_dagster.planning.kernel_model import STACK, Numbers, Session
from scizor_dagster.planning.rules import PlanningRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int, int], bool]
"""Called with sessions done and of how many; False cancels."""
PARTS = (*compiled.PARTS, *(f"scizor_dagster.backtest.engine_{name}" for name in ("model", "fills", "orders", "loop")))
ENTRY = "run_sessions"
BLOCK = 250
"""Sessions between two calls of `Progress`."""


class BacktestCancelled(ScizorError):
    """Whoever watched the progress of a run has ended it; there is no result."""


def run_backtest(
    history: History,
    schedule: Schedule,
    rules: PlanningRules,
    capabilities: Capabilities,
    choices: Choices,
    progress: Progress | None = None,
    *,
    prepared: PreparedBook | None = None,
) -> Result:
    """Trade the schedule's weights on the history, as the rules say.

    Args:
        history: Prices and actions; its arrays are read, and copied only where they do not lie row by row.
        schedule: Target weights.
        rules: Of the planner, as a portfolio has them.
        capabilities: Of the broker that the orders would go to.
        choices: Capital, fills and costs.
        progress: Is told how far the run is, every `BLOCK` sessions and at its end.
        prepared: From `planning.books.prepare` with the same instruments, rules and capabilities, for many runs of
            them; not for two at the same time.

    Raises:
        InputError: what no run can be made from; with the session, where the planner refuses weights.
        RiskLimitBreached: the orders of a session together exceed `max_total_notional`.
        BacktestCancelled: `progress` said so.
    """
    check_run(history, schedule, rules, choices)
    if prepared is None:
        # In one piece with the planner's entries, which are compiled apart else.
        compiled.load(PARTS, (*compiled.ENTRIES, ENTRY))
        prepared = prepare(history.instruments, rules, capabilities, currency=history.currency)
    try:
        return _Run(history, schedule, choices, prepared).result(progress)
    finally:
        prepared.columns["fact"][:] = prepared.facts


class _Run:
    """One run under way: the loop's arrays, and what is done where it stops."""

    def __init__(self, history: History, schedule: Schedule, choices: Choices, prepared: PreparedBook) -> None:
        self.history, self.schedule, self.choices, self.prepared = history, schedule, choices, prepared
        self.market = market_of(history, schedule, choices, prepared)
        self.book = book_of(len(history.instruments), prepared)
        self.rates = rates_of(history, choices)
        self.setting = setting_of(choices, prepared, schedule)
        self.account = account_of(choices)
        self.out = output_of(history, schedule, choices)
        self.actions: dict[int, list[Action]] = {}
        for action in history.actions:
            self.actions.setdefault(action.row, []).append(action)
        self.settled = 0
        machine = prepared.compiled and compiled.load(PARTS, (ENTRY,))
        # Neither knows the run: a large result is gone as soon as nobody holds it.
        self.loop = _Compiled(prepared, self.account) if machine else _AsItStands(prepared, self)

    def result(self, progress: Progress | None) -> Result:
        total = len(self.history.sessions)
        for until in (*range(BLOCK, total, BLOCK), total):
            self._go_on(until)
            if progress is not None and not progress(until, total):
                raise BacktestCancelled(
                    f"The backtest was cancelled after {until} of {total} sessions.", remedy="Run it again."
                )
        trades = self.out.trades[: self.loop.now().trades]
        counts = self.out.counts
        if not self.choices.keep_positions:
            counts[0] = self.book.count
        return Result(
            history=self.history,
            schedule=self.schedule,
            choices=self.choices,
            equity=self.out.equity,
            cash=self.out.cash,
            counts=counts,
            codes=self.out.codes,
            trades=trades,
            income=self.out.income,
            needed=self.out.needed,
            settled=self.settled,
            spent=self.out.spent,
            notes=(*self.history.notes, *self.schedule.notes, *_notes(self.prepared.rules)),
        )

    def _go_on(self, until: int) -> None:
        status = self.loop.run(self, until)
        while status != DONE:
            now = self.loop.now()
            if status == FULL:
                self.out = with_room(self.out, now.trades)
            elif status == ACTIONS:
                apply_actions(self.actions[now.row], self.history.instruments, self.book, now, self.out)
            elif status in (BAD_PRICE, BAD_FILL):
                name, prices = "close", self.market.close
                if status == BAD_FILL:
                    name, prices = str(self.choices.fills.at), self.market.fill
                refuse_price(self.history, now.row, now.place, name, float(prices[now.row, now.place]))
            else:
                self._settle(status, now.row)
            self.loop.keep(now)
            status = self.loop.run(self, until)

    def _settle(self, status: int, row: int) -> None:
        """Let the exact rules decide what the kernel leaves open."""
        self.loop.store()
        try:
            self.settled += settle_decisions(self.prepared, status)
        except ScizorError as refused:
            due = self.history.sessions[row + self.choices.fills.delay]
            refused.where = f"session {due}" if refused.where is None else f"session {due}, {refused.where}"
            raise
        self.loop.fetch()


class _Compiled:
    """The loop as machine code, on the book's own arrays."""

    def __init__(self, prepared: PreparedBook, account: NDArray[Any]) -> None:
        self.function = compiled.function(ENTRY)
        self.first = (prepared.cells, prepared.numbers, prepared.session, prepared.terms, prepared.keys)
        self.account = account

    def run(self, run: _Run, until: int) -> int:
        rest = (run.market, run.book, run.rates, run.account, run.setting, run.out, until)
        return int(self.function(*self.first, *rest))

    def now(self) -> Account:
        return Account(*self.account[0].tolist())

    def keep(self, now: Account) -> None:
        self.account[0] = astuple(now)

    def store(self) -> None:
        """The planner's arrays are the loop's."""

    def fetch(self) -> None:
        """The planner's arrays are the loop's."""


class _AsItStands:
    """The loop as it stands, on objects."""

    def __init__(self, prepared: PreparedBook, run: _Run) -> None:
        self.prepared = prepared
        self.cells = prepared.cells.rows()
        self.numbers, self.session = Numbers(*prepared.numbers[0].tolist()), Session(*prepared.session[0].tolist())
        self.rates = [Rates(*rate) for rate in run.rates.tolist()]
        self.account, self.setting = Account(*run.account[0].tolist()), Setting(*run.setting[0].tolist())
        self.terms = [0.0] * (len(self.cells) + STACK)
        self.keys = [*self.terms]

    def run(self, run: _Run, until: int) -> int:
        return engine_loop.run_sessions(
            self.cells, (self.numbers,), (self.session,), self.terms, self.keys, run.market, run.book, self.rates,
            (self.account,), (self.setting,), run.out, until,
        )  # fmt: skip

    def now(self) -> Account:
        return self.account

    def keep(self, now: Account) -> None:
        self.account = now

    def store(self) -> None:
        self.prepared.cells.write(self.cells)
        self.prepared.session[0] = astuple(self.session)

    def fetch(self) -> None:
        self.cells = self.prepared.cells.rows()
        self.session = Session(*self.prepared.session[0].tolist())


def _notes(rules: PlanningRules) -> Sequence[str]:
    if {rules.mode_on_buy, rules.mode_on_sell} == {"market"}:
        return ()
    return (
        f"Orders are {rules.mode_on_buy} on purchases and {rules.mode_on_sell} on sales; here all fill as market "
        "orders at the chosen price, and brackets have no exits.",
    )
