"""One order out, and what the broker says to it: an acknowledgement, a refusal, or nothing certain.

What belongs here: building the broker's orders, sending them once, waiting for the verdict, cancelling.
What does not: whether it should be sent (`broker`, `execution`).

The library marks an order as cancelled on codes after which it lives and fills. Only statuses that the
server has sent count here, and codes as the table has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scizor_dagster.brokers.ibkr.codes import Meaning, lives_on, meaning, refuses_order
from scizor_dagster.brokers.ibkr.connection import ApiMessage, IbkrConnection
from scizor_dagster.brokers.protocol import OrderRequest, OrderType, Side, TimeInForce
from scizor_dagster.errors import OrderRejected, OutcomeUnknown

_TIMES = {TimeInForce.DAY: "DAY", TimeInForce.OPG: "OPG"}
_CANCEL_ANSWERS = frozenset({202, 10147, 10148, 161, 135, 104})
_CANCEL_LIMIT = 5.0


@dataclass
class _Verdict:
    """What the server has said of one order that was sent."""

    trade: Any
    taken: bool = False
    refusal: ApiMessage | None = None
    inactive: bool = False
    puzzle: ApiMessage | None = None
    said: list[ApiMessage] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return self.taken or self.inactive or self.refusal is not None or self.puzzle is not None


class Sending:
    """Sends over one connection."""

    def __init__(self, connection: IbkrConnection) -> None:
        self._connection = connection

    async def send(self, request: OrderRequest, contract: Any) -> Any:
        """Send an order, a bracket as three, and wait for the verdict; the trade that was acknowledged.

        Raises:
            OrderRejected: a refusal of the table.
            OutcomeUnknown: anything else.
        """
        connection = self._connection
        orders = self._orders(request)
        name = request.client_order_id
        heard = asyncio.Event()
        verdicts: dict[int, _Verdict] = {}

        def on_trade(trade: Any) -> None:
            verdict = verdicts.get(trade.order.orderId)
            if verdict is not None and trade is verdict.trade and not _made_locally(trade):
                _judge_status(verdict)
                heard.set()

        def on_message(message: ApiMessage) -> None:
            verdict = verdicts.get(message.req_id)
            if verdict is not None:
                _judge_message(verdict, message)
                heard.set()
            elif meaning(message.code) is Meaning.LOST:
                heard.set()

        def on_end(*_: Any) -> None:
            heard.set()

        with _listening(connection, on_trade, on_message, on_end):
            for order in orders:
                trade = connection.ib.placeOrder(contract, order)
                verdicts[order.orderId] = _Verdict(trade)
            try:
                async with asyncio.timeout(connection.settings.timeout):
                    while not all(row.settled for row in verdicts.values()):
                        heard.clear()
                        await heard.wait()
                        if not connection.ib.isConnected():
                            raise OutcomeUnknown(name, "the connection was lost after the order was sent")
                        if not connection.whole:
                            raise OutcomeUnknown(name, "TWS lost its servers (1100) after the order was sent")
            except TimeoutError:
                said = "; ".join(str(row) for verdict in verdicts.values() for row in verdict.said) or "nothing"
                limit = f"{connection.settings.timeout:g} s"
                raise OutcomeUnknown(name, f"no acknowledgement within {limit}; IBKR said {said}") from None
        _conclude(name, list(verdicts.values()))
        return next(iter(verdicts.values())).trade

    async def cancel(self, trade: Any) -> None:
        """Ask for a cancel, and wait a little for what comes of it; a later read says what it was."""
        connection = self._connection
        heard = asyncio.Event()
        number = trade.order.orderId

        def on_trade(other: Any) -> None:
            if other.order.permId == trade.order.permId and not _made_locally(other):
                status = other.orderStatus.status
                if status in ("Cancelled", "Filled", "Inactive", "ApiCancelled"):
                    heard.set()

        def on_message(message: ApiMessage) -> None:
            if message.req_id == number and message.code in _CANCEL_ANSWERS:
                heard.set()

        with _listening(connection, on_trade, on_message, lambda *_: heard.set()):
            connection.ib.cancelOrder(trade.order)
            try:
                await asyncio.wait_for(heard.wait(), min(_CANCEL_LIMIT, connection.settings.timeout))
            except TimeoutError:
                return

    def _orders(self, request: OrderRequest) -> list[Any]:
        """The broker's orders for one of ours, with their ids: time in force, account and reference always set."""
        kind = self._connection.library.Order
        connection = self._connection
        side, other = ("BUY", "SELL") if request.side is Side.BUY else ("SELL", "BUY")
        common = {"totalQuantity": float(request.qty), "account": connection.settings.account, "outsideRth": False}
        entry = {"action": side, "orderRef": request.client_order_id, **common, **_entry_terms(request)}
        if request.order_type is not OrderType.BRACKET:
            return [kind(orderId=connection.ib.client.getReqId(), transmit=True, **entry)]
        assert request.take_profit is not None
        assert request.stop_loss is not None
        first, profit, stop = (connection.ib.client.getReqId() for _ in range(3))
        leg = {"action": other, "parentId": first, "tif": "DAY", **common}
        name = request.client_order_id
        return [
            kind(orderId=first, transmit=False, **entry),
            kind(
                orderId=profit,
                orderType="LMT",
                lmtPrice=float(request.take_profit),
                orderRef=f"{name}.tp",
                transmit=False,
                **leg,
            ),
            kind(
                orderId=stop,
                orderType="STP",
                auxPrice=float(request.stop_loss),
                orderRef=f"{name}.sl",
                transmit=True,
                **leg,
            ),
        ]


