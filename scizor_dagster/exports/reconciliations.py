"""What the reconciliations of a session found: `recon_single`, `recon_final`, `recon_summary`.

What belongs here: their columns, rows and text. What does not: comparing (`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scizor_dagster.errors import DataError
from scizor_dagster.exports.facts import Reconciled, SessionFacts
from scizor_dagster.exports.values import as_decimal, as_instant, as_text
from scizor_dagster.planning.output_files import FINE
from scizor_dagster.tabular.model import Column, Kind, Row, Table, Value

RECON = (
    Column("record", Kind.TEXT, "`order` for what became of an order, `break` for a difference"),
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it; none for cash"),
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
    Column("class", Kind.TEXT, "what sort of difference it is, such as `late` or `rounding`"),
    Column("stage", Kind.TEXT, "`orders`, `fills`, `positions` or `cash`"),
    Column("severity", Kind.TEXT, "`error` is unexplained, `working` will end by itself, `info` stops nothing"),
    Column("expected", Kind.TEXT, "what the side nearer to the plan says"),
    Column("found", Kind.TEXT, "what the other side says"),
    Column("plan", Kind.TEXT, "what the plan says"),
    Column("ledger", Kind.TEXT, "what the ledger says"),
    Column("broker", Kind.TEXT, "what the broker says"),
    Column("qty", Kind.NUMBER, "signed shares that it is about, found less expected"),
    Column("amount", Kind.NUMBER, "signed money that it is about, found less expected, in `currency`", FINE),
    Column("currency", Kind.TEXT, "ISO 4217 code of `amount`"),
    Column("value", Kind.NUMBER, "what it may be worth in the account's currency, without a sign", FINE),
    Column("cause", Kind.TEXT, "what is known of how it came"),
    Column("lock", Kind.TEXT, "what does not trade until it is cleared: `none`, `order`, `instrument` or `portfolio`"),
    Column("remedy", Kind.TEXT, "what to do"),
    Column("break_id", Kind.TEXT, "id by which `scizor risk accept-break` knows it; none for what is no break"),
    Column("pass", Kind.TEXT, "`first` after trading, `second` before the next session"),
    Column("taken_at", Kind.TIME, "when both sides were compared, UTC"),
)
_STORED_AS = {"class": "break_class", "lock": "locks"}
"""The lake's name of a column that is not called the same there."""
OF_ORDERS = (
    "symbol", "client_order_id", "side", "planned_qty", "sent_qty", "filled_qty", "average_price", "fees",
    "price_used", "slippage_bps", "state", "reason",
)  # fmt: skip
OF_BREAKS = (
    "symbol", "client_order_id", "kind", "class", "stage", "severity", "expected", "found", "plan", "ledger", "broker",
    "qty", "amount", "currency", "value", "cause", "lock", "remedy", "break_id",
)  # fmt: skip


def recon_single(facts: SessionFacts) -> Table | None:
    """The first reconciliation of the session: its orders, then its breaks; None where there is none yet.

    What became of an order is stored once, as the newest reconciliation saw it, and says so.
    """
    return _table(facts.reconciled[0], facts.reconciled[-1]) if facts.reconciled else None


def recon_final(facts: SessionFacts) -> Table | None:
    """The newest reconciliation of the session, in the same form."""
    return _table(facts.reconciled[-1], facts.reconciled[-1]) if facts.reconciled else None


def recon_summary(facts: SessionFacts) -> str | None:
    """What the first and the newest reconciliation say in words; once where they are the same."""
    if not facts.reconciled:
        return None
    shown = [facts.reconciled[0], *([facts.reconciled[-1]] if len(facts.reconciled) > 1 else [])]
    return "\n".join(f"{_title(item.header)}\n{_summary(item.header)}\n" for item in shown)


def _title(header: Mapping[str, Any]) -> str:
    taken, name = as_instant(_stored("reconciliations", header, "fetched_at")), _pass_of(header)
    assert taken is not None, header
    return f"{'Reconciliation' if name is None else f'{name.capitalize()} pass'} of {taken:%Y-%m-%d %H:%M:%S} UTC"


def _summary(header: Mapping[str, Any]) -> str:
    return str(_stored("reconciliations", header, "summary")).rstrip()


def _pass_of(header: Mapping[str, Any]) -> str | None:
    """None for a reconciliation of a version that knew no passes."""
    return as_text(_stored("reconciliations", header, "pass"))


def _table(item: Reconciled, newest: Reconciled) -> Table:
    orders = [_row("order", OF_ORDERS, "order_results", row, newest.header) for row in newest.order_results]
    breaks = [_row("break", OF_BREAKS, "breaks", row, item.header) for row in item.breaks]
    return Table(RECON, sorted(orders, key=_place) + sorted(breaks, key=_place))


def _row(record: str, stated: tuple[str, ...], table: str, row: Mapping[str, Any], header: Mapping[str, Any]) -> Row:
    values: dict[str, Any] = {name: _stored(table, row, _STORED_AS.get(name, name)) for name in stated}
    values |= {"record": record, "pass": _pass_of(header), "taken_at": header["fetched_at"]}
    return tuple(_typed(column, values.get(column.name)) for column in RECON)


def _stored(table: str, row: Mapping[str, Any], name: str) -> Any:
    """The row's value; an empty cell is one that the lake has empty, never one that it has not got.

    Raises:
        DataError: the lake's table has no such column.
    """
    if name not in row:
        raise DataError(
            f"The table {table} of the lake has no column {name}.",
            remedy="Export with the version of Scizor that made the lake.",
            where=f"{table}.{name}",
        )
    return row[name]


def _typed(column: Column, value: Any) -> Value:
    if column.kind is Kind.NUMBER:
        return as_decimal(value)
    if column.kind is Kind.TIME:
        return as_instant(value)
    return str(value).upper() if column.name == "side" and value else as_text(value)


def _place(row: Row) -> tuple[str, ...]:
    """The lake has no order of its own: all text of a row gives it one."""
    return tuple("" if value is None else str(value) for value in row)
