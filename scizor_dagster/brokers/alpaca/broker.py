"""One account at Alpaca as a broker.

What belongs here: the broker protocol, call by call, and what is done about each outcome. What does not:
HTTP (`transport`), the meaning of a reply (`outcomes`), fields (`rows`), paging (`history`).

An account that is not plainly a paper account is read, and every order and cancel for it is refused before anything
is sent, unless it is the very one that was handed in as live (`AlpacaSettings.live_account`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from scizor_dagster.brokers.alpaca import history, non_trades, rows
from scizor_dagster.brokers.alpaca.outcomes import Outcome, outcome_of
from scizor_dagster.brokers.alpaca.pacing import Seconds, Wait
from scizor_dagster.brokers.alpaca.rows import Unreadable
from scizor_dagster.brokers.alpaca.settings import LIVE_URL, AlpacaSettings, Api
from scizor_dagster.brokers.alpaca.transport import NoReply, Reply, Transport
from scizor_dagster.brokers.alpaca.venue_clock import VenueClock
from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, with_auctions
from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    VenuePhase,
)
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from scizor_dagster.sessions import TradingCalendar

PAPER, LIVE = "paper", "live"
PAPER_ACCOUNT_PREFIX = "PA"
LIVE_KEY_PREFIX = "AK"
_ACTIVE = "ACTIVE"
_BLOCKS = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
_NOT_FOUND = 404
_NO_CONTENT_OR_TAKEN = 200
_TERMINAL_CANCEL = "order is already in"
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_FILL = ("FILL",)
_SIMPLE = (None, "", "simple")
_SAME_MOMENT = timedelta(seconds=2)


class AlpacaBroker:
    """See `brokers.protocol.Broker`.

    Args:
        monotonic: Seconds that only grow; paces requests and ages the broker's clock.
        wall: Seconds of the machine's clock; they age the broker's too, for a machine that was suspended.
        wait: Called with seconds, returns after them.
    """

    def __init__(
        self,
        settings: AlpacaSettings,
        calendar: TradingCalendar,
        *,
        monotonic: Seconds = time.monotonic,
        wall: Seconds = time.time,
        wait: Wait = time.sleep,
    ) -> None:
        self._settings = settings
        self._calendar = calendar
        self._wait = wait
        self._trading = Transport(Api.TRADING, settings, monotonic, wait)
        self._data = Transport(Api.DATA, settings, monotonic, wait)
        self._clock = VenueClock(
            self._trading,
            calendar,
            monotonic=monotonic,
            wall=wall,
            max_age=settings.clock_max_age,
            closing=settings.closing,
        )
        self._identity: BrokerIdentity | None = None
        self._blocked: str | None = None
        self._names: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections."""
        self._trading.close()
        self._data.close()

    @property
    def capabilities(self) -> Capabilities:
        return with_auctions(ALPACA_CAPABILITIES, granted=self._settings.auction_orders)

    def identity(self) -> BrokerIdentity:
        """The account's number, and `paper` only where address, keys and number all say so."""
        row = self._account()
        with _reading("account"):
            number = rows.text(row, "account_number")
        is_paper = (
            self._settings.url.rstrip("/") != LIVE_URL
            and not self._settings.key_id.startswith(LIVE_KEY_PREFIX)
            and number.startswith(PAPER_ACCOUNT_PREFIX)
        )
        self._blocked = _blocked(row)
        self._identity = BrokerIdentity("alpaca", PAPER if is_paper else LIVE, number)
        return self._identity

    def account(self) -> AccountState:
        row = self._account()
        with _reading("account"):
            return AccountState(
                cash=rows.decimal(row, "cash"),
                equity=rows.decimal(row, "equity"),
                buying_power=rows.decimal(row, "buying_power"),
                currency=rows.text(row, "currency"),
                as_of=self._clock.now(),
            )

    def positions(self) -> Sequence[BrokerPosition]:
        """Every position; an empty list is believed only where the account shows no value in positions."""
        body = self._trading.read("/positions", what="positions").body
        with _reading("positions"):
            if not isinstance(body, list):
                raise Unreadable("the answer is no list")
            found = [rows.position(row) for row in body]
        if not found:
            self._check_flat()
        return found

    def submit(self, order: OrderRequest) -> BrokerOrder:
        """Send once; the same order again is answered with the one that exists."""
        self._check_may_send(order)
        try:
            reply = self._trading.send("POST", "/orders", rows.order_body(order))
        except NoReply as failure:
            raise OutcomeUnknown(order.client_order_id, str(failure)) from failure
        outcome = outcome_of(reply)
        if outcome is Outcome.REJECTED:
            raise OrderRejected(order.client_order_id, str(reply.code), reply.message)
        if outcome is Outcome.DUPLICATE:
            return self._existing(order)
        if outcome is not Outcome.ACCEPTED:
            raise OutcomeUnknown(order.client_order_id, f"HTTP {reply.status}: {reply.message}")
        return self._acknowledged(order, reply.body)

    def find(self, client_order_id: str) -> BrokerOrder | None:
        """Look an order up; None after several looks, for a request that was cut off may still be under way."""
        for look in range(self._settings.absence_looks):
            if look:
                self._wait(self._settings.absence_wait)
            row = self._look_up(client_order_id)
            if row is not None:
                with _reading("order"):
                    return self._remember(rows.order(row, strict=True))
        return None

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Orders by the session that traded, or opened next, when they were submitted."""
        self._calendar.require(session)
        first = self._calendar.close_at(self._calendar.previous_session(session))
        last = self._calendar.close_at(session)
        with _reading("orders"):
            listed = history.orders(self._trading, status="all", after=first, until=last)
            # A leg goes with its entry, whenever it woke.
            own = [row for row in listed if first <= rows.submitted_at(row) < last]
        return self._family(own)

    def open_orders(self) -> Sequence[BrokerOrder]:
        listed = history.orders(self._trading, status="open", after=None, until=None)
        return [row for row in self._family(listed) if not row.status.terminal]

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        after, until = self._midnight(first), self._midnight(last + _DAY)
        listed = history.activities(self._trading, _FILL, after - _TICK, until - _TICK)
        with _reading("fills"):
            unnamed = {rows.text(row, "order_id") for row in listed} - self._names.keys()
            if unnamed:
                self._learn_names(listed, unnamed)
            return [rows.fill(row, self._names[row["order_id"]], self._calendar) for row in rows.newest(listed)]

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        # An activity of a day without a session belongs to the next one.
        begin = self._calendar.previous_session(first) + _DAY
        after, until = self._midnight(begin), self._midnight(last + _DAY)
        listed = history.activities(self._trading, non_trades.TYPES, after - _TICK, until - _TICK)
        with _reading("activities"):
            found = non_trades.activities(listed, self._data, self._calendar)
        return [row for row in found if first <= row.session <= last]

    def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel; an order that has ended stays as it ended.

        Raises:
            OrderRejected: no order has this id, or the account is live and not the one that is pinned as such.
            BrokerUnavailable: whether the cancel has arrived is not known.
        """
        self._refuse_live(client_order_id)
        row = self._look_up(client_order_id)
        if row is None:
            raise OrderRejected(client_order_id, "order_not_found", "order not found")
        with _reading("order"):
            found = rows.order(row)
        if found.status.terminal:
            return
        try:
            reply = self._trading.send("DELETE", f"/orders/{found.broker_order_id}")
        except NoReply as failure:
            raise _cancel_unknown(client_order_id, str(failure)) from failure
        if not _is_taken(reply):
            raise _cancel_unknown(client_order_id, f"HTTP {reply.status}: {reply.message}")

    def wait_for_news(self, seconds: float) -> None:
        """Return after `seconds`. Its stream is not listened to: one listener an account may be somebody else's."""
        self._wait(seconds)

    def now(self) -> datetime:
        """The broker's time, read anew."""
        return self._clock.now()

    def phase(self, session: date) -> VenuePhase:
        return self._clock.phase(session)

    def advance(self, session: date) -> bool:  # noqa: ARG002 - the venue moves by itself
        return False

    def _account(self) -> Mapping[str, Any]:
        body = self._trading.read("/account", what="account").body
        return _object(body, "account")

    def _check_flat(self) -> None:
        row = self._account()
        with _reading("account"):
            value = rows.decimal(row, "long_market_value") - rows.decimal(row, "short_market_value")
            if value != 0:
                raise Unreadable(f"the list is empty, and the account holds {value} in positions")

    def _refuse_live(self, client_order_id: str) -> None:
        identity = self._identity or self.identity()
        if identity.environment != PAPER and identity.account_id != self._settings.live_account:
            raise OrderRejected(
                client_order_id,
                "live_account",
                f"account {identity.account_id} is live and not pinned as such; nothing was sent",
            )

    def _check_may_send(self, order: OrderRequest) -> None:
        try:
            self._refuse_live(order.client_order_id)
            session = self._clock.session()
        except BrokerUnavailable as failure:
            raise OutcomeUnknown(order.client_order_id, f"nothing was sent: {failure.problem}") from failure
        if self._blocked is not None:
            raise OrderRejected(
                order.client_order_id,
                "account_blocked",
                f"the account may not trade: {self._blocked}; nothing was sent",
            )
        if order.session != session:
            raise OrderRejected(
                order.client_order_id,
                "other_session",
                f"the order is for {order.session.isoformat()}, and an order that is sent now trades in "
                f"{session.isoformat()}; nothing was sent",
            )

    def _acknowledged(self, order: OrderRequest, row: Mapping[str, Any]) -> BrokerOrder:
        try:
            wrong = rows.difference(order, row)
            found = rows.order(row, strict=True)
        except Unreadable as error:
            raise OutcomeUnknown(order.client_order_id, f"the reply cannot be read: {error}") from error
        if wrong is not None or found.client_order_id != order.client_order_id:
            raise OutcomeUnknown(order.client_order_id, f"the reply is about another order: {wrong or found}")
        return self._remember(found)

    def _existing(self, order: OrderRequest) -> BrokerOrder:
        """The order that has this id already, where it is the same one."""
        try:
            row = self._look_up(order.client_order_id)
            wrong = rows.difference(order, row) if row is not None else "it cannot be found"
            if row is None or wrong is not None:
                raise OutcomeUnknown(order.client_order_id, f"an order with this id exists, and {wrong}")
            return self._remember(rows.order(row, strict=True))
        except (BrokerUnavailable, Unreadable) as failure:
            problem = f"an order with this id exists, and it cannot be read: {failure}"
            raise OutcomeUnknown(order.client_order_id, problem) from failure

    def _look_up(self, client_order_id: str) -> Mapping[str, Any] | None:
        query = {"client_order_id": client_order_id}
        reply = self._trading.read("/orders:by_client_order_id", query, what="order", absent=True)
        if reply.status == _NOT_FOUND:
            if reply.code is None:
                raise BrokerUnavailable(
                    f"Alpaca answered 404 without a code for order {client_order_id}: {reply.message}.",
                    remedy="Nothing was concluded from it. Check the address, and run again.",
                )
            return None
        return _object(reply.body, "order")

    def _family(self, listed: Sequence[Mapping[str, Any]]) -> list[BrokerOrder]:
        """Orders and their legs, each leg with its parent, also where it is listed without it."""
        found = self._remembered(listed)
        alone = {row["id"] for row in listed if row.get("order_class") not in _SIMPLE and not row.get("legs")}
        if not alone:
            return found
        # The legs of an entry that has ended come without it. They were born in its instant.
        with _reading("orders"):
            born = [rows.instant(row, "created_at") for row in listed if row["id"] in alone]
        first, last = min(born) - _SAME_MOMENT, max(born) + _SAME_MOMENT
        again = self._remembered(history.orders(self._trading, status="all", after=first, until=last))
        parents = {row.broker_order_id: row for row in again if row.parent_client_order_id}
        return [parents.get(row.broker_order_id, row) if row.broker_order_id in alone else row for row in found]

    def _remembered(self, listed: Sequence[Mapping[str, Any]]) -> list[BrokerOrder]:
        with _reading("orders"):
            return [self._remember(rows.order(row, parent)) for row, parent in history.with_legs(listed)]

    def _learn_names(self, listed: Sequence[Mapping[str, Any]], unnamed: set[str]) -> None:
        """Client order ids of orders that filled: from the sessions of the fills, else one by one."""
        days = [rows.trade_session(rows.instant(row, "transaction_time"), self._calendar) for row in listed]
        first = self._calendar.close_at(self._calendar.previous_session(min(days)))
        last = self._calendar.close_at(max(days))
        self._remembered(history.orders(self._trading, status="all", after=first, until=last))
        for order_id in sorted(unnamed - self._names.keys()):
            row = self._trading.read(f"/orders/{order_id}", {"nested": "true"}, what="order").body
            self._remembered([_object(row, "order")])
            if order_id not in self._names:
                raise Unreadable(f"order {order_id} is answered with another one")

    def _remember(self, order: BrokerOrder) -> BrokerOrder:
        self._names[order.broker_order_id] = order.client_order_id
        return order

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._calendar.timezone)


def _blocked(row: Mapping[str, Any]) -> str | None:
    """Why the account takes no orders, in the broker's own words; None where it does."""
    if row.get("status") != _ACTIVE:
        return f"status is {row.get('status')}"
    return next((name for name in _BLOCKS if row.get(name) is True), None)


def _object(body: Any, what: str) -> Mapping[str, Any]:
    with _reading(what):
        if not isinstance(body, Mapping):
            raise Unreadable("the answer is no object")
        return body


def _is_taken(reply: Reply) -> bool:
    """Whether a cancel was taken, or came too late to matter."""
    if reply.status == _NO_CONTENT_OR_TAKEN:
        return True
    return reply.code is not None and _TERMINAL_CANCEL in reply.message


def _cancel_unknown(client_order_id: str, cause: str) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"Whether Alpaca has taken the cancel of {client_order_id} is not known: {cause}.",
        remedy="The next look at the order shows it, and asks again where it is still open.",
    )


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise BrokerUnavailable(
            f"Alpaca's answer cannot be read ({what}): {error}.",
            remedy="Nothing was concluded from it. Run again; if it stays so, the API has changed.",
        ) from error