class _listening:
    """Hears orders, messages and the end of the connection while it is entered."""

    def __init__(
        self,
        connection: IbkrConnection,
        on_trade: Callable[[Any], None],
        on_message: Callable[[ApiMessage], None],
        on_end: Callable[..., None],
    ) -> None:
        self._connection = connection
        self._on_trade, self._on_message, self._on_end = on_trade, on_message, on_end

    def __enter__(self) -> None:
        ib = self._connection.ib
        ib.openOrderEvent += self._on_trade
        ib.orderStatusEvent += self._on_trade
        ib.client.apiEnd += self._on_end
        self._connection.listeners.append(self._on_message)

    def __exit__(self, *_: object) -> None:
        ib = self._connection.ib
        ib.openOrderEvent -= self._on_trade
        ib.orderStatusEvent -= self._on_trade
        ib.client.apiEnd -= self._on_end
        self._connection.listeners.remove(self._on_message)


def _entry_terms(request: OrderRequest) -> dict[str, Any]:
    closing = request.time_in_force is TimeInForce.CLS
    terms: dict[str, Any] = {"tif": _TIMES.get(request.time_in_force, "DAY")}
    if request.order_type is OrderType.LIMIT:
        assert request.limit_price is not None
        return {**terms, "orderType": "LOC" if closing else "LMT", "lmtPrice": float(request.limit_price)}
    return {**terms, "orderType": "MOC" if closing else "MKT"}


def _made_locally(trade: Any) -> bool:
    """Whether the last change of a trade is the library's own conclusion from an error code."""
    return bool(trade.log) and bool(trade.log[-1].errorCode)


def _judge_status(verdict: _Verdict) -> None:
    """A permanent id comes from the server alone. `Inactive` is a refusal unless the order waits for something."""
    trade = verdict.trade
    if trade.orderStatus.status == "Inactive" and not trade.orderStatus.whyHeld:
        verdict.inactive = True
    elif trade.order.permId or trade.orderStatus.permId:
        trade.order.permId = trade.order.permId or trade.orderStatus.permId
        verdict.taken = True


def _judge_message(verdict: _Verdict, message: ApiMessage) -> None:
    verdict.said.append(message)
    if refuses_order(message.code):
        verdict.refusal = message
    elif not lives_on(message.code) and meaning(message.code) is not Meaning.ENDED:
        verdict.puzzle = message


def _conclude(name: str, verdicts: list[_Verdict]) -> None:
    """Raise unless every order was taken.

    A refusal is final also where the order was taken before it, as long as nothing of it has filled. A bracket that
    was taken in part is unknown.
    """
    refused = [row for row in verdicts if row.refusal is not None or row.inactive]
    if not refused and all(row.taken for row in verdicts):
        return
    told = "; ".join(str(message) for row in verdicts for message in row.said) or "Inactive"
    is_whole = len(refused) == len(verdicts) and not any(row.trade.fills for row in verdicts)
    if not is_whole or any(row.puzzle for row in verdicts):
        raise OutcomeUnknown(name, f"IBKR said {told}")
    first = next((row.refusal for row in verdicts if row.refusal), None)
    raise OrderRejected(name, str(first.code) if first else "inactive", first.text if first else told)
