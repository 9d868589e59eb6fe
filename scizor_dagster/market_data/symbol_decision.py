"""One decision about symbols under way: what is known, what was judged, and what has been decided so far.

What belongs here: the state that the steps of a decision share, and what several of them ask of it. What does not:
the steps (`reused_tickers`, `symbol_renames`, `symbol_states`) and their order (`symbol_changes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType

from scizor_dagster.market_data.symbol_rows import Book, Ending, Facts, Outcome
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.market_data.verification import Verdict

ONE_DAY = timedelta(days=1)


class Decision:
    """The book as it becomes, by what the provider said of the universe's entries.

    Attributes:
        verdicts: What the answers come to, by symbol.
        same: Why a symbol is the company that it was, though it has another id.
        floors: First day of a ticker's present company, where it is new to the ticker.
        previous: Name of a company's earlier rows and first day under the next ticker, by that ticker.
        renamed: New ticker and day, by the one that was left.
    """

    def __init__(
        self,
        book: Book,
        entries: Mapping[str, UniverseEntry],
        facts: Facts,
        same: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.book = book
        self.entries = entries
        self.facts = facts
        self.same = same
        self.verdicts: dict[str, Verdict] = {}
        self.outcome = Outcome(book)
        self.floors: dict[str, date] = {}
        self.previous: dict[str, tuple[str, date]] = {}
        self.renamed: dict[str, tuple[str, date]] = {}

    def endings(self, symbol: str) -> tuple[Ending, ...]:
        """Renames and delistings of the company that the ticker means, and of none that had it before."""
        known = self.facts.endings.get(symbol)
        if not known:
            return ()
        begun = self.begun(symbol)
        return tuple(item for item in known if item.ex_session > begun)

    def begun(self, symbol: str) -> date:
        """Day up to which it is settled what the ticker meant, by an earlier decision or by a person's word."""
        mine = [item for item in self.book.identities if item.symbol == symbol]
        settled = [item.since for item in mine if item.previous_symbol]
        settled += [item.bars_from for item in mine if item.bars_from]
        return max([*settled, *self.book.joined_on(symbol)], default=date.min)

    def split_day(self, symbol: str) -> date | None:
        """Day from which the bars stored under a ticker are another company's, by the actions alone."""
        if symbol not in self.facts.spans:
            return None
        first, last = self.facts.spans[symbol]
        begun = self.begun(symbol)
        mine = {item.previous_symbol for item in self.book.identities if item.symbol == symbol}
        taken = {
            item.ex_session
            for old, found in self.facts.endings.items()
            for item in found
            if item.kind == "rename" and item.new_symbol == symbol and old not in (symbol, *mine)
            if item.ex_session > begun
        }
        left = {item.ex_session for item in self.endings(symbol) if last >= item.ex_session}
        return max((day for day in taken | left if first < day), default=None)

    def close_identity(self, symbol: str, day: date) -> None:
        """End what a ticker meant on `day`."""
        self.book.identities = [
            replace(item, until=max(day, item.since)) if item.symbol == symbol and item.until is None else item
            for item in self.book.identities
        ]
