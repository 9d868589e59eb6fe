"""The embedded paper exchange as a broker: the default account, with no money and no network in it.

What belongs here: translation between the broker protocol and the exchange, and the meaning of its
refusals. What does not: rules, matching and books (`paper_exchange`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from scizor_dagster.brokers.capabilities import paper_capabilities
from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    OrderType,
    TimeInForce,
    VenuePhase,
)
from scizor_dagster.config import PaperAccount
from scizor_dagster.errors import BrokerError, BrokerUnavailable, InputError, OrderRejected, OutcomeUnknown
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionData
from scizor_dagster.paper_exchange.exchange import PaperExchange
from scizor_dagster.paper_exchange.model import Activity, Fill, Order, Role, Rules, StepKind
from scizor_dagster.paper_exchange.store import BookStore, Database, Opening
from scizor_dagster.paper_exchange.venue_orders import Refused
from scizor_dagster.sessions import Clock, TradingCalendar

ENVIRONMENT = "paper"
_LASTING = {StepKind.MARKET_ON_OPEN: TimeInForce.OPG, StepKind.MARKET_ON_CLOSE: TimeInForce.CLS}


class PaperBroker:
    """One account at the embedded exchange; it is created with its initial cash on first use.

    An order for a later session than the exchange's clock moves the clock to the morning of that
    session, once the current one has closed: splits and dividends take effect then. `begin` does so
    before any order, for a caller that plans on positions as they are on the morning.
    """

    def __init__(
        self,
        ledger: Database,
        account_name: str,
        account: PaperAccount,
        calendar: TradingCalendar,
        data: SessionData,
        instruments: Mapping[str, Instrument],
        clock: Clock,
    ) -> None:
        self._name = account_name
        self._account = account
        self._clock = clock
        opening = Opening(account_name, account.currency, _exact(account.initial_cash))
        self.exchange = PaperExchange(BookStore(ledger, opening), exchange_rules(account), calendar, data, instruments)

    @property
    def capabilities(self) -> Capabilities:
        return paper_capabilities(self._account)

    def identity(self) -> BrokerIdentity:
        return BrokerIdentity("paper", ENVIRONMENT, self._name)

    def account(self) -> AccountState:
        """Cash, and positions at the last price that the exchange's clock has passed."""
        with self._reading("account"):
            state = self.exchange.state()
            return AccountState(
                state.cash, state.equity, self.exchange.buying_power(state), self._account.currency, self._clock()
            )

    def positions(self) -> Sequence[BrokerPosition]:
        with self._reading("positions"):
            return [
                BrokerPosition(row.symbol, row.qty, row.last_price, row.average_price)
                for _, row in sorted(self.exchange.state().positions.items())
            ]

    def submit(self, order: OrderRequest) -> BrokerOrder:
        """Take an order; the same one again is answered with the order that exists.

        Raises:
            OrderRejected: a rule of the exchange is broken; the order does not exist.
            OutcomeUnknown: another order has this client order id, or the books could not be written.
        """
        try:
            accepted, is_new = self.exchange.submit(order, self._clock())
        except Refused as refusal:
            raise OrderRejected(order.client_order_id, refusal.code, refusal.message) from refusal
        except InputError as error:
            raise OrderRejected(order.client_order_id, "invalid_session", error.problem) from error
        except Exception as error:
            raise OutcomeUnknown(order.client_order_id, f"{type(error).__name__}: {error}") from error
        if not is_new and not _same(accepted, order):
            raise OutcomeUnknown(
                order.client_order_id,
                f"an order with this id and other parameters exists ({_described(accepted)})",
            )
        return _order(accepted)

    def find(self, client_order_id: str) -> BrokerOrder | None:
        with self._reading("order"):
            found = self.exchange.find(client_order_id)
        return _order(found) if found else None

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        with self._reading("orders"):
            return [_order(row) for row in self.exchange.orders(session)]

    def open_orders(self) -> Sequence[BrokerOrder]:
        with self._reading("open orders"):
            return [_order(row) for row in self.exchange.state().orders.values()]

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        with self._reading("fills"):
            return [_fill(row) for row in self.exchange.fills(first, last)]

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        with self._reading("activities"):
            return [_activity(row) for row in self.exchange.activities(first, last)]

    def cancel(self, client_order_id: str) -> None:
        """Cancel; an order that has ended already stays as it ended.

        Raises:
            OrderRejected: no order has this id.
        """
        with self._reading("order"):
            found = self.exchange.find(client_order_id)
        if found is None:
            raise OrderRejected(client_order_id, "order_not_found", "order not found")
        with self._reading("cancel"):
            try:
                self.exchange.cancel(client_order_id, self._clock())
            except Refused:
                return

    def phase(self, session: date) -> VenuePhase:
        """Where the exchange's own clock stands in `session`."""
        with self._reading("clock"):
            return self.exchange.phase(session)

    def advance(self, session: date) -> bool:
        """Run the next step of `session`; False also after its last one, which may have filled orders."""
        with self._reading("session"):
            return self.exchange.advance(session)

    def begin(self, session: date) -> bool:
        """Move to the morning of `session`; see `PaperExchange.begin`."""
        with self._reading("session"):
            return self.exchange.begin(session)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BrokerError, InputError):
            raise
        except Exception as error:
            raise BrokerUnavailable(
                f"The paper exchange cannot answer ({what}): {error}.",
                remedy="Mend the cause and run again; its books are as they were.",
                where=f"account {self._name}",
            ) from error


