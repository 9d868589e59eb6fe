"""What the kernel works on: the rows of a book, the rules and the session as plain numbers, and codes of decisions.

What belongs here: names, units and limits. What does not: arithmetic (`kernel_room`, `kernel_rows`,
`kernel_turnover`, `kernel_fit`), and where the numbers come from (`sizing`, `books`).

Quantities are whole numbers of `UNIT`s, a billionth of a share, so that sums and differences of them are exact and
each is the same quantity in `Decimal`. Money, prices and weights are float64.

The kernel is written so that one source runs twice: compiled, on columns of numbers (`cell_columns`) and NumPy records,
and as it stands, on lists of the objects below. It says of each decision whether binary noise could have made it
(`NEAR`); the exact rules decide those (`sizing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import GREATEST_PRICE, LEAST_PRICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

Column: TypeAlias = Any
"""Numbers to work with: a list, or a NumPy array of one dimension."""

UNIT: Final = 10**9
"""Units of quantity in one share."""
SHARE: Final = 1e-9
"""Shares in one unit."""
GREATEST_COUNT: Final = 2 * 10**18
"""Largest quantity in units; a sum of several stays below the end of int64."""
STACK: Final = 64
"""Places that a column of room has beyond one per row: what a sum of up to 2**32 terms lays aside."""
GREATEST_AMOUNT: Final = 1e18
"""Of money: what lies beyond is a mistake."""
NONE: Final = math.inf
"""A limit that is not set."""

LEAST: Final = float(LEAST_PRICE)
GREATEST: Final = float(GREATEST_PRICE)
SNAP: Final = 1e-15
"""A quotient this close (relative) below a whole number of increments counts as that number: 0.06 * 1000 / 10."""
NOISE: Final = 1e-14
"""Relative distance within which two computed amounts may be equal or in either order.

