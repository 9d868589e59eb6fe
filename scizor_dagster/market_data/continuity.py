"""Whether an instrument is still what it was at its last close: quantity times price does not jump overnight.

What belongs here: the judgement over arrays, and its sentences. What does not: where prices and quantities come from
(`flow.continuity`), actions that are known (`reading.pending_actions`), and bars of closed sessions (`jumps`).

A split changes price and quantity by the same ratio, and source, broker and ledger hear of it at different times. Each
of the three ways to be in between is told by the two ratios: the price alone has moved (the position is not adjusted
yet, or it is a crash), the quantity alone has (the price is not known yet), or both have, and their product has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

USUAL_MOVES = 5.0
"""A move of fewer of the instrument's own mean daily moves says nothing about its units."""
PRODUCT_ROOM = 0.15
"""How far quantity times price may move overnight across a split: as the price by itself may."""
NAMED_ROOM = 0.06
"""How near a ratio must be to one of `RATIOS` to be called by its name."""
SAME_RATIO = 1e-6
FEW = 20.0
CHEAP_BEFORE, CHEAP_FALL = 200.0, 4.5
"""Nobody splits a share of fewer smallest price steps than that; a larger fall is looked at even so (wrong units)."""
CHEAP_AFTER, CHEAP_RISE = 100.0, 2.5
"""Nobody consolidates into a share of still fewer steps than that, unless by far more than such a rise."""
RATIOS: Mapping[float, str] = {
    **{float(new): f"{new} for 1" for new in (*range(2, 51), 60, 75, 80, 100, 150, 200, 250, 500, 1000)},
    **{new / old: f"{new} for {old}" for new, old in ((3, 2), (5, 2), (7, 2), (4, 3), (5, 3), (5, 4), (6, 5), (7, 4))},
}
"""New shares for old ones, of splits as they happen; the inverse of each is a consolidation."""
_VALUES = np.array(sorted(RATIOS))
_NAMES = [RATIOS[value] for value in _VALUES.tolist()]


@dataclass(frozen=True)
class Evidence:
    """What is known of instruments between a close and a send; arrays of equal length, NaN where it is not known.

    Attributes:
        reference: The price that sizes orders, in the units of the last close.
        newest: The newest price since that close, in the units that trade now.
        usual: Mean absolute daily move, as a logarithm.
        owned: Signed shares that the account's portfolios own together, by the ledger.
        held: Signed shares that the broker shows.
        steps: Smallest price step that the exchange has for the instrument, at whatever price.
        sources: By index of a `newest`, where it comes from and of when it is.
    """

    symbols: Sequence[str]
    reference: Floats
    newest: Floats
    usual: Floats
    owned: Floats
    held: Floats
    steps: Floats
    sources: Mapping[int, str]


@dataclass(frozen=True)
class MoveLimits:
    """Factors either way, above 1; None is no limit.

    Attributes:
        allowed: Up to this a price may move overnight.
        most: What a wild instrument's own moves may raise `allowed` to.
    """

    allowed: float | None
    most: float | None


