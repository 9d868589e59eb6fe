"""Planning on files alone: targets, prices, positions, open orders and a mapping in, plan inputs out.

What belongs here: what the files must hold, and how an id that means several tickers is
settled. What does not: how tables are read (`table_files`), written (`output_files`) or planned.
No store is touched and the orchestrator is not imported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.listings import LISTING_COLUMNS, NO_MARKET, read_listings
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.table_files import SMALLEST_PRICE, Cell, Table, read_table

SYMBOL_COLUMNS = ("symbol", "tic", "ticker")
ID_COLUMNS = ("asset_id", "gvkey")
NAME = "files"
SOURCE = "file"
"""Source of every price here: what a file is called is no part of a plan."""
PRICE_COLUMNS = (*SYMBOL_COLUMNS, "price", "previous_close", "adv", "volume", "atr", *LISTING_COLUMNS)
POSITION_COLUMNS = (*SYMBOL_COLUMNS, "qty")

OnAmbiguous = Literal["refuse", "quarantine", "first_priced"]


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """An id with several tickers, and what was made of it. `chosen` is None where it gets no order."""

    asset_id: str
    candidates: tuple[str, ...]
    chosen: str | None
    note: str


@dataclass(frozen=True, slots=True)
class FileInputs:
    """What the files amount to.

    Attributes:
        inputs: For the planner.
        ambiguities: Every id with several tickers that is targeted.
        unpriced: Targeted or held tickers without a price, candidates of an ambiguous id included.
        unread: Sentences on columns that the files have and a plan makes nothing of.
    """

    inputs: PlanInputs
    ambiguities: tuple[Ambiguity, ...]
    unpriced: tuple[str, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSources:
    """Where the inputs are, and how an ambiguous id is settled. Without positions nothing is held."""

    targets: Path
    prices: Path
    positions: Path | None = None
    mapping: Path | None = None
    on_ambiguous: OnAmbiguous = "first_priced"
    open_orders: Path | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    cell: Cell
    weight: Decimal


def read_inputs(
    sources: FileSources, *, equity: Decimal, day: date | None, allow_short: bool = True, currency: str = "USD"
) -> FileInputs:
    """Read and check the files.

    Args:
        sources: The files.
        equity: Account value to size on.
        day: The trade date, where the targets hold several.
        allow_short: Whether a weight below zero is taken; else it refuses the file.
        currency: Currency of prices and equity.

    Raises:
        InputError: the first thing that is wrong, with file, line, column and value.
    """
    session, by_symbol, wanted = _read_targets(sources.targets, day, allow_short)
    quoted = read_table(sources.prices)
    prices = _numbers(quoted, "price")
    for cell, price in prices.values():
        if price < SMALLEST_PRICE:
            raise cell.fail(
                "a price must be above zero, and no less than 1e-9",
                "Correct it, or leave the row out: no price, no order.",
            )
    held = read_table(sources.positions) if sources.positions else None
    held_in = _numbers(held, "qty") if held else {}
    _refuse_money(held_in, prices.keys(), currency)
    holdings = {symbol: number for symbol, (_, number) in held_in.items()}
    resting = read_open_orders(sources.open_orders) if sources.open_orders else ()
    quotes = {symbol: ReferencePrice(price, None, SOURCE) for symbol, (_, price) in prices.items()}
    targets, ambiguities = _resolve(wanted, by_symbol, sources, quotes)
    named = {target.symbol for target in targets} | {name for item in ambiguities for name in item.candidates}
    known = sorted({*named, *holdings, *quotes, *(order.symbol for order in resting)} - {""})
    names = quoted.cells(quoted.pick(SYMBOL_COLUMNS))
    listed = read_listings(quoted, names, (quote.price for quote in quotes.values()), currency)
    inputs = PlanInputs(
        portfolio=NAME,
        account=NAME,
        session=session,
        batch=1,
        currency=currency,
        equity=equity,
        targets=tuple(targets),
        holdings=holdings,
        prices=quotes,
        instruments={symbol: listed.get(symbol) or Instrument(symbol, NO_MARKET, currency) for symbol in known},
        priced_on=None,
        adjustment="unstated",
        notes=(*(item.note for item in ambiguities), *_unused(sources, by_symbol)),
        previous_prices=_optional(quoted, ("previous_close",)),
        adv=_optional(quoted, ("adv", "volume"), zero=True),
        atr=_optional(quoted, ("atr",)),
        open_orders=resting,
    )
    wanted_prices = named | {symbol for symbol, quantity in holdings.items() if quantity}
    unread = (*_unread(quoted, PRICE_COLUMNS), *(_unread(held, POSITION_COLUMNS) if held else ()))
    return FileInputs(inputs, tuple(ambiguities), tuple(sorted(wanted_prices - quotes.keys() - {""})), unread)


def _refuse_money(held: Mapping[str, tuple[Cell, Decimal]], priced: Collection[str], currency: str) -> None:
    """Cash is no position: as one without a price it would be kept beside the equity that counts it already."""
    for symbol in ("CASH", currency):
        if symbol in held and symbol not in priced:
            raise held[symbol][0].fail(
                f"the row of {symbol} has no price and seems to be money",
                "Leave cash out: it is part of the equity. If it is a share, add its price.",
            )


def _unread(table: Table, known: tuple[str, ...]) -> tuple[str, ...]:
    """A column whose name is misspelt is passed over as one that is of no use here; either way it is said."""
    columns = [name for name in table.columns if name and name not in known]
    if not columns:
        return ()
    return (
        f"{table.path}: a plan makes nothing of {', '.join(columns)}; the columns that it reads: {', '.join(known)}.",
    )


def _unused(sources: FileSources, by_symbol: bool) -> list[str]:
    if sources.mapping is None or not by_symbol:
        return []
    return ["The targets name symbols, so the mapping table was not used."]


def _read_targets(path: Path, day: date | None, allow_short: bool) -> tuple[date, bool, list[_Wanted]]:
    table = read_table(path)
    name = table.pick(("symbol", "asset_id"))
    names, weights = table.cells(name), table.cells(table.pick(("target_weight",)))
    dates = [cell.day() for cell in table.cells(table.pick(("trade_date",)))]
    if not dates:
        raise InputError(
            "The file holds no target; that would be read as: sell everything.",
            remedy="Write the targets. To sell all, give each held symbol the weight 0.",
            where=str(path),
        )
    session = _session(path, sorted(set(dates)), day)
    chosen: list[_Wanted] = []
    seen: dict[str, Cell] = {}
    for cell, weight, on in zip(names, weights, dates, strict=True):
        number = weight.number()
        if on != session:
            continue
        if number < 0 and not allow_short:
            raise weight.fail(
                "a weight below zero is a short", "Allow shorts in --rules (weights.allow_short: true), or correct it."
            )
        first = seen.setdefault(cell.word(), cell)
        if first is not cell:
            raise cell.fail(f"already targeted for {on} at {first.where}", "Give one weight for each instrument.")
        chosen.append(_Wanted(cell, number))
    return session, name == "symbol", chosen


def _session(path: Path, dates: list[date], day: date | None) -> date:
    if day is not None:
        if day not in dates:
            raise InputError(
                f"There are no targets for {day}; the file holds {dates[0]} to {dates[-1]}.",
                remedy="Give a --date that the file has.",
                where=str(path),
            )
        return day
    if len(dates) > 1:
        raise InputError(
            f"The file holds targets for {len(dates)} dates, {dates[0]} to {dates[-1]}.",
            remedy="Choose one with --date YYYY-MM-DD.",
            where=str(path),
        )
    return dates[0]


def _numbers(table: Table, column: str) -> dict[str, tuple[Cell, Decimal]]:
    names, values = table.cells(table.pick(SYMBOL_COLUMNS)), table.cells(table.pick((column,)))
    found: dict[str, tuple[Cell, Decimal]] = {}
    for name, value in zip(names, values, strict=True):
        symbol = name.symbol()
        if symbol in found:
            raise name.fail(f"it stands here and at {found[symbol][0].where}", "Keep one row for each symbol.")
        found[symbol] = (value, value.number())
    return found


def _optional(table: Table, columns: tuple[str, ...], *, zero: bool = False) -> dict[str, Decimal]:
    """Numbers of a column that the price file may have; an empty cell is a number that is not known."""
    column = next((name for name in columns if name in table.columns), None)
    if column is None:
        return {}
    found: dict[str, Decimal] = {}
    for name, cell in zip(table.cells(table.pick(SYMBOL_COLUMNS)), table.cells(column), strict=True):
        if cell.unknown:
            continue
        found[name.symbol()] = number = cell.number()
        if number < 0 or (number == 0 and not zero):
            raise cell.fail("it must be above zero", "Correct it, or leave the cell empty: it is then not known.")
    return found


def read_open_orders(path: Path) -> tuple[OpenOrder, ...]:
    """The portfolio's own open orders: columns symbol, side, qty and, where some have filled in part, filled_qty.

    Raises:
        InputError: a side that is none, or quantities that no open order can have.
    """
    table = read_table(path)
    names, sides = table.cells(table.pick(SYMBOL_COLUMNS)), table.cells(table.pick(("side",)))
    quantities = table.cells(table.pick(("qty",)))
    fills: list[Cell | None] = [*table.cells("filled_qty")] if "filled_qty" in table.columns else [None] * len(names)
    orders = []
    for name, side, quantity, fill in zip(names, sides, quantities, fills, strict=True):
        if side.text.lower() not in (Side.BUY, Side.SELL):
            raise side.fail("neither buy nor sell", "Write buy or sell.")
        filled = fill.number() if fill is not None and fill.text else Decimal(0)
        remaining = quantity.number() - filled
        if remaining <= 0 or filled < 0:
            raise quantity.fail(
                f"with {filled} filled it is no open order", "Give the whole quantity, and leave out what has ended."
            )
        orders.append(OpenOrder(name.symbol(), Side(side.text.lower()), remaining))
    return tuple(orders)


def _read_mapping(path: Path) -> dict[str, tuple[str, ...]]:
    table: Table = read_table(path)
    symbols, ids = table.cells(table.pick(SYMBOL_COLUMNS)), table.cells(table.pick(ID_COLUMNS))
    found: dict[str, list[str]] = {}
    for symbol, asset_id in zip(symbols, ids, strict=True):
        candidates = found.setdefault(asset_id.word(), [])
        if symbol.symbol() not in candidates:
            candidates.append(symbol.text)
    return {asset_id: tuple(sorted(candidates)) for asset_id, candidates in found.items()}


def _resolve(
    wanted: list[_Wanted],
    by_symbol: bool,
    sources: FileSources,
    prices: Collection[str],
) -> tuple[list[Target], list[Ambiguity]]:
    mapping = _read_mapping(sources.mapping) if sources.mapping and not by_symbol else None
    if not by_symbol and mapping is None and not any(item.cell.text in prices for item in wanted):
        raise InputError(
            f"No asset_id of the file is a symbol of {sources.prices}.",
            remedy="Name the table from ids to symbols with --mapping.",
            where=str(sources.targets),
        )
    targets: list[Target] = []
    ambiguities: list[Ambiguity] = []
    owners: dict[str, Cell] = {}
    for item in wanted:
        target, ambiguity = _target(item, _candidates(item.cell, mapping, sources), sources, prices)
        first = owners.setdefault(target.symbol, item.cell) if target.symbol else item.cell
        if first is not item.cell:
            raise item.cell.fail(f"it means {target.symbol}, as does the id at {first.where}", "Merge the two rows.")
        targets.append(target)
        ambiguities += [ambiguity] if ambiguity else []
    # The notes are part of the plan, which does not depend on the order of rows.
    return targets, sorted(ambiguities, key=lambda item: item.asset_id)


def _candidates(cell: Cell, mapping: Mapping[str, tuple[str, ...]] | None, sources: FileSources) -> tuple[str, ...]:
    if mapping is None:
        return (cell.symbol(),)
    if cell.text not in mapping:
        raise cell.fail(f"the id is not in {sources.mapping}", "Add the id to the mapping, or remove the row.")
    return mapping[cell.text]


def _target(
    item: _Wanted, candidates: tuple[str, ...], sources: FileSources, prices: Collection[str]
) -> tuple[Target, Ambiguity | None]:
    asset_id = item.cell.text
    if len(candidates) == 1:
        symbol = candidates[0]
        return Target((asset_id,), symbol, f"{symbol}.{NO_MARKET}", item.weight), None
    meanings = ", ".join(candidates)
    if sources.on_ambiguous == "refuse":
        raise item.cell.fail(f"the id means {meanings}", "Keep one of them in the mapping, or see --on-ambiguous.")
    priced = [symbol for symbol in candidates if symbol in prices]
    if sources.on_ambiguous == "first_priced" and len(priced) == 1:
        others = ", ".join(symbol for symbol in candidates if symbol != priced[0])
        note = f"Id {asset_id} means {meanings}; {priced[0]} takes the weight, because {others} has no price."
        target = Target((asset_id,), priced[0], f"{priced[0]}.{NO_MARKET}", item.weight, "ok", note, candidates)
        return target, Ambiguity(asset_id, candidates, priced[0], note)
    why = f"{len(priced)} of them have a price" if sources.on_ambiguous == "first_priced" else "none is chosen"
    note = f"Id {asset_id} means {meanings}; {why}, so it gets no order and what is held of them is kept."
    return Target((asset_id,), "", "", item.weight, "ambiguous_id", note, candidates), Ambiguity(
        asset_id, candidates, None, note
    )
