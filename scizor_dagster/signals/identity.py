"""From the rows of one strategy to instruments, each row with the reason where it has none.

What belongs here: the policies for identifiers without exactly one tradable instrument. What does not: what
an identifier means (`mapping`), and what several strategies make together (`blend`).

A weight that is set aside is never spread over the others: it stays in cash, and what is held of its
candidates is left alone by the planner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_DOWN, Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from scizor_dagster.instruments import Instrument
from scizor_dagster.signals.arithmetic import STEP, decimal_of, exact_arithmetic
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap, too_much_set_aside
from scizor_dagster.signals.names import is_cash
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import normal
from scizor_dagster.signals.spelling import class_share, class_shares
from scizor_dagster.signals.targets import TargetStatus

if TYPE_CHECKING:
    import pandas as pd

WITHOUT_INSTRUMENT = (TargetStatus.UNKNOWN_ID, TargetStatus.AMBIGUOUS_ID, TargetStatus.RETIRED_ASSET)
_REMEDIES = {
    TargetStatus.UNKNOWN_ID: "Add it, or set on_unknown_id: quarantine.",
    TargetStatus.AMBIGUOUS_ID: "Keep one of them in the mapping table, or name one in mapping.prefer.",
    TargetStatus.RETIRED_ASSET: "Take it out of the weights, or set on_retired_asset: quarantine.",
}


@dataclass(frozen=True)
class KnownMarket:
    """What is known of the market that a strategy trades in.

    Attributes:
        name: For notes.
        instruments: The universe by ticker. None: every ticker is taken for one, and has a price.
        priced: Tickers with a usable price; None when not known.
        retired: Tickers of the universe that are not traded any more, with the words that say since when.
        sectors: Sector by ticker; blank or absent where none is known.
    """

    name: str = ""
    instruments: Mapping[str, Instrument] | None = None
    priced: Collection[str] | None = None
    retired: Mapping[str, str] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _classes(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        return class_shares(self.instruments or ())

    def spelled(self, symbol: str) -> tuple[str, ...]:
        """The universe's own spelling of a ticker: itself, one other, or several; itself too where it has none."""
        if self.instruments is None or symbol in self.instruments:
            return (symbol,)
        key = class_share(symbol)
        return self._classes.get(key, (symbol,)) if key else (symbol,)

    def has(self, symbol: str) -> bool:
        return self.instruments is None or symbol in self.instruments

    def why_unknown(self, symbol: str) -> str:
        """A sentence, without its stop, for a ticker that the universe has in no spelling; empty where it has one."""
        if any(map(self.has, self.spelled(symbol))):
            return ""
        other = f", which has '{symbol.upper()}'" if self.has(symbol.upper()) else ""
        return f"'{symbol}' is not in the universe of market {self.name}{other}"

    def instrument_id(self, symbol: str) -> str:
        """Empty where the universe does not have the ticker."""
        instrument = (self.instruments or {}).get(symbol)
        return instrument.id if instrument else ""

    def priced_among(self, candidates: Sequence[str]) -> tuple[str, ...]:
        if self.instruments is None:
            return tuple(candidates)
        return tuple(name for name in candidates if name in (self.priced or ()) and name in self.instruments)


