"""Planning on arrays, session after session: the planner as a backtest calls it.

What belongs here: `plan_book`, the kernel's columns for it, and what the exact rules settle of its decisions. What does
not: orders with names and ids (`planner`), and fills.

A number of an array means the shortest decimal number that reads back as it: 0.1 is 0.1. With these as inputs,
`make_plan` decides the same, to the last unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning import compiled, kernel_book
from scizor_dagster.planning.cell_columns import CellColumns
from scizor_dagster.planning.columns import DECIMALS, count_of, numbers_of, quantity_of
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target, check
from scizor_dagster.planning.kernel_model import (
    BEYOND,
    BOUND,
    CLEAR,
    CODE,
    FACTOR,
    FLAGGED,
    NEAR,
    REFUSED,
    ROOM,
    STACK,
    UNIT,
    Cells,
    Numbers,
    Session,
    records,
)
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.planner import check_total, decide_book, overflow_factor, venue_of
from scizor_dagster.planning.quantities import EXACT, ZERO
from scizor_dagster.planning.rows import Row, make_rows
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import shapers_of
from scizor_dagster.planning.sizing import cells_of_rows, effective_buffer, money_of, settle

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE = Decimal(1)
KEPT = {reason: CODE[reason] for reason in (Reason.FROZEN, Reason.CORPORATE_ACTION, Reason.QUARANTINED)}
"""Codes that `plan_book` takes for what keeps its holding in one session."""
FACTS = KEPT | {Reason.STALE_PRICE: CODE[Reason.STALE_PRICE]}
"""Codes that a session may write to `fact`. That of an old price only where there is a price, and where rules say
nothing but `never_touch`: what cannot trade at all is said first."""


class Decisions(NamedTuple):
    """What `plan_book` decides, one place per instrument. The arrays are the book's: the next session overwrites them.

    Attributes:
        trades: Signed units (`kernel_model.UNIT`s, a billionth of a share) that orders trade; int64.
        sales: Of these the unsigned units that sell what is held, int64: they fill first, and free cash for the rest.
        codes: `kernel_model.REASONS[code]` says why; int8.
        deltas: Signed units to trade, or that the reason withholds; int64.
        settled: Rows that the exact rules decided; all of them where the whole book had to be.
    """

    trades: NDArray[Any]
    sales: NDArray[Any]
    codes: NDArray[Any]
    deltas: NDArray[Any]
    settled: int


STATIC = ("parcel", "tick", "lot", "fact", "ban", "tradable", "fractionable", "shortable")
"""Cells that instruments and rules give alone."""


@dataclass(frozen=True, slots=True)
class PreparedBook:
    """Instruments and rules, resolved once, and the arrays that every session uses again; not for two threads.

    Attributes:
        compiled: Whether the kernel is machine code here.
        cells: A row per instrument, and `columns` their numbers by name.
        facts: What rules say of instruments; a session adds its own.
        numbers, session: Records, one each, and `now` the session's fields by name.
        buffer: Share of equity that is never invested.
        short_equity: Equity from which on shorts are taken.
        reads_moves, reads_volumes: Whether a rule reads prices of the session before, or volumes.
        terms, keys: Room for the kernel.
    """

    instruments: tuple[Instrument, ...]
    rules: PlanningRules
    capabilities: Capabilities
    currency: str
    compiled: bool
    numbers: NDArray[Any]
    session: NDArray[Any]
    cells: CellColumns
    columns: dict[str, NDArray[Any]]
    now: dict[str, NDArray[Any]]
    facts: NDArray[Any]
    buffer: float
    short_equity: float
    reads_moves: bool
    reads_volumes: bool
    terms: NDArray[Any]
    keys: NDArray[Any]


def prepare(
    instruments: Sequence[Instrument], rules: PlanningRules, capabilities: Capabilities, *, currency: str
) -> PreparedBook:
    """A book of these instruments under these rules; compiles the kernel, or takes it from disk.

    Args:
        instruments: In the order of their symbols.
        rules: As of a portfolio.
        capabilities: Of the broker that the plan would go to.
        currency: What equity, cash and prices are in; what trades in another keeps its holding.

    Raises:
        InputError: symbols out of order, quantities finer than a unit, or brackets in true ranges: a book of arrays
            does not have these.
    """
    import numpy as np

    symbols = [instrument.symbol for instrument in instruments]
    after = next((after for before, after in pairwise(symbols) if before >= after), None)
    if after is not None:
        raise InputError(
            f"{after} is out of order among the instruments, or stands twice.",
            remedy="Give each of them once, in the order of their symbols.",
        )
    if capabilities.quantity_decimals > DECIMALS:
        raise InputError(
            f"The broker takes quantities of {capabilities.quantity_decimals} decimals, arrays have {DECIMALS}.",
            remedy=f"Plan with capabilities of {DECIMALS} decimals.",
        )
    if rules.mode_on_buy == "bracket" and (rules.tp_atr is not None or rules.sl_atr is not None):
        raise InputError(
            "Brackets in true ranges (execution.tp_atr, sl_atr) need facts that a book of arrays does not have.",
            remedy="Use tp_pct and sl_pct, or another execution.mode_on_buy.",
        )
    size = len(instruments)
    with localcontext(EXACT):
        inputs = _inputs_of(currency, instruments, [Decimal("1e-9")] * size, [], Decimal("1e18"))
        venue = venue_of(rules, capabilities, inputs)
        rows = make_rows(inputs, rules, {})
        known = dict(zip((row.symbol for row in rows), cells_of_rows(rows, inputs, venue), strict=True))
        numbers, cells = records(Numbers, 1), CellColumns(size)
        numbers[0] = astuple(numbers_of(venue, effective_buffer(venue.rules)))
    for name in STATIC:
        cells.columns[name][:] = [getattr(known[symbol], name) for symbol in symbols]
    session = records(Session, 1)
    return PreparedBook(
        instruments=tuple(instruments),
        rules=rules,
        capabilities=capabilities,
        currency=currency,
        compiled=compiled.load(),
        numbers=numbers,
        session=session,
        cells=cells,
        columns=cells.columns,
        now={item.name: session[item.name] for item in fields(Session)},
        facts=cells.columns["fact"].copy(),
        buffer=float(numbers["buffer"][0]),
        short_equity=float(numbers["short_equity"][0]),
        reads_moves=rules.max_price_move is not None,
        reads_volumes=rules.max_participation is not None,
        terms=np.zeros(size + STACK),
        keys=np.zeros(size + STACK),
    )


def plan_book(
    book: PreparedBook,
    weights: NDArray[Any],
    prices: NDArray[Any],
    counts: NDArray[Any],
    *,
    equity: float,
    cash: float | None = None,
    previous: NDArray[Any] | None = None,
    volumes: NDArray[Any] | None = None,
    kept: NDArray[Any] | None = None,
) -> Decisions:
    """Decide what one session trades: what `make_plan` decides with the same rules, to the last unit.

    All arrays have one place per instrument of the book, in its order. They are read, not kept and not changed.

    Args:
        book: From `prepare`; its arrays are written over.
        weights: Target weights, shares of equity; 0 for what is not targeted.
        prices: Reference prices in the book's currency; NaN where there is none.
        counts: Signed units held, int64: a billionth of a share each.
        equity: What the weights are shares of, in the book's currency.
        cash: Cash in it, where it is known; without it, it follows from equity and the value of what is held.
        previous: Prices of the session before, NaN where not known; None says nothing about price moves.
        volumes: Average daily volumes in shares, NaN where not known; `max_participation` needs them.
        kept: Codes (`KEPT`) of instruments whose holding stays in this session, else 0.

    Raises:
        InputError: inputs that no plan can be made from, as weights above their maximum.
        RiskLimitBreached: the orders together exceed `max_total_notional`.
    """
    columns, now, nan = book.columns, book.now, float("nan")
    columns["weight"][:] = weights
    columns["price"][:] = prices
    columns["count"][:] = counts
    if book.reads_moves:
        columns["previous"][:] = nan if previous is None else previous
    if book.reads_volumes:
        columns["volume"][:] = nan if volumes is None else volumes
    if kept is not None:
        columns["fact"][kept != 0] = kept[kept != 0]
    known = nan if cash is None else cash
    now["equity"][0], now["cash"][0], now["spare_cash"][0] = equity, known, known - equity * book.buffer
    now["factor"][0] = now["reserved"][0] = nan
    now["shorts"][0] = equity >= book.short_equity
    try:
        status = _run(book, "decide_book")
        settled = 0 if status <= BOUND else settle_decisions(book, status)
    finally:
        if kept is not None:
            columns["fact"][:] = book.facts
    return Decisions(columns["trade"], columns["sale"], columns["code"], columns["delta"], settled)


def _run(book: PreparedBook, name: str) -> int:
    """Call the kernel: on the book's arrays if it is compiled, else on objects that are written back."""
    if book.compiled:
        return int(compiled.function(name)(book.cells, book.numbers, book.session, book.terms, book.keys))
    cells = book.cells.rows()
    numbers, session = Numbers(*book.numbers[0].tolist()), Session(*book.session[0].tolist())
    room = [0.0] * (len(cells) + STACK)
    status: int = getattr(kernel_book, name)(cells, (numbers,), (session,), room, [*room])
    book.cells.write(cells)
    book.session[0] = astuple(session)
    return status


