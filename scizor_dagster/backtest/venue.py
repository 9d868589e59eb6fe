"""A backtest whose fills are those of the embedded exchange: exact money, order by order, as a paper account has it.

What belongs here: what a session of a portfolio on a paper account comes to, without Dagster, ledger or lake: the plan,
what is sent when, the release of purchases, and the books. What does not: the planner (`planning.books`), the matching
(`paper_exchange.engine`), the arithmetic of a release (`execution.funding`): those that trade are called here.

Session t, of which the plan is made on the closes of t - 1:

1. Equity is cash and holdings at these closes. What is split or delisted up to t waits with the holding it has.
2. Sales of what is held go out first. Without any, purchases are released at once, on the cash of the evening.
3. Before the open, splits, dividends and delistings of t; then the auction. Once all sales have ended, and before the
   last step in any case, purchases are released: scaled by one factor to the cash that is there.
4. They fill at midday, what volume leaves of them at the close; the rest expires.

A session in which all orders have ended goes no further, so that holdings keep the mark of that step until the next
morning: it counts in the buying power, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.backtest.venue_market import Facts, VenueMarket
from scizor_dagster.backtest.venue_orders import Batch, VenueOrder
from scizor_dagster.brokers.protocol import Capabilities, OrderRequest
from scizor_dagster.errors import InputError
from scizor_dagster.execution.funding import fund
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.buying_power import buying_power
from scizor_dagster.paper_exchange.matching import step_prices
from scizor_dagster.paper_exchange.model import LAST_STEP, Activity, Books, Fill, Position, Rules, State
from scizor_dagster.paper_exchange.rules import Market
from scizor_dagster.paper_exchange.venue_orders import Refused
from scizor_dagster.planning.book_orders import orders_of_book
from scizor_dagster.planning.books import PreparedBook, plan_book, prepare
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.columns import count_of
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.planning.quantities import EXACT, increment_of
from scizor_dagster.planning.rules import PlanningRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZERO = Decimal(0)
NOISE = Decimal("1e-9")
"""Up to this much of a share is rounding of split factors, not a holding."""
BETWEEN_STEPS = timedelta(hours=3)
FactsOf = Callable[[int, Facts], Facts]
"""Given the row of a session and what the history says of it: what its plan has known."""


@dataclass(frozen=True, slots=True)
class VenueChoices:
    """The account.

    Attributes:
        capital: What the portfolio begins with; `deposit` is the account's, None for the same.
        venue: The exchange's spread, impact, volume share, fee and margin.
        max_age: Sessions that a close may be old and still size an order.
        first: Row of the first session of the run; those before it are known to its plans.
        begins: Signed shares that the portfolio holds before it; `capital` is its cash then.
        knows: What else plans have known, as a recorded one says it.
    """

    capital: Decimal
    deposit: Decimal | None = None
    venue: Rules = field(default_factory=Rules)
    max_age: int = 1
    first: int = 0
    begins: Mapping[str, Decimal] = field(default_factory=dict)
    knows: FactsOf | None = None


@dataclass(frozen=True, slots=True)
class VenueDay:
    """The portfolio at the close of a session: `equity` at its closes, or at the last ones before it."""

    session: date
    cash: Decimal
    equity: Decimal
    holdings: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class VenueRun:
    """What came of it.

    Attributes:
        orders: In the order of sessions and plans.
        fills: In that of the exchange; `mids` are the market's prices that each was made at, before spread and impact.
    """

    orders: tuple[VenueOrder, ...]
    fills: tuple[Fill, ...]
    mids: tuple[Decimal, ...]
    activities: tuple[Activity, ...]
    days: tuple[VenueDay, ...]


def run_at_venue(
    history: History,
    schedule: Schedule,
    rules: PlanningRules,
    capabilities: Capabilities,
    choices: VenueChoices,
    progress: Callable[[int, int], bool] | None = None,
) -> VenueRun:
    """Trade the schedule's weights at the embedded exchange.

    Args:
        history: With whole bars; actions of what its prices do not know already.
        schedule: From the second session on: a plan needs a close before it.
        rules: As of the portfolio.
        capabilities: As of the account.
        choices: The account.
        progress: As in `engine`.

    Raises:
        InputError: a history without whole bars, a plan for the first session, brackets, or weights that no plan takes.
        RiskLimitBreached: the orders of one plan exceed `max_total_notional`.
    """
    if rules.mode_on_buy == "bracket":
        raise InputError(
            "Brackets rest beside the plan that sent them; this run has orders of their own session only.",
            remedy="Use execution.mode_on_buy: market, limit, moo or moc.",
        )
    if len(schedule.rows) and schedule.rows[0] < max(choices.first, 1):
        raise InputError(
            f"Weights of {history.sessions[int(schedule.rows[0])]} lie before the run, or have no close to plan on.",
            remedy="Begin the prices a session earlier, or the weights a session later.",
        )
    account = _Account(history, rules, capabilities, choices)
    planned = {int(row): weights for row, weights in zip(schedule.rows, schedule.weights, strict=True)}
    count = len(history.sessions) - choices.first
    for done in range(count):
        row = choices.first + done
        account.trade(row, planned.get(row))
        if progress is not None and not progress(done + 1, count):
            break
    return account.told()


class _Account:
    """One paper account as its sessions pass."""

    def __init__(
        self, history: History, rules: PlanningRules, capabilities: Capabilities, choices: VenueChoices
    ) -> None:
        self._market = VenueMarket(history, choices.max_age)
        self._sessions = history.sessions
        self._rules, self._capabilities, self._choices = rules, capabilities, choices
        self._instruments = {item.symbol: item for item in history.instruments}
        self._book = prepare(history.instruments, rules, capabilities, currency=history.currency)
        self._increments = {item.symbol: _increment(item, rules) for item in history.instruments}
        deposit = choices.capital if choices.deposit is None else choices.deposit
        self._beside = deposit - choices.capital
        self._row = choices.first - 1
        self._books = Books(self._begun(history.currency, deposit))
        self._orders: list[VenueOrder] = []
        self._fills: list[Fill] = []
        self._mids: list[Decimal] = []
        self._activities: list[Activity] = []
        self._days: list[VenueDay] = []

    def told(self) -> VenueRun:
        """What has come of it until now."""
        return VenueRun(
            tuple(self._orders), tuple(self._fills), tuple(self._mids), tuple(self._activities), tuple(self._days)
        )

    def _begun(self, currency: str, deposit: Decimal) -> State:
        """The account before its first session, which is the close of the one before where there is one."""
        if self._row < 0:
            return State("backtest", currency, deposit)
        closes = self._market.closes(self._row)
        held = {
            symbol: Position(symbol, qty, closes.get(symbol, ZERO), closes.get(symbol, ZERO))
            for symbol, qty in self._choices.begins.items()
        }
        return State("backtest", currency, deposit, self._sessions[self._row], LAST_STEP, 1, held)

    def trade(self, row: int, weights: NDArray[Any] | None) -> None:
        """One session: its plan, the market, and what is left at its close."""
        batch = Batch([]) if weights is None else self._planned(row, weights)
        self._drive(row, batch)
        if self._row < row:
            # Nothing was sent, so that nothing has moved the exchange yet.
            self._enter(row)
            self._step(row)
            while not batch.orders and self._books.step < LAST_STEP:
                self._step(row)
        self._orders += batch.orders
        self._keep(row)
        holdings, cash = self._holdings(), self._cash()
        self._days.append(VenueDay(self._sessions[row], cash, self._equity(row, holdings, cash), holdings))

    def _planned(self, row: int, weights: NDArray[Any]) -> Batch:
        holdings, cash, book = self._holdings(), self._cash(), self._book
        equity = self._equity(row - 1, holdings, cash)
        facts = self._market.facts(row, moves=book.reads_moves, volumes=book.reads_volumes)
        if self._choices.knows is not None:
            facts = self._choices.knows(row, facts)
        plan_book(
            book,
            weights,
            facts.prices,
            _counts(book, holdings),
            equity=float(equity),
            cash=float(cash),
            previous=facts.previous if book.reads_moves else None,
            volumes=facts.volumes if book.reads_volumes else None,
            kept=_unless_said(facts.kept, book),
        )
        ids = ClientOrderIds("BT", account="", session=self._sessions[row], portfolio="", plan_id="", batch=1)
        with localcontext(EXACT):
            buffer = equity * self._rules.min_cash_buffer_pct
        return Batch([_order(self._sessions[row], order) for order in orders_of_book(book, ids)], buffer)

    def _drive(self, row: int, batch: Batch) -> None:
        """Send what is ready, let the exchange step, look, and again, while any order can still come further."""
        moving = True
        while True:
            self._round(row, batch)
            if not moving or not batch.at_work:
                return
            moving = self._advance(row)

    def _round(self, row: int, batch: Batch) -> None:
        over = self._row == row and self._books.step == LAST_STEP
        while True:
            if not over:
                for order in batch.ready():
                    self._send(row, order)
            batch.look(self._books)
            if over:
                batch.end_unsent()
                return
            self._release_if_due(row, batch)
            batch.move_dependents()
            if not any(batch.ready()):
                return

    def _send(self, row: int, order: VenueOrder) -> None:
        if self._row < 0 or (self._row < row and self._books.step == LAST_STEP):
            # The first order of a session moves the exchange to its morning, once the one before has closed.
            self._enter(row)
        try:
            market = Market(self._instruments, self._market.marks(row))
            engine.place(self._books, _request(order), market, self._choices.venue, self._opens(row))
        except Refused as refusal:
            order.end(IntentState.REJECTED, f"{refusal.code}: {refusal.message}")
            return
        order.state = IntentState.WORKING

    def _release_if_due(self, row: int, batch: Batch) -> None:
        closing = self._row == row and self._books.step == LAST_STEP - 1
        if not batch.due(closing=closing):
            return
        waiting = batch.waiting()
        state = self._books.state()
        own = self._cash() - batch.buffer
        money = fund(
            waiting,
            min(own, self._books.cash),
            buying_power(state, self._market.marks(row), self._choices.venue.margin_multiplier),
            increments=self._increments,
            min_notional=self._capabilities.min_notional,
            uncertain=batch.after_open_legs(waiting),
        )
        batch.release(waiting, money, self._capabilities.min_notional)

    def _advance(self, row: int) -> bool:
        """One step of the session; whether more may follow."""
        if self._row < row:
            self._enter(row)
        self._step(row)
        return 0 < self._books.step < LAST_STEP

    def _enter(self, row: int) -> None:
        """Move the exchange to the morning of the session."""
        if self._row >= 0 and self._books.step < LAST_STEP:
            engine.close_session(self._books, self._opens(self._row))
        self._row = row
        marks = self._market.marks(row)
        engine.begin_session(self._books, self._sessions[row], self._market.actions(row), marks, self._opens(row))

    def _step(self, row: int) -> None:
        bars = self._market.bars(row)
        if bars is None:
            engine.close_session(self._books, self._opens(row))
            return
        opens = self._opens(row)
        times = engine.StepTimes(opens, opens + (LAST_STEP - 1) * BETWEEN_STEPS)
        engine.run_step(self._books, bars, self._choices.venue, self._instruments, times)

    def _keep(self, row: int) -> None:
        """Put away what the session has brought, so that the books carry only what is still open."""
        done = self._books.transition()
        self._fills += done.fills
        self._activities += done.activities
        bars = (self._market.bars(row) or {}) if done.fills else {}
        for fill in done.fills:
            step = 1 + (fill.executed_at - self._opens(row)) // BETWEEN_STEPS
            self._mids.append(step_prices(bars[fill.symbol], step).price)
        self._books = Books(done.after)

    def _opens(self, row: int) -> datetime:
        return datetime.combine(self._sessions[row], time(14, 30), UTC)

    def _holdings(self) -> dict[str, Decimal]:
        return {symbol: row.qty for symbol, row in sorted(self._books.positions.items()) if abs(row.qty) > NOISE}

    def _cash(self) -> Decimal:
        return self._books.cash - self._beside

    def _equity(self, row: int, holdings: Mapping[str, Decimal], cash: Decimal) -> Decimal:
        closes = self._market.closes(row)
        return cash + sum((qty * closes[symbol] for symbol, qty in holdings.items() if symbol in closes), ZERO)


def _unless_said(kept: NDArray[Any], book: PreparedBook) -> NDArray[Any]:
    """What instruments and rules already say comes before a price that is old."""
    import numpy as np

    return np.where((book.facts != 0) & (kept != 0), book.facts, kept)


def _counts(book: PreparedBook, holdings: Mapping[str, Decimal]) -> NDArray[Any]:
    import numpy as np

    return np.array([count_of(holdings.get(item.symbol, ZERO)) for item in book.instruments], dtype=np.int64)


def _increment(instrument: Instrument, rules: PlanningRules) -> Decimal:
    """Smallest step of a quantity that a release scales down."""
    fraction = rules.fractional and instrument.fractionable
    return increment_of(rules.quantity_precision) if fraction else Decimal(instrument.lot)


def _order(session: date, order: PlannedOrder) -> VenueOrder:
    at_once = order.phase == 1
    ready = at_once and not order.depends_on
    return VenueOrder(
        session=session,
        planned=order,
        final_qty=order.qty if at_once else None,
        state=IntentState.READY if ready else IntentState.HELD,
    )


def _request(order: VenueOrder) -> OrderRequest:
    assert order.final_qty is not None, order.client_order_id
    planned = order.planned
    return OrderRequest(
        client_order_id=planned.client_order_id,
        symbol=planned.symbol,
        side=planned.side,
        qty=order.final_qty,
        order_type=planned.order_type,
        time_in_force=planned.time_in_force,
        session=order.session,
        intent=planned.intent,
        limit_price=planned.limit_price,
    )
