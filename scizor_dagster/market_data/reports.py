"""What the collecting functions did, as counts and names.

What belongs here: value objects. What does not: how they are shown (`assets/`, the command line).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.provider import FailureReason

Progress = Callable[[int, int, str], None]
"""Called with the steps done, the steps in all, and a few words on the one just done."""


@dataclass(frozen=True, slots=True)
class UnverifiedSymbol:
    """A symbol of the universe that is not one certain instrument. `reason` is a `SymbolReason`."""

    symbol: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class RetiredSymbol:
    symbol: str
    reason: str
    note: str
    retired_on: date


@dataclass(frozen=True, slots=True)
class RenamedSymbol:
    """One company under its next ticker: `old` is the name that its earlier rows stand under."""

    old: str
    new: str
    before: date


@dataclass(frozen=True, slots=True)
class ReusedTicker:
    """A ticker that another company has since `cut`; the earlier one's rows are under `archived`."""

    symbol: str
    archived: str
    cut: date


@dataclass(frozen=True, slots=True)
class ReidentifiedSymbol:
    """A company that has another id at the provider than before, and why it is the same."""

    symbol: str
    note: str


@dataclass(frozen=True, slots=True)
class SymbolsReport:
    """What the verification of one universe came to. `asked + from_cache` is the universe.

    Attributes:
        silent: Symbols that were asked for without an answer, with the reason; what was known of them stands.
        left_over: Whether more symbols are due than the limit let through.
        doubted: Symbols that the provider has stopped to know, and that are retired if it says so on a later day.
        refused: Symbols that would all be retired at once, which is not believed.
    """

    market: str
    source: str
    symbols: int
    verified: int
    asked: int
    unverified: tuple[UnverifiedSymbol, ...]
    retired: tuple[RetiredSymbol, ...]
    returned: tuple[str, ...]
    renamed: tuple[RenamedSymbol, ...]
    reused: tuple[ReusedTicker, ...]
    silent: tuple[tuple[str, str], ...]
    left_over: bool
    changed: bool
    reidentified: tuple[ReidentifiedSymbol, ...]
    doubted: tuple[UnverifiedSymbol, ...]
    refused: tuple[str, ...]

    @property
    def from_cache(self) -> int:
        return self.symbols - self.asked

    @property
    def removed(self) -> tuple[str, ...]:
        """Symbols that were tracked before and are not in the universe any more."""
        return tuple(item.symbol for item in self.retired if item.reason == "removed")


@dataclass(frozen=True, slots=True)
class SuspectedSplit:
    """A series whose stored bars differ from the provider's by constant factors.

    Attributes:
        factor: The provider's price per stored price.
        overlap: Number of sessions compared.
        refetched: Whether the history was replaced. If not, the provider does not have every session
            that is stored, or its prices are in another unit than the stored ones; the old bars stay,
            and the new ones are quarantined.
        kind: What it is; see `restated_series.Restatement`.
        ratios: New shares per old share, of each split that the factors show.
    """

    symbol: str
    factor: float
    overlap: int
    refetched: bool
    kind: str = "price_factor"
    ratios: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RestatedBar:
    """A stored bar that its source gives otherwise now. The old values are kept in `bar_revisions`.

    Attributes:
        stored: Whether the new values were taken: they are not where they are not believed.
    """

    symbol: str
    session: date
    stored: bool
    close_before: float
    close_after: float
    volume_before: float
    volume_after: float


@dataclass(frozen=True, slots=True)
class FailedSymbol:
    """A symbol of which the source said nothing, though it answered for others; it is asked again."""

    symbol: str
    reason: FailureReason
    words: str


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The sessions from `first` to `session` collected, and what was healed, corrected and fetched anew along.

    Each bar of the lake that is of these sessions, or that was written, is counted once: it is `inserted`, `changed`,
    `preferred` or `unchanged`, `stored` in all. What is `quarantined` is none of them, whether another bar stands
    in its place or not. No stored bar is lost.

    Attributes:
        inserted: Bars of which there was none before, in whatever session.
        changed: Stored bars of which their source says other values now, in whatever session: corrected, fetched
            early, or of a series that was fetched anew.
        unchanged: Bars of these sessions that were stored before and are as they were.
        quarantined: Rows of the answer that are kept apart, not believed.
        most_missing: The largest number of symbols without a bar in one of the sessions.
        calls: Requests for bars; None of a source that does not count them.
    """

    market: str
    first: date
    session: date
    source: str
    adjustment: str
    synthetic: bool
    asked: int
    inserted: int
    changed: int
    unchanged: int
    quarantined: int
    missing: tuple[str, ...]
    """Symbols without a stored bar of the session; delisted ones are not counted."""
    suspected_splits: tuple[SuspectedSplit, ...]
    differing: tuple[str, ...]
    """Symbols of which single stored bars differ from the provider's, by no common factor."""
    most_missing: int = 0
    calls: int | None = None
    restatements: tuple[RestatedBar, ...] = ()
    compared: int = 0
    """Stored bars that the answer had as well."""
    faults: tuple[FeedFault, ...] = ()
    """What is wrong with the feed as a whole: one line, and not one for each symbol."""
    refused: tuple[tuple[str, str], ...] = ()
    """Symbols whose bars the source does not show to the account, each with its words."""
    preferred: int = 0
    """Bars of a later source that made way for the preferred one's, in whatever session; no restatement."""
    failed: tuple[FailedSymbol, ...] = ()

    @property
    def stored(self) -> int:
        return self.inserted + self.changed + self.preferred + self.unchanged

    @property
    def restatement_rate(self) -> float:
        """Share of the compared bars that the source gives otherwise now."""
        return len(self.restatements) / self.compared if self.compared else 0.0


@dataclass(frozen=True, slots=True)
class YearReport:
    """One year of history. A gap is a symbol's session without a stored bar."""

    year: int
    sessions: int
    asked: int
    gaps_before: int
    inserted: int
    quarantined: int

    @property
    def gaps_after(self) -> int:
        return self.gaps_before - self.inserted


@dataclass(frozen=True, slots=True)
class HistoryReport:
    market: str
    source: str
    adjustment: str
    synthetic: bool
    through: date
    years: tuple[YearReport, ...]
    suspected_splits: tuple[SuspectedSplit, ...]
    calls: int | None = None
    restatements: tuple[RestatedBar, ...] = ()
    compared: int = 0
    faults: tuple[FeedFault, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    preferred: int = 0
    failed: tuple[FailedSymbol, ...] = ()
    changed: int = 0
    """Stored bars of which their source says other values now."""
    set_aside: int = 0
    """Bars that were taken out first, to be collected anew on the source's present basis."""

    @property
    def inserted(self) -> int:
        return sum(year.inserted for year in self.years)

    @property
    def quarantined(self) -> int:
        return sum(year.quarantined for year in self.years)

    @property
    def restatement_rate(self) -> float:
        """Share of the compared bars that the source gives otherwise now."""
        return len(self.restatements) / self.compared if self.compared else 0.0

    @property
    def gaps(self) -> int:
        return sum(year.gaps_after for year in self.years)


@dataclass(frozen=True, slots=True)
class ActionsReport:
    market: str
    source: str
    first: date
    last: date
    total: int
    kinds: dict[str, int]
    changed: bool


@dataclass(frozen=True, slots=True)
class SkippedAction:
    """A corporate action that no factor was computed from, and why."""

    symbol: str
    ex_session: date
    reason: str


@dataclass(frozen=True, slots=True)
class PricesReport:
    market: str
    symbols: int
    factors: int
    skipped: tuple[SkippedAction, ...]
    changed: bool
