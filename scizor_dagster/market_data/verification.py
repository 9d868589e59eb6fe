"""Asking a provider what symbols are, and judging its answers: one instrument, or a named reason.

What belongs here: which symbols are due, the questions, one verdict for each symbol. What does not: what a verdict
changes (`symbol_changes`), SQL.

A provider that does not answer says nothing about a symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data.provider import Listing, MarketData, SymbolReason
from scizor_dagster.market_data.symbol_rows import Book, Ending, Facts, SymbolRow
from scizor_dagster.market_data.universe import UniverseEntry

if TYPE_CHECKING:
    from scizor_dagster.market_data.reports import Progress

FAILURES_IN_A_ROW = 3
"""So many symbols without an answer, and the rest is not asked."""
MOST_GONE = 3
MOST_GONE_SHARE = 0.02
"""So many symbols of a universe, or this share of it, may end in one verification: more is a fault of the provider."""
MOST_GONE_OF_KNOWN = 0.5
"""Nor do three symbols end together that are more than this share of all that were known."""
_ACTIONS_SAY_SO = (SymbolReason.DELISTED, SymbolReason.RENAMED)
_NOT_THERE = (SymbolReason.UNKNOWN, SymbolReason.INACTIVE)


@dataclass(frozen=True)
class Asking:
    """How much is asked.

    Attributes:
        force_revalidate: Ask for every symbol, due or not.
        force: Believe at once that symbols are gone which the provider has stopped to know.
        limit: Ask for at most so many symbols; None is all.
        only: Ask for these alone, where they are due or asked for by force.
        removal_reasons: Why symbols left the universe, by symbol.
    """

    force_revalidate: bool = False
    force: bool = False
    limit: int | None = None
    only: frozenset[str] | None = None
    removal_reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Answers:
    """What the provider said, by symbol, and why it said nothing of others.

    Attributes:
        same: How a symbol with another id than before has shown that it is the same company.
        refused: Symbols that the provider no longer knows and that are too many to be believed.
        forced: Whether the provider is believed at once.
    """

    found: dict[str, tuple[Listing, ...]] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    forced: bool = False

    @property
    def asked(self) -> int:
        return len(self.found) + len(self.silent)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One instrument (`listing`, and no reason or one that does not retire), or the reason why there is none."""

    listing: Listing | None
    reason: SymbolReason | None
    note: str = ""


def due_symbols(
    entries: Mapping[str, UniverseEntry], book: Book, facts: Facts, asking: Asking
) -> tuple[tuple[str, ...], bool]:
    """Symbols to ask for, the longest unasked first, and whether there are more than the limit lets through.

    A provider that answers for all of them in one request is asked for all as soon as it is asked at all.
    """
    wanted = [symbol for symbol in entries if asking.only is None or symbol in asking.only]
    due = [
        symbol
        for symbol in wanted
        if asking.force_revalidate
        or facts.calls == "none"
        or is_due(entries[symbol], book.rows.get(symbol), facts.endings.get(symbol, ()), facts)
    ]
    if due and facts.calls == "one":
        due = wanted
    due.sort(key=lambda symbol: _last_asked(book.rows.get(symbol)))
    chosen = due if asking.limit is None else due[: asking.limit]
    return tuple(chosen), len(chosen) < len(due)


def is_due(entry: UniverseEntry, row: SymbolRow | None, endings: Sequence[Ending], facts: Facts) -> bool:
    """Whether nobody knows, the time has come, the file says something else, or an action has happened since."""
    if row is None or row.next_due is None or row.last_asked is None or row.next_due <= facts.now:
        return True
    if row.reason in (SymbolReason.REMOVED, SymbolReason.PENDING) or not facts.same_ids(row.source):
        return True
    if (row.mic, row.currency) != (entry.instrument.mic, entry.instrument.currency):
        return True
    return any(ending.ex_session > row.last_asked.date() for ending in endings)


def _last_asked(row: SymbolRow | None) -> tuple[bool, float]:
    return (False, 0.0) if row is None or row.last_asked is None else (True, row.last_asked.timestamp())


def ask(provider: MarketData, symbols: Sequence[str], answers: Answers, progress: Progress | None = None) -> None:
    """Add to `answers` what the provider says of `symbols`, until it fails to answer for several in a row."""
    if provider.lookup_calls != "each":
        _ask_some(provider, symbols, answers)
        return
    failures = 0
    for done, symbol in enumerate(symbols, start=1):
        if failures >= FAILURES_IN_A_ROW:
            answers.silent[symbol] = f"not asked: {failures} questions in a row had no answer"
            continue
        failures = 0 if _ask_some(provider, [symbol], answers) else failures + 1
        if progress is not None:
            progress(done, len(symbols), f"verified {symbol}")


