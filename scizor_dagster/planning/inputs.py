"""What a plan is made from, and the identity of a plan: a digest of exactly that.

What belongs here: the frozen inputs, their checks, their canonical text. What does not: where they
come from (the lake, the ledger, files) and what is made of them (`planner`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from scizor_dagster.brokers.protocol import Capabilities, Side
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.quantities import plain
from scizor_dagster.planning.rules import PlanningRules

FORMAT = "scizor-plan/4"
"""Part of every plan's digest: raised when the same inputs would give another plan."""

GREATEST_NUMBER = Decimal("1e18")
"""Of an amount or a quantity: what lies beyond is a mistake, and no sum below it loses a digit."""

STATUS_OK = "ok"
STATUS_REASONS = {
    "unknown_id": Reason.UNKNOWN_ID,
    "ambiguous_id": Reason.AMBIGUOUS_ID,
    "quarantined": Reason.QUARANTINED,
    "strategy_idle": Reason.STRATEGY_IDLE,
}


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a strategy.

    Attributes:
        asset_ids: Ids of the weight file that it answers for.
        symbol: Ticker; empty where the id has none.
        weight: Share of equity, negative for a short.
        status: `ok`, or `unknown_id`, `ambiguous_id`, `quarantined`, `strategy_idle`: a line without orders.
        candidates: Tickers that an ambiguous id may mean; what is held of them is kept.
    """

    asset_ids: tuple[str, ...]
    symbol: str
    instrument_id: str
    weight: Decimal
    status: str = STATUS_OK
    note: str = ""
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferencePrice:
    """A price, the session it is of (None where a file does not say) and where it comes from."""

    price: Decimal
    session: date | None
    source: str


OrderMode = Literal["market", "limit", "moo", "moc"]


@dataclass(frozen=True, slots=True)
class ManualInstruction:
    """What a person asks for, in place of weights. Exactly one of `quantity`, `notional` and `target` is given.

    Attributes:
        key: The idempotency key of the request.
        actor: Who asks.
        reason: Why, in their words.
        side: Of a quantity or a notional; a target gives its own.
        quantity: Unsigned shares.
        notional: Value at the reference price that is not exceeded, in the plan's currency.
        target: Signed shares that the portfolio is to own afterwards, its open orders counted; 0 closes.
        mode: Form of the orders; None for that of the portfolio's rules.
        limit_price: Of a limit order; None for one off the reference price, as the rules have it.
    """

    key: str
    actor: str
    reason: str
    symbol: str
    side: Side | None = None
    quantity: Decimal | None = None
    notional: Decimal | None = None
    target: Decimal | None = None
    mode: OrderMode | None = None
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """Everything a plan depends on besides rules and the broker's capabilities.

    Attributes:
        equity: What the portfolio sizes on, in `currency`.
        holdings: Signed quantities by symbol.
        prices: Reference prices by symbol; a symbol left out has none.
        instruments: By symbol; a symbol left out is not tradable here.
        stale_symbols: Symbols whose price is too old to trade on.
        frozen_symbols: Symbol to the sentence that says why it is frozen.
        action_symbols: Symbol to the corporate action that needs a person or another session.
        quarantined_symbols: Symbol to the sentence that says why its newest price is not believed.
        cash: The portfolio's cash where it is known; it makes the cash rule exact even where
            a holding has no price.
        notes: Sentences that belong on the plan, from whoever made the inputs.
        previous_prices: Price of the session before the reference price's, in the same units.
        adv: Average daily volume in shares.
        atr: Average true range, in the reference price's currency and units.
        foreign: Signed quantities that the account holds and no portfolio owns.
        siblings: Signed quantities that the account's other portfolios own; the broker nets them with this one's.
        open_orders: Orders of the account that may still fill, whoever sent them.
        shorts_allowed: Whether the account has the equity that its broker asks of short sales; None where the
            portfolio's own equity is all that is known of it.
        manual: What a person asks for: the plan has this one line, and no targets.
        set_apart: Signed quantities within `holdings` that manual orders have bought and the plan leaves as they are;
            `equity` is without their value.
    """

    portfolio: str
    account: str
    session: date
    batch: int
    currency: str
    equity: Decimal
    targets: tuple[Target, ...]
    holdings: Mapping[str, Decimal]
    prices: Mapping[str, ReferencePrice]
    instruments: Mapping[str, Instrument]
    priced_on: date | None
    adjustment: str
    stale_symbols: frozenset[str] = frozenset()
    frozen_symbols: Mapping[str, str] = field(default_factory=dict)
    action_symbols: Mapping[str, str] = field(default_factory=dict)
    quarantined_symbols: Mapping[str, str] = field(default_factory=dict)
    cash: Decimal | None = None
    notes: tuple[str, ...] = ()
    previous_prices: Mapping[str, Decimal] = field(default_factory=dict)
    adv: Mapping[str, Decimal] = field(default_factory=dict)
    atr: Mapping[str, Decimal] = field(default_factory=dict)
    foreign: Mapping[str, Decimal] = field(default_factory=dict)
    siblings: Mapping[str, Decimal] = field(default_factory=dict)
    open_orders: tuple[OpenOrder, ...] = ()
    shorts_allowed: bool | None = None
    manual: ManualInstruction | None = None
    set_apart: Mapping[str, Decimal] = field(default_factory=dict)


def check(inputs: PlanInputs, rules: PlanningRules) -> None:
    """Refuse inputs that no plan can be made from.

    Raises:
        InputError: equity or cash that is no amount, a weight or holding that is no finite number,
            a symbol targeted twice, an unknown status, weights above their maximum, a price, volume,
            range or open order that cannot be one, a manual order that says too much or too little.
    """
    if not inputs.equity.is_finite() or inputs.equity <= 0:
        raise InputError(
            f"The equity of portfolio '{inputs.portfolio}' is {inputs.equity}; nothing can be sized on it.",
            remedy="Give the equity as an amount above zero.",
        )
    if inputs.equity > GREATEST_NUMBER:
        raise InputError(
            f"The equity of portfolio '{inputs.portfolio}' is {inputs.equity}, which no account has.",
            remedy=f"Give it in {inputs.currency}, up to {GREATEST_NUMBER}.",
        )
    if inputs.cash is not None and not _is_possible(inputs.cash):
        raise InputError(f"The cash is {inputs.cash}.", remedy="Give it as an amount, or leave it out.")
    seen: dict[str, Target] = {}
    for target in inputs.targets:
        _check_target(target, rules)
        if target.status == STATUS_OK and seen.setdefault(target.symbol, target) is not target:
            ids = ", ".join((*seen[target.symbol].asset_ids, *target.asset_ids))
            raise InputError(
                f"{target.symbol} is targeted twice (ids {ids}).",
                remedy="Give one weight for each instrument.",
            )
    for symbol, quantity in inputs.holdings.items():
        if not _is_possible(quantity):
            raise InputError(
                f"The holding of {symbol} is {quantity}.", remedy=f"Give a quantity of at most {GREATEST_NUMBER}."
            )
    _check_facts(inputs)
    if inputs.manual is not None:
        check_manual(inputs.manual)


def check_manual(asked: ManualInstruction) -> None:
    """Refuse a manual order that says too much, too little, or what no order can be.

    Raises:
        InputError: naming what.
    """
    given = {name: getattr(asked, name) for name in ("quantity", "notional", "target", "limit_price")}
    amounts = {name: value for name, value in given.items() if value is not None}
    for name, value in amounts.items():
        if not _is_possible(value) or (name != "target" and value <= 0):
            kind = "a number of shares" if name == "target" else "a number above zero"
            raise InputError(f"The {name} of the order is {value}.", remedy=f"Give {kind}.", where=asked.symbol)
    sizes = [name for name in amounts if name != "limit_price"]
    problem = ""
    if len(sizes) != 1:
        problem = f"gives {' and '.join(sizes) or 'neither quantity, notional nor target'}; exactly one of them counts"
    elif (asked.side is None) != (asked.target is not None):
        problem = "needs a side: buy or sell" if asked.side is None else "names a target, which has its own side"
    elif asked.limit_price is not None and asked.mode != "limit":
        problem = f"has a limit price and is {asked.mode or 'of no named type'}, not limit"
    if problem:
        raise InputError(f"The order {problem}.", remedy="Correct the request.", where=asked.symbol)


def _is_possible(number: Decimal) -> bool:
    return number.is_finite() and abs(number) <= GREATEST_NUMBER


def _check_facts(inputs: PlanInputs) -> None:
    above_zero = {"price of the session before": inputs.previous_prices, "average true range": inputs.atr}
    holdings = {"foreign holding": inputs.foreign, "other portfolios' holding": inputs.siblings}
    named = {**above_zero, "average daily volume": inputs.adv, **holdings}
    for name, numbers in named.items():
        for symbol, number in numbers.items():
            sound = _is_possible(number) and (number > 0 if name in above_zero else number >= 0 or name in holdings)
            if not sound:
                raise InputError(
                    f"The {name} of {symbol} is {number}.", remedy="Correct it, or leave it out: it is then unknown."
                )
    for order in inputs.open_orders:
        if not (_is_possible(order.remaining) and order.remaining > 0):
            raise InputError(
                f"An open order of {order.symbol} has {order.remaining} shares left.",
                remedy="Give the shares that have not filled, or leave out an order that has ended.",
            )


def _check_target(target: Target, rules: PlanningRules) -> None:
    name = target.symbol or ", ".join(target.asset_ids)
    if not target.weight.is_finite():
        raise InputError(f"The weight of {name} is {target.weight}.", remedy="Give a finite share of equity.")
    if target.status != STATUS_OK and target.status not in STATUS_REASONS:
        raise InputError(
            f"The target of {name} has the status '{target.status}'.",
            remedy=f"Use ok, {', '.join(STATUS_REASONS)}.",
        )
    if target.status == STATUS_OK and not target.symbol:
        raise InputError(f"The target of {name} has no symbol.", remedy="Map the id, or mark it unknown_id.")
    if rules.max_weight is not None and abs(target.weight) > rules.max_weight:
        raise InputError(
            f"The weight of {name} is {target.weight}; weights.max_weight allows {rules.max_weight}.",
            remedy="Lower the weight, or raise the limit.",
        )


def named_symbols(inputs: PlanInputs) -> set[str]:
    """Everything that is targeted, held or on order, with what an ambiguous id may mean."""
    named = {symbol for target in inputs.targets for symbol in (target.symbol, *target.candidates)}
    named |= set() if inputs.manual is None else {inputs.manual.symbol}
    return named | inputs.holdings.keys() | inputs.foreign.keys() | {order.symbol for order in inputs.open_orders}


def with_unmatched(inputs: PlanInputs, rules: PlanningRules) -> PlanInputs:
    """The inputs with a note on every override that is of nothing here: it may be a slip of the pen."""
    known = named_symbols(inputs) | inputs.instruments.keys()
    missed = sorted(symbol for symbol, _ in rules.overrides if symbol not in known)
    if not missed:
        return inputs
    note = f"planning.overrides names {', '.join(missed)}, which is neither in this plan nor among its instruments."
    return replace(inputs, notes=(*inputs.notes, note))


def plan_digest(inputs: PlanInputs, rules: PlanningRules, capabilities: Capabilities) -> str:
    """SHA-256 over canonical JSON of every input, rule and capability; independent of row order.

    Prices, volumes, ranges and instruments count as inputs where something is targeted, held or on order of them.
    """
    used = named_symbols(inputs)
    ordered = sorted(used)
    body = {
        "format": FORMAT,
        "portfolio": inputs.portfolio,
        "account": inputs.account,
        "session": inputs.session.isoformat(),
        "batch": inputs.batch,
        "currency": inputs.currency,
        "equity": plain(inputs.equity),
        "cash": None if inputs.cash is None else plain(inputs.cash),
        "targets": sorted(map(_target_values, inputs.targets)),
        "holdings": [(symbol, plain(quantity)) for symbol, quantity in sorted(inputs.holdings.items())],
        "prices": _price_values(inputs.prices, (symbol for symbol in ordered if symbol in inputs.prices)),
        "instruments": [
            _instrument_values(inputs.instruments[symbol]) for symbol in ordered if symbol in inputs.instruments
        ],
        "priced_on": inputs.priced_on.isoformat() if inputs.priced_on else None,
        "adjustment": inputs.adjustment,
        "stale": sorted(inputs.stale_symbols),
        "frozen": sorted(inputs.frozen_symbols.items()),
        "actions": sorted(inputs.action_symbols.items()),
        "quarantined": sorted(inputs.quarantined_symbols.items()),
        "notes": inputs.notes,
        "previous": _number_values(inputs.previous_prices, ordered),
        "adv": _number_values(inputs.adv, ordered),
        "atr": _number_values(inputs.atr, ordered),
        "foreign": _number_values(inputs.foreign, ordered),
        "siblings": _number_values(inputs.siblings, ordered),
        "open_orders": sorted(map(_open_order_values, inputs.open_orders)),
        "shorts_allowed": inputs.shorts_allowed,
        "rules": rules.as_text(),
        "capabilities": _capabilities_text(capabilities),
    }
    # Named only where there is something to name: a plan without them is what it was before they were known.
    if inputs.manual is not None:
        body["manual"] = _manual_values(inputs.manual)
    if inputs.set_apart:
        body["set_apart"] = _number_values(inputs.set_apart, sorted(inputs.set_apart))
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _target_values(target: Target) -> tuple[object, ...]:
    return (
        target.symbol, in_order(target.asset_ids), target.instrument_id, plain(target.weight), target.status,
        target.note, in_order(target.candidates),
    )  # fmt: skip


def _manual_values(asked: ManualInstruction) -> dict[str, object]:
    values = {item.name: getattr(asked, item.name) for item in fields(asked)}
    return {name: plain(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted; most have one name or none."""
    return names if len(names) < 2 else tuple(sorted(names))


