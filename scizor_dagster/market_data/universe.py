"""The tracked universe: CSV files of listed shares and funds, read as text and checked by line.

What belongs here: reading `config/universes/*.csv`. What does not: whether a provider knows the
symbols (`collect`), prices.

Everything is read as text, so that the tickers `TRUE`, `NA` and `1E5` stay what they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scizor_dagster.currencies import check_currency
from scizor_dagster.errors import InputError
from scizor_dagster.exchanges import currency_of
from scizor_dagster.instruments import Instrument, check_symbol
from scizor_dagster.tabular.spreadsheet import restored

REQUIRED_COLUMNS = ("symbol", "mic", "name", "currency")
OPTIONAL_COLUMNS = ("sector", "category", "exchange", "borrow")
BORROW = ("easy", "hard", "none")
"""How shares are lent to who sells short: at once, for a day only, not at all. Empty is `easy`."""
_MIC = re.compile(r"^[A-Z0-9]{4}$")


@dataclass(frozen=True, slots=True)
class UniverseEntry:
    """One row of a universe file.

    Attributes:
        sector: Sector of a share as the file names it; empty for a fund.
        category: Industry of a share, or category of a fund; may be empty.
        line: Line of `path` that the row stands on, from 1.
    """

    instrument: Instrument
    sector: str
    category: str
    path: Path
    line: int


def read_universe(paths: Sequence[Path], market: str) -> tuple[UniverseEntry, ...]:
    """Read the universe of `market`, in the order of the files.

    Raises:
        InputError: a file that cannot be read, a missing column, a value that is no ticker, MIC or
            currency, or a symbol that stands twice, also in another letter case.
    """
    entries: dict[str, UniverseEntry] = {}
    for path in paths:
        for entry in _entries(path):
            symbol = entry.instrument.symbol
            if symbol in entries:
                first = entries[symbol]
                raise InputError(
                    f"The symbol '{symbol}' stands twice in the universe of market '{market}'; "
                    f"first at {first.path}:{first.line}.",
                    remedy="Keep one of the two lines.",
                    where=f"{path}:{entry.line}",
                )
            entries[symbol] = entry
    if not entries:
        raise InputError(
            f"The universe of market '{market}' is empty.",
            remedy="Name a file with at least one instrument.",
            where=", ".join(str(path) for path in paths) or f"markets.{market}.universes",
        )
    return tuple(entries.values())


def _entries(path: Path) -> Iterator[UniverseEntry]:
    seen: set[str] = set()
    for line, row in _rows(path):
        entry = _entry(path, line, row, seen)
        seen.add(entry.instrument.symbol)
        yield entry


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"The universe file cannot be read ({error.strerror}).",
            remedy="Create it, or correct the name in markets.<name>.universes.",
            where=str(path),
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("The universe file is not UTF-8.", remedy="Save it as UTF-8.", where=str(path)) from error
    reader = csv.reader(text.splitlines())
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"The line has {len(cells)} values; the header has {len(header)} columns.",
                    remedy="Quote a value that contains a comma.",
                    where=f"{path}:{reader.line_num}",
                )
            values = (restored(cell.strip()) for cell in cells)
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InputError(
            f"The line is not CSV ({error}).", remedy="Mend the quotes.", where=f"{path}:{reader.line_num}"
        ) from error


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"The universe file lacks the column(s) {', '.join(missing)}; it has {', '.join(header) or 'none'}.",
            remedy=f"Give it the columns {', '.join(REQUIRED_COLUMNS + OPTIONAL_COLUMNS)}.",
            where=f"{path}:1",
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(
            f"The column(s) {', '.join(twice)} stand twice.", remedy="Keep one of each.", where=f"{path}:1"
        )


def _entry(path: Path, line: int, row: dict[str, str], seen: set[str]) -> UniverseEntry:
    where = f"{path}:{line}"
    symbol, mic, currency = row["symbol"], row["mic"], row["currency"]
    if symbol not in seen and symbol.upper() in seen:
        raise InputError(
            f"'{symbol}' is the symbol '{symbol.upper()}' of an earlier line in another letter case.",
            remedy="Keep one of the two lines, in upper case.",
            where=where,
        )
    try:
        check_symbol(symbol)
        check_currency(currency)
    except InputError as error:
        raise InputError(error.problem, remedy=error.remedy, where=where) from error
    if not _MIC.match(mic):
        raise InputError(
            f"'{mic}' is not a market identifier code.",
            remedy="Use four characters, such as XNAS or XASX.",
            where=where,
        )
    if currency_of(mic) not in (None, currency):
        raise InputError(
            f"{symbol} is listed on {mic}, which trades in {currency_of(mic)}, and its currency is {currency}.",
            remedy="Correct the one or the other.",
            where=where,
        )
    borrow = row.get("borrow", "") or BORROW[0]
    if borrow not in BORROW:
        raise InputError(
            f"'{borrow}' does not say how {symbol} is borrowed.", remedy=f"Use one of {', '.join(BORROW)}.", where=where
        )
    instrument = Instrument(
        symbol=symbol,
        mic=mic,
        currency=currency,
        name=row["name"],
        shortable=borrow != "none",
        easy_to_borrow=borrow == "easy",
    )
    return UniverseEntry(instrument, row.get("sector", ""), row.get("category", ""), path, line)
