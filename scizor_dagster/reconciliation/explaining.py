"""What is behind a difference of positions or cash: its parts, which sum to it.

What belongs here: finding the parts in what the parties say, and the rest that nothing explains. What does not: the
breaks themselves (`positions`, `cash`). A part is claimed on evidence alone: an execution, an activity, or a price
that changed with the quantity; what merely would fit is left in the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.ledger.activities import news_of
from scizor_dagster.reconciliation.fills import FillNews, activity_class, cash_of
from scizor_dagster.reconciliation.model import BreakClass, BrokerView, LedgerView
from scizor_dagster.reconciliation.words import number

ZERO, ONE = Decimal(0), Decimal(1)
CENT = Decimal("0.01")
NOISE = Decimal("0.000000001")
_RATIOS = tuple(
    sorted(
        {Decimal(new) / old for new in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100) for old in (1,)}
        | {Decimal(3) / 2, Decimal(5) / 2, Decimal(4) / 3, Decimal(5) / 3, Decimal(5) / 4, Decimal(6) / 5}
    )
)
_NEAR = Decimal("0.15")
"""How far a price may move overnight and still be the one before a split, times its ratio."""
_ANOTHER = Decimal("0.5")
"""A price that has moved by more than this, with no ratio to it, may be another company's."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a difference: signed shares or signed money, what it is, and a clause that says so.

    `known` says that a break or an information of its own has named it already.
    """

    size: Decimal
    break_class: BreakClass
    cause: str
    known: bool = False


@dataclass(frozen=True)
class Evidence:
    """What the parts are looked for in."""

    ledger: LedgerView
    broker: BrokerView
    news: Sequence[FillNews]
    closes: Mapping[str, Close]

    def position(self, symbol: str) -> BrokerPosition | None:
        return next((row for row in self.broker.positions if row.symbol == symbol), None)


def position_parts(symbol: str, difference: Decimal, evidence: Evidence, tolerance: Decimal) -> list[Part]:
    """The parts of `difference`, the broker's shares less the portfolios'; a rest, where there is one, is the last."""
    parts = _of_fills(symbol, evidence)
    parts += _of_nobody(symbol, difference - sum((part.size for part in parts), ZERO), evidence)
    held = evidence.position(symbol)
    shown = held.qty if held is not None else ZERO
    before = shown - difference + sum((part.size for part in parts), ZERO)
    parts += _of_splits(symbol, before, evidence)
    rest = difference - sum((part.size for part in parts), ZERO)
    if abs(rest) <= NOISE:
        return parts
    split = any(part.break_class is BreakClass.CORPORATE_ACTION for part in parts)
    return [*parts, _rest(symbol, rest, shown, evidence, tolerance, after_split=split)]


def _of_fills(symbol: str, evidence: Evidence) -> list[Part]:
    return [
        Part(item.qty, _class_of(item), f"{number(item.qty)} by execution {item.either.fill_id}", known=True)
        for item in evidence.news
        if item.either.symbol == symbol and item.owner is not None and item.qty
    ]


def _class_of(item: FillNews) -> BreakClass:
    if item.here is None:
        return BreakClass.LATE
    return BreakClass.BUST if item.there is None or item.there.qty == 0 else BreakClass.QUANTITY


def _of_nobody(symbol: str, rest: Decimal, evidence: Evidence) -> list[Part]:
    """What others have traded: not recorded yet, and of what is recorded as nobody's no more than is left of `rest`."""
    parts = [
        Part(item.qty, BreakClass.FOREIGN, f"{number(item.qty)} by {item.either.fill_id}, an order of nobody's")
        for item in evidence.news
        if item.either.symbol == symbol and item.owner is None and item.qty
    ]
    recorded = evidence.ledger.foreign.get(symbol, ZERO)
    rest -= sum((part.size for part in parts), ZERO)
    if recorded * rest > 0:
        # Of what they have brought, some was adopted perhaps, or sold since.
        size = min(recorded, rest, key=abs)
        cause = f"{number(size)} by recorded executions of orders that nobody here has placed"
        parts.append(Part(size, BreakClass.FOREIGN, cause))
    return parts


def _of_splits(symbol: str, before: Decimal, evidence: Evidence) -> list[Part]:
    parts = []
    for row in news_of(evidence.broker.activities, evidence.ledger.activities):
        if row.symbol != symbol or row.qty_factor is None:
            continue
        size = before * (row.qty_factor - ONE)
        cause = f"{number(size)} by the {row.kind} of {row.session.isoformat()}, {number(row.qty_factor)} for 1"
        parts.append(Part(size, BreakClass.CORPORATE_ACTION, cause, known=True))
        before += size
    return parts


def _rest(
    symbol: str, rest: Decimal, shown: Decimal, evidence: Evidence, tolerance: Decimal, *, after_split: bool
) -> Part:
    if after_split and abs(rest) < ONE:
        cause = f"{number(rest)} is the fraction that the broker pays out in cash"
        return Part(rest, BreakClass.CORPORATE_ACTION, cause, known=True)
    if abs(rest) <= tolerance:
        return Part(rest, BreakClass.ROUNDING, f"{number(rest)} is no more than rounding")
    ledger = shown - rest
    for found in (_renamed(symbol, rest, shown, evidence), _split_unseen(symbol, ledger, shown, evidence)):
        if found is not None:
            return Part(rest, BreakClass.CORPORATE_ACTION, found)
    if ledger * shown < 0:
        return Part(rest, BreakClass.QUANTITY, "the broker shows the other side of what the portfolios own")
    if shown == 0:
        return Part(rest, BreakClass.MISSING, f"{number(abs(rest))} have left the account, and no execution says how")
    if ledger == 0:
        return Part(rest, BreakClass.UNEXPECTED, f"{number(abs(rest))} have come, and no execution says how")
    return Part(rest, BreakClass.QUANTITY, f"no execution, split or rounding explains {number(rest)}")