@dataclass(frozen=True, slots=True)
class ResolvedRow:
    """A row of a weight file, or its part where one id was split over several instruments.

    Attributes:
        symbol: Ticker as the universe writes it; empty where none is known.
        instrument_id: Empty where the universe does not have the ticker.
        weight: Share of the strategy that this instrument takes.
        stated: Share that the file states.
        candidates: Tickers that the identifier may mean; one that was found without doubt has none.
    """

    symbol: str
    instrument_id: str
    weight: Decimal
    strategy: str
    asset_id: str
    line: int
    file_hash: str
    stated: Decimal
    status: TargetStatus
    note: str = ""
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """Rows of one strategy and session in the file's order, and what its policies refuse of them."""

    rows: tuple[ResolvedRow, ...]
    violations: tuple[Violation, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(
            f"{row.strategy}, line {row.line}: {row.note} (weight {float(row.stated):.6g})."
            for row in self.rows
            if row.note
        )


@dataclass(frozen=True)
class _Resolver:
    entry: StrategyEntry
    identifiers: IdentifierMap
    market: KnownMarket
    blacklist: frozenset[str]
    file_hash: str

    def rows(self, asset_id: str, weight: float, line: int, day: date) -> tuple[ResolvedRow, ...]:
        stated = decimal_of(weight)
        bare = ResolvedRow(
            "", "", stated, self.entry.id, asset_id, line, self.file_hash, stated, TargetStatus.UNKNOWN_ID
        )
        named = self.identifiers.resolve(asset_id, day)
        if not named:
            return (replace(bare, note=self.identifiers.why_unknown(asset_id, day)),)
        candidates = tuple(dict.fromkeys(found for name in named for found in self.market.spelled(name)))
        if len(candidates) > 1:
            return self._chosen(replace(bare, candidates=candidates))
        note = f"'{named[0]}' is written '{candidates[0]}' in the universe of market {self.market.name}"
        return (self._settled(bare, candidates[0], "" if candidates[0] in named else note),)

    def _chosen(self, row: ResolvedRow) -> tuple[ResolvedRow, ...]:
        """Rows of an id with several candidates, by the strategy's policy."""
        table, candidates = self.identifiers, row.candidates
        meanings = f"'{row.asset_id}' may be {' or '.join(candidates)}"
        priced = self.market.priced_among(candidates)
        if table.on_ambiguous == "prefer":
            wanted = table.preferred(candidates)
            if wanted:
                return (self._settled(row, wanted, f"{meanings}; {wanted} is preferred"),)
        elif table.on_ambiguous == "split" and priced:
            return self._split(row, priced, f"{meanings}; the weight is split evenly over {', '.join(priced)}")
        elif table.on_ambiguous == "first_priced" and priced:
            return (self._settled(row, priced[0], f"{meanings}; {priced[0]} is the first of them with a price"),)
        return (replace(row, status=TargetStatus.AMBIGUOUS_ID, note=meanings + self._why_undecided()),)

    def _split(self, row: ResolvedRow, symbols: tuple[str, ...], note: str) -> tuple[ResolvedRow, ...]:
        """Even parts that sum to the weight: the last takes what the division rounds away."""
        with exact_arithmetic():
            part = (row.stated / len(symbols)).quantize(STEP, ROUND_DOWN) if len(symbols) > 1 else row.stated
            last = row.stated - part * (len(symbols) - 1)
        parts = (*(part for _ in symbols[1:]), last)
        return tuple(
            self._settled(replace(row, weight=weight), symbol, note)
            for symbol, weight in zip(symbols, parts, strict=True)
        )

    def _why_undecided(self) -> str:
        if self.identifiers.on_ambiguous == "prefer":
            return ", and 'prefer' names none of them"
        if not self.identifiers.waits_for_prices:
            return ""
        known = self.market.priced is not None
        return ", and none of them has a price" if known else ", and no prices were given to decide"

    def _settled(self, row: ResolvedRow, symbol: str, note: str) -> ResolvedRow:
        """The row with its instrument, or set aside where that cannot or must not be traded."""
        found = replace(row, symbol=symbol, instrument_id=self.market.instrument_id(symbol), note=note)
        if not self.market.has(symbol):
            return replace(found, note=self.market.why_unknown(symbol), candidates=row.candidates or (symbol,))
        if {symbol, row.asset_id} & self.blacklist:
            note = f"'{symbol}' is on the blacklist: its weight stays in cash, what is held is left alone"
            return replace(found, status=TargetStatus.QUARANTINED, note=note)
        if symbol in self.market.retired and row.stated:
            note = f"'{symbol}' {self.market.retired[symbol]}: its weight stays in cash, what is held is left alone"
            return replace(found, status=TargetStatus.RETIRED_ASSET, note=note)
        return replace(found, status=TargetStatus.OK)


def resolve(
    rows: pd.DataFrame,
    entry: StrategyEntry,
    identifiers: IdentifierMap,
    market: KnownMarket,
    blacklist: Collection[str] = (),
    file_hash: str = "",
) -> Resolution:
    """Find the instrument of each row, and judge the rows together by the strategy's policies.

    Args:
        rows: From `dating.select_session`: columns asset_id, weight, weights_date, line, sheet.
        entry: The strategy.
        identifiers: Its mapping.
        market: Where it trades.
        blacklist: Tickers, or the strategy's own ids, that are never traded.
        file_hash: Of the file that the rows are of.

    Returns:
        The rows, and as violations: money in the place of an asset, an id without an instrument under
        `on_unknown_id: refuse`, several under `on_ambiguous: refuse` or `prefer`, one that is not traded any more
        under `on_retired_asset: refuse`, two ids with one instrument, and else more weight set aside than
        `max_quarantined_weight`. The blacklist is the owner's own choice and does not count there.
    """
    barred = frozenset(found for name in blacklist for found in (name, *market.spelled(name)))
    resolver = _Resolver(entry, identifiers, market, barred, file_hash)
    columns = (rows[name] for name in ("asset_id", "weight", "line", "weights_date"))
    made = tuple(
        row
        for asset_id, weight, line, day in zip(*columns, strict=True)
        for row in resolver.rows(str(asset_id), float(weight), int(line), day)
    )
    sheet = rows["sheet"].iloc[0] if len(rows) else None
    cash = {row.asset_id for row in made if _is_cash(row, entry, identifiers, market)}
    assets = [row for row in made if row.asset_id not in cash]
    found = [*_cash_rows([row for row in made if row.asset_id in cash], entry, sheet)]
    found += [*_refused(assets, entry, identifiers, sheet), *_colliding(assets, entry, market, sheet)]
    found += [] if found else _too_much_set_aside(made, entry)
    return Resolution(made, tuple(found))


def _refused(
    made: Sequence[ResolvedRow], entry: StrategyEntry, identifiers: IdentifierMap, sheet: str | None
) -> Iterator[Violation]:
    refuses = {
        TargetStatus.UNKNOWN_ID: entry.on_unknown_id == "refuse",
        TargetStatus.AMBIGUOUS_ID: identifiers.on_ambiguous in ("refuse", "prefer"),
        TargetStatus.RETIRED_ASSET: entry.on_retired_asset == "refuse",
    }
    for row in made:
        if refuses.get(row.status, False):
            yield _violation(row.status.value, f"{row.note}.", _REMEDIES[row.status], row, entry, sheet)


def _is_cash(row: ResolvedRow, entry: StrategyEntry, identifiers: IdentifierMap, market: KnownMarket) -> bool:
    """Whether a row names money, and nothing says that it is an asset: `CASH` is a share as well."""
    named = is_cash(row.asset_id) or normal(row.asset_id) == normal(entry.cash_column)
    known = market.instruments is not None and row.status is not TargetStatus.UNKNOWN_ID
    return named and identifiers.tickers is None and not known


def _cash_rows(rows: Sequence[ResolvedRow], entry: StrategyEntry, sheet: str | None) -> Iterator[Violation]:
    for row in rows:
        remedy = (
            "Leave the row out and set unallocated: cash in the strategy manifest, for what the weights leave over is "
            f"cash; or declare it there with cash_column: '{row.asset_id}'."
        )
        yield _violation("cash_row", f"'{row.asset_id}' is money, and no asset.", remedy, row, entry, sheet)


def _colliding(
    made: Sequence[ResolvedRow], entry: StrategyEntry, market: KnownMarket, sheet: str | None
) -> Iterator[Violation]:
    """Two ids that stand, or may stand, for one instrument: both would trade it."""
    owners: dict[str, ResolvedRow] = {}
    for row in made:
        for name in (row.symbol,) if row.symbol else row.candidates:
            other = owners.setdefault(market.instrument_id(name) or name, row)
            if other.asset_id != row.asset_id:
                verb = "are both" if row.symbol and other.symbol else "may both be"
                problem = f"'{row.asset_id}' and '{other.asset_id}' (line {other.line}) {verb} {name}."
                remedy = "Keep one of them, or correct the mapping table."
                yield _violation("two_ids_one_instrument", problem, remedy, row, entry, sheet)
                break


def _too_much_set_aside(made: Sequence[ResolvedRow], entry: StrategyEntry) -> list[Violation]:
    rows = [(row.asset_id, row.line, float(row.weight)) for row in made if row.status in WITHOUT_INSTRUMENT]
    return list(too_much_set_aside(entry, rows))


def _violation(
    rule: str, problem: str, remedy: str, row: ResolvedRow, entry: StrategyEntry, sheet: str | None
) -> Violation:
    header = entry.columns["asset_id"]
    return Violation(rule, problem, remedy, line=row.line, sheet=sheet, column=header, value=row.asset_id)
