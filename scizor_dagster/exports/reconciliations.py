"""What the reconciliations of a session found: `recon_single`, `recon_final`, `recon_summary`.

What belongs here: their columns, rows and text. What does not: comparing (`reconciliation`).

Each row is read by the names of the lake's columns, and a name that the lake does not have is an empty cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scizor_dagster.exports.facts import Reconciled, SessionFacts
from scizor_dagster.exports.values import as_decimal, as_instant, as_text
from scizor_dagster.planning.output_files import FINE
from scizor_dagster.tabular.model import Column, Kind, Row, Table, Value

RECON = (
    Column("record", Kind.TEXT, "`order` for what became of an order, `break` for a difference"),
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("client_order_id", Kind.TEXT, "id of the order"),
    Column("side", Kind.TEXT, "`BUY` or `SELL`"),
    Column("planned_qty", Kind.NUMBER, "shares planned, without a sign; 0 for an exit of a bracket"),
    Column("sent_qty", Kind.NUMBER, "shares that the broker was asked for; 0 for what was never sent"),
    Column("filled_qty", Kind.NUMBER, "shares filled"),
    Column("average_price", Kind.NUMBER, "over its executions, in the instrument's currency", FINE),
    Column("fees", Kind.NUMBER, "in the instrument's currency", FINE),
    Column("price_used", Kind.NUMBER, "reference price that sized it, in the instrument's currency", FINE),
    Column("slippage_bps", Kind.NUMBER, "cost against `price_used` in basis points of it; above zero is worse", FINE),
    Column("state", Kind.TEXT, "state of the order"),
    Column("reason", Kind.TEXT, "why, where there is something to say"),
    Column("kind", Kind.TEXT, "what differs, such as `position_differs`"),
    Column("class", Kind.TEXT, "what sort of difference it is"),
    Column("stage", Kind.TEXT, "`orders`, `fills`, `positions` or `cash`"),
    Column("severity", Kind.TEXT, "`error` is unexplained, `working` will end by itself, `info` stops nothing"),
    Column("expected", Kind.TEXT, "what the side nearer to the plan says"),
    Column("found", Kind.TEXT, "what the other side says"),
    Column("plan", Kind.TEXT, "what the plan says"),
    Column("ledger", Kind.TEXT, "what the ledger says"),
    Column("broker", Kind.TEXT, "what the broker says"),
    Column("amount", Kind.TEXT, "how much it is about: shares, or money with its currency"),
    Column("cause", Kind.TEXT, "what is known of how it came"),
    Column("lock", Kind.TEXT, "whether it keeps its instrument from being traded"),
    Column("remedy", Kind.TEXT, "what to do"),
    Column("pass", Kind.TEXT, "`first` after trading, `second` before the next session"),
    Column("taken_at", Kind.TIME, "when both sides were compared, UTC"),
)
_ALSO = {
    "class": ("break_class", "category"),
    "plan": ("plan_value", "planned"),
    "ledger": ("ledger_value",),
    "broker": ("broker_value",),
    "amount": ("amount_text",),
    "lock": ("locks", "locked"),
    "taken_at": ("fetched_at",),
}
"""Other names under which the lake may have a column."""
_OF_ORDERS = (
    "symbol", "client_order_id", "side", "planned_qty", "sent_qty", "filled_qty", "average_price", "fees",
    "price_used", "slippage_bps", "state", "reason",
)  # fmt: skip


def recon_single(facts: SessionFacts) -> Table | None:
    """The first reconciliation of the session: its orders, then its breaks; None where there is none yet."""
    return _table(facts.reconciled[0]) if facts.reconciled else None


def recon_final(facts: SessionFacts) -> Table | None:
    """The newest reconciliation of the session, in the same form."""
    return _table(facts.reconciled[-1]) if facts.reconciled else None


def recon_summary(facts: SessionFacts) -> str | None:
    """What the first and the newest reconciliation say in words; once where they are the same."""
    if not facts.reconciled:
        return None
    shown = [facts.reconciled[0], *([facts.reconciled[-1]] if len(facts.reconciled) > 1 else [])]
    return "\n".join(f"{_title(item.header)}\n{str(item.header['summary']).rstrip()}\n" for item in shown)


def _title(header: Mapping[str, Any]) -> str:
    taken = as_instant(_found(header, "taken_at"))
    assert taken is not None, header
    name = as_text(header.get("pass"))
    return f"{'Reconciliation' if name is None else f'{name.capitalize()} pass'} of {taken:%Y-%m-%d %H:%M:%S} UTC"


def _table(item: Reconciled) -> Table:
    orders = [_row("order", row, item.header) for row in item.order_results]
    breaks = [_row("break", row, item.header) for row in item.breaks]
    return Table(RECON, sorted(orders, key=_place) + sorted(breaks, key=_place))


def _row(record: str, row: Mapping[str, Any], header: Mapping[str, Any]) -> Row:
    values: list[Value] = [record]
    for column in RECON[1:]:
        value = _found(row, column.name)
        if value is None and column.name in ("pass", "taken_at"):
            value = _found(header, column.name)
        if record == "break" and column.name in _OF_ORDERS[3:]:
            value = None
        values.append(_typed(column, value))
    return tuple(values)


def _found(row: Mapping[str, Any], name: str) -> Any:
    return next((row[key] for key in (name, *_ALSO.get(name, ())) if row.get(key) is not None), None)


def _typed(column: Column, value: Any) -> Value:
    if column.kind is Kind.NUMBER:
        return as_decimal(value)
    if column.kind is Kind.TIME:
        return as_instant(value)
    return str(value).upper() if column.name == "side" and value else as_text(value)


def _place(row: Row) -> tuple[str, ...]:
    """The lake has no order of its own: all text of a row gives it one."""
    return tuple("" if value is None else str(value) for value in row)
