"""Where the money between two runs of the same sessions comes from: parts that sum to the difference of equity.

What belongs here: the parts, by order and by session. What does not: which orders and numbers differ (`parity`).

A is the model (a backtest), B what was recorded. Of session t, with closes C, holdings h at the close, the holdings g
of the morning (h less what was traded), fills of sign s, quantity q, price p and fee f:

    E(t) - E(t-1) = sum g C(t) - sum h(t-1) C(t-1) + income      what was held: moves, dividends, splits, delistings
                  + sum s q (C(t) - p) - sum f                   what was traded

Carry-over is the first line of B less that of A: it is nothing where both held the same before. The second line is
split order by order. With average prices p, market prices m at the times of the fills, planned quantities Q, and C(t):

    missing     s q (C - p) - f of B, or less that of A, where the other side has no such order
    carry-over  s (Q_B - Q_A) (C - p_A)                    the order was sized on another book
    quantity    s ((q_B - Q_B) - (q_A - Q_A)) (C - p_A)    release, partial fills and expiry
    delay       s q_B (m_A - m_B)                          the market moved between the two fill times
    price       s q_B ((p_A - m_A) - (p_B - m_B))          spread, impact and slippage against the model's
    fee         f_A - f_B

An order that one side has and did not fill has the other's price and time; where no market price is known, all of the
difference is price. The lines of an order sum to s q_B (C - p_B) - f_B less s q_A (C - p_A) + f_A exactly.

Money is compared in one currency. With rates x of it and the difference D = E_B - E_A:

    x_B E_B - x_A E_A = x_A D + (x_B - x_A) E_B

Parts of a session count at x_A(t); FX is what the change of x_A makes of D(t-1), and the change of the second term. The
rest is what nothing of this explains: money that came or went outside of fills and income.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from scizor_dagster.backtest.parity import Key, Told, ToldDay, ToldOrder, by_key
from scizor_dagster.errors import InputError

ZERO = Decimal(0)
_BASIS_POINT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Parts:
    """Money that B has more than A, by where it comes from; see the module."""

    carry_over: Decimal = ZERO
    delay: Decimal = ZERO
    price: Decimal = ZERO
    quantity: Decimal = ZERO
    fee: Decimal = ZERO
    fx: Decimal = ZERO
    missing: Decimal = ZERO

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(one + two for one, two in zip(self.amounts, other.amounts, strict=True)))

    def times(self, rate: Decimal) -> Parts:
        return Parts(*(amount * rate for amount in self.amounts))

    @property
    def amounts(self) -> tuple[Decimal, ...]:
        return tuple(getattr(self, item.name) for item in fields(self))

    @property
    def total(self) -> Decimal:
        return sum(self.amounts, ZERO)

    def to_json(self) -> dict[str, float]:
        return {item.name: float(getattr(self, item.name)) for item in fields(self)}


@dataclass(frozen=True, slots=True)
class SessionSplit:
    """How the difference of equity has changed in a session, and by what. `rest` is what no part explains."""

    session: date
    change: Decimal
    parts: Parts

    @property
    def rest(self) -> Decimal:
        return self.change - self.parts.total

    def to_json(self) -> dict[str, Any]:
        return {"session": self.session, "change": float(self.change), **self.parts.to_json(), "rest": float(self.rest)}


@dataclass(frozen=True, slots=True)
class Split:
    """The whole difference.

    Attributes:
        began: Difference of equity before the first session.
        ended: After the last one.
        equity: Of the recorded run then.
        orders: Of each order that differs in money; in the money of the runs.
    """

    began: Decimal
    ended: Decimal
    equity: Decimal
    sessions: tuple[SessionSplit, ...]
    orders: Mapping[Key, Parts]

    @property
    def parts(self) -> Parts:
        return sum((row.parts for row in self.sessions), Parts())

    @property
    def rest(self) -> Decimal:
        return self.ended - self.began - self.parts.total

    @property
    def explained(self) -> bool:
        """Whether the parts sum to the difference within a basis point of the equity."""
        return abs(self.rest) <= _BASIS_POINT * abs(self.equity)

    def to_json(self) -> dict[str, Any]:
        whole = {"began": float(self.began), "ended": float(self.ended), "rest": float(self.rest)}
        parts = {"parts": self.parts.to_json(), "explained": self.explained}
        sessions = [row.to_json() for row in self.sessions if row.change or row.parts.total]
        orders = [{"order": str(key), **each.to_json()} for key, each in self.orders.items()]
        return {**whole, **parts, "sessions": sessions, "orders": orders}


def split(model: Told, recorded: Told) -> Split:
    """Split the difference of two runs, `recorded` less `model`.

    Raises:
        InputError: they are of different sessions.
    """
    days = [day.session for day in model.days]
    if days != [day.session for day in recorded.days]:
        raise InputError(
            f"The runs are of different sessions: {_span(model)} and {_span(recorded)}.",
            remedy="Compare runs of the same sessions.",
        )
    mine, theirs = _by_session(model), _by_session(recorded)
    orders: dict[Key, Parts] = {}
    rows = []
    pairs = zip(pairwise(model.days), pairwise(recorded.days), strict=True)
    for (before_a, now_a), (before_b, now_b) in pairs:
        here = _of_orders(mine.get(now_a.session, {}), theirs.get(now_a.session, {}), now_a.closes)
        orders |= {key: parts for key, parts in here.items() if any(parts.amounts)}
        held = _held(before_b, now_b, theirs.get(now_b.session, {}))
        held -= _held(before_a, now_a, mine.get(now_a.session, {}))
        parts = sum(here.values(), Parts(carry_over=held)).times(now_a.rate) + _fx(before_a, now_a, before_b, now_b)
        change = _difference(now_a, now_b) - _difference(before_a, before_b)
        rows.append(SessionSplit(now_a.session, change, parts))
    began, ended = _difference(model.days[0], recorded.days[0]), _difference(model.days[-1], recorded.days[-1])
    last = recorded.days[-1]
    return Split(began, ended, last.rate * last.equity, tuple(rows), orders)


def order_parts(key: Key, model: ToldOrder | None, recorded: ToldOrder | None, close: Decimal) -> Parts:
    """The parts of one order, in the money of the runs; `close` is the session's."""
    sign = key.side.sign
    if model is None or recorded is None:
        made = _made(recorded, sign, close) - _made(model, sign, close)
        return Parts(missing=made)
    one, other = _filled(model), _filled(recorded)
    qty_a, qty_b = one.qty, other.qty
    if not qty_a and not qty_b:
        return Parts()
    # An order that did not fill has the price and the time of the one that did.
    price_a, mid_a = (one.price, one.mid) if qty_a else (other.price, other.mid)
    price_b, mid_b = (other.price, other.mid) if qty_b else (price_a, mid_a)
    delay = mid_a - mid_b if mid_a is not None and mid_b is not None else ZERO
    gain = sign * (close - price_a)
    sized = recorded.planned - model.planned
    return Parts(
        carry_over=sized * gain,
        quantity=(qty_b - qty_a - sized) * gain,
        delay=sign * qty_b * delay,
        price=sign * qty_b * (price_a - price_b - delay),
        fee=one.fee - other.fee,
    )