def settle_decisions(book: PreparedBook, status: int) -> int:
    """Let the exact rules decide what the kernel leaves to them; returns how many rows they did.

    Rows alone where the kernel is certain of all else; else the whole book.
    """
    with localcontext(EXACT):
        factor = ONE
        if status != REFUSED and book.now["loose"][0] == FACTOR:
            # The weights sum to their maximum but for noise, which leaves two factors: their exact sum has one.
            factor, _ = overflow_factor(inputs_of(book), book.rules)
            book.now["factor"][0] = float(factor)
            status = _run(book, "decide_book")
            if status <= BOUND:
                return 0
        if status == FLAGGED and book.now["loose"][0] != ROOM:
            places = (book.columns["mark"] >= BEYOND).nonzero()[0].tolist()
            _settle_rows(book, places, factor)
            if _run(book, "hold_laws") <= BOUND:
                return len(places)
        _settle_book(book)
    return len(book.instruments)


def _settle_rows(book: PreparedBook, places: list[int], factor: Decimal) -> None:
    """Decide single rows exactly, of a book whose other numbers are certain."""
    inputs = inputs_of(book, places)
    venue = venue_of(book.rules, book.capabilities, inputs)
    share, upper_share = float(book.now["share"][0]), float(book.now["upper_share"][0])
    lower = money_of(inputs, effective_buffer(venue.rules), factor, share)
    allows = venue.rules.slippage_allowance_pct
    upper = money_of(inputs, venue.rules.min_cash_buffer_pct, factor, upper_share) if allows else None
    shapers = shapers_of(inputs, book.rules, book.capabilities, {})
    rows = {row.symbol: row for row in make_rows(inputs, book.rules, {})}
    for place in places:
        row = rows[book.instruments[place].symbol]
        settle(row, venue, lower, upper, shapers)
        # Beside a law of the book that cuts something, what the kernel lacks needs the whole book.
        mark = CLEAR if book.columns["mark"][place] == NEAR else BEYOND
        _write(book, place, row, mark)


