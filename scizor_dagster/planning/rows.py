"""One row per instrument of a plan, before anything is sized.

What belongs here: which instruments a plan is about, what is held and targeted of each, and which
of them may not be ordered for reasons that need no arithmetic. What does not: sizes (`kernel`,
`decisions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import STATUS_OK, STATUS_REASONS, PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rules import PlanningRules


@dataclass(slots=True)
class Row:
    """An instrument on its way to a plan line. `kept` says why its holding stays as it is."""

    symbol: str
    instrument_id: str
    instrument: Instrument | None
    weight: Decimal
    current: Decimal
    price: ReferencePrice | None
    usable_price: Decimal | None
    """The reference price where it is one that can value a holding."""
    kept: Reason | None = None
    note: str = ""
    asset_ids: tuple[str, ...] = ()
    target: Decimal | None = None
    delta: Decimal = ZERO
    """Signed quantity to trade, or that would be traded where the reason withholds it."""
    reason: Reason = Reason.ON_TARGET
    whole: bool = False
    """Whether targets of this instrument are whole lots."""

    def withhold(self, reason: Reason, note: str = "") -> None:
        self.reason = reason
        self.add_note(note)

    def add_note(self, note: str) -> None:
        if note:
            self.note = f"{self.note} {note}".strip()


def make_rows(inputs: PlanInputs, rules: PlanningRules) -> list[Row]:
    """Rows for everything that is targeted or held, sorted by symbol."""
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
    blacklist = frozenset(rules.blacklist)
    for row in rows.values():
        _keep_by_fact(row, inputs, blacklist)
    return [rows[symbol] for symbol in sorted(rows)]


def _row(inputs: PlanInputs, symbol: str, target: Target | None) -> Row:
    instrument = inputs.instruments.get(symbol)
    quote = inputs.prices.get(symbol)
    named = target.instrument_id if target else ""
    return Row(
        symbol=symbol,
        instrument_id=named or (instrument.id if instrument else ""),
        instrument=instrument,
        weight=target.weight if target else ZERO,
        current=inputs.holdings.get(symbol, ZERO),
        price=quote,
        usable_price=quote.price if quote and quote.price.is_finite() and quote.price > 0 else None,
        note=target.note if target else "",
        asset_ids=tuple(sorted(target.asset_ids)) if target else (),
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
    if row.kept is not None or (row.weight == 0 and row.current == 0):
        return
    symbol = row.symbol
    if symbol in inputs.frozen_symbols:
        row.kept = Reason.FROZEN
        row.add_note(inputs.frozen_symbols[symbol])
    elif symbol in inputs.action_symbols:
        row.kept = Reason.CORPORATE_ACTION
        row.add_note(inputs.action_symbols[symbol])
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
