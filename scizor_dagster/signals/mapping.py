"""From a strategy's identifiers to tickers, on a day.

What belongs here: what an identifier means, and the check of a whole file against its table. What does
not: reading the table (`mapping_table`), and whether the market knows the ticker (`identity`).

An identifier may stand beside several tickers (share classes of one company), and beside others at other
times (a ticker that was given to another company). Two identifiers may share a ticker in the table; they
may not both stand for it in one file on one day, for both would trade it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from scizor_dagster.config import MappingTable, OnAmbiguous
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping_table import MappedTicker, mapping_rows
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spelling import one_spelling

_ROUNDING = 1e-9


@dataclass(frozen=True)
class IdentifierMap:
    """Tickers by identifier, in the order of the table. Without a table an id is its own ticker.

    Attributes:
        name: The table's path, for reports; empty without a table.
        prefer: With `on_ambiguous: prefer`, the tickers to choose, the most wanted first.
    """

    tickers: Mapping[str, tuple[MappedTicker, ...]] | None = None
    on_ambiguous: OnAmbiguous = "quarantine"
    name: str = ""
    prefer: tuple[str, ...] = ()

    @property
    def is_dated(self) -> bool:
        """Whether any id means something else at another time."""
        rows = (row for rows in (self.tickers or {}).values() for row in rows)
        return any(row.valid_from or row.valid_to for row in rows)

    @property
    def waits_for_prices(self) -> bool:
        """Whether an id with several tickers is settled by which of them have a price."""
        return self.on_ambiguous in ("first_priced", "split")

    def resolve(self, asset_id: str, on: date) -> tuple[str, ...]:
        """Tickers of an identifier on a day: none, one, or several. Never guesses."""
        if self.tickers is None:
            return (asset_id,)
        held = [row.symbol for row in self.tickers.get(asset_id, ()) if row.holds_on(on)]
        return tuple(dict.fromkeys(held))

    def preferred(self, candidates: Sequence[str]) -> str | None:
        """The one that the owner named, in any spelling of a share class; None where none of them was named."""
        spelt = {one_spelling(symbol): symbol for symbol in reversed(candidates)}
        wanted = ((symbol, one_spelling(symbol)) for symbol in self.prefer)
        return next((symbol if symbol in candidates else spelt[key] for symbol, key in wanted if key in spelt), None)

    def why_unknown(self, asset_id: str, on: date) -> str:
        """A sentence, without its stop, for an identifier without a ticker."""
        if asset_id in (self.tickers or {}):
            return f"'{asset_id}' is in the mapping table {self.name}, but not for {on}"
        return f"'{asset_id}' is not in the mapping table {self.name}"


def read_identifier_map(entry: StrategyEntry) -> IdentifierMap:
    """The mapping of a strategy, read anew at each call.

    Raises:
        ConfigError: the table is missing or unreadable, with file and line.
    """
    return IdentifierMap() if entry.mapping is None else read_mapping(entry.mapping)


def read_mapping(settings: MappingTable) -> IdentifierMap:
    """Read a mapping table.

    Raises:
        ConfigError: with file and line.
    """
    tickers: dict[str, list[MappedTicker]] = {}
    for row in mapping_rows(settings):
        tickers.setdefault(row.asset_id, []).append(row)
    frozen = {asset_id: tuple(rows) for asset_id, rows in tickers.items()}
    return IdentifierMap(frozen, settings.on_ambiguous, settings.file, settings.prefer)


def unresolved(
    lines: Iterable[int],
    asset_ids: Iterable[str],
    days: Iterable[date],
    sheet: str | None,
    header: str,
    table: IdentifierMap,
    stranger: Callable[[str], str] = lambda _: "",
) -> Iterator[Violation]:
    """One finding for each identifier that does not lead to exactly one ticker, on its first line.

    Rules: `unknown_id`, `ambiguous_id` (not where prices decide). `stranger` says why a ticker is none of the market's;
    empty where it is one.
    """
    seen: set[str] = set()
    for line, asset_id, day in zip(lines, asset_ids, days, strict=True):
        if asset_id in seen:
            continue
        symbols = table.resolve(asset_id, day)
        found: tuple[str, str, str] | None = None
        if not symbols:
            remedy = "Add it to the table, or set on_unknown_id: quarantine."
            found = ("unknown_id", table.why_unknown(asset_id, day), remedy)
        elif len(symbols) > 1 and not table.waits_for_prices and table.preferred(symbols) is None:
            remedy = "Keep one of them in the mapping table, or choose on_ambiguous."
            found = ("ambiguous_id", f"'{asset_id}' may be {' or '.join(symbols)}", remedy)
        elif len(symbols) == 1 and (problem := stranger(symbols[0])):
            found = ("unknown_id", problem, "Add it to the universe, or set on_unknown_id: quarantine.")
        if found:
            seen.add(asset_id)
            rule, problem, remedy = found
            yield Violation(rule, f"{problem}.", remedy, line=int(line), sheet=sheet, column=header, value=asset_id)


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
