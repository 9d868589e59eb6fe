"""Account activities that are no trades: cash and quantities that moved by themselves.

What belongs here: activity types and what they are in the broker protocol's words. What does not: fills
(`rows`), and what the ledger makes of them.

A split's row says by how many shares the position changed, and not by which factor: the factor is read
from the corporate actions of the data API. Where it is not there the read fails, for a split that is
left out would make every later quantity wrong. A merger whose row takes the shares away and pays for them
is what became of that holding: it ends, for this cash. Other types that move shares (mergers into shares,
spin-offs) are passed on with their cash alone: the next reconciliation shows the quantity as a break.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.alpaca.rows import Unreadable, decimal, read, text
from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.brokers.protocol import BrokerActivity
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.sessions import TradingCalendar

Row = Mapping[str, Any]
SPLIT_TYPES = frozenset({"SPLIT", "SSP"})
_DIVIDENDS = ("DIV", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "CGD")
_FEES = ("FEE", "CFEE", "PTC", "PTR")
_INTEREST = ("INT", "INTNRA", "INTTW")
_CASH = ("JNLC", "JNL", "CSD", "CSW", "CSR", "TRANS", "ACATC", "MISC")
_SHARES = ("JNLS", "ACATS", "MA", "NC", "SC", "SPIN", "REORG", "SSO", "OPASN", "OPEXP", "OPXRC")
TYPES = (*sorted(SPLIT_TYPES), *_DIVIDENDS, *_FEES, *_INTEREST, *_CASH, *_SHARES)
_KINDS = dict.fromkeys(_DIVIDENDS, "dividend") | dict.fromkeys(_FEES, "fee") | dict.fromkeys(_INTEREST, "interest")
_MERGER = "MA"
_CANCELED = "canceled"
_NEAR = timedelta(days=5)


def activities(rows: Sequence[Row], data: Transport, calendar: TradingCalendar) -> list[BrokerActivity]:
    """Activities in the protocol's words; a split that is booked in several rows is one.

    Raises:
        Unreadable: a row is not what the API promises.
        BrokerUnavailable: the factor of a split is not known.
    """
    found: list[BrokerActivity] = []
    splits: set[tuple[str, date]] = set()
    for row in rows:
        if row.get("status") == _CANCELED:
            continue
        kind = text(row, "activity_type")
        day = read(lambda row=row: date.fromisoformat(text(row, "date")), f"date is {row.get('date')!r}")  # type: ignore[misc]
        session = calendar.session_on_or_after(day)
        symbol = row.get("symbol") or None
        if kind not in SPLIT_TYPES:
            found.append(_moved(row, kind, session, symbol))
        elif symbol is not None and (symbol, day) not in splits:
            splits.add((symbol, day))
            found.append(_split(row, session, symbol, data, day))
    return found


def _moved(row: Row, kind: str, session: date, symbol: str | None) -> BrokerActivity:
    amount = decimal(row, "net_amount") if row.get("net_amount") is not None else Decimal(0)
    if kind == _MERGER and symbol is not None and _is_bought_out(row, amount):
        description = f"{kind}: {row.get('description') or ''}".rstrip(": ")
        return BrokerActivity(text(row, "id"), "delisting", session, symbol, amount, Decimal(0), description)
    named = _KINDS.get(kind, "withdrawal" if amount < 0 else "deposit")
    description = str(row.get("description") or "")
    if kind not in _KINDS:
        description = f"{kind}: {description}".rstrip(": ")
    return BrokerActivity(text(row, "id"), named, session, symbol, amount, None, description)


def _is_bought_out(row: Row, amount: Decimal) -> bool:
    """Whether shares go for cash; of a short position they come, and the cash is owed."""
    qty = decimal(row, "qty") if row.get("qty") is not None else Decimal(0)
    return qty * amount < 0


def _split(row: Row, session: date, symbol: str, data: Transport, day: date) -> BrokerActivity:
    factor = split_factor(data, symbol, day)
    if factor is None:
        raise BrokerUnavailable(
            f"Alpaca has booked a split of {symbol} on {day.isoformat()} and does not say its factor.",
            remedy="Nothing was sent. Run again once the data API lists the split; until then no quantity is sure.",
        )
    description = str(row.get("description") or "")
    return BrokerActivity(text(row, "id"), "split", session, symbol, Decimal(0), factor, description)


def split_factor(data: Transport, symbol: str, day: date) -> Decimal | None:
    """New shares per old one of the split nearest to `day`; None where none is listed."""
    query = {
        "symbols": symbol,
        "types": "forward_split,reverse_split",
        "start": (day - _NEAR).isoformat(),
        "end": (day + _NEAR).isoformat(),
    }
    body = data.read("/corporate-actions", query, what="splits", version="v1").body
    listed = body.get("corporate_actions") if isinstance(body, Mapping) else None
    if not isinstance(listed, Mapping):
        raise Unreadable("corporate_actions is missing")
    rows = [row for name in ("forward_splits", "reverse_splits") for row in listed.get(name) or ()]
    dated = sorted((abs(date.fromisoformat(text(row, "ex_date")) - day), index) for index, row in enumerate(rows))
    if not dated:
        return None
    nearest = rows[dated[0][1]]
    return decimal(nearest, "new_rate") / decimal(nearest, "old_rate")
