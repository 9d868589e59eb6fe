"""No order of file edits, provider's answers and outages loses a bar or joins two companies under one name.

The lake is modelled: what `decide` says happens to rows happens to a table in memory, in which bars know their owners.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.symbol_changes import decide
from scizor_dagster.market_data.symbol_rows import Book, Facts, Outcome, is_archived
from scizor_dagster.market_data.verification import Answers
from tests.market_data.support import entry

TICKERS = ("A", "B", "C")
OWNERS = (None, "one", "two", "three")
BEGIN = datetime(2024, 1, 2, 22, tzinfo=UTC)


class World:
    """Who has which ticker, what the file says, and what has been stored."""

    def __init__(self) -> None:
        self.day = 0
        self.owners: dict[str, str] = {}
        self.book = Book()
        self.bars: dict[str, dict[int, str]] = defaultdict(dict)
        self.quarantined: set[tuple[int, str]] = set()
        self.collected: set[tuple[int, str]] = set()

    def facts(self, calls: str) -> Facts:
        now = BEGIN + timedelta(days=self.day)
        return Facts("us", now, now.date(), "ibkr", calls, timedelta(days=90), {}, {}, self._first, self._traded)

    def _first(self, symbol: str):
        return self._date(min(self.bars[symbol])) if self.bars[symbol] else None

    def _traded(self) -> frozenset[str]:
        return frozenset(symbol for symbol, found in self.bars.items() if found and self.day - max(found) <= 10)

    def _date(self, day: int):
        return (BEGIN + timedelta(days=day)).date()

    def verify(self, tracked: frozenset[str], silent: frozenset[str]) -> None:
        answers = Answers()
        for symbol in sorted(tracked):
            owner = self.owners.get(symbol)
            if symbol in silent:
                answers.silent[symbol] = "down"
            else:
                answers.found[symbol] = (Listing(symbol, owner),) if owner else ()
        outcome = decide(self.book, {symbol: entry(symbol) for symbol in tracked}, answers, self.facts("each"))
        self._apply(outcome)
        self.book = outcome.book

    def _apply(self, outcome: Outcome) -> None:
        for move in outcome.moves:
            rows = self.bars.pop(move.symbol, {})
            self.bars[move.name] = {day: owner for day, owner in rows.items() if self._date(day) < move.cut}
            self.quarantined |= {(day, owner) for day, owner in rows.items() if self._date(day) >= move.cut}
        for carry in sorted(outcome.carries, key=lambda item: item.before):
            for day, owner in self.bars[carry.old].items():
                if self._date(day) < carry.before:
                    self.bars[carry.new].setdefault(day, owner)

    def collect(self) -> None:
        """The provider gives today's bar of whoever has the ticker today."""
        for symbol, row in self.book.rows.items():
            owner = self.owners.get(symbol)
            identity = self.book.identity(symbol)
            floor = identity.bars_from if identity else None
            if row.collected and owner and not is_archived(symbol) and (floor is None or self._date(self.day) >= floor):
                self.bars[symbol][self.day] = owner
                self.collected.add((self.day, owner))


def _owners(world: World, drawn: tuple[str | None, ...]) -> dict[str, str]:
    """Each company has one ticker at a time. One that comes back to a ticker unseen, nobody can know of."""
    found: dict[str, str] = {}
    for ticker, owner in zip(TICKERS, drawn, strict=True):
        row = world.book.rows.get(ticker)
        unseen = row is not None and row.provider_id == owner != world.owners.get(ticker)
        if owner is not None and owner not in found.values() and not unseen:
            found[ticker] = owner
    return found


steps = st.lists(
    st.tuples(
        st.tuples(*[st.sampled_from(OWNERS)] * len(TICKERS)),
        st.frozensets(st.sampled_from(TICKERS)),
        st.frozensets(st.sampled_from(TICKERS)),
        st.integers(min_value=1, max_value=40),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_no_bar_is_lost_and_no_two_companies_are_joined(script):
    world = World()
    for owners, tracked, silent, days, world_changes in script:
        if world_changes:
            world.owners = _owners(world, owners)
        world.verify(tracked, silent)
        world.collect()
        world.day += days
        world.collect()
        world.day += 1
        kept = {(day, owner) for rows in world.bars.values() for day, owner in rows.items()} | world.quarantined
        assert world.collected <= kept
        answered = {symbol: world.book.rows[symbol] for symbol in tracked - silent}
        # Whose ticker is gone and doubted may have changed its owner unseen before: that shows when it is back.
        certain = {
            symbol for symbol, row in answered.items() if row.verified and row.reason is not SymbolReason.DOUBTED
        }
        for name, rows in world.bars.items():
            if name in certain or is_archived(name):
                assert len(set(rows.values())) <= 1, (name, rows)


@settings(max_examples=80, deadline=None)
@given(steps)
def test_every_symbol_is_in_at_most_one_open_time_and_identity(script):
    world = World()
    for owners, tracked, silent, days, _ in script:
        world.owners = _owners(world, owners)
        world.verify(tracked, silent)
        world.day += days
        for symbol, row in world.book.rows.items():
            still = [item for item in world.book.history if item.symbol == symbol and item.until is None]
            assert len(still) == (1 if row.tracked else 0)
            assert len([i for i in world.book.identities if i.symbol == symbol and i.until is None]) <= 1
        assert all(item.until is None or item.since <= item.until for item in world.book.history)
        assert tracked <= world.book.rows.keys()
