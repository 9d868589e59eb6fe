"""One account at the embedded exchange: the engine's operations over stored books and session data.

What belongs here: which operations run, in what order, in which transaction. What does not: the
words of a particular door (`brokers.paper` speaks the broker protocol).

Data of the market is read before the write transaction begins; when another process has changed the
books in between, the operation starts over on the new ones. The exchange's clock only moves forward:
past a session with resting orders once its bars are there, or once it is known to have had none.
Actions that became known too late are put right on every move of the clock, and by asking for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderRequest, OrderType, VenuePhase
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.buying_power import buying_power
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar, SessionData
from scizor_dagster.paper_exchange.late import KNOWN_WITHIN, History, apply_late, missing, suspects
from scizor_dagster.paper_exchange.model import LAST_STEP, Activity, Books, Fill, Order, Rules, State
from scizor_dagster.paper_exchange.rules import STOP_LOSS_SUFFIX, TAKE_PROFIT_SUFFIX, Market
from scizor_dagster.paper_exchange.store import BookStore
from scizor_dagster.paper_exchange.venue_orders import Refused
from scizor_dagster.sessions import TradingCalendar


@dataclass(frozen=True, slots=True)
class _Begin:
    """One session to enter, with what takes effect before its open."""

    session: date
    actions: Sequence[SessionAction]
    marks: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class _Finish:
    """The current session, to be run to its close; without bars, because none trade, its orders expire."""

    bars: Mapping[str, SessionBar] | None


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the current session."""

    bars: Mapping[str, SessionBar]


@dataclass(frozen=True, slots=True)
class _Late:
    """Actions that the books lack, with what they are put into."""

    actions: Sequence[SessionAction]
    histories: Mapping[str, History]
    prices: Mapping[str, Decimal]


