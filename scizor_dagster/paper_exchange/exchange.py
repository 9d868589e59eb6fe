"""One account at the embedded exchange: the engine's operations over stored books and session data.

What belongs here: which operations run, in what order, in which transaction. What does not: the
words of a particular door (`brokers.paper` speaks the broker protocol).

Data of the market is read before the write transaction begins; when another process has changed the
books in between, the operation starts over on the new ones. The exchange's clock only moves forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderRequest, OrderType, VenuePhase
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.buying_power import buying_power
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar, SessionData
from scizor_dagster.paper_exchange.model import LAST_STEP, Activity, Books, Fill, Order, Refused, Rules, State
from scizor_dagster.paper_exchange.rules import STOP_LOSS_SUFFIX, TAKE_PROFIT_SUFFIX, Market
from scizor_dagster.paper_exchange.store import BookStore
from scizor_dagster.sessions import TradingCalendar


@dataclass(frozen=True, slots=True)
class _Begin:
    """One session to enter, with what takes effect before its open."""

    session: date
    actions: Sequence[SessionAction]
    marks: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class _Finish:
    """The current session, to be run to its close; without bars its orders expire."""

    bars: Mapping[str, SessionBar] | None


class PaperExchange:
    """The venue as one account sees it.

    Args:
        data: Sessions that have happened. The exchange never asks for bars of a later one than it runs.
        instruments: What is listed, by symbol.
    """

    def __init__(
        self,
        store: BookStore,
        rules: Rules,
        calendar: TradingCalendar,
        data: SessionData,
        instruments: Mapping[str, Instrument],
    ) -> None:
        self._store = store
        self.rules = rules
        self._calendar = calendar
        self._data = data
        self._instruments = instruments
        self._prices: tuple[date, Mapping[str, Decimal]] | None = None

    def state(self) -> State:
        return self._store.state()

    def submit(self, request: OrderRequest, now: datetime) -> tuple[Order, bool]:
        """Take an order, or return the one that has its client order id already.

        Returns:
            The order, and whether it is new.

        Raises:
            Refused: a rule of the venue is broken; nothing has changed.
            NotASession: the order's session is none.
        """
        self._calendar.require(request.session)
        market = Market(self._instruments, self._last_prices(request.session, request.symbol))
        while True:
            state = self.state()
            moves = self._moves_before(state, request.session)
            with self._store.change() as connection:
                current = self._store.locked(connection)
                existing = self._store.find(connection, request.client_order_id)
                if existing is not None:
                    return existing, False
                if current.next_number != state.next_number:
                    continue
                self._check_legs_are_new(connection, request)
                books = Books(current)
                self._apply(books, moves)
                order = engine.place(books, request, market, self.rules, now)
                transition = books.transition()
                self._store.save(connection, transition)
            self._store.remember(transition.after)
            return order, True

    def cancel(self, client_order_id: str, now: datetime) -> None:
        """Cancel an open order.

        Raises:
            Refused: there is no such order, or it has ended.
        """
        self._change(lambda books: engine.cancel(books, client_order_id, now))

    def begin(self, session: date) -> bool:
        """Move the clock to the morning of `session`: corporate actions and last prices take effect.

        Returns:
            Whether the clock stands before or within `session` now. False when the session has
            closed, or an order of an earlier session still rests.
        """
        self._calendar.require(session)
        return self._run_moves(session, lambda state: self._moves_to_morning(state, session))

    def advance(self, session: date) -> bool:
        """Take one step of `session`; sessions before it are closed first. True while more may follow."""
        self._calendar.require(session)
        bars = self._data.bars(session)
        if bars is None:
            return False
        while True:
            state = self.state()
            if state.has_closed(session):
                return False
            moves = [] if state.session == session else self._moves(state, session)
            books = Books(state)
            self._apply(books, moves)
            engine.run_step(books, bars, self.rules, self._instruments, self._times(session))
            if self._commit(state, books):
                return books.step < LAST_STEP

    def phase(self, session: date) -> VenuePhase:
        """Before the first step the session is ahead; with one step left it is closing."""
        state = self.state()
        if state.has_closed(session):
            return VenuePhase.OVER
        if state.session != session or state.step == 0:
            return VenuePhase.AHEAD
        return VenuePhase.CLOSING if state.step == LAST_STEP - 1 else VenuePhase.OPEN

    def buying_power(self, state: State) -> Decimal:
        prices: Mapping[str, Decimal] = {}
        if state.orders:
            prices = self._last_prices(max(order.session for order in state.orders.values()))
        return buying_power(state, prices, self.rules.margin_multiplier)

    def find(self, client_order_id: str) -> Order | None:
        with self._store.read() as connection:
            return self._store.find(connection, client_order_id)

    def orders(self, session: date) -> list[Order]:
        with self._store.read() as connection:
            return self._store.orders(connection, session)

    def fills(self, first: date, last: date) -> list[Fill]:
        with self._store.read() as connection:
            return self._store.fills(connection, first, last)

    def activities(self, first: date, last: date) -> list[Activity]:
        with self._store.read() as connection:
            return self._store.activities(connection, first, last)

    def _change(self, operation: Callable[[Books], None]) -> None:
        with self._store.change() as connection:
            books = Books(self._store.locked(connection))
            operation(books)
            transition = books.transition()
            self._store.save(connection, transition)
        self._store.remember(transition.after)

    def _check_legs_are_new(self, connection: sa.Connection, request: OrderRequest) -> None:
        if request.order_type is not OrderType.BRACKET:
            return
        for suffix in (TAKE_PROFIT_SUFFIX, STOP_LOSS_SUFFIX):
            if self._store.find(connection, request.client_order_id + suffix) is not None:
                raise Refused("duplicate_client_order_id", f"client_order_id of the leg {suffix} must be unique")

    def _commit(self, state: State, books: Books) -> bool:
        """Save what was done to `state`, unless the stored books have moved on since."""
        with self._store.change() as connection:
            if self._store.locked(connection).next_number != state.next_number:
                return False
            transition = books.transition()
            self._store.save(connection, transition)
        self._store.remember(transition.after)
        return True

    def _run_moves(self, session: date, moves_of: Callable[[State], list[_Begin | _Finish]]) -> bool:
        while True:
            state = self.state()
            moves = moves_of(state)
            if not moves:
                return state.session == session and not state.has_closed(session)
            books = Books(state)
            self._apply(books, moves)
            if self._commit(state, books):
                return True

    def _moves_before(self, state: State, session: date) -> list[_Begin | _Finish]:
        """An order for a later session moves the clock there, once the current one has closed."""
        done = state.session is None or (state.step == LAST_STEP and state.session < session)
        if done and all(order.session >= session for order in state.orders.values()):
            return self._moves(state, session)
        return []

    def _moves_to_morning(self, state: State, session: date) -> list[_Begin | _Finish]:
        if state.session is not None and state.session >= session:
            return []
        if any(order.session < session for order in state.orders.values()):
            return []
        return self._moves(state, session)

    def _moves(self, state: State, session: date) -> list[_Begin | _Finish]:
        """Every session between the clock and `session`, each finished and the next one entered."""
        moves: list[_Begin | _Finish] = []
        resting = {order.session for order in state.orders.values()}
        later = [session]
        if state.session is not None:
            assert state.session < session, (state.session, session)
            if state.step < LAST_STEP:
                moves.append(_Finish(self._data.bars(state.session) if state.session in resting else None))
            later = self._calendar.sessions(state.session, session)[1:]
        for day in later:
            marks = self._last_prices(day) if day == session else {}
            moves.append(_Begin(day, self._data.actions(day), marks))
            if day != session:
                moves.append(_Finish(self._data.bars(day) if day in resting else None))
        return moves

    def _apply(self, books: Books, moves: Sequence[_Begin | _Finish]) -> None:
        for move in moves:
            if isinstance(move, _Begin):
                opens = self._calendar.open_at(move.session)
                engine.begin_session(books, move.session, move.actions, move.marks, opens)
                continue
            assert books.session is not None
            times = self._times(books.session)
            if move.bars is None:
                engine.close_session(books, times.close)
                continue
            while books.step < LAST_STEP:
                engine.run_step(books, move.bars, self.rules, self._instruments, times)

    def _times(self, session: date) -> engine.StepTimes:
        return engine.StepTimes(self._calendar.open_at(session), self._calendar.close_at(session))

    def _last_prices(self, session: date, wanted: str | None = None) -> Mapping[str, Decimal]:
        """Last prices before `session`, read once; again when the one asked for is not among them."""
        if self._prices is None or self._prices[0] != session or (wanted and wanted not in self._prices[1]):
            self._prices = (session, self._data.last_prices(session))
        return self._prices[1]
