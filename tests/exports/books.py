"""Facts of a session as they are read, made by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.exports.facts import Reconciled, SessionFacts
from scizor_dagster.ledger.events import OrderEvent
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.ledger.states import IntentState

D = Decimal
SESSION = date(2025, 3, 3)
AT = datetime(2025, 3, 3, 14, 30, tzinfo=UTC)
BUY = IntentRow(
    "buy", "batch", "paper", "main", SESSION, 0, "AAPL", "AAPL.XNAS", Side.BUY, D(10), D(10), OrderType.LIMIT,
    TimeInForce.DAY, PositionIntent.BUY_TO_OPEN, D("10.5"), D(12), D(9), D(10), 1, 1, 2, (), "hash", "hash",
    IntentState.FILLED, "open", "O1", D(10), AT,
)  # fmt: skip
SELL = replace(
    BUY, client_order_id="sell", position=1, symbol="MSFT", side=Side.SELL, order_type=OrderType.MARKET,
    limit_price=None, take_profit=None, stop_loss=None, state=IntentState.CANCELED, broker_order_id="O2",
)  # fmt: skip


def fill(order: IntentRow, number: int, qty: str, price: str, fee: str = "0", **changes: Any) -> FillRow:
    row = FillRow(
        "paper", f"F{number}", "main", order.client_order_id, order.symbol, order.side, D(qty), D(price), D(fee),
        SESSION, AT + timedelta(seconds=number), AT,
    )  # fmt: skip
    return replace(row, **changes)


def history(*entries: tuple[str, str, Mapping[str, Any]]) -> list[OrderEvent]:
    """Kind, order and payload of each."""
    return [
        OrderEvent(seq, AT + timedelta(seconds=seq), kind, order, payload)
        for seq, (kind, order, payload) in enumerate(entries, start=1)
    ]


def facts(**changes: Any) -> SessionFacts:
    plain = SessionFacts(
        portfolio="main", session=SESSION, currency="USD", currencies={}, plan=None, price_ages={}, traded=True,
        intents=(BUY, SELL), events=(), fills={}, holdings=None, cash=None, closes={}, reconciled=(),
    )  # fmt: skip
    return replace(plain, **changes)


def close(price: str) -> Close:
    return Close(D(price), SESSION)


def reconciled(
    header: Mapping[str, Any] | None = None,
    breaks: Sequence[Mapping[str, Any]] = (),
    orders: Sequence[Mapping[str, Any]] = (),
    positions: Sequence[Mapping[str, Any]] = (),
) -> Reconciled:
    return Reconciled({"summary": "main: reconciled", "fetched_at": AT} | dict(header or {}), breaks, orders, positions)
