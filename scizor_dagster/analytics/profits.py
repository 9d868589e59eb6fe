"""What a portfolio earned, by instrument and by strategy: its positions taken from session to session.

What belongs here: the walk through what is recorded of sessions, and the profits at the end of it. What does not: the
arithmetic of a position (`cost_basis`), whose a fill is (`virtual_positions`), and storing (`attribution`).

Sums hold exactly, in `Decimal`: over strategies, quantities and profits are those of each instrument; over
instruments, with the line of the account's own money (`ACCOUNT`), profits are the change of the equity less what was
brought in. A session is passed as the ledger's books pass it (`ledger.account_books`): payments go to who held the
instrument before it, then units change, then fills, and what is adopted counts from its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from scizor_dagster.analytics.cost_basis import ZERO, Position, Profit
from scizor_dagster.analytics.virtual_positions import (
    NOBODY,
    Parts,
    PlannedMove,
    Way,
    fees_of,
    in_new_units,
    shares_of,
    way_to,
)
from scizor_dagster.instruments import split_quantity
from scizor_dagster.signals.arithmetic import STEP, exact_arithmetic

ACCOUNT = ""
"""In the place of a symbol: the portfolio's part of the account's own money (deposits, interest, fees)."""
DELISTING = "delisting"
EXTERNAL = frozenset({"deposit", "withdrawal"})
FEE = "fee"


@dataclass(frozen=True, slots=True)
class Payment:
    """The portfolio's part of an activity of an instrument: its cash, and what becomes of its units."""

    symbol: str
    kind: str
    amount: Decimal
    factor: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill of the portfolio; `move` is what its batch wanted, None where no plan asked for it."""

    symbol: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    move: PlannedMove | None


@dataclass(frozen=True, slots=True)
class Adopted:
    """A position handed over, at the close that it is valued at.

    Attributes:
        other: The symbol that was handed over in the same moment, as many the other way round at the same price: a
            holding that goes on under another name. Strategies keep their parts of it.
        was_there: Whether it was the portfolio's all the time, and measured, so that nothing comes from outside.
    """

    symbol: str
    qty: Decimal
    price: Decimal
    was_there: bool = False
    other: str | None = None


@dataclass(slots=True)
class SessionOfPortfolio:
    """What is recorded of one session for one portfolio, each list in the ledger's order.

    Attributes:
        money: Kind and amount of the portfolio's part of what flowed to the account as a whole.
    """

    payments: list[Payment] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    adopted: list[Adopted] = field(default_factory=list)
    money: list[tuple[str, Decimal]] = field(default_factory=list)

    @property
    def inflow(self) -> Decimal:
        """What comes from outside less what goes: money and positions."""
        with exact_arithmetic():
            money = sum((amount for kind, amount in self.money if kind in EXTERNAL), ZERO)
            return money + sum((item.qty * item.price for item in self.adopted if not item.was_there), ZERO)


@dataclass(frozen=True)
class Profits:
    """Profits since the measurement before. Lines without a position, and of which nothing came, are left out."""

    by_instrument: Mapping[str, Profit]
    by_strategy: Mapping[tuple[str, str], Profit]

    @property
    def total(self) -> Decimal:
        """The change of the equity less what was brought in."""
        with exact_arithmetic():
            return sum((line.profit for line in self.by_instrument.values()), ZERO)

    @property
    def inflow(self) -> Decimal:
        """What was brought in from outside less what went: money and positions."""
        with exact_arithmetic():
            return sum((line.inflow for line in self.by_instrument.values()), ZERO)

    @property
    def fees(self) -> Decimal:
        with exact_arithmetic():
            return sum((line.fees for line in self.by_instrument.values()), ZERO)

    @property
    def account_money(self) -> Decimal:
        """The portfolio's part of the account's own money, of all time."""
        line = self.by_instrument.get(ACCOUNT)
        return ZERO if line is None else line.value


@dataclass
class ProfitBook:
    """The positions of one portfolio as a whole, by symbol, and those of each strategy, by symbol and name."""

    instruments: dict[str, Position] = field(default_factory=dict)
    strategies: dict[str, dict[str, Position]] = field(default_factory=dict)
    account_money: Position = field(default_factory=Position)

    def quantities(self) -> dict[str, Decimal]:
        """Signed shares by symbol; no zeros."""
        return {symbol: position.qty for symbol, position in self.instruments.items() if position.qty != 0}

    def held(self, symbol: str) -> Parts:
        """Signed shares of each strategy that has any; they sum to the instrument's quantity."""
        return {name: item.qty for name, item in self.strategies.get(symbol, {}).items() if item.qty != 0}

    @exact_arithmetic()
    def pass_session(self, session: SessionOfPortfolio) -> None:
        """Take the positions through one session."""
        for kind, amount in session.money:
            self._flow(kind, amount)
        for payment in session.payments:
            self._pay(payment)
        for payment in session.payments:
            if payment.factor is not None:
                self._rescale(payment.symbol, payment.factor)
        ways: dict[tuple[str, str], Way] = {}
        for trade in session.trades:
            self._trade(trade, ways)
        ended: dict[str, Parts] = {}
        # What ends comes first: who held it has what it goes on as.
        for item in sorted(session.adopted, key=self._begins):
            parts = self._handed_over(item, ended)
            self._instrument(item.symbol).take_over(item.qty, item.price)
            for name, part in parts.items():
                self._strategy(name, item.symbol).take_over(part, item.price)

    @exact_arithmetic()
    def measured(self, closes: Mapping[str, Decimal]) -> Profits:
        """Profits since the last measurement at `closes` by symbol; what is over and done is forgotten."""
        by_instrument = {symbol: item.measured(closes.get(symbol)) for symbol, item in sorted(self.instruments.items())}
        by_strategy = {
            (name, symbol): item.measured(closes.get(symbol))
            for symbol, of in sorted(self.strategies.items())
            for name, item in sorted(of.items())
        }
        # As a position in money: a unit of it is worth one, and costs one.
        money = self.account_money.measured(Decimal(1))
        by_instrument[ACCOUNT] = by_strategy[NOBODY, ACCOUNT] = money
        self.instruments = _kept(self.instruments)
        self.strategies = {symbol: kept for symbol, of in self.strategies.items() if (kept := _kept(of))}
        return Profits(
            {symbol: line for symbol, line in by_instrument.items() if not line.is_nothing},
            {key: line for key, line in by_strategy.items() if not line.is_nothing},
        )

    def _flow(self, kind: str, amount: Decimal) -> None:
        self.account_money.qty += amount
        self.account_money.cost += amount
        if kind in EXTERNAL:
            self.account_money.bring(amount)
        elif kind == FEE:
            self.account_money.charge(-amount)
        else:
            self.account_money.receive(amount)

    def _pay(self, payment: Payment) -> None:
        if payment.amount == 0:
            return
        shares = shares_of(self.held(payment.symbol), payment.amount, STEP)
        positions = [(self._instrument(payment.symbol), payment.amount)]
        positions += [(self._strategy(name, payment.symbol), share) for name, share in shares.items()]
        for position, amount in positions:
            if payment.kind == DELISTING:
                position.settle(amount)
            else:
                position.receive(amount)

    def _rescale(self, symbol: str, factor: Decimal) -> None:
        if symbol not in self.instruments:
            return
        whole = self.instruments[symbol]
        qty = split_quantity(whole.qty, factor)
        for name, part in in_new_units(self.held(symbol), factor, qty).items():
            self._strategy(name, symbol).become(part)
        whole.become(qty)

    def _trade(self, trade: Trade, ways: dict[tuple[str, str], Way]) -> None:
        held = self.held(trade.symbol)
        if trade.move is None:
            parts = way_to(held, None, trade.qty).split(trade.qty)
        else:
            key = (trade.move.batch_id, trade.symbol)
            if key not in ways:
                ways[key] = way_to(held, trade.move, trade.qty)
            parts = ways[key].split(trade.qty)
        fees = fees_of(parts, trade.fee)
        self._instrument(trade.symbol).trade(trade.qty, trade.price, trade.fee)
        for name in {**parts, **fees}:
            position = self._strategy(name, trade.symbol)
            position.trade(parts.get(name, ZERO), trade.price, fees.get(name, ZERO))

    def _begins(self, item: Adopted) -> bool:
        """Whether it comes to what is held already, or to nothing."""
        return item.qty * sum(self.held(item.symbol).values(), ZERO) >= 0

    def _handed_over(self, item: Adopted, ended: dict[str, Parts]) -> Parts:
        """What goes is taken from who holds it; what comes is nobody's, or of who held it under another name."""
        if item.other in ended:
            return {name: -part for name, part in ended[item.other].items()}
        if self._begins(item):
            return {NOBODY: item.qty}
        held = self.held(item.symbol)
        whole = sum(held.values(), ZERO)
        goes = item.qty if abs(item.qty) <= abs(whole) else -whole
        parts = shares_of(held, goes)
        parts[NOBODY] = parts.get(NOBODY, ZERO) + item.qty - goes
        ended[item.symbol] = parts
        return parts

    def _instrument(self, symbol: str) -> Position:
        return self.instruments.setdefault(symbol, Position())

    def _strategy(self, name: str, symbol: str) -> Position:
        return self.strategies.setdefault(symbol, {}).setdefault(name, Position())


def _kept(positions: dict[str, Position]) -> dict[str, Position]:
    # Opposite parts of one that is whole again cancel out: each of them still has a quantity.
    return {name: item for name, item in positions.items() if item.qty or item.cost or item.value}