def judge(evidence: Evidence, limits: MoveLimits) -> dict[str, str]:
    """Instruments that must not be ordered in, each with a clause that names prices, ratio and suspected action."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fallen = evidence.reference / evidence.newest
        grown = evidence.held / evidence.owned
    differs = np.isfinite(grown) & (np.abs(grown - 1.0) > SAME_RATIO)
    moved = _moved(fallen, evidence.usual, limits) & (differs | ~_too_cheap(evidence, fallen))
    changed = _is_ratio(evidence.owned, evidence.held)
    both = moved & differs & (grown > 0)
    found: dict[str, str] = {}
    for index in np.flatnonzero(moved | changed).tolist():
        price, quantity = _price(evidence, index), _quantity(evidence, index)
        if both[index]:
            continuous = abs(np.log(grown[index] / fallen[index])) <= PRODUCT_ROOM
            text = _both(float(grown[index]), price, quantity, continuous=continuous)
        elif moved[index]:
            text = _price_alone(float(fallen[index]), price, quantity)
        else:
            still = f"; {price}" if price else ""
            text = f"suspected {action(float(grown[index]))}: {quantity}{still}; the ledger has not recorded it"
        found[evidence.symbols[index]] = text[0].upper() + text[1:]
    return found


def renamed(differences: Mapping[str, Decimal], owned: Mapping[str, Decimal]) -> dict[str, str]:
    """Instruments that have left an account whole while another has come in their quantity, or at a ratio to it.

    Both are named: under its new name the position is nobody's, and would be bought a second time.

    Args:
        differences: The broker's signed shares less the ledger's, by symbol; what agrees is absent.
        owned: The ledger's signed shares by symbol.
    """
    found: dict[str, str] = {}
    gone = [symbol for symbol, qty in sorted(owned.items()) if qty and differences.get(symbol) == -qty]
    come = [symbol for symbol, qty in sorted(differences.items()) if qty and not owned.get(symbol)]
    for old in gone:
        ratios = {new: float(differences[new] / owned[old]) for new in come}
        fits = [new for new, ratio in ratios.items() if ratio > 0 and (ratio == 1.0 or named(ratio, SAME_RATIO))]
        if len(fits) == 1:
            new, ratio = fits[0], ratios[fits[0]]
            split = f" with a {action(ratio)}" if ratio != 1.0 else ""
            text = (
                f"Suspected rename of {old} to {new}{split}: the broker shows {differences[new]:f} {new} and no {old}, "
                f"of which the portfolios own {owned[old]:f}"
            )
            found |= {old: text, new: text}
    return found


def named(ratio: float, room: float = NAMED_ROOM) -> str | None:
    """`7 for 1`, `1 for 25`, `3 for 2`: the split that a ratio of new to old shares is near; None for none."""
    if not (np.isfinite(ratio) and ratio > 0):
        return None
    size = max(ratio, 1 / ratio)
    nearest = int(np.argmin(np.abs(np.log(_VALUES / size))))
    if abs(_VALUES[nearest] / size - 1.0) > room:
        return None
    new, _, old = _NAMES[nearest].partition(" for ")
    return f"{new} for {old}" if ratio >= 1 else f"{old} for {new}"


def split_ratio(owned: float, held: float) -> float | None:
    """New shares for old ones, where `held` is what a split would leave of `owned`; None where it is not.

    Of fewer than `FEW` shares the ratio must be exact: a fraction that was paid out would fit nearly everything.
    """
    if not owned or not _is_ratio(np.array([owned]), np.array([held]))[0]:
        return None
    few = min(abs(owned), abs(held)) < FEW and named(held / owned, SAME_RATIO) is None
    return None if few else held / owned


def action(ratio: float) -> str:
    """The corporate action that a ratio of new to old shares would be."""
    kind = "split" if ratio >= 1 else "consolidation"
    return f"{kind} of {named(ratio) or f'{ratio:.4g} for 1'}"


def _moved(fallen: Floats, usual: Floats, limits: MoveLimits) -> NDArray[np.bool_]:
    """Where a price has moved further than the limit, or than the instrument's own days explain."""
    if limits.allowed is None:
        return np.zeros(len(fallen), dtype=bool)
    least = np.log(limits.allowed)
    most = np.inf if limits.most is None else max(float(np.log(limits.most)), least)
    room = np.clip(USUAL_MOVES * np.nan_to_num(usual), least, most)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved: NDArray[np.bool_] = np.abs(np.log(fallen)) > room
    return moved


def _too_cheap(evidence: Evidence, fallen: Floats) -> NDArray[np.bool_]:
    """Where a price is of so few steps that it moves by such a ratio by itself, and no company would split by it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = evidence.reference / evidence.steps, evidence.newest / evidence.steps
    fall: NDArray[np.bool_] = (before < CHEAP_BEFORE) & (fallen > 1.0) & (fallen < CHEAP_FALL)
    rise: NDArray[np.bool_] = (after < CHEAP_AFTER) & (fallen < 1.0) & (fallen > 1 / CHEAP_RISE)
    return fall | rise


def _is_ratio(owned: Floats, held: Floats) -> NDArray[np.bool_]:
    """Where the broker holds what a split would leave of what is owned: whole shares, the rest paid out, or exact."""
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = held / owned
        marks: NDArray[np.bool_] = np.isfinite(grown) & (grown > 0) & (np.abs(grown - 1.0) > SAME_RATIO)
    grown, owned, held = grown[marks], owned[marks], held[marks]
    size = np.maximum(grown, 1 / grown)
    nearest = _VALUES[np.abs(size[:, None] - _VALUES).argmin(axis=1)]
    after = owned * np.where(grown >= 1, nearest, 1 / nearest)
    marks[marks] = np.isclose(held, after, rtol=SAME_RATIO, atol=0) | (held == np.trunc(after))
    return marks


def _price_alone(ratio: float, price: str, quantity: str) -> str:
    name = named(ratio)
    way = f"a {'fall' if ratio > 1 else 'rise'} of {abs(1 / ratio - 1):.0%}"
    if name is None:
        return f"price has jumped: {price}, {way} that no known action explains{_and(quantity)}"
    return f"suspected {action(ratio)}, or {way}: {price}, and no action is known{_and(quantity)}"


def _both(ratio: float, price: str, quantity: str, *, continuous: bool) -> str:
    if continuous:
        return f"{action(ratio)} that the ledger has not recorded: {quantity}; {price}"
    return f"quantity and price have both changed, and no split explains the two: {quantity}; {price}"


def _and(quantity: str) -> str:
    return f"; {quantity}" if quantity else ""


def _price(evidence: Evidence, index: int) -> str:
    newest, reference = evidence.newest[index], evidence.reference[index]
    if not (np.isfinite(newest) and np.isfinite(reference)):
        return ""
    ratio = f"1:{reference / newest:.4g}" if newest < reference else f"{newest / reference:.4g}:1"
    return f"{newest:.6g} ({evidence.sources[index]}) after {reference:.6g}, which is {ratio}"


def _quantity(evidence: Evidence, index: int) -> str:
    held, owned = evidence.held[index], evidence.owned[index]
    if not (np.isfinite(held) and np.isfinite(owned)) or held == owned == 0:
        return ""
    if held == owned:
        return f"the broker still holds {held:.12g}"
    return f"the broker holds {held:.12g} where the portfolios own {owned:.12g}"
