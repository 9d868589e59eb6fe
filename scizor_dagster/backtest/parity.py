"""Two runs of the same sessions held against each other: order by order, fill by fill, close by close.

What belongs here: runs as both sides tell them, and what differs between them. What does not: how a difference of money
comes about (`parity_split`), and where a recorded run is read from (`flow.parity`).

An order is the same one on both sides if session, instrument, side, leg, slice and batch are. Numbers are equal or they
are not: there is no tolerance anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from scizor_dagster.backtest.venue import VenueRun
from scizor_dagster.brokers.protocol import Side

ZERO, ONE = Decimal(0), Decimal(1)


class Key(NamedTuple):
    """What an order is of. A plan of a session is its first batch; another one was asked for by a person."""

    session: date
    symbol: str
    side: Side
    leg: int
    slice: int
    batch: int = 1

    def __str__(self) -> str:
        more = f" leg {self.leg}" * (self.leg > 1) + f" slice {self.slice}" * (self.slice > 1)
        more += f" batch {self.batch}" * (self.batch > 1)
        return f"{self.session} {self.side} {self.symbol}{more}"


@dataclass(frozen=True, slots=True)
class Deal:
    """One fill. `mid` is the market's price at its time, before spread and impact; None where nobody knows it."""

    qty: Decimal
    price: Decimal
    fee: Decimal
    mid: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ToldOrder:
    """An order as one side tells it; quantities are unsigned shares.

    Attributes:
        reference: The price that sized it.
        final: What was sent; None where it never was released.
        state: How it ended, by the ledger's word.
        note: Why, where that is said.
    """

    key: Key
    phase: int
    reason: str
    reference: Decimal
    planned: Decimal
    final: Decimal | None
    state: str
    deals: tuple[Deal, ...] = ()
    note: str = ""

    @property
    def filled(self) -> Decimal:
        return sum((deal.qty for deal in self.deals), ZERO)


@dataclass(frozen=True, slots=True)
class ToldDay:
    """A portfolio at the close of a session.

    Attributes:
        equity: Cash and holdings at `closes`.
        income: Cash of the session that no fill has brought: dividends, delistings, interest.
        rate: Of the currency that the runs are compared in, for one of the money here.
    """

    session: date
    cash: Decimal
    equity: Decimal
    holdings: Mapping[str, Decimal]
    closes: Mapping[str, Decimal]
    income: Decimal = ZERO
    rate: Decimal = ONE


