"""The way of a price through one session, made of its daily bar and of nothing else.

What belongs here: the path, its grid, and the touch around it. What does not: which orders meet it
(`continuous`), and where bars come from (`data`).

The path is piecewise linear over four nodes at 0, 1/3, 2/3 and 1 of the session: the open, the two
extremes, the close. Where the close is not below the open the low comes first, else the high. Volume is
spread evenly. The grid is one venue minute, with the nodes in it, so that the path is monotone between
two of its instants: what it touches in between lies between its two ends.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.model import PRICE_STEP

MINUTE = timedelta(minutes=1)
_BASIS_POINTS = Decimal(10_000)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Hours:
    """One session of a calendar: its instants, and the grid on which orders meet prices."""

    session: date
    open: datetime
    close: datetime

    def fraction(self, at: datetime) -> Decimal:
        """Part of the session that has passed at `at`, from 0 to 1."""
        length = (self.close - self.open) // _MICROSECOND
        return Decimal(min(max((at - self.open) // _MICROSECOND, 0), length)) / length

    @cached_property
    def nodes(self) -> tuple[datetime, ...]:
        third = (self.close - self.open) / 3
        return (self.open, self.open + third, self.close - third, self.close)

    @cached_property
    def grid(self) -> Sequence[datetime]:
        minutes = -((self.open - self.close) // MINUTE)
        every = {self.open + number * MINUTE for number in range(minutes)}
        return sorted(every | set(self.nodes))

    def next_after(self, at: datetime) -> datetime | None:
        """First instant of the grid after `at`; None from the close on."""
        index = bisect_right(self.grid, at)
        return self.grid[index] if index < len(self.grid) else None

    def first_from(self, at: datetime) -> datetime | None:
        """First instant of the grid at or after `at`; None after the close."""
        index = bisect_left(self.grid, at)
        return self.grid[index] if index < len(self.grid) else None

    def last_before(self, at: datetime) -> datetime:
        """Last instant of the grid before `at`; the open itself at the open."""
        return self.grid[max(bisect_left(self.grid, at) - 1, 0)]


@dataclass(frozen=True, slots=True)
class PricePath:
    """One instrument's price through one session. Instants outside it are taken as its ends."""

    bar: SessionBar
    hours: Hours

    @property
    def prices(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Prices at the four nodes."""
        bar = self.bar
        turns = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        return (bar.open, *turns, bar.close)

    def price(self, at: datetime) -> Decimal:
        """Middle of the market at `at`, to four decimals; exact at the nodes."""
        nodes, prices = self.hours.nodes, self.prices
        if at <= nodes[0]:
            return prices[0]
        for index in range(1, len(nodes)):
            if at <= nodes[index]:
                span = nodes[index] - nodes[index - 1]
                part = Decimal((at - nodes[index - 1]) // _MICROSECOND) / (span // _MICROSECOND)
                first, last = prices[index - 1], prices[index]
                return last if part == 1 else (first + (last - first) * part).quantize(PRICE_STEP)
        return prices[-1]

    def volume(self, at: datetime) -> Decimal:
        """Shares that have traded until `at`."""
        return self.bar.volume * self.hours.fraction(at)

    def extremes(self, at: datetime) -> tuple[Decimal, Decimal]:
        """Lowest and highest price from the open until `at`."""
        passed = [price for node, price in zip(self.hours.nodes, self.prices, strict=True) if node <= at]
        seen = [*passed, self.price(at)]
        return min(seen), max(seen)


def touch(middle: Decimal, instrument: Instrument, half_spread_bps: Decimal) -> tuple[Decimal, Decimal]:
    """Bid and ask around a price, on the instrument's ticks and never crossed."""
    step = instrument.price_step(middle)
    half = middle * half_spread_bps / _BASIS_POINTS
    bid = ((middle - half) / step).to_integral_value(ROUND_FLOOR) * step
    ask = ((middle + half) / step).to_integral_value(ROUND_CEILING) * step
    return max(bid, step), max(ask, step)
