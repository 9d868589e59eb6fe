"""One row per instrument of a plan, before anything is sized.

What belongs here: which instruments a plan is about, what is held and targeted of each, and which
of them may not be ordered for reasons that need no arithmetic. What does not: sizes (`kernel`,
`decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.exchanges import FIRST_PARCEL_CURRENCIES
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import (
    STATUS_OK,
    STATUS_REASONS,
    PlanInputs,
    ReferencePrice,
    Target,
    in_order,
)
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import Resting
from scizor_dagster.planning.quantities import ZERO, is_usable, plain
from scizor_dagster.planning.rules import PlanningRules


@dataclass(slots=True)
class Row:
    """An instrument on its way to a plan line. `kept` says why its holding stays as it is.

    `held` is what the portfolio has, `current` what it will have once its open orders have filled.
    """

    symbol: str
    instrument_id: str
    instrument: Instrument | None
    weight: Decimal
    held: Decimal
    current: Decimal
    price: ReferencePrice | None
    usable_price: Decimal | None
    """The reference price where it is one that can value a holding."""
    note: str
    asset_ids: tuple[str, ...]
    kept: Reason | None = None
    target: Decimal | None = None
    delta: Decimal = ZERO
    """Signed quantity to trade, or that would be traded where the reason withholds it."""
    reason: Reason = Reason.ON_TARGET
    whole: bool = False
    """Whether targets of this instrument are whole lots."""
    parcel: Decimal = ZERO
    """Smallest value of the first purchase, where the instrument is not held and its exchange has one."""
    bracket: tuple[Decimal, Decimal] | None = None
    """Take-profit and stop of what is bought, where a bracket protects it."""
    busy: Decimal = ZERO
    """Unsigned shares that own open orders still trade."""
    value: Decimal = ZERO
    """Signed value of the target before it is rounded; zero where all is to be closed."""
    limit: Decimal | None = None
    """Limit price that a person has asked for; None where the rules give it."""

    @property
    def side(self) -> Side:
        """Of a change that is not zero."""
        return Side.SELL if self.delta.is_signed() else Side.BUY

    def withhold(self, reason: Reason, note: str) -> None:
        self.reason = reason
        self.add_note(note)

    def add_note(self, note: str) -> None:
        self.note = f"{self.note} {note}".strip()


def make_rows(inputs: PlanInputs, rules: PlanningRules, resting: Mapping[str, Resting]) -> list[Row]:
    """Rows for everything that is targeted, held, on order or foreign, sorted by symbol.

    Args:
        inputs: Checked inputs.
        rules: Blacklist, overrides, largest price move and first parcels.
        resting: The open orders of `inputs` by symbol.
    """
    rows: dict[str, Row] = {}
    ordered = sorted(inputs.targets, key=lambda target: (target.status != STATUS_OK, target.symbol, target.asset_ids))
    for target in ordered:
        if target.status == STATUS_OK:
            rows[target.symbol] = _row(inputs, target.symbol, target)
    for target in ordered:
        if target.status != STATUS_OK:
            _add_unresolved(rows, inputs, target)
    for symbol in inputs.holdings:
        if symbol not in rows:
            rows[symbol] = _row(inputs, symbol, None)
    for symbol, orders in resting.items():
        _add_working(rows, inputs, symbol, orders)
    for symbol, quantity in inputs.foreign.items():
        _add_foreign(rows, inputs, symbol, quantity)
    blacklist = frozenset(rules.blacklist)
    untouchable = {symbol for symbol, rule in rules.overrides if rule == "never_touch"}
    for row in rows.values():
        _keep_by_fact(row, inputs, blacklist)
        if row.kept is None and (untouchable or inputs.previous_prices):
            _keep_by_rule(row, inputs, rules.max_price_move, untouchable)
    if rules.first_parcel and inputs.currency in FIRST_PARCEL_CURRENCIES:
        for row in rows.values():
            row.parcel = _first_parcel(row, inputs)
    return [rows[symbol] for symbol in sorted(rows)]


def _add_working(rows: dict[str, Row], inputs: PlanInputs, symbol: str, orders: Resting) -> None:
    if not orders.busy:
        return
    row = rows.setdefault(symbol, _row(inputs, symbol, None))
    row.busy = orders.busy
    row.current += orders.working
    if orders.working:
        row.add_note(f"Open orders still {'buy' if orders.working > 0 else 'sell'} {plain(abs(orders.working))}.")


def _add_foreign(rows: dict[str, Row], inputs: PlanInputs, symbol: str, quantity: Decimal) -> None:
    """A line of its own for what only the account holds; a note where the portfolio has a line already."""
    if symbol not in rows:
        rows[symbol] = _row(inputs, symbol, None)
        rows[symbol].kept = Reason.FOREIGN
    rows[symbol].add_note(f"The account holds {plain(quantity)} of it that no portfolio owns.")


def _first_parcel(row: Row, inputs: PlanInputs) -> Decimal:
    instrument = row.instrument
    # An open purchase may never fill, and an open sale may fill first: neither makes it held.
    beside = (inputs.foreign.get(row.symbol, ZERO), inputs.siblings.get(row.symbol, ZERO))
    if instrument is None or min(row.held, row.current) > 0 or max(beside) > 0:
        return ZERO
    exchange = instrument.exchange
    return exchange.first_parcel or ZERO if exchange.currency == instrument.currency else ZERO


def _row(inputs: PlanInputs, symbol: str, target: Target | None) -> Row:
    instrument = inputs.instruments.get(symbol)
    quote = inputs.prices.get(symbol)
    named = target.instrument_id if target else ""
    held = inputs.holdings.get(symbol, ZERO)
    return Row(
        symbol=symbol,
        instrument_id=named or (instrument.id if instrument else ""),
        instrument=instrument,
        weight=target.weight if target else ZERO,
        held=held,
        current=held,
        price=quote,
        usable_price=quote.price if quote and is_usable(quote.price) else None,
        note=target.note if target else "",
        asset_ids=in_order(target.asset_ids) if target else (),
    )


def _add_unresolved(rows: dict[str, Row], inputs: PlanInputs, target: Target) -> None:
    """Lines for a target that cannot be traded; each holding that it may mean is kept."""
    named = [target.symbol] if target.symbol else []
    possible = [symbol for symbol in (*named, *sorted(target.candidates)) if symbol not in rows]
    held = [symbol for symbol in dict.fromkeys(possible) if inputs.holdings.get(symbol)]
    symbols = held or [_label(rows, target)]
    for number, symbol in enumerate(symbols):
        row = _row(inputs, symbol, target)
        row.kept = STATUS_REASONS[target.status]
        if number:
            row.weight = ZERO
            row.add_note(f"Its weight stands on the line of {symbols[0]}.")
        if target.candidates and not target.note:
            row.add_note(f"The id may mean {', '.join(sorted(target.candidates))}.")
        rows[symbol] = row


def _label(rows: dict[str, Row], target: Target) -> str:
    label = target.symbol or "|".join(sorted(target.candidates)) or "+".join(sorted(target.asset_ids))
    while label in rows:
        label += "?"
    return label


def _keep_by_fact(row: Row, inputs: PlanInputs, blacklist: frozenset[str]) -> None:
    if row.kept is not None or not (row.weight or row.current):
        return
    symbol = row.symbol
    if symbol in inputs.frozen_symbols:
        row.kept = Reason.FROZEN
        row.add_note(inputs.frozen_symbols[symbol])
    elif symbol in inputs.action_symbols:
        row.kept = Reason.CORPORATE_ACTION
        row.add_note(inputs.action_symbols[symbol])
    elif symbol in inputs.quarantined_symbols:
        row.kept = Reason.QUARANTINED
        row.add_note(inputs.quarantined_symbols[symbol])
    elif row.instrument is None:
        row.kept = Reason.NOT_TRADABLE
        row.add_note("It is not in the universe.")
    elif symbol in blacklist:
        row.kept = Reason.NOT_TRADABLE
        row.add_note("It is on the blacklist.")
    elif row.instrument.currency != inputs.currency:
        row.kept = Reason.NOT_TRADABLE
        row.add_note(f"It trades in {row.instrument.currency}, the plan is in {inputs.currency}.")
    elif symbol in inputs.stale_symbols and row.price is not None:
        row.kept = Reason.STALE_PRICE
        row.add_note(f"Its last price is of {row.price.session}.")


def _keep_by_rule(row: Row, inputs: PlanInputs, largest_move: Decimal | None, untouchable: Set[str]) -> None:
    if not (row.weight or row.current):
        return
    before, now = inputs.previous_prices.get(row.symbol), row.usable_price
    if row.symbol in untouchable:
        row.kept = Reason.OVERRIDE
        row.add_note("planning.overrides says never_touch.")
    elif before is None or now is None or largest_move is None:
        return
    elif abs(now - before) > largest_move * before:
        row.kept = Reason.PRICE_COLLAR
        row.add_note(
            f"Its price is {plain(now)} and was {plain(before)} the session before, which no corporate action "
            "explains; planning.max_price_move."
        )
