"""The words of the pre-trade check: an order, what is true before it, findings and a verdict.

What belongs here: frozen values, and how the context moves on with each order that passes. What does not: the
checks (`checks`), the verdict on an order (`pre_trade`), and reading the facts (`execution.context`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.risk.book import Book
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.trading_state import FREE, Standing

ZERO = Decimal(0)
_WHOLE_DIGITS = 18
OPENING = frozenset({PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_OPEN})


class Decision(StrEnum):
    PASS = "passed"  # noqa: S105  (a verdict, not a password)
    STOP = "stopped"
    """For good: the order ends here, with its reason."""
    WAIT = "waiting"
    """Not now: it stays unsent until what it waits for has changed, or its session is over."""


class OrderToCheck(Protocol):
    """What the check reads of an order; `ledger.rows.IntentRow` is one."""

    @property
    def batch_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> Side: ...
    @property
    def intent(self) -> PositionIntent: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def price_used(self) -> Decimal: ...
    @property
    def limit_price(self) -> Decimal | None: ...
    @property
    def notional(self) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit that was looked at: what the order would make of it, and what is allowed."""

    limit: str
    value: Decimal | str
    threshold: Decimal | str
    decision: Decision = Decision.PASS

    @property
    def texts(self) -> tuple[str, str]:
        return plain(self.value), plain(self.threshold)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of all checks: the first that did not pass, or `PASS`.

    Attributes:
        limit: Name of the limit that decided; empty for a pass.
        value: What the order would have made of it.
        threshold: What is allowed.
        findings: Every limit that was looked at, the deciding one last.
    """

    decision: Decision
    limit: str = ""
    value: str = ""
    threshold: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.limit}: {self.value} against {self.threshold} allowed" if self.limit else "passed"


@dataclass(frozen=True, slots=True)
class PreTradeContext:
    """What is true before the order: of the portfolio that it belongs to, or of the whole account where that is said.

    Attributes:
        owned: Signed shares by symbol, from the ledger.
        closing: Unsigned shares by symbol that orders already under way take off what is owned.
        session_notional: Value of everything that was sent in this session.
        opening_notional: Value of the account's opening orders that `buying_power` does not yet know of.
        buying_power: The broker's own figure; None where it was not read.
        resting: Orders that are, or may be, at the broker, of any portfolio of the account: an id by symbol and side.
        frozen: Symbols with an order whose outcome is unknown, in any portfolio of the account.
        book: Positions with every opening order under way.
        session_orders: Number of orders sent in this session.
        minute_orders: Sends in the last minute of the account's orders of this session, second sends included.
        traded: Shares that the account has sent in this session, by symbol and side.
        repeated: Batches that have sent in this session since the last resume, by symbol and side.
        standing: The trading state in force.
        locks: Why opening orders wait, by symbol; None stands for every symbol.
        breaks: Why every order waits, likewise: plan, ledger and broker do not agree.
        equity_accepted: Whether a person has accepted the equity before this session.
    """

    owned: Mapping[str, Decimal]
    closing: Mapping[str, Decimal]
    session_notional: Decimal
    opening_notional: Decimal
    buying_power: Decimal | None
    resting: Mapping[tuple[str, Side], str] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    session_orders: int = 0
    minute_orders: int = 0
    traded: Mapping[tuple[str, Side], Decimal] = field(default_factory=dict)
    repeated: Mapping[tuple[str, Side], frozenset[str]] = field(default_factory=dict)
    standing: Standing = FREE
    locks: Mapping[str | None, str] = field(default_factory=dict)
    breaks: Mapping[str | None, str] = field(default_factory=dict)
    facts: MarketFacts = field(default_factory=MarketFacts)
    equity_accepted: bool = False

    def after(self, order: OrderToCheck) -> PreTradeContext:
        """The context once `order` is under way too: all orders count at once."""
        closing, book, opening = self.closing, self.book, ZERO
        if order.intent in OPENING:
            opening = order.notional
            book = book.after(order.symbol, order.notional * order.side.sign)
        else:
            closing = {**closing, order.symbol: closing.get(order.symbol, ZERO) + order.qty}
        key = (order.symbol, order.side)
        return replace(
            self,
            closing=closing,
            session_notional=self.session_notional + order.notional,
            opening_notional=self.opening_notional + opening,
            book=book,
            session_orders=self.session_orders + 1,
            minute_orders=self.minute_orders + 1,
            traded={**self.traded, key: self.traded.get(key, ZERO) + order.qty},
            repeated={**self.repeated, key: self.repeated.get(key, frozenset()) | {order.batch_id}},
        )


def plain(value: Decimal | str) -> str:
    """As a person writes it, to at most eight decimals."""
    if isinstance(value, str):
        return value
    # What has so many digits before the point has none behind it that would be read.
    rounded = round(value, 8) if value.is_finite() and value.adjusted() < _WHOLE_DIGITS else value
    return format((rounded if rounded else value).normalize(), "f")
