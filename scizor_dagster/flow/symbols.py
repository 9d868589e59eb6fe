"""The symbols of a market: verified, listed, added to its universe and taken out of it.

What belongs here: handing the desk's parts to `market_data`. What does not: what an answer means, and SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from scizor_dagster.errors import InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.instruments import check_symbol
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.provider import Listing
from scizor_dagster.market_data.reports import SymbolsReport
from scizor_dagster.market_data.symbol_corrections import Correction, join, part
from scizor_dagster.market_data.symbol_reading import symbol_rows
from scizor_dagster.market_data.symbol_rows import Book, Facts, Span, SymbolRow
from scizor_dagster.market_data.symbols import (
    EVERYTHING_DUE,
    collect_symbols,
    correct_symbols,
    due_rows,
    note_no_permission,
)
from scizor_dagster.market_data.universe_edits import add_line, remove_line
from scizor_dagster.market_data.verification import Asking

PROGRESS = logging.getLogger("scizor.progress")
MANY_REFUSED = 3
"""Fewer refusals than these say nothing about the whole account."""


def refresh_symbols(desk: Desk, market: str, asking: Asking = EVERYTHING_DUE) -> SymbolsReport:
    """Store the universe, and verify at the provider the symbols that are due."""
    return collect_symbols(
        desk.lake,
        market,
        desk.market(market),
        desk.universe(market),
        desk.provider(market),
        desk.clock(),
        asking,
        _report_progress,
        lambda: _anew(desk).universe(market),
    )


def retire_refused(desk: Desk, market: str, asked: int, refused: Sequence[tuple[str, str]]) -> None:
    """Retire the symbols whose bars the provider did not show, of `asked`, unless it showed hardly any.

    Raises:
        PriceUnavailable: more than half of them: the account has no data of the exchange, or not now.
    """
    if not refused:
        return
    if len(refused) >= MANY_REFUSED and 2 * len(refused) > asked:
        first, words = refused[0]
        raise PriceUnavailable(
            f"{desk.provider(market).name} shows the account no bars of {len(refused)} of {asked} symbols; "
            f"of {first} it says: {words}",
            remedy="Subscribe to the exchange's data for the account, end another session that uses it, or name "
            "another provider. What was answered is stored; no symbol was retired.",
            where=f"market {market}",
        )
    zone = desk.calendar(market).timezone
    note_no_permission(desk.lake, market, dict(refused), desk.provider(market), desk.clock(), zone)


def known_symbols(desk: Desk, market: str, *, retired: bool = False, due: bool = False) -> list[SymbolRow]:
    """What the lake keeps of the market's symbols, by name; all of them, or the retired or due ones alone.

    Asking creates no lake.
    """
    rows: Sequence[SymbolRow] = symbol_rows(desk.lake, market) if desk.has_lake else ()
    if due:
        lake = desk.lake if desk.has_lake else None
        entries, provider = desk.universe(market), desk.provider(market)
        rows = due_rows(lake, market, desk.market(market), entries, provider, desk.clock())
    return [row for row in rows if not retired or not row.tracked]


def add_symbol(desk: Desk, market: str, symbol: str, given: Mapping[str, str], file: str | None = None) -> Desk:
    """Write a symbol's line into a universe file; a desk that knows it.

    `given` is by column of the file. What is missing of exchange, currency and name comes from the provider, where it
    knows the symbol as one instrument.

    Raises:
        InputError: the symbol is no ticker or is there already, the file is not named among several, or neither the
            caller nor the provider says where it is listed.
        BrokerUnavailable: the provider did not answer.
    """
    check_symbol(symbol)
    present = {entry.instrument.symbol: entry for entry in desk.universe(market)}
    if symbol in present:
        raise InputError(
            f"{symbol} is in the universe of market '{market}' already.",
            remedy=f"Verify it: scizor symbols validate --market {market}.",
            where=f"{present[symbol].path}:{present[symbol].line}",
        )
    path = _file_to_edit(desk, market, file)
    values = {"symbol": symbol, "currency": desk.market(market).currency, **given}
    if not values.get("mic"):
        found = _one_listing(desk, market, symbol)
        values |= {"mic": found.mic or "", "currency": found.currency or values["currency"]}
        values["name"] = values.get("name") or found.name
    add_line(path, values, market)
    return _anew(desk)


def remove_symbol(desk: Desk, market: str, symbol: str, reason: str) -> Desk:
    """Take a symbol's line out of its universe file; a desk without it.

    Raises:
        InputError: no reason is given, or no file of the market has the symbol.
    """
    if not reason.strip():
        raise InputError("No reason is given.", remedy="Say why, with --reason; it is kept.", where=f"market {market}")
    remove_line(_file_of(desk, market, symbol), symbol, market)
    return _anew(desk)


@dataclass(frozen=True, slots=True)
class Corrected:
    """Bars that a correction of identities is about: those of `old` become, or cease to be, the history of `new`."""

    old: str
    new: str
    span: Span


def join_symbols(desk: Desk, market: str, old: str, new: str, reason: str) -> Corrected:
    """Make the rows of `old` the earlier history of `new`; without a reason only say what that would be.

    Raises:
        InputError: they cannot be joined; see `symbol_corrections.join`.
    """
    why = reason.strip()
    made = _correct(desk, market, old, lambda book, facts: join(book, old, new, why, facts), write=bool(why))
    return Corrected(old, new, made.span)


def part_symbol(desk: Desk, market: str, symbol: str, day: date, reason: str) -> Corrected:
    """Set apart what `symbol` has from before `day`; without a reason only say what that would be.

    Raises:
        InputError: there is nothing to set apart; see `symbol_corrections.part`.
    """
    why = reason.strip()
    made = _correct(desk, market, symbol, lambda book, facts: part(book, symbol, day, why, facts), write=bool(why))
    return Corrected(made.outcome.moves[0].name, symbol, made.span)


def _correct(
    desk: Desk, market: str, symbol: str, correct: Callable[[Book, Facts], Correction], *, write: bool
) -> Correction:
    if not desk.has_lake:
        raise InputError(
            f"Nothing is stored of {symbol} yet.",
            remedy=f"Store the universe: scizor symbols populate --market {market}.",
            where=f"market {market}",
        )
    now, zone = desk.clock(), desk.calendar(market).timezone
    made = correct_symbols(desk.lake, market, desk.provider(market), now, zone, correct, write=write)
    if write:
        rebuild_prices(desk.lake, market, now)
    return made


def _file_of(desk: Desk, market: str, symbol: str) -> Path:
    for entry in desk.universe(market):
        if entry.instrument.symbol == symbol:
            return entry.path
    raise InputError(
        f"{symbol} is not in the universe of market '{market}'.",
        remedy=f"See what is: scizor symbols list --market {market}.",
        where=", ".join(desk.market(market).universes),
    )


def _file_to_edit(desk: Desk, market: str, file: str | None) -> Path:
    names = desk.market(market).universes
    if file is None and len(names) == 1:
        file = names[0]
    if file not in names:
        problem = f"'{file}' is no universe file" if file else "There are several universe files"
        raise InputError(
            f"{problem} of market '{market}'.",
            remedy=f"Name one with --file: {', '.join(names)}.",
            where=f"markets.{market}.universes",
        )
    return desk.config.folder / file


def _one_listing(desk: Desk, market: str, symbol: str) -> Listing:
    """What the provider knows of a symbol that nobody has described."""
    provider = desk.provider(market)
    found = provider.lookup([symbol]).get(symbol, ())
    usable = [match for match in found if match.objection is None and match.mic is not None]
    if len(usable) == 1:
        return usable[0]
    known = ", ".join(f"{match.mic} in {match.currency}" for match in usable)
    problem = f"{provider.name} knows {symbol} {len(usable)} times: {known}" if usable else ""
    raise InputError(
        f"{problem or f'{provider.name} does not say where {symbol} is listed'}.",
        remedy="Say it with --mic, such as XNAS or XASX.",
        where=f"market {market}",
    )


def _anew(desk: Desk) -> Desk:
    """A desk that reads the files again, on the stores that are open."""
    anew = replace(desk)
    anew.__dict__.update({name: desk.__dict__[name] for name in ("lake", "ledger") if name in desk.__dict__})
    return anew


def _report_progress(done: int, total: int, what: str) -> None:
    PROGRESS.info("%s (%d of %d)", what, done, total)
