"""One account at Interactive Brokers as a `Broker`.

What belongs here: what is checked before anything is sent, and the order of questions that proves an
answer. What does not: the questions themselves (`reads`) and the sending (`sending`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from scizor_dagster.brokers.capabilities import IBKR_CAPABILITIES, with_auctions
from scizor_dagster.brokers.ibkr.connection import IbkrConnection, shared_connection
from scizor_dagster.brokers.ibkr.contracts import Contracts
from scizor_dagster.brokers.ibkr.orders import Seen, broker_fills, seen_open
from scizor_dagster.brokers.ibkr.reads import Reads
from scizor_dagster.brokers.ibkr.sending import Sending
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.brokers.ibkr.tws_clock import TwsClock
from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    PositionIntent,
    VenuePhase,
)
from scizor_dagster.errors import BrokerError, OrderRejected, OutcomeUnknown
from scizor_dagster.instruments import Instrument
from scizor_dagster.sessions import Clock, TradingCalendar

_CLOSING = {PositionIntent.BUY_TO_CLOSE: -1, PositionIntent.SELL_TO_CLOSE: 1}
_SESSION_IN_ID = re.compile(r"^[A-Za-z0-9]+_(\d{8})_")


class IbkrBroker:
    """A paper account behind a TWS or a Gateway; one with real money is refused.

    Args:
        settings: Where TWS is, and which account it must be logged in to.
        calendar: Of the market that is traded: sessions of orders and fills.
        instruments: By symbol: listing exchange and currency decide which contract a symbol means.
        clock: Now, in the session in which TWS is: its own time says whether an order trades, and when.
        connection: Shared by default with everything in this process that names the same TWS and client id.
    """

    def __init__(
        self,
        settings: IbkrSettings,
        calendar: TradingCalendar,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        connection: IbkrConnection | None = None,
    ) -> None:
        self._settings = settings
        self._calendar = calendar
        self._clock = clock
        self._connection = connection or shared_connection(settings)
        self._contracts = Contracts(self._connection, instruments, settings.currency)
        self._reads = Reads(self._connection, calendar)
        self._sending = Sending(self._connection)
        self._tws_clock = TwsClock(self._connection, self._reads, calendar, clock, settings.closing)
        self._sent: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What IBKR takes, and from which session on TWS shows every execution, and every order that has ended."""
        granted = with_auctions(IBKR_CAPABILITIES, granted=self._settings.auction_orders)
        fills_from = self._shown_from(self._settings.execution_days)
        return replace(granted, fills_from=fills_from, orders_from=self._shown_from(1))

    def identity(self) -> BrokerIdentity:
        """The account that TWS says it is logged in to.

        Raises:
            WrongAccount: it is another one than configured, or has real money.
        """
        self._connection.connect()
        return BrokerIdentity("ibkr", "paper", self._settings.account)

    def account(self) -> AccountState:
        """Cash, equity and buying power in the account's currency."""
        self._whole("account")
        return self._connection.ask(self._reads.account, "account")

    def positions(self) -> Sequence[BrokerPosition]:
        """Positions; complete where the list and the account's own portfolio agree."""
        self._whole("positions")
        return self._connection.ask(self._reads.positions, "positions")

    def submit(self, order: OrderRequest) -> BrokerOrder:
        """Send once. An id that this process has sent before is looked up instead.

        Raises:
            OrderRejected: refused here before sending, or by a code of the table.
            OutcomeUnknown: anything else, a connection that was not there included.
        """
        name = order.client_order_id
        self._refuse_here(order)
        try:
            if name in self._sent and (found := self.find(name)) is not None:
                return found
            self._whole("submit")
            self._refuse_other_session(order)
            now = self._clock()
            return self._connection.call(lambda: self._submit(order, now), f"order {name}")
        except (OrderRejected, OutcomeUnknown):
            raise
        except BrokerError as failure:
            raise OutcomeUnknown(name, failure.problem.rstrip(".")) from failure

    def find(self, client_order_id: str) -> BrokerOrder | None:
        """Look in open orders of all clients, in completed ones and in executions.

        None is a proof as far as TWS shows: all three answered completely while it reached its servers. An id of
        an earlier session can be absent there and have existed, and is never called absent.

        Raises:
            BrokerUnavailable: no proof either way, or several orders carry this id.
        """
        found = self._find(client_order_id)
        return found.order if found else None

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Orders of a session. IBKR names no session: that of an order's executions, else the current one."""
        self._whole("orders")
        now = self._clock()
        rows = self._connection.ask(lambda: self._reads.all_orders(now), "orders")
        return [row.order for row in rows if row.session == session]

    def open_orders(self) -> Sequence[BrokerOrder]:
        """Open orders of every client."""
        self._whole("open orders")
        trades = self._connection.ask(self._reads.open_trades, "open orders")
        now = self._clock()
        rows = [seen_open(trade, None, self._calendar, now).order for trade in trades]
        return [row for row in rows if not row.status.terminal]

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        """Fills with their commissions; corrections in place of what they correct.

        Raises:
            BrokerUnavailable: TWS no longer shows executions of `first`, or an answer is incomplete.
        """
        self._whole("fills")
        self._check_shown(first)
        executions, commissions = self._connection.ask(self._reads.fills, "fills")
        rows = broker_fills(executions, commissions, self._calendar)
        return [row for row in rows if first <= row.session <= last]

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:  # noqa: ARG002
        """None: the API of TWS tells of no dividend and no split; they show as differences of cash and positions."""
        return ()

    def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel; an order that has ended stays as it ended.

        Raises:
            OrderRejected: no order has this id.
            BrokerUnavailable: the order belongs to another client id, which alone may cancel it.
        """
        found = self._find(client_order_id)
        if found is None:
            raise OrderRejected(client_order_id, "order_not_found", "order not found")
        if found.order.status.terminal or found.trade is None:
            return
        if found.client_id != self._settings.client_id:
            raise self._connection.unavailable(
                f"order {client_order_id} belongs to client id {found.client_id}",
                remedy=f"Cancel it in TWS, or connect with client id {found.client_id}.",
            )
        self._connection.ask(lambda: self._sending.cancel(found.trade), f"cancel of {client_order_id}")

    def wait_for_news(self, seconds: float) -> None:
        """Return once TWS has pushed a status or an execution of any order, or after `seconds`.

        A hint and no more: what it pushed is read, and a connection that is gone only makes the wait the longer.
        """
        self._connection.wait_for_push(seconds)

    def now(self) -> datetime:
        """The time of TWS, read anew."""
        return self._tws_clock.now()

    def phase(self, session: date) -> VenuePhase:
        """By the time of TWS and the calendar: TWS has no books that could say otherwise."""
        return self._tws_clock.phase(session)

    def advance(self, session: date) -> bool:
        """A real venue moves by itself."""
        self._calendar.require(session)
        return False

    def close(self) -> None:
        """Disconnect. The next call connects again."""
        self._connection.close()

    def _find(self, client_order_id: str) -> Seen | None:
        self._whole("find")
        now = self._clock()
        rows = self._connection.ask(lambda: self._reads.all_orders(now, proven=True), "orders")
        self._connection.require_whole("find")
        found = [row for row in rows if row.order.client_order_id == client_order_id]
        if len(found) > 1:
            perm_ids = ", ".join(str(row.perm_id) for row in found)
            raise self._connection.unavailable(
                f"{len(found)} orders carry the reference {client_order_id}: permanent ids {perm_ids}",
                remedy="Look at them in TWS, and cancel what should not be there; nothing is sent for this id.",
            )
        if found:
            return found[0]
        self._check_provable(client_order_id)
        return None

    def _check_provable(self, client_order_id: str) -> None:
        """An id that names a session is absent only where TWS still shows all that has happened since its open."""
        match = _SESSION_IN_ID.match(client_order_id)
        if match is None:
            return
        session = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=self._calendar.timezone).date()
        since = self._midnight(1)
        if not self._calendar.is_session(session) or self._calendar.open_at(session) < since:
            raise self._connection.unavailable(
                f"order {client_order_id} is of session {session}, and TWS shows orders that ended since {since}",
                remedy="Look it up in the account's statement. If it is over: scizor end-order ID --reason TEXT.",
            )

    def _check_shown(self, first: date) -> None:
        """Executions are complete from a session on that opened after the oldest midnight that TWS goes back to."""
        since = self._midnight(self._settings.execution_days)
        if self._calendar.open_at(self._calendar.session_on_or_after(first)) < since:
            raise self._connection.unavailable(
                f"executions of {first} are asked for, and TWS shows those since {since}",
                remedy="Have TWS show more days in its trade log, and set execution_days to as many.",
            )

    def _shown_from(self, days: int) -> date:
        """The first session that opens after the midnight from which on TWS shows what has happened."""
        since = self._midnight(days)
        first = self._calendar.session_on_or_after(since.date())
        return first if self._calendar.open_at(first) >= since else self._calendar.next_session(first)

    def _midnight(self, days: int) -> datetime:
        """Where TWS begins to show what has happened: a midnight in its own time zone."""
        today = self._clock().astimezone(ZoneInfo(self._settings.time_zone))
        return today.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)

    def _refuse_here(self, order: OrderRequest) -> None:
        name = order.client_order_id
        if order.qty != order.qty.to_integral_value() or order.qty <= 0:
            raise OrderRejected(name, "whole_shares", f"IBKR trades whole shares through its API, not {order.qty:f}")

    def _refuse_other_session(self, order: OrderRequest) -> None:
        session = self._tws_clock.session()
        if order.session != session:
            text = f"the order is for {order.session}, and one that is sent now trades in {session}; nothing was sent"
            raise OrderRejected(order.client_order_id, "invalid_session", text)

    async def _submit(self, order: OrderRequest, now: datetime) -> BrokerOrder:
        name = order.client_order_id
        contract = await self._contracts.only_one(order.symbol)
        if isinstance(contract, list):
            many = f"{len(contract)} contracts" if contract else "no contract"
            raise OrderRejected(name, "200", f"{order.symbol} names {many} at IBKR")
        await self._check_held(order)
        self._sent.add(name)
        trade = await self._sending.send(order, contract)
        return self._acknowledged(order, trade, now)

    async def _check_held(self, order: OrderRequest) -> None:
        """IBKR would cross zero without a word: an order that closes must find what it closes."""
        sign = _CLOSING.get(order.intent)
        if sign is None:
            return
        held = await self._reads.held(order.symbol)
        if held * sign < order.qty:
            text = f"{held:f} {order.symbol} are held, and the order closes {order.qty:f}"
            raise OrderRejected(order.client_order_id, "insufficient_qty", text)

    def _acknowledged(self, order: OrderRequest, trade: Any, now: datetime) -> BrokerOrder:
        """The broker's answer in the words of the request: the reply says no more than that it was taken."""
        seen = seen_open(trade, None, self._calendar, now)
        if seen.order.qty != Decimal(order.qty):
            raise OutcomeUnknown(order.client_order_id, f"IBKR acknowledged {seen.order.qty:f} shares")
        return seen.order

    def _whole(self, what: str) -> None:
        self._connection.connect()
        self._connection.require_whole(what)