def exchange_rules(account: PaperAccount) -> Rules:
    """The account's configured rules, exact."""
    rules = account.exchange
    return Rules(
        half_spread_bps=_exact(rules.half_spread_bps),
        impact_bps=_exact(rules.impact_bps),
        max_participation=_exact(rules.max_participation),
        margin_multiplier=rules.margin_multiplier,
        min_order_notional=_exact(rules.min_order_notional),
        short_selling=rules.short_selling,
        fractional=rules.fractional,
        auction_orders=account.auction_orders,
    )


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))


def _order_type(order: Order) -> str:
    if order.role is Role.ENTRY:
        return OrderType.BRACKET.value
    return OrderType.MARKET.value if order.kind in _LASTING else order.kind.value


def _time_in_force(order: Order) -> TimeInForce:
    return _LASTING.get(order.kind, TimeInForce.DAY)


def _same(order: Order, request: OrderRequest) -> bool:
    return not order.role.is_leg and (
        order.symbol,
        order.side,
        order.qty,
        _order_type(order),
        _time_in_force(order),
        order.session,
        order.limit_price,
        order.take_profit,
        order.stop_loss,
    ) == (
        request.symbol,
        request.side,
        request.qty,
        request.order_type.value,
        request.time_in_force,
        request.session,
        request.limit_price,
        request.take_profit,
        request.stop_loss,
    )


def _described(order: Order) -> str:
    what = f"{order.side} {order.qty:f} {order.symbol}, {_order_type(order)}"
    return f"{what}, session {order.session}, {order.status}"


def _order(order: Order) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=order.broker_order_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        qty=order.qty,
        filled_qty=order.filled_qty,
        average_price=order.average_price,
        status=order.status,
        submitted_at=order.submitted_at,
        updated_at=order.updated_at,
        reason=order.reason,
        parent_client_order_id=order.parent,
        raw={
            "order_type": _order_type(order),
            "time_in_force": _time_in_force(order).value,
            "role": order.role.value,
            "session": order.session.isoformat(),
            "limit_price": _text(order.limit_price),
            "stop_price": _text(order.stop_price),
        },
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _fill(fill: Fill) -> BrokerFill:
    return BrokerFill(
        fill.fill_id,
        fill.client_order_id,
        fill.symbol,
        fill.side,
        fill.qty,
        fill.price,
        fill.fee,
        fill.session,
        fill.executed_at,
    )


def _activity(row: Activity) -> BrokerActivity:
    return BrokerActivity(
        row.activity_id, row.kind, row.session, row.symbol, row.amount, row.qty_factor, row.description
    )
