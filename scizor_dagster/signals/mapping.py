"""From a strategy's identifiers to tickers.

What belongs here: reading a mapping table, resolving one identifier, and the check of a whole file
against it. What does not: whether the market knows the ticker (`consolidation`).

A table is CSV, read as text. An identifier may stand beside several tickers (share classes of one
company); a ticker beside two identifiers is an error of the table, for both would trade it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scizor_dagster.config import MappingTable
from scizor_dagster.errors import ConfigError
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import Violation

MAX_BYTES = 64 * 1024 * 1024
_ROUNDING = 1e-9


@dataclass(frozen=True)
class IdentifierMap:
    """Candidates by identifier, in the order of the table. Without a table an id is its own ticker.

    Attributes:
        name: The table's path, for reports; empty without a table.
        lines: Line of the table's first row for each identifier.
    """

    candidates: Mapping[str, tuple[str, ...]] | None = None
    on_ambiguous: Literal["refuse", "quarantine", "first_priced"] = "quarantine"
    name: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    def resolve(self, asset_id: str) -> tuple[str, ...]:
        """Tickers of an identifier: none, one, or several. Never guesses."""
        return (asset_id,) if self.candidates is None else self.candidates.get(asset_id, ())


def read_identifier_map(entry: StrategyEntry) -> IdentifierMap:
    """The mapping of a strategy, read anew at each call.

    Raises:
        ConfigError: the table is missing, unreadable, or gives one ticker to two identifiers.
    """
    return IdentifierMap() if entry.mapping is None else read_mapping(entry.mapping)


def read_mapping(settings: MappingTable) -> IdentifierMap:
    """Read a mapping table.

    Raises:
        ConfigError: with file and line.
    """
    candidates: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for line, asset_id, symbol in _rows(settings):
        known = candidates.setdefault(asset_id, [])
        lines.setdefault(asset_id, line)
        if symbol not in known:
            known.append(symbol)
    frozen = {asset_id: tuple(symbols) for asset_id, symbols in candidates.items()}
    table = IdentifierMap(frozen, settings.on_ambiguous, settings.file, lines)
    validate_unique(table)
    return table


def validate_unique(table: IdentifierMap) -> None:
    """Refuse a table in which two identifiers lead to one ticker.

    Raises:
        ConfigError: naming the ticker and the identifiers.
    """
    owner: dict[str, str] = {}
    for asset_id, symbols in (table.candidates or {}).items():
        for symbol in symbols:
            other = owner.setdefault(symbol, asset_id)
            if other != asset_id:
                line = table.lines.get(asset_id)
                raise ConfigError(
                    f"'{symbol}' belongs to both '{other}' and '{asset_id}'; both would trade it.",
                    remedy="Keep the one that is right.",
                    where=f"{table.name}:{line}" if line else table.name,
                )


def unresolved(
    lines: Iterable[int], asset_ids: Iterable[str], sheet: str | None, header: str, table: IdentifierMap
) -> Iterator[Violation]:
    """One finding for each identifier that the table does not lead to exactly one ticker, on its first line.

    Rules: `unknown_id`, `ambiguous_id` (not with `first_priced`, where the prices decide).
    """
    seen: set[str] = set()
    for line, asset_id in zip(lines, asset_ids, strict=True):
        if asset_id in seen:
            continue
        seen.add(asset_id)
        symbols = table.resolve(asset_id)
        if not symbols:
            yield Violation(
                "unknown_id",
                f"'{asset_id}' is not in the mapping table {table.name}.",
                "Add it to the table, or set on_unknown_id: quarantine.",
                line=int(line),
                sheet=sheet,
                column=header,
                value=asset_id,
            )
        elif len(symbols) > 1 and table.on_ambiguous != "first_priced":
            yield Violation(
                "ambiguous_id",
                f"'{asset_id}' may be {' or '.join(symbols)}.",
                "Keep one of them in the mapping table, or choose on_ambiguous.",
                line=int(line),
                sheet=sheet,
                column=header,
                value=asset_id,
            )


def too_much_set_aside(entry: StrategyEntry, rows: Sequence[tuple[str, int, float]]) -> Iterator[Violation]:
    """Whether the rows of one session without an instrument carry more weight than the strategy allows.

    Args:
        entry: The strategy.
        rows: Identifier, line and weight of each row that has no instrument.
    """
    total = math.fsum(abs(weight) for _, _, weight in rows)
    if total <= entry.max_quarantined_weight + _ROUNDING:
        return
    names = ", ".join(f"{asset_id} (line {line})" for asset_id, line, _ in rows[:10])
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    yield Violation(
        "too_much_quarantined",
        f"Assets without an instrument carry {total:.6g} of the weight, above "
        f"{entry.max_quarantined_weight:g}: {names}{more}.",
        "Complete the mapping table or the universe, or raise max_quarantined_weight in the manifest.",
        value=f"{total:.12g}",
    )


def _rows(settings: MappingTable) -> Iterator[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(_text(settings.file), newline=""), strict=True)
    places: tuple[int, int] | None = None
    try:
        for row in reader:
            if not any(row):
                continue
            where = f"{settings.file}:{reader.line_num}"
            if places is None:
                places = _columns(settings, row, where)
                continue
            if len(row) <= max(places):
                raise ConfigError("The row has too few fields.", remedy="Mend the row.", where=where)
            asset_id, symbol = row[places[0]].strip(), row[places[1]].strip()
            if not asset_id or not symbol:
                raise ConfigError("The row has a blank identifier or ticker.", remedy="Fill it in.", where=where)
            yield reader.line_num, asset_id, symbol
    except csv.Error as error:
        where = f"{settings.file}:{reader.line_num}"
        raise ConfigError(f"The line is not valid CSV ({error}).", remedy="Mend the line.", where=where) from error
    if places is None:
        raise ConfigError("The mapping table is empty.", remedy="Fill it.", where=settings.file)


def _columns(settings: MappingTable, header: list[str], where: str) -> tuple[int, int]:
    names = [name.strip() for name in header]
    for wanted in (settings.id_column, settings.symbol_column):
        if names.count(wanted) != 1:
            found = "twice" if wanted in names else "not"
            raise ConfigError(
                f"The column '{wanted}' is {found} in the header ({', '.join(names)}).",
                remedy="Correct mapping.id_column and mapping.symbol_column in the strategy manifest.",
                where=where,
            )
    return names.index(settings.id_column), names.index(settings.symbol_column)


def _text(file: str) -> str:
    try:
        path = Path(file)
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError("The mapping table is too large.", remedy="Keep what is needed.", where=file)
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"The mapping table cannot be read ({error.strerror}).",
            remedy="Create it, or correct mapping.file in the strategy manifest.",
            where=file,
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The mapping table is not UTF-8.", remedy="Save it as UTF-8.", where=file) from error