@dataclass(frozen=True, slots=True)
class Told:
    """A run as one side tells it. The first of `days` is the one before its first session."""

    orders: tuple[ToldOrder, ...]
    days: tuple[ToldDay, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One number or word that both sides tell otherwise. `cause` is for a person; empty where none is known."""

    session: date
    of: str
    what: str
    recorded: str
    backtest: str
    cause: str = ""

    @property
    def sentence(self) -> str:
        why = f" ({self.cause})" if self.cause else ""
        return f"{self.of}: {self.what} {self.recorded or 'none'}, in the backtest {self.backtest or 'none'}{why}."

    def to_json(self) -> dict[str, Any]:
        names = ("session", "of", "what", "recorded", "backtest", "cause")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison comes to. Counts are of orders and fills of either side, each once."""

    sessions: int
    orders: int
    differing_orders: int
    fills: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        return not self.differences

    @property
    def sentence(self) -> str:
        others = sum(not is_of_an_order(item) for item in self.differences)
        return (
            f"{self.sessions} sessions, {self.orders} orders, {self.fills} fills; differing orders = "
            f"{self.differing_orders}, other differences = {others}."
        )


def compare(recorded: Told, backtest: Told) -> Parity:
    """Hold two runs of the same sessions against each other."""
    mine, theirs = by_key(backtest), by_key(recorded)
    keys = sorted(mine.keys() | theirs.keys())
    found = [item for key in keys for item in _of_order(key, theirs.get(key), mine.get(key))]
    days = {day.session: day for day in backtest.days}
    for day in recorded.days[1:]:
        found += _of_day(day, days.get(day.session))
    differing = len({(item.session, item.of) for item in found if is_of_an_order(item)})
    fills = sum(max(_deals(mine.get(key)), _deals(theirs.get(key))) for key in keys)
    return Parity(len(recorded.days) - 1, len(keys), differing, fills, tuple(found))


def by_key(run: Told) -> dict[Key, ToldOrder]:
    """Its orders by what they are of."""
    return {order.key: order for order in run.orders}


def told_of(run: VenueRun, closes: Sequence[Mapping[str, Decimal]], before: ToldDay) -> Told:
    """A run at the embedded exchange as one side.

    Args:
        run: From `run_at_venue`.
        closes: Prices at the close of each of its days.
        before: The day before its first session.
    """
    deals: dict[str, list[Deal]] = {}
    for fill, mid in zip(run.fills, run.mids, strict=True):
        deals.setdefault(fill.client_order_id, []).append(Deal(fill.qty, fill.price, fill.fee, mid))
    orders = [
        ToldOrder(
            key=Key(order.session, order.symbol, order.side, order.planned.leg, order.planned.slice),
            phase=order.planned.phase,
            reason=order.planned.reason.value,
            reference=order.price_used,
            planned=order.planned_qty,
            final=order.final_qty,
            state=order.state.value,
            deals=tuple(deals.get(order.client_order_id, ())),
            note=order.note,
        )
        for order in run.orders
    ]
    income: dict[date, Decimal] = {}
    for row in run.activities:
        income[row.session] = income.get(row.session, ZERO) + row.amount
    days = [
        ToldDay(day.session, day.cash, day.equity, day.holdings, prices, income.get(day.session, ZERO))
        for day, prices in zip(run.days, closes, strict=True)
    ]
    return Told(tuple(orders), (before, *days))


def _of_order(key: Key, recorded: ToldOrder | None, backtest: ToldOrder | None) -> Iterator[Difference]:
    if recorded is None or backtest is None:
        there = recorded or backtest
        assert there is not None
        said = f"{there.planned:f} shares, {there.reason}"
        yield Difference(key.session, str(key), "order", said if recorded else "", said if backtest else "", there.note)
        return
    for name in ("phase", "reason", "reference", "planned", "final", "state", "filled"):
        one, other = getattr(recorded, name), getattr(backtest, name)
        if one != other:
            why = (recorded.note or backtest.note) if name in _ON_ITS_WAY else ""
            yield Difference(key.session, str(key), name, _text(one), _text(other), why)
    fills = [[(deal.qty, deal.price, deal.fee) for deal in order.deals] for order in (recorded, backtest)]
    if fills[0] != fills[1]:
        one, other = (", ".join(f"{qty:f} at {price:f}, fee {fee:f}" for qty, price, fee in row) for row in fills)
        yield Difference(key.session, str(key), "fills", one, other)


def _of_day(recorded: ToldDay, backtest: ToldDay | None) -> Iterator[Difference]:
    day = recorded.session
    if backtest is None:
        yield Difference(day, _CLOSE, "session", "measured", "")
        return
    for name in ("cash", "equity"):
        one, other = getattr(recorded, name), getattr(backtest, name)
        if one != other:
            yield Difference(day, _CLOSE, name, _text(one), _text(other))
    for symbol in sorted(recorded.holdings.keys() | backtest.holdings.keys()):
        held = recorded.holdings.get(symbol, ZERO), backtest.holdings.get(symbol, ZERO)
        if held[0] != held[1]:
            yield Difference(day, _CLOSE, f"holding of {symbol}", _text(held[0]), _text(held[1]))


_CLOSE = "close"
_ON_ITS_WAY = ("final", "state", "filled")


def is_of_an_order(item: Difference) -> bool:
    """Whether an order differs, and not a close."""
    return item.of != _CLOSE


def _deals(order: ToldOrder | None) -> int:
    return 0 if order is None else len(order.deals)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
