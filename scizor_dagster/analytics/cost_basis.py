"""One position with what it cost: average cost, and what was realised, received and paid.

What belongs here: the arithmetic of one position. What does not: whose it is (`virtual_positions`), and what a
portfolio's positions come to together (`profits`).

    realised   = proceeds - cost of what was closed, at average cost; fees apart
    unrealised = change of (value - cost)
    profit     = realised + unrealised + income - fees = change of value + cash that came of it - what was brought in

Average cost, not first in first out: what is closed takes its part of the whole cost with it. The last of these lines
holds whatever the cost is, so that profits add up over any way to divide positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from scizor_dagster.signals.arithmetic import STEP, exact_arithmetic

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Profit:
    """What a position came to from one measurement to the next, in the portfolio's currency.

    Attributes:
        qty: Signed shares at the end.
        price: Close at the end; None where none is known: the position counts with a value of 0, as in the equity.
        value: Signed.
        cost: Signed average cost of what is held.
        unrealised: Change of value less cost.
        income: Dividends and interest, net; negative where they were paid.
        inflow: Value of what was handed over from outside: no profit.
    """

    qty: Decimal
    price: Decimal | None
    value: Decimal
    cost: Decimal
    realised: Decimal
    unrealised: Decimal
    income: Decimal
    fees: Decimal
    inflow: Decimal

    @property
    def profit(self) -> Decimal:
        with exact_arithmetic():
            return self.realised + self.unrealised + self.income - self.fees

    @property
    def is_nothing(self) -> bool:
        """Whether there is neither a position nor anything that came of one."""
        return not any((self.qty, self.value, self.cost, *self.amounts))

    @property
    def amounts(self) -> tuple[Decimal, ...]:
        return (self.realised, self.unrealised, self.income, self.fees, self.inflow)


@dataclass(slots=True)
class Position:
    """A position between two measurements. Its changes are made within `exact_arithmetic`.

    Attributes:
        qty: Signed shares.
        cost: Signed: of a short position, less than zero by what it was sold for.
        value: As it was measured last.
    """

    qty: Decimal = ZERO
    cost: Decimal = ZERO
    value: Decimal = ZERO
    _cost_before: Decimal = field(init=False)
    _realised: Decimal = ZERO
    _income: Decimal = ZERO
    _fees: Decimal = ZERO
    _inflow: Decimal = ZERO

    def __post_init__(self) -> None:
        self._cost_before = self.cost

    def trade(self, qty: Decimal, price: Decimal, fee: Decimal = ZERO) -> None:
        """Buy (positive) or sell `qty` at `price`; what goes beyond zero opens the other side."""
        self._fees += fee
        closed = ZERO if qty * self.qty >= 0 else (qty if abs(qty) <= abs(self.qty) else -self.qty)
        if closed:
            released = self._released(-closed)
            self._realised += -closed * price - released
            self.cost -= released
        self.cost += (qty - closed) * price
        self.qty += qty

    def take_over(self, qty: Decimal, price: Decimal) -> None:
        """Get `qty` from outside, or hand it over, at `price`: no money flows."""
        self._inflow += qty * price
        self.trade(qty, price)

    def bring(self, amount: Decimal) -> None:
        """Money that came (positive) or went: no profit."""
        self._inflow += amount

    def receive(self, amount: Decimal) -> None:
        """A dividend, or one that is owed."""
        self._income += amount

    def charge(self, amount: Decimal) -> None:
        self._fees += amount

    def settle(self, amount: Decimal) -> None:
        """Cash for what is about to be taken away, as in a delisting."""
        self._realised += amount

    def become(self, qty: Decimal) -> None:
        """Have `qty` in new units, at the same cost; what becomes nothing has lost it."""
        self.qty = qty
        if qty == 0:
            self._realised -= self.cost
            self.cost = ZERO

    def measured(self, price: Decimal | None) -> Profit:
        """What came of it since the last measurement, with the position valued at `price`; the next one begins here."""
        value = ZERO if price is None else self.qty * price
        unrealised = (value - self.cost) - (self.value - self._cost_before)
        found = Profit(
            self.qty, price, value, self.cost, self._realised, unrealised, self._income, self._fees, self._inflow
        )
        self.value, self._cost_before = value, self.cost
        self._realised = self._income = self._fees = self._inflow = ZERO
        return found

    def _released(self, qty: Decimal) -> Decimal:
        """The cost of `qty` of what is held."""
        if qty == self.qty:
            return self.cost
        return (self.cost * qty / self.qty).quantize(STEP)
