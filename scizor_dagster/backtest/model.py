"""What a backtest is made from and what comes out: a market's history and target weights as arrays, choices, a result.

What belongs here: the values that all parts of backtesting share, with their shapes and units. What does not: reading
them from files or the lake (`histories`, `schedules`), and the run itself (`engine`).

Arrays have one row per session (T) and one column per instrument (N), in the order of `History.sessions` and
`History.instruments`; quantities are whole numbers of `UNIT`s, a billionth of a share, as in `planning.books`; money is
float64 in the history's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.costs_model import FREE, Commission
from scizor_dagster.instruments import Instrument

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ActionKind(StrEnum):
    """What happens to a holding before the open of its session; in this order where several do."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    DELISTING = "delisting"


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action, in effect before the open of session `row`.

    Attributes:
        row: Index of its ex session.
        column: Index of its instrument.
        value: New shares for one (split), money per share as it trades in the ex session (dividend), or money per share
            that a delisting pays; NaN for a delisting at the last close.
    """

    kind: ActionKind
    row: int
    column: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Prices of one market, as they were.

    Attributes:
        sessions: T sessions in order; every one that the market traded, so that the one before is the row before.
        instruments: N instruments in the order of their symbols.
        currency: Of all prices.
        adjustment: `raw`, `split` or `total_return`; actions are applied to positions where prices are raw, and must
            not be there where prices have them already.
        close: T x N, NaN where an instrument has no bar.
        open, high, low, volume: The same; None where the source has only closes. Volumes are shares.
        actions: By session, then kind.
        source: Where the prices come from, for a person.
        notes: Sentences that belong on a result: prices that were left out, actions that are not known.
    """

    sessions: tuple[date, ...]
    instruments: tuple[Instrument, ...]
    currency: str
    adjustment: str
    close: NDArray[Any]
    open: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    low: NDArray[Any] | None = None
    volume: NDArray[Any] | None = None
    actions: tuple[Action, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Target weights by the session that they trade in: the plan for it is made on the close of the session before.

    Attributes:
        rows: R indices of `History.sessions`, ascending, each once.
        weights: R x N shares of equity; 0 for what is not targeted.
        notes: Sentences that belong on a result: rows that were left out, and why.
        kept: R x N, True where a target was set aside: what is held stays, and nothing is ordered. None for nowhere.
    """

    rows: NDArray[Any]
    weights: NDArray[Any]
    notes: tuple[str, ...] = ()
    kept: NDArray[Any] | None = None


class FillAt(StrEnum):
    """At which of a session's prices orders fill."""

    OPEN = "open"
    CLOSE = "close"
    VWAP = "vwap"
    """The typical price (high + low + close) / 3, which stands for the volume-weighted average that daily bars lack."""


@dataclass(frozen=True, slots=True)
class Fills:
    """When and how orders fill.

    Attributes:
        at: The price.
        delay: Sessions from the close that a plan is made on to the one that it fills in. 1 is the next session; 0 is
            that very close, which nobody can trade at, and only `CLOSE` takes it.
        price_decimals: Decimals of a fill's price, rounded against the account; None rounds nothing.
        volume_share: Share of a bar's volume that trades at that price; the paper exchange has a third at each.
        cents: Whether commissions are rounded up to whole cents.
    """

    at: FillAt = FillAt.OPEN
    delay: int = 1
    price_decimals: int | None = None
    volume_share: float = 1.0
    cents: bool = False


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading and holding cost. Rates are per year, of 365 days where nights count; basis points are of value.

    Attributes:
        commission: Per order.
        half_spread_bps: A purchase pays the price and this much more, a sale gets as much less.
        slippage_bps: The same, for what is worse than the model's price for other reasons.
        impact_bps: The same for taking a whole session's volume; less of it by the square root of the share taken.
        max_participation: Share of a session's volume that fills; the rest of an order ends with its session.
        borrow_rate: On the value of shorts, by the calendar day.
        cash_rate: Paid on cash above zero; `debit_rate` taken on cash below it.
        short_proceeds_earn: Whether cash is paid interest for what shorts have brought in, too: without, only for what
            is above their value.
    """

    commission: Commission = FREE
    half_spread_bps: float = 0.0
    slippage_bps: float = 0.0
    impact_bps: float = 0.0
    max_participation: float = float("inf")
    borrow_rate: float = 0.0
    cash_rate: float = 0.0
    debit_rate: float = 0.0
    short_proceeds_earn: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """What a run is told beside rules, history and weights.

    Attributes:
        capital: Cash at the start, in the history's currency.
        costs: Of all instruments; `costs_of` of single symbols in its place.
        keep_positions: Whether the result has quantities and reasons of every session, or only of the last one.
        keep_trades: Whether the result has a record of each trade; without, as for many runs, it has their sums alone.
        max_price_age: Sessions that a price may be old and still size an order, as a market's `max_price_age_sessions`.
        begins: Row of the close that the capital is there from; what is before it is known, and earns nothing.
    """

    capital: float = 100_000.0
    fills: Fills = field(default_factory=Fills)
    costs: Costs = field(default_factory=Costs)
    costs_of: Mapping[str, Costs] = field(default_factory=dict)
    keep_positions: bool = True
    keep_trades: bool = True
    max_price_age: int = 3
    begins: int = 0


TRADE_FIELDS = (
    ("row", "i4"),
    ("column", "i4"),
    ("planned", "i8"),
    ("count", "i8"),
    ("reference", "f8"),
    ("price", "f8"),
    ("commission", "f8"),
    ("spread", "f8"),
    ("slippage", "f8"),
    ("impact", "f8"),
    ("code", "i1"),
)
"""Of one trade: session and instrument that it is of, signed units planned and filled, the price that sized it, the
price that it filled at (costs of price included), and money paid: commission, spread, slippage and impact. `code` is
the reason (`planning.kernel_model.REASONS`). What did not fill has a count of 0 and a price of NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a backtest came to.

    Attributes:
        equity: T: cash and holdings at the session's closes, or the last ones before it.
        cash: T: at the close.
        counts: T x N signed units held at the close; 1 x N, of the last session, where positions are not kept.
        codes: R x N reasons of each plan, by row of the schedule; 0 x N where positions are not kept.
        trades: Records of `TRADE_FIELDS`, in the order of sessions and columns.
        income: T x 4: dividends, interest, borrow fees (negative) and delisting proceeds of each session.
        needed: R: share of the planned purchases that the cash in hand paid for; 1 where it paid for all.
        settled: How many rows of books the exact rules decided.
        notes: Sentences for a person.
        spent: T x 5: value traded at what it filled at, commission, spread, slippage and impact of each session.
    """

    history: History
    schedule: Schedule
    choices: Choices
    equity: NDArray[Any]
    cash: NDArray[Any]
    counts: NDArray[Any]
    codes: NDArray[Any]
    trades: NDArray[Any]
    income: NDArray[Any]
    needed: NDArray[Any]
    settled: int
    notes: tuple[str, ...] = ()
    spent: NDArray[Any] | None = None
