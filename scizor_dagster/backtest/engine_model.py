"""What the loop of a backtest works on: a market and a book as arrays, an account and choices as plain numbers.

What belongs here: names and units. What does not: arithmetic (`engine_fills`, `engine_loop`), and where the values come
from (`engine_setup`).

The loop is written like the planner's kernel: one source that runs compiled, on arrays of records, and as it stands, on
objects of the classes below. Quantities are int64 units (`kernel_model.UNIT`), money is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

NIGHT, MORNING, EVENING, DECIDED, LATE = 0, 1, 2, 3, 4
"""Stages of a session: before it; actions have been applied; marked at its close; the next plan is decided, or there is
none; marked again."""

DONE, ACTIONS, FULL, BAD_PRICE, BAD_FILL = 10, 11, 12, 13, 14
"""Why the loop stops, beside what the planner's kernel leaves open: the session that it was asked to stop at; actions
that are applied exactly; no room for the trades of another session; a close that is no price; and such
a price to fill at."""

WINDOW: Final = 20
FEWEST: Final = 5
"""Average volumes are medians of the last `WINDOW` bars, and not known below `FEWEST`, as in life
(`market_data.trading_facts`)."""
DIVIDENDS, INTEREST, BORROWING, DELISTINGS = 0, 1, 2, 3
"""Columns of `Result.income`."""


@dataclass(slots=True)
class Rates:
    """What trading one instrument costs: `model.Costs` and its commission, with shares of value for basis points."""

    per_share: float = 0.0
    share: float = 0.0
    minimum: float = 0.0
    maximum: float = 1.0
    sell_per_share: float = 0.0
    sell_share: float = 0.0
    taxed: float = 1.0
    half_spread: float = 0.0
    slippage: float = 0.0
    impact: float = 0.0
    participation: float = math.inf
    borrow_rate: float = 0.0


@dataclass(slots=True)
class Setting:
    """Choices of a run.

    Attributes:
        oldest: Sessions from which on a price is too old to size an order.
        volumes: Whether fills read volumes.
        moves, averages: Whether a rule of the planner reads prices of the bar before, or average volumes.
        minimum: Smallest value of an order at the broker.
        price_scale: Fill prices are rounded against the account to one in so many; 0 for not.
        volume_share: Share of a bar's volume that trades at the fill's price.
        keep: Whether quantities and reasons of every session are kept; `records` the same of trades.
        cents: Whether commissions are rounded up to whole cents.
        borrows: Whether a short costs.
        apart: 1 where instruments have rates of their own, 0 where those of the first are everyone's.
        stays: Whether the schedule keeps holdings as they are somewhere.
        pledged: Whether cash as much as shorts are worth earns nothing.
    """

    delay: int = 1
    oldest: int = 0
    minimum: float = 0.0
    buffer: float = 0.0
    short_equity: float = 0.0
    cash_rate: float = 0.0
    debit_rate: float = 0.0
    price_scale: float = 0.0
    volume_share: float = 1.0
    volumes: bool = False
    moves: bool = False
    averages: bool = False
    keep: bool = True
    records: bool = True
    cents: bool = False
    borrows: bool = False
    apart: int = 1
    stays: bool = False
    pledged: bool = False


@dataclass(slots=True)
class Account:
    """Where a run is.

    Attributes:
        row: Session at hand, and `stage` how far in it.
        plan: Next row of the schedule.
        trades: Records written so far.
        pending: Whether a plan waits for its session, which is `due`.
        waiting: Row of the schedule that it is of.
        reserved: Cash that the pending plan leaves over.
        place: Instrument of a price that is none.
    """

    cash: float = 0.0
    equity: float = 0.0
    reserved: float = 0.0
    row: int = 0
    stage: int = 0
    plan: int = 0
    trades: int = 0
    due: int = -1
    waiting: int = -1
    place: int = -1
    pending: bool = False


class Market(NamedTuple):
    """What is only read. T sessions, N instruments, R plans; arrays of entries are grouped by session.

    Attributes:
        close, fill: T x N prices: those that mark, and those that orders fill at.
        volume: T x N, or 0 x N where none is read.
        nights: T calendar days since the session before.
        rows, weights: R, R x N: the schedule. `kept` the same of what it leaves alone, or 0 x N.
        exact: T; whether actions of the session are applied outside of the loop.
        paid_from: T + 1; entries of dividends by session. `paid_column`, `paid_amount`, and `paid_digits` with
            `paid_half`: the amount as a whole number, and half a cent in its units times `UNIT`.
        split_from, split_column: The same of splits.
        facts: N codes of what rules say of instruments.
    """

    close: Any
    fill: Any
    volume: Any
    nights: Any
    rows: Any
    weights: Any
    kept: Any
    exact: Any
    paid_from: Any
    paid_column: Any
    paid_amount: Any
    paid_digits: Any
    paid_half: Any
    split_from: Any
    split_column: Any
    facts: Any


class Book(NamedTuple):
    """What a run carries from session to session, one place per instrument.

    Attributes:
        count: Signed units held; `held` the same in shares.
        last, before: Close of the last bar, and of the one before it where a rule reads it, in units that trade now.
        seen: Row of the last bar; -1 for none yet.
        changed: Row of the last split; -1 for none yet.
        planned: Signed units that the pending plan trades; `sale` of them sell what is held. `reference` sized them.
        code: Reasons of the pending plan.
        filled: Room for what sales of holdings fill.
        window: WINDOW x N; the last volumes in turn, `known` of them; those that are not there yet are infinite.
        ordered: WINDOW + 1 x N; the same in order, and a last place that stays infinite.
        average: Median of them, in whole shares; NaN where there are too few.
        turn: 3 x N to take a session's volumes into them.
        room: 10 x N to add up a session's orders in (`engine_orders`).
    """

    count: Any
    held: Any
    last: Any
    before: Any
    seen: Any
    changed: Any
    planned: Any
    sale: Any
    reference: Any
    code: Any
    filled: Any
    window: Any
    ordered: Any
    known: Any
    average: Any
    turn: Any
    room: Any


class Output(NamedTuple):
    """What a run writes; see `model.Result`."""

    equity: Any
    cash: Any
    counts: Any
    codes: Any
    trades: Any
    income: Any
    needed: Any
    spent: Any