def _ask_some(provider: MarketData, symbols: Sequence[str], answers: Answers) -> bool:
    if not symbols:
        return True
    try:
        found = provider.lookup(symbols)
    except BrokerUnavailable as failure:
        answers.silent.update(dict.fromkeys(symbols, failure.problem))
        return False
    answers.found.update({symbol: tuple(found.get(symbol, ())) for symbol in symbols})
    return True


def set_doubtful_aside(answers: Answers, before: Book, drafted: Book, symbols: int) -> None:
    """Take back the answers by which `drafted` ends more symbols than ever end at once, of a universe of `symbols`.

    Those that a corporate action has ended are not counted, nor those that were doubted before, nor what another
    provider knew.
    """
    known = {
        symbol
        for symbol, row in before.rows.items()
        if row.verified and row.tracked and (symbol not in drafted.rows or drafted.rows[symbol].source == row.source)
    }
    gone = [
        symbol
        for symbol in answers.found
        if symbol in known
        and before.rows[symbol].reason is not SymbolReason.DOUBTED
        and (row := drafted.rows[symbol]).reason not in _ACTIONS_SAY_SO
        and (not row.tracked or row.reason is SymbolReason.DOUBTED)
    ]
    most = min(max(MOST_GONE, MOST_GONE_SHARE * symbols), max(MOST_GONE - 1, MOST_GONE_OF_KNOWN * len(known)))
    if len(gone) <= most:
        return
    for symbol in gone:
        del answers.found[symbol]
        answers.silent[symbol] = (
            f"not believed: the provider says that {len(gone)} of {len(known)} symbols it knew are gone; "
            "--force accepts it"
        )
    answers.refused = tuple(sorted(gone))


def judge(
    entry: UniverseEntry, matches: Sequence[Listing], known_id: str | None, endings: Sequence[Ending], split: bool
) -> Verdict:
    """The one match that agrees with the universe, or why there is none.

    Among several that do, the one with the id that the symbol had, `known_id`, is it. `split` says that the ticker has
    bars after its last ending, so that it means another company now.
    """
    distinct = list({(match.provider_id, match.mic): match for match in matches}.values())
    agreeing = [match for match in distinct if match.objection is None and not _contradiction(entry, match)]
    chosen = [match for match in agreeing if known_id and match.provider_id == known_id] or agreeing
    if len(chosen) > 1:
        ids = ", ".join(match.provider_id for match in chosen)
        return Verdict(None, SymbolReason.AMBIGUOUS, f"{len(chosen)} matches at the provider: {ids}")
    ended = _ended(endings)
    if not chosen:
        return ended if ended and all(m.objection in _NOT_THERE for m in distinct) else _refused(entry, distinct)
    if ended and not split and not chosen[0].provider_id:
        return Verdict(chosen[0], ended.reason, ended.note)
    if chosen[0].tradable is False:
        return Verdict(chosen[0], SymbolReason.NOT_TRADABLE, "the provider takes no orders for it")
    return Verdict(chosen[0], None)


def with_known_id(verdict: Verdict, row: SymbolRow | None, facts: Facts) -> Verdict:
    """The verdict with the id that is known of the symbol: an answer without one says nothing against it."""
    listing = verdict.listing
    if listing is None or listing.provider_id or row is None or not row.provider_id or not facts.same_ids(row.source):
        return verdict
    return replace(verdict, listing=replace(listing, provider_id=row.provider_id))


def _ended(endings: Sequence[Ending]) -> Verdict | None:
    if not endings:
        return None
    last = max(endings, key=lambda ending: ending.ex_session)
    if last.kind == "delisting":
        return Verdict(None, SymbolReason.DELISTED, f"delisted on {last.ex_session}")
    note = f"renamed to {last.new_symbol} on {last.ex_session}; track that symbol instead"
    return Verdict(None, SymbolReason.RENAMED, note)


def _refused(entry: UniverseEntry, matches: Sequence[Listing]) -> Verdict:
    if not matches:
        return Verdict(None, SymbolReason.UNKNOWN, "not found at the provider")
    said = next((match for match in matches if match.objection is not None), None)
    if said is not None and said.objection is not None:
        return Verdict(None, said.objection, said.note)
    here = [match for match in matches if match.currency in (None, entry.instrument.currency)]
    reason = SymbolReason.OTHER_EXCHANGE if here else SymbolReason.OTHER_CURRENCY
    return Verdict(None, reason, _contradiction(entry, (here or list(matches))[0]))


def _contradiction(entry: UniverseEntry, match: Listing) -> str:
    """How a match differs from what the universe says; empty if it does not."""
    instrument = entry.instrument
    if match.currency not in (None, instrument.currency):
        return f"trades in {match.currency} at the provider"
    listed = match.mic or match.exchange
    if listed and match.mic != instrument.mic:
        return f"listed on {listed} at the provider"
    return ""
