"""The continuous session: bringing one account's books to an instant.

What belongs here: the order of what happens (sessions, their grid, arrivals, closes), fills and
expiries. What does not: taking and changing orders (`desk`), corporate actions (`venue_overnight`),
prices (`meeting`, `price_path`).

What happens depends on the venue's instants alone: an order meets the price when it arrives and then at
every instant of the grid, whenever the books are brought there. A session whose bars are not there is
not worked: its orders rest, and the books stay before it, until they are, or until it is known to have
passed without trading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from hashlib import sha256

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import QUANTITY_STEP
from scizor_dagster.paper_exchange.families import AT_ONCE, after_fill, cancel_family, cancel_with_children
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.matching import impact
from scizor_dagster.paper_exchange.meeting import may_trade, meet
from scizor_dagster.paper_exchange.model import PRICE_STEP, Rules
from scizor_dagster.paper_exchange.order_entry import HouseRules
from scizor_dagster.paper_exchange.price_path import Hours, PricePath
from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_margin import equity, maintenance_margin
from scizor_dagster.paper_exchange.venue_orders import ZERO, Duration, EventKind, House, Status, VenueOrder
from scizor_dagster.paper_exchange.venue_overnight import apply_actions

NOT_ARRIVED = (Status.ACCEPTED, Status.PENDING_NEW)
_EXITS = (PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE)
_DRAWS = 2**32

Halted = Callable[[str, datetime], bool]
"""Whether a symbol is halted at an instant."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What every account is brought forward with. Holds no state of its own."""

    market: MarketView
    rules: Rules
    houses: Mapping[House, HouseRules]
    halted: Halted

    def advance(self, books: VenueBooks, now: datetime) -> None:
        """Let happen what happens until `now`."""
        self._skip_idle(books, now)
        while self._work(books, now):
            following = self.market.calendar.next_session(books.session)
            opens = self.market.hours(following).open
            self._expire_until(books, min(now, opens))
            if opens > now:
                books.at = max(books.at, now)
                return
            self._enter(books, following)

    def arrive(self, books: VenueBooks, order: VenueOrder, at: datetime) -> None:
        """Let an order of a running session meet the price for the first time."""
        order = books.put(replace(order, status=Status.NEW, updated_at=at))
        books.tell(EventKind.NEW, order, at)
        self.work(books, order, at, at)
        current = books.orders.get(order.order_id)
        if current is not None and current.ticket.duration in AT_ONCE:
            cancel_with_children(books, current, at, "not filled at once")

    def work(self, books: VenueBooks, order: VenueOrder, start: datetime, at: datetime) -> None:
        """Let a live order meet the path from `start` to `at`."""
        path = self.market.path(books.session, order.ticket.symbol)
        if path is None or path.bar.volume == 0 or self.halted(order.ticket.symbol, at):
            return
        limit = self.houses[books.house].limit_of(order)
        found = meet(order, path, start, at, self.market, limit)
        if found.order is not order:
            order = self._updated(books, order, found.order, at)
        if found.price is not None:
            self._fill(books, order, found.price, limit, path, at)

    def _updated(self, books: VenueBooks, before: VenueOrder, after: VenueOrder, at: datetime) -> VenueOrder:
        if after.triggered and before.status is Status.HELD:
            after = replace(after, status=Status.NEW, updated_at=at)
            books.tell(EventKind.NEW, after, at)
        return books.put(after)

    def _fill(
        self, books: VenueBooks, order: VenueOrder, price: Decimal, limit: Decimal | None, path: PricePath, at: datetime
    ) -> None:
        if order.qty is None:
            # At the price to which the whole of it moves the market: it costs no more than its amount.
            whole = self.sized(books, order, price)
            order = self.sized(books, order, self._price(whole, whole.remaining, price, limit, path.bar.volume))
        most = self._closable(books, order)
        qty = min(self._quantity(books, order, path, at), most)
        if qty > ZERO and not (order.ticket.duration is Duration.FOK and qty < order.remaining):
            order = self.execute(books, order, qty, self._price(order, qty, price, limit, path.bar.volume), at)
            most -= qty
        if most <= ZERO and not order.status.terminal:
            cancel_family(books, order, at, "there is nothing left to close")

    def _closable(self, books: VenueBooks, order: VenueOrder) -> Decimal:
        """How much of an order may fill: of an exit at a house where no order crosses zero, what there is to close.

        What a leg was to close may have been closed by hand while its entry was filling.
        """
        if self.houses[books.house].may_cross_zero or order.intent not in _EXITS:
            return order.remaining
        held = books.held(order.ticket.symbol)
        return min(order.remaining, max(ZERO, -order.ticket.side.sign * held))

    def sized(self, books: VenueBooks, order: VenueOrder, price: Decimal) -> VenueOrder:
        """An order for an amount of money with its shares at `price`: of an exit no more than there are."""
        if order.qty is not None:
            return order
        assert order.ticket.notional is not None
        qty = (order.ticket.notional / price).quantize(QUANTITY_STEP, ROUND_DOWN)
        if order.intent in _EXITS:
            qty = min(qty, abs(books.held(order.ticket.symbol)))
        return replace(order, qty=qty)

    def execute(self, books: VenueBooks, order: VenueOrder, qty: Decimal, price: Decimal, at: datetime) -> VenueOrder:
        """Fill `qty` of an order, with its commission, and what follows for its family."""
        filled = books.fill(order, qty, price, self._commission(books, order, qty, price), at)
        after_fill(books, filled, qty, at, self._live_from)
        return filled

    def _live_from(self, order: VenueOrder, at: datetime) -> datetime:
        """From when on an order trades whose parent has filled: one for an auction, in the auction of its session."""
        if order.ticket.duration is Duration.CLS and order.expires_at is not None:
            return max(at, order.expires_at)
        if order.ticket.duration is Duration.OPG and order.expires_at is not None:
            return max(at, self.market.hours(self.market.session_at(order.expires_at)).open)
        return at

    def _price(
        self, order: VenueOrder, qty: Decimal, price: Decimal, limit: Decimal | None, volume: Decimal
    ) -> Decimal:
        side = order.ticket.side
        moved = price * (1 + side.sign * impact(qty, volume, self.rules))
        paid = moved.quantize(PRICE_STEP, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR)
        if limit is not None:
            paid = min(paid, limit) if side is Side.BUY else max(paid, limit)
        return max(paid, PRICE_STEP)

    def _quantity(self, books: VenueBooks, order: VenueOrder, path: PricePath, at: datetime) -> Decimal:
        """What volume leaves of the order now, in lots where the order is in lots."""
        traded = max(path.volume(at), path.bar.volume * self.rules.opening_share)
        free = traded * self.rules.max_participation - books.taken.get(order.ticket.symbol, ZERO)
        lot = self.market.instruments[order.ticket.symbol].lot
        in_lots = order.remaining % lot == 0
        free = free // lot * lot if in_lots else free.quantize(QUANTITY_STEP, ROUND_DOWN)
        qty = min(order.remaining, free)
        if qty > lot and self._is_cut(books, order, at):
            half = qty / 2
            qty = half // lot * lot if in_lots else half.quantize(QUANTITY_STEP, ROUND_DOWN)
        return qty

    def _is_cut(self, books: VenueBooks, order: VenueOrder, at: datetime) -> bool:
        if self.rules.partial_fill_share == 0:
            return False
        text = f"{self.rules.seed}/{books.account}/{order.number}/{at.isoformat()}"
        drawn = int.from_bytes(sha256(text.encode()).digest()[:4], "big")
        return drawn < self.rules.partial_fill_share * _DRAWS

    def _commission(self, books: VenueBooks, order: VenueOrder, qty: Decimal, price: Decimal) -> Decimal:
        """The order's commission with this fill, less what its earlier fills have paid."""
        house = self.houses[books.house]
        instrument = self.market.instruments[order.ticket.symbol]
        before = order.filled_qty * (order.average_price or ZERO)
        paid = house.commission(instrument, order.filled_qty, before) if order.filled_qty else ZERO
        due = house.commission(instrument, order.filled_qty + qty, before + qty * price)
        return max(ZERO, due - paid)

    def _skip_idle(self, books: VenueBooks, now: datetime) -> None:
        """An account without orders and positions need not walk through every session."""
        if books.orders or books.positions:
            return
        session = self.market.session_at(now)
        if session > books.session:
            books.session, books.at, books.taken = session, max(books.at, self.market.hours(session).open), {}
            books.last_equity, books.last_maintenance_margin = books.cash, ZERO

    def _work(self, books: VenueBooks, now: datetime) -> bool:
        """Work the current session until `now`; False while its bars are to come."""
        hours = self.market.hours(books.session)
        until = min(now, hours.close)
        while (at := self._next(books, hours, until)) is not None and at <= until:
            if not self._is_known(books.session):
                return False
            self._instant(books, hours, at)
            books.at = max(books.at, at)
        return True

    def _is_known(self, session: date) -> bool:
        return self.market.bars(session) is not None or self.market.passed_without_trading(session)

    def _next(self, books: VenueBooks, hours: Hours, until: datetime) -> datetime | None:
        """Next instant of the session at which anything can happen to an order; one after `until` may be too early."""
        instants: list[datetime] = []
        following = hours.next_after(books.at) or hours.close
        for order in books.orders.values():
            if order.live_at is None or order.live_at > hours.close or order.is_stuck:
                continue
            if order.expires_at is not None and max(books.at, hours.open) < order.expires_at < hours.close:
                instants.append(order.expires_at)
            if order.status in NOT_ARRIVED:
                instants.append(order.live_at)
            elif books.at < hours.close:
                step = following if order.live_at <= books.at else hours.first_from(order.live_at) or hours.close
                # What a price does to an order is asked only where its step is reached.
                instants.append(step if step > until or self._is_restless(books, order) else hours.close)
        return min(instants, default=None)

    def _is_restless(self, books: VenueBooks, order: VenueOrder) -> bool:
        path = self.market.path(books.session, order.ticket.symbol)
        if path is None:
            # Without the session's bars nothing is known; with them, the instrument does not trade.
            return self.market.bars(books.session) is None
        return may_trade(order, path, self.market, self.houses[books.house].limit_of(order))

    def _instant(self, books: VenueBooks, hours: Hours, at: datetime) -> None:
        on_grid = at > books.at and hours.first_from(at) == at
        before = hours.last_before(at)
        for order in sorted(books.orders.values(), key=lambda row: row.number):
            current = books.orders.get(order.order_id)
            if current is None or current.live_at is None or current.live_at > at or current.is_stuck:
                continue
            if current.status in NOT_ARRIVED:
                self.arrive(books, current, at)
            elif on_grid and current is order:
                # What another order has changed at this instant meets the price at the next.
                self.work(books, current, max(before, min(current.live_at, at)), at)
        self._expire_until(books, at)

    def _expire_until(self, books: VenueBooks, until: datetime) -> None:
        """End what has come to the end of its time: DAY orders at the close, others on their day."""
        ending = [row for row in books.orders.values() if row.expires_at is not None and not row.is_stuck]
        due = [row for row in ending if row.expires_at is not None and row.expires_at <= until]
        for order in sorted(due, key=lambda row: (row.live_at is None, row.number)):
            current = books.orders.get(order.order_id)
            if current is not None and current.expires_at is not None:
                reason = self._expiry_reason(books, current)
                cancel_with_children(books, current, current.expires_at, reason, Status.EXPIRED)

    def _expiry_reason(self, books: VenueBooks, order: VenueOrder) -> str:
        path = self.market.path(books.session, order.ticket.symbol)
        if path is None or path.bar.volume == 0:
            return "no trade in this session"
        if self.halted(order.ticket.symbol, path.hours.close):
            return "halted until the close"
        return "volume ran out" if order.filled_qty else "its price was not reached"

    def _enter(self, books: VenueBooks, session: date) -> None:
        """Leave the session that has closed, and do what happens before the next one opens."""
        closed = self.market.hours(books.session)

        def marks(symbol: str) -> Decimal | None:
            return self.market.mark(symbol, closed.session, closed.close)

        books.last_equity = equity(books, marks)
        books.last_maintenance_margin = maintenance_margin(books, marks, self.houses[books.house].rates)
        opens = self.market.hours(session).open
        symbols = set(books.positions) | {order.ticket.symbol for order in books.orders.values()}
        previous, books.session, books.taken = books.session, session, {}
        if symbols:
            found = self.market.actions_after(previous, session, symbols)
            apply_actions(books, found, opens, self.market)