def _settle_book(book: PreparedBook) -> None:
    """Decide every row exactly, and hold the laws of the whole book."""
    inputs, rules, columns = inputs_of(book), book.rules, book.columns
    check(inputs, rules)
    venue = venue_of(rules, book.capabilities, inputs)
    factor, _ = overflow_factor(inputs, rules)
    rows = {row.symbol: row for row in make_rows(inputs, rules, {})}
    decide_book([*rows.values()], inputs, venue, factor, shapers_of(inputs, rules, book.capabilities, {}))
    for name in ("trade", "sale", "code", "delta"):
        columns[name][:] = 0
    total, orders = ZERO, 0
    for place, instrument in enumerate(book.instruments):
        row = rows.get(instrument.symbol)
        if row is not None:
            _write(book, place, row, CLEAR)
            if row.reason in ORDERING_REASONS and row.usable_price is not None:
                delta, count = int(columns["delta"][place]), int(columns["count"][place])
                columns["trade"][place] = delta
                # A purchase that the cash does not pay for is scaled in these; the kernel may not have come to it.
                columns["step"][place] = int(venue.target_step(row) * UNIT)
                columns["sale"][place] = min(-delta, count) if delta < 0 < count else 0
                total += abs(row.delta) * row.usable_price
                orders += sum(len(venue.pieces(row, part, opens=opens) or ()) for part, opens in venue.legs(row))
    check_total(total, orders, rules)