A product or quotient here has at most a dozen roundings of 1.1e-16 each, the digits of a decimal input among them, and
a weight of 15 digits may mean any number within 1e-15.
"""
SUM_NOISE: Final = 1e-14
"""The same for a sum, relative to the sum of its absolute terms: pairwise sums of 2**30 terms have less."""
PLAIN_NOISE: Final = 1e-9
"""The same for less than 2**22 terms that are added one after another."""

REASONS: Final = (
    Reason.ON_TARGET, Reason.REBALANCE, Reason.OPEN, Reason.LIQUIDATE, Reason.CROSS_ZERO, Reason.BELOW_MIN_NOTIONAL,
    Reason.NO_PRICE, Reason.BAD_PRICE, Reason.NOT_TRADABLE, Reason.NOT_SHORTABLE, Reason.FROZEN, Reason.DUST,
    Reason.INSIDE_BAND, Reason.NO_CASH, Reason.TURNOVER_CAP, Reason.PARTICIPATION_CAP, Reason.NO_VOLUME,
    Reason.PRICE_COLLAR, Reason.OVERRIDE, Reason.FIRST_PARCEL, Reason.STALE_PRICE, Reason.AMBIGUOUS_ID,
    Reason.UNKNOWN_ID, Reason.QUARANTINED, Reason.STRATEGY_IDLE, Reason.CORPORATE_ACTION, Reason.LIMIT, Reason.FOREIGN,
    Reason.ACCOUNT_NET, Reason.HELD_BY_ORDER, Reason.WASH_TRADE, Reason.NO_ATR, Reason.MANUAL, Reason.KEPT,
)  # fmt: skip
"""Reason of each code: `REASONS[code]`. NO_PRICE is a price of NaN, BAD_PRICE one outside of `LEAST` and `GREATEST`."""
CODE: Final = {reason: code for code, reason in enumerate(REASONS)}

ON_TARGET: Final = CODE[Reason.ON_TARGET]
REBALANCE: Final = CODE[Reason.REBALANCE]
OPEN: Final = CODE[Reason.OPEN]
LIQUIDATE: Final = CODE[Reason.LIQUIDATE]
CROSS_ZERO: Final = CODE[Reason.CROSS_ZERO]
LAST_ORDERING: Final = CROSS_ZERO
"""Codes from `REBALANCE` to this one have orders."""
BELOW_MIN_NOTIONAL: Final = CODE[Reason.BELOW_MIN_NOTIONAL]
NO_PRICE: Final = CODE[Reason.NO_PRICE]
BAD_PRICE: Final = CODE[Reason.BAD_PRICE]
NOT_TRADABLE: Final = CODE[Reason.NOT_TRADABLE]
NOT_SHORTABLE: Final = CODE[Reason.NOT_SHORTABLE]
DUST: Final = CODE[Reason.DUST]
INSIDE_BAND: Final = CODE[Reason.INSIDE_BAND]
NO_CASH: Final = CODE[Reason.NO_CASH]
TURNOVER_CAP: Final = CODE[Reason.TURNOVER_CAP]
PARTICIPATION_CAP: Final = CODE[Reason.PARTICIPATION_CAP]
NO_VOLUME: Final = CODE[Reason.NO_VOLUME]
PRICE_COLLAR: Final = CODE[Reason.PRICE_COLLAR]
OVERRIDE: Final = CODE[Reason.OVERRIDE]
FIRST_PARCEL: Final = CODE[Reason.FIRST_PARCEL]

CLEAR, SPEAKS, BEYOND, NEAR, LEFT = 0, 1, 2, 4, 8
"""Marks of a row: decided; decided, and a plan says more of it than its reason; needs a rule that the kernel lacks;
so near to a threshold that noise may decide. The larger one stands. `LEFT`: not decided yet."""

FREE, FIXED, REFUSED_SHORT, IDLE = 0, 1, 2, 3
"""Standing of a row when room is shared: moves; keeps its holding; weighs on the room as a short that is refused; is
neither held nor targeted, and no line of a plan."""

FITS, BOUND, FLAGGED, UNSURE, REFUSED = 0, 1, 2, 3, 4
"""Of the whole book: its laws cut nothing; they did; rows wait for the exact rules; noise may decide over the book; no
plan can be made, or nearly."""

NO_BUY, NO_SELL, REDUCE_ONLY = 1, 2, 3
BANS: Final = {"no_buy": NO_BUY, "no_sell": NO_SELL, "reduce_only": REDUCE_ONLY}


@dataclass(slots=True)
class Cells:
    """One instrument of a book. Quantities are in units; `count`, `delta`, `target` and `trade` are signed.

    Attributes:
        weight: Target weight, a share of equity; 0 for what is not targeted.
        price: Reference price; NaN where there is none.
        previous: Price of the session before; NaN where not known.
        volume: Average daily volume in shares; NaN where not known.
        parcel: Smallest value of a first purchase; 0 for none.
        tick: Largest price step where a limit price is wanted; 0 where none is. What costs less needs the exact rules.
        count: Held.
        held: The same in shares, exact where there is no count of it.
        lot: In the smallest whole quantity of the instrument.
        fact: Code of the reason why the holding stays as it is; 0 for none. It counts for what is held or targeted.
        ban: `NO_BUY`, `NO_SELL`, `REDUCE_ONLY`; 0 for none.
        special: Whether the kernel lacks a rule that the row needs, whatever its change.
        code: Decision: a code of `REASONS`.
        mark: Of the decision: `CLEAR`, `SPEAKS`, `BEYOND` or `NEAR`.
        delta: Decision: to trade, or what the reason withholds.
        target: Decision: wanted.
        trade: Decision: what orders trade after all laws.
        sale: Of this, unsigned, what sells a holding: it frees cash, and all else waits for it.
        standing: `FREE`, `FIXED`, `REFUSED_SHORT` or `IDLE`.
        whole: Whether targets are whole lots.
        step: Increment of the target; `close_step` that of an order which closes a holding whole.
        first_code, first_delta, first_target: The decision before the turnover cap.
    """

    weight: float = 0.0
    price: float = math.nan
    held: float = 0.0
    count: int = 0
    delta: int = 0
    target: int = 0
    step: int = UNIT
    code: int = 0
    mark: int = 0
    standing: int = 0
    fact: int = 0
    ban: int = 0
    first_code: int = 0
    special: bool = False
    tradable: bool = True
    fractionable: bool = True
    shortable: bool = True
    whole: bool = False
    close_step: int = UNIT
    lot: int = UNIT
    parcel: float = 0.0
    tick: float = 0.0
    previous: float = math.nan
    volume: float = math.nan
    trade: int = 0
    sale: int = 0
    first_delta: int = 0
    first_target: int = 0


@dataclass(slots=True)
class Numbers:
    """Rules and capabilities, as far as the kernel reads them. Money is in the plan's currency; no limit is `NONE`.

    Attributes:
        fractional: Whether targets may be fractions of a share.
        fine: Units in one increment of a fractional target.
        order_unit: Units in one increment of an order's quantity where fractions are taken; else `UNIT`.
        buffer: Share of equity that is never invested.
        sizing_buffer: The same with the slippage allowance: what targets leave over.
        invests, sizing_invests: 1 less either of them.
        adjust: Whether weights above their maximum are scaled to it.
        exit_exempt: Whether a full exit may be smaller than the minimum.
        short_equity: Equity from which on shorts are taken; `NONE` where they never are.
        band_absolute: Half width of the band, a share of equity; 0 for none.
        band_relative: The same, a share of the target's value.
        to_edge: Whether trades end at the edge of the band.
        max_turnover: Value of all orders, a share of equity.
        max_participation: Shares of one order, a share of the average daily volume.
        max_move: Largest move of a price since the session before, a share of that one.
        max_value, max_shares: Of one slice.
        max_total: Value of all orders together.
    """

    minimum: float = 0.0
    buffer: float = 0.0
    sizing_buffer: float = 0.0
    invests: float = 1.0
    sizing_invests: float = 1.0
    slippage: float = 0.0
    max_gross: float = 1.0
    sum_tolerance: float = 0.0
    short_equity: float = NONE
    band_absolute: float = 0.0
    band_relative: float = 0.0
    max_turnover: float = NONE
    max_participation: float = NONE
    max_move: float = NONE
    max_weight: float = NONE
    max_value: float = NONE
    max_shares: float = NONE
    max_total: float = NONE
    fine: int = UNIT
    order_unit: int = UNIT
    fractional: bool = False
    adjust: bool = True
    exit_exempt: bool = False
    to_edge: bool = False


@dataclass(slots=True)
class Session:
    """What one session adds, and what comes out beside the rows.

    Attributes:
        equity: What the portfolio sizes on, in the plan's currency.
        cash: Cash where it is known; else NaN.
        spare_cash: Cash less the buffer and what open orders take of it; NaN where it follows from equity.
        factor: Factor on all weights; NaN to find it from their sums.
        reserved: Value of holdings without a price that is known to be part of equity; NaN to find it from `cash`.
        shorts: Whether shorts are taken.
        listed: Whether what is neither held nor targeted is a line of the plan all the same.
        share: Found: part of the room that holdings which cannot be traded leave.
        upper_share: Found: the same without the slippage allowance.
        lower: Found: money that weights are shares of; `upper` without the slippage allowance, 0 where there is none.
        lower_full: Found: the same for shorts that are refused, whatever cannot be traded; `upper_full` likewise.
        band: Found: half width of the absolute band.
        near: Found: relative distance to a threshold within which noise may decide.
        loose: Found: `FACTOR` or `ROOM` where that may be off by as much as `LOOSE`; else 0.
    """

    equity: float = 0.0
    cash: float = math.nan
    spare_cash: float = math.nan
    factor: float = math.nan
    reserved: float = math.nan
    share: float = 1.0
    upper_share: float = 1.0
    lower: float = 0.0
    lower_full: float = 0.0
    upper: float = 0.0
    upper_full: float = 0.0
    band: float = 0.0
    near: float = NOISE
    loose: int = 0
    shorts: bool = False
    listed: bool = False


Rows: TypeAlias = Sequence[Cells]
"""A list of `Cells`, or `cell_columns.CellColumns`, whose rows have the same names."""

FACTOR, ROOM = 1, 2
LOOSE: Final = 2.5e-12
"""Relative error of budgets whose overflow factor is one of two neighbours on its grid of 1e-12."""

_KINDS = {"float": "f8", "int": "i8", "bool": "?"}
_SMALL = {"fact", "ban", "code", "mark", "standing", "first_code"}


def kind_of(item: Field[Any]) -> str:
    """NumPy's name for the numbers of a field."""
    return "i1" if item.name in _SMALL else _KINDS[str(item.type)]


def records(kind: type[Any], size: int) -> NDArray[Any]:
    """An array of records with the names and defaults of a class of plain numbers, as those above."""
    import numpy as np

    made = np.empty(size, np.dtype([(item.name, kind_of(item)) for item in fields(kind)], align=True))
    for item in fields(kind):
        made[item.name] = item.default
    return made