_Move = _Begin | _Finish | _Step | _Late


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
        state = self._run(session, lambda state: self._moves_to_morning(state, session))
        return state.session == session and not state.has_closed(session)

    def advance(self, session: date) -> bool:
        """Take one step of `session`; sessions before it are closed first. True while more may follow.

        Nothing moves while the bars of `session`, or of an earlier one with resting orders, are not
        there. A session that has passed without trading is closed, and its orders expire.
        """
        state = self._run(session, lambda state: self._moves_of_step(state, session))
        return state.session == session and 0 < state.step < LAST_STEP and self._bars(session) is not None

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

    def _run(self, session: date, moves_of: Callable[[State], Sequence[_Move]]) -> State:
        """Carry out the moves that the books call for; the books after them."""
        while True:
            state = self.state()
            self._require(state, session)
            moves = moves_of(state)
            if not moves:
                return state
            books = Books(state)
            self._apply(books, moves)
            if self._commit(state, books):
                return books.state()

    def _require(self, state: State, session: date) -> None:
        """Refuse what never was a session; one that the calendar has dropped since is still the books'."""
        resting = any(order.session == session for order in state.orders.values())
        if not resting and not state.has_closed(session):
            self._calendar.require(session)

    def _bars(self, session: date) -> Mapping[str, SessionBar] | None:
        return self._data.bars(session) if self._calendar.is_session(session) else None

    def _never_trades(self, session: date) -> bool:
        return not self._calendar.is_session(session) or self._data.passed_without_trading(session)

    def _moves_before(self, state: State, session: date) -> Sequence[_Move]:
        """An order for a later session moves the clock there, once the current one has closed."""
        done = state.session is None or (state.step == LAST_STEP and state.session < session)
        return (self._moves(state, session) or ()) if done and self._is_free_before(state, session) else ()

    def _moves_to_morning(self, state: State, session: date) -> Sequence[_Move]:
        if state.session is None or state.session < session:
            moves = self._moves(state, session) if self._is_free_before(state, session) else None
            if moves is not None:
                return moves
        return self._late(state)

    def _moves_of_step(self, state: State, session: date) -> Sequence[_Move]:
        if not state.has_closed(session):
            bars = self._bars(session)
            resting = any(order.session == session for order in state.orders.values())
            if bars is not None or (resting and self._never_trades(session)):
                moves = [] if state.session == session else self._moves(state, session)
                if moves is not None:
                    return [*moves, _Finish(None) if bars is None else _Step(bars)]
        return self._late(state)

    def _is_free_before(self, state: State, session: date) -> bool:
        """Whether no order rests for an earlier session that may still trade."""
        earlier = {order.session for order in state.orders.values() if order.session < session}
        return all(self._never_trades(day) for day in earlier)

    def _moves(self, state: State, session: date) -> list[_Move] | None:
        """Every session between the clock and `session`, each finished and the next one entered.

        None while orders rest for one of them whose bars are still to come.
        """
        moves: list[_Move] = list(self._late(state))
        resting = {order.session for order in state.orders.values()}
        days = {session}
        if state.session is not None:
            assert state.session < session, (state.session, session)
            days |= {day for day in resting if state.session < day < session}
            days |= set(self._calendar.sessions(state.session + timedelta(days=1), session))
            if state.step < LAST_STEP:
                moves.append(_Finish(self._bars(state.session) if state.session in resting else None))
        previous = state.session
        for day in sorted(days):
            marks = self._last_prices(day) if day == session else {}
            moves.append(_Begin(day, self._actions(previous, day), marks))
            previous = day
            if day != session:
                moves.append(_Finish(self._bars(day) if day in resting else None))
        waits = [day for day in resting if day < session and self._bars(day) is None and not self._never_trades(day)]
        return None if waits else moves

    def _actions(self, previous: date | None, day: date) -> Sequence[SessionAction]:
        """Actions of a morning, those dated on days without a session before it among them."""
        nights = (day - previous).days if previous is not None else 1
        found: list[SessionAction] = []
        for back in reversed(range(nights)):
            found.extend(self._data.actions(day - timedelta(days=back)))
        return found

    def _late(self, state: State) -> list[_Late]:
        """What the store knows by now of the sessions that the clock has passed, and the books do not."""
        if state.session is None:
            return []
        with self._store.read() as connection:
            firsts = self._store.first_fills(connection)
        if not firsts:
            return []
        first = max(min(firsts.values()), state.session - KNOWN_WITHIN)
        known = self._data.actions_between(first, state.session, firsts.keys())
        # On the morning of its first fill nothing of an instrument is held.
        stored = [action for action in known if action.session > firsts[action.symbol]]
        if not stored:
            return []
        first = min(action.session for action in stored)
        with self._store.read() as connection:
            trades = self._store.trades_since(connection, {action.symbol for action in stored}, first)
            activities = self._store.activities(connection, first, date.max)
            names = suspects(stored, state.positions, trades, activities)
            histories = self._store.histories(connection, names) if names else {}
        lacking = missing([action for action in stored if action.symbol in names], histories)
        return [_Late(lacking, histories, self._prices_now(state))] if lacking else []

    def _prices_now(self, state: State) -> Mapping[str, Decimal]:
        """Last prices where the clock stands, in the units of its session."""
        assert state.session is not None
        prices = dict(self._data.last_prices(state.session))
        bars = self._bars(state.session) if state.step == LAST_STEP else None
        return prices | {symbol: bar.close for symbol, bar in (bars or {}).items()}

    def _apply(self, books: Books, moves: Sequence[_Move]) -> None:
        for move in moves:
            if isinstance(move, _Begin):
                opens = self._times(move.session).open
                engine.begin_session(books, move.session, move.actions, move.marks, opens)
                continue
            assert books.session is not None
            times = self._times(books.session)
            if isinstance(move, _Late):
                apply_late(books, move.actions, move.histories, move.prices, times.at(books.step))
            elif isinstance(move, _Step):
                engine.run_step(books, move.bars, self.rules, self._instruments, times)
            elif move.bars is None:
                engine.close_session(books, times.close)
            else:
                while books.step < LAST_STEP:
                    engine.run_step(books, move.bars, self.rules, self._instruments, times)

    def _times(self, session: date) -> engine.StepTimes:
        if self._calendar.is_session(session):
            return engine.StepTimes(self._calendar.open_at(session), self._calendar.close_at(session))
        # A day that the calendar has dropped since orders were sent for it: nothing trades, only the date counts.
        midnight = datetime.combine(session, time(), self._calendar.timezone).astimezone(UTC)
        return engine.StepTimes(midnight, midnight)

    def _last_prices(self, session: date, wanted: str | None = None) -> Mapping[str, Decimal]:
        """Last prices before `session`, read once; again when the one asked for is not among them."""
        if self._prices is None or self._prices[0] != session or (wanted and wanted not in self._prices[1]):
            self._prices = (session, self._data.last_prices(session))
        return self._prices[1]