def _number_values(numbers: Mapping[str, Decimal], symbols: Iterable[str]) -> list[tuple[str, str]]:
    return [(symbol, plain(numbers[symbol])) for symbol in symbols if symbol in numbers]


def _open_order_values(order: OpenOrder) -> tuple[object, ...]:
    return (order.symbol, order.side.value, plain(order.remaining), order.own, order.protective, order.group)


def _price_values(
    prices: Mapping[str, ReferencePrice], symbols: Iterable[str]
) -> list[tuple[str, str, str | None, str]]:
    days: dict[date | None, str | None] = {None: None}
    values = []
    for symbol in symbols:
        quote = prices[symbol]
        if quote.session not in days:
            days[quote.session] = str(quote.session)
        values.append((symbol, plain(quote.price), days[quote.session], quote.source))
    return values


def _instrument_values(instrument: Instrument) -> tuple[object, ...]:
    return (
        instrument.symbol, instrument.mic, instrument.currency, instrument.lot, plain(instrument.tick),
        instrument.fractionable, instrument.shortable, instrument.tradable,
    )  # fmt: skip


def _capabilities_text(capabilities: Capabilities) -> list[object]:
    return [
        capabilities.fractional,
        capabilities.quantity_decimals,
        capabilities.short,
        sorted(kind.value for kind in capabilities.order_types),
        plain(capabilities.min_notional),
        capabilities.full_exit_below_minimum,
        capabilities.unique_client_ids,
        capabilities.max_client_id_length,
        sorted(word.value for word in capabilities.times_in_force),
        capabilities.refuses_wash_trades,
        plain(capabilities.stop_distance),
        sorted(kind.value for kind in capabilities.fractional_order_types),
        plain(capabilities.short_equity),
    ]