def _renamed(symbol: str, rest: Decimal, shown: Decimal, evidence: Evidence) -> str | None:
    """Another instrument that came in exactly the quantity in which this one has left."""
    if shown != 0:
        return None
    came = [name for name, qty in evidence.ledger.differences.items() if name != symbol and qty == -rest]
    if len(came) != 1:
        return None
    return f"{number(abs(rest))} have left, and as many {came[0]} have come: it seems to be called {came[0]} now"


def _split_unseen(symbol: str, ledger: Decimal, shown: Decimal, evidence: Evidence) -> str | None:
    """A ratio of shares that the price has gone against; or a price of which it must be another instrument's."""
    held, close = evidence.position(symbol), evidence.closes.get(symbol)
    if held is None or not held.market_price or close is None or ledger == 0 or shown == 0:
        return None
    fallen = close.price / held.market_price
    for ratio in (*_RATIOS, *(ONE / ratio for ratio in _RATIOS)):
        if abs(fallen - ratio) > _NEAR * ratio or ledger * shown < 0:
            continue
        after = ledger * ratio
        if shown == after.to_integral_value(ROUND_DOWN) or abs(shown - after) <= CENT:
            said = f"{number(ledger)} became {number(shown)} while the price went from {close.price} to "
            return f"{said}{held.market_price}: a split of {_plain(ratio)} for 1 that nobody has recorded"
    if abs(ONE - ONE / fallen) > _ANOTHER:
        return (
            f"its price went from {close.price} to {held.market_price} with no such split: the symbol may be another "
            "instrument's by now"
        )
    return None


def cash_parts(difference: Decimal, evidence: Evidence, tolerance: Decimal) -> list[Part]:
    """The parts of `difference`, the broker's cash less the ledger's; the last one is the rest, where there is one."""
    parts = [
        Part(item.cash, BreakClass.LATE if item.here is None else _class_of(item),
             f"{item.cash:.2f} by execution {item.either.fill_id}", known=True)
        for item in evidence.news
        if item.cash and _counts(item)
    ]  # fmt: skip
    known = {row.activity_id: row.amount for row in evidence.ledger.activities}
    for row in evidence.broker.activities:
        size = row.amount - known.get(row.activity_id, ZERO)
        if size:
            of = f" of {row.symbol}" if row.symbol else ""
            parts.append(Part(size, activity_class(row), f"{size:.2f} by a {row.kind}{of}", known=True))
    rest = difference - sum((part.size for part in parts), ZERO)
    if abs(rest) < CENT:
        # Fractions of a cent that the broker rounds: they go with what is explained, if anything is.
        return [*parts, Part(rest, BreakClass.ROUNDING, f"{number(rest)} is rounding", known=True)] if rest else parts
    return [*parts, _rest_of_cash(rest, evidence, tolerance)]


def _counts(item: FillNews) -> bool:
    """What nobody has recorded counts whoever it is of; the ledger's cash is the whole account's."""
    return item.either.qty != 0 or cash_of(item.here) != 0


def _rest_of_cash(rest: Decimal, evidence: Evidence, tolerance: Decimal) -> Part:
    account = evidence.broker.account
    if abs(rest) <= tolerance:
        return Part(rest, BreakClass.ROUNDING, f"{number(rest)} is no more than rounding")
    if account.other_cash and abs(rest + account.other_cash) <= CENT:
        said = f"{number(-rest)} {account.currency} are held in other currencies, at the broker's own rates"
        return Part(rest, BreakClass.CURRENCY, said)
    if (lieu := _in_lieu(rest, evidence)) is not None:
        return Part(rest, BreakClass.CORPORATE_ACTION, lieu)
    where = "more than" if rest > 0 else "less than"
    kind = BreakClass.UNEXPECTED if rest > 0 else BreakClass.MISSING
    return Part(rest, kind, f"{abs(rest):.2f} {where} every recorded execution and payment comes to")


def _in_lieu(rest: Decimal, evidence: Evidence) -> str | None:
    """Cash for the fraction that an unrecorded reverse split has left."""
    for symbol, difference in evidence.ledger.differences.items():
        held, close = evidence.position(symbol), evidence.closes.get(symbol)
        if held is None or not held.market_price or close is None:
            continue
        ratio = close.price / held.market_price
        fraction = (held.qty - difference) * ratio - held.qty
        if 0 < fraction < 1 and abs(fraction * held.market_price - rest) <= _NEAR * rest:
            return f"{rest:.2f} is about what {number(fraction.quantize(CENT))} {symbol} are worth: cash in lieu of it"
    return None


def _plain(ratio: Decimal) -> str:
    return number(ratio.quantize(Decimal("0.0001")))