@dataclass(frozen=True, slots=True)
class _Filled:
    """The fills of one order together: average prices, in money per share."""

    qty: Decimal
    price: Decimal
    mid: Decimal | None
    fee: Decimal


def _filled(order: ToldOrder) -> _Filled:
    qty = order.filled
    fee = sum((deal.fee for deal in order.deals), ZERO)
    if not qty:
        return _Filled(ZERO, ZERO, None, fee)
    price = sum((deal.qty * deal.price for deal in order.deals), ZERO) / qty
    mids = [deal.qty * deal.mid for deal in order.deals if deal.mid is not None]
    return _Filled(qty, price, sum(mids, ZERO) / qty if len(mids) == len(order.deals) else None, fee)


def _made(order: ToldOrder | None, sign: int, close: Decimal) -> Decimal:
    """What an order has made by the close of its session."""
    if order is None:
        return ZERO
    return sum((sign * deal.qty * (close - deal.price) - deal.fee for deal in order.deals), ZERO)


def _of_orders(
    model: Mapping[Key, ToldOrder], recorded: Mapping[Key, ToldOrder], closes: Mapping[str, Decimal]
) -> dict[Key, Parts]:
    found = {}
    for key in sorted(model.keys() | recorded.keys()):
        found[key] = order_parts(key, model.get(key), recorded.get(key), closes.get(key.symbol, ZERO))
    return found


def _held(before: ToldDay, now: ToldDay, orders: Mapping[Key, ToldOrder]) -> Decimal:
    """What came of the holdings of the evening before, splits, dividends and delistings among them."""
    morning = dict(now.holdings)
    for key, order in orders.items():
        morning[key.symbol] = morning.get(key.symbol, ZERO) - key.side.sign * order.filled
    return _value(morning, now) - _value(before.holdings, before) + now.income


def _value(holdings: Mapping[str, Decimal], day: ToldDay) -> Decimal:
    return sum((qty * day.closes.get(symbol, ZERO) for symbol, qty in holdings.items()), ZERO)


def _fx(before_a: ToldDay, now_a: ToldDay, before_b: ToldDay, now_b: ToldDay) -> Parts:
    moved = (now_a.rate - before_a.rate) * (before_b.equity - before_a.equity)
    apart = (now_b.rate - now_a.rate) * now_b.equity - (before_b.rate - before_a.rate) * before_b.equity
    return Parts(fx=moved + apart)


def _difference(model: ToldDay, recorded: ToldDay) -> Decimal:
    return recorded.rate * recorded.equity - model.rate * model.equity


def _by_session(run: Told) -> dict[date, dict[Key, ToldOrder]]:
    found: dict[date, dict[Key, ToldOrder]] = {}
    for key, order in by_key(run).items():
        found.setdefault(key.session, {})[key] = order
    return found


def _span(run: Told) -> str:
    days: Sequence[ToldDay] = run.days
    return f"{len(days)} from {days[0].session} to {days[-1].session}" if days else "none"