def _write(book: PreparedBook, place: int, row: Row, mark: int) -> None:
    delta, target = count_of(row.delta), count_of(row.current if row.target is None else row.target)
    if delta is None or target is None:
        raise InputError(
            f"The change of {row.symbol} is {row.delta} shares, which an array cannot hold.",
            remedy="Check its price, its weight and the equity.",
        )
    for name, value in (("delta", delta), ("target", target), ("code", CODE[row.reason]), ("mark", mark)):
        book.columns[name][place] = value


def inputs_of(book: PreparedBook, places: Sequence[int] | None = None) -> PlanInputs:
    """The session's numbers as the inputs of a plan: all that is targeted or held, or only some of it."""
    columns, now = book.columns, book.now
    if places is None:
        places = ((columns["weight"] != 0.0) | (columns["count"] != 0)).nonzero()[0].tolist()
    cells = [book.cells.row(place) for place in places]
    return _inputs_of(
        book.currency,
        [book.instruments[place] for place in places],
        [_decimal(cell.weight) for cell in cells],
        cells,
        _decimal(now["equity"][0]),
        None if now["cash"][0] != now["cash"][0] else _decimal(now["cash"][0]),
    )


def _inputs_of(
    currency: str,
    instruments: Sequence[Instrument],
    weights: Sequence[Decimal],
    cells: Sequence[Cells],
    equity: Decimal,
    cash: Decimal | None = None,
) -> PlanInputs:
    named = [(instrument.symbol, cell) for instrument, cell in zip(instruments, cells, strict=False)]
    said = {reason: {symbol: "" for symbol, cell in named if cell.fact == code} for reason, code in FACTS.items()}
    return PlanInputs(
        portfolio="",
        account="",
        session=date.min,
        batch=1,
        currency=currency,
        equity=equity,
        targets=tuple(
            Target((), instrument.symbol, instrument.id, weight)
            for instrument, weight in zip(instruments, weights, strict=True)
        ),
        holdings={symbol: quantity_of(cell.count) for symbol, cell in named},
        prices={symbol: ReferencePrice(_decimal(cell.price), None, "") for symbol, cell in named if _known(cell.price)},
        instruments={instrument.symbol: instrument for instrument in instruments},
        priced_on=None,
        adjustment="raw",
        frozen_symbols=said[Reason.FROZEN],
        action_symbols=said[Reason.CORPORATE_ACTION],
        quarantined_symbols=said[Reason.QUARANTINED],
        stale_symbols=frozenset(said[Reason.STALE_PRICE]),
        cash=cash,
        previous_prices={symbol: _decimal(cell.previous) for symbol, cell in named if _known(cell.previous)},
        adv={symbol: _decimal(cell.volume) for symbol, cell in named if _known(cell.volume)},
    )


def _known(number: float) -> bool:
    return number == number


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))
