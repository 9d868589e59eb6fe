"""A plan's prices against the lake: as it was at the plan's snapshot, and as it is now.

What belongs here: those comparisons. What does not: how a restatement is recorded (`market_data.revisions`).

A bar that was restated in the open left its earlier value in `bar_revisions`, with the last snapshot that held it: that
is information. A bar that is another one now and left nothing there was changed by somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from scizor_dagster.analytics.replays import Finding, different
from scizor_dagster.errors import SnapshotGone
from scizor_dagster.flow.explain_facts import SessionFacts, Sources
from scizor_dagster.flow.facts import facts_for
from scizor_dagster.flow.plans import reference_prices
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.reading import LOOK_BACK, instruments, last_closes
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.inputs import PlanInputs, named_symbols
from scizor_dagster.planning.quantities import plain

_BAR = ("open", "high", "low", "close", "volume")
Place = tuple[str, date]
Bars = dict[Place, dict[str, Any]]


def price_findings(
    facts: SessionFacts, archive: PlanArchive, head: dict[str, Any], notes: list[str]
) -> Iterator[Finding]:
    """Prices and the numbers from past bars, at the plan's snapshot and now."""
    inputs = archive.inputs
    if inputs.priced_on is None:
        return
    snapshot = int(head["lake_snapshot"])
    then: Bars | None = None
    try:
        with facts.sources.desk.lake.at(snapshot) as lake:
            yield from _at_snapshot(facts, archive, lake, snapshot)
            then = _bars(Sources(facts.sources.desk, lake, None), facts, inputs)
        notes.append(f"Prices were compared with snapshot {snapshot} of the lake.")
    except SnapshotGone:
        notes.append(f"Snapshot {snapshot} of the lake is gone; prices were compared with what is kept of each bar.")
    yield from _now(facts, archive, snapshot, then)


def _market(facts: SessionFacts) -> str:
    return facts.sources.desk.portfolio(facts.portfolio).market


def _at_snapshot(facts: SessionFacts, archive: PlanArchive, lake: Lake, snapshot: int) -> Iterator[Finding]:
    """What the plan was made from, as the lake gives it at the snapshot that the plan names."""
    inputs, market = archive.inputs, _market(facts)
    assert inputs.priced_on is not None
    named, where = named_symbols(inputs), f"plan_inputs (snapshot {snapshot})"
    found = {name: item for name, item in reference_prices(last_closes(lake, market, inputs.priced_on)).items()
             if name in named}  # fmt: skip
    for symbol in sorted(found.keys() | inputs.prices.keys()):
        yield from _told_apart(where, f"price of {symbol}", inputs.prices.get(symbol), found.get(symbol))
    known = {item.symbol: item for item in instruments(lake, market, inputs.priced_on)}
    for symbol, instrument in sorted(inputs.instruments.items()):
        yield from _told_apart(where, f"instrument {symbol}", instrument, known.get(symbol))
    for name, numbers in facts_for(lake, market, inputs, archive.rules).items():
        for symbol, value in sorted(getattr(inputs, name).items()):
            if numbers.get(symbol) != value:
                yield Finding(where, symbol, name, plain(value), _plain(numbers.get(symbol)))


def _told_apart(where: str, key: str, kept: Any, found: Any) -> Iterator[Finding]:
    """Fields of two values of one kind, of which either may be absent."""
    if kept is None or found is None:
        if kept is not found:
            yield Finding(where, key, "", "absent" if kept is None else "there", "absent" if found is None else "there")
        return
    names = type(kept).__dataclass_fields__
    yield from different(
        where, key, {name: getattr(kept, name) for name in names}, {name: getattr(found, name) for name in names}
    )


def _plain(value: Any) -> str:
    return "none" if value is None else plain(value)


def _bars(sources: Sources, facts: SessionFacts, inputs: PlanInputs) -> Bars:
    """The bars that prices, volumes and ranges of the plan's instruments follow from."""
    return {(row["symbol"], row["session"]): row for row in _rows(sources, facts, inputs, "bars", ", source")}


def _rows(
    sources: Sources, facts: SessionFacts, inputs: PlanInputs, table: str, more: str, order: str = ""
) -> list[dict[str, Any]]:
    assert inputs.priced_on is not None
    return sources.lake_rows(
        f"SELECT symbol, session, {', '.join(_BAR)}{more} FROM {table} WHERE market = ? AND session BETWEEN ? AND ? "
        f"AND symbol IN (SELECT unnest(?)) {order}",
        [_market(facts), inputs.priced_on - LOOK_BACK, inputs.priced_on, sorted(inputs.prices)],
    )


def _now(facts: SessionFacts, archive: PlanArchive, snapshot: int, then: Bars | None) -> Iterator[Finding]:
    """Each bar that was read against what is believed of it since."""
    inputs, sources = archive.inputs, facts.sources
    now = _bars(sources, facts, inputs)
    later: dict[Place, dict[str, Any]] = {}
    more = ", source, replaced_at, last_snapshot, reason"
    for row in _rows(sources, facts, inputs, "bar_revisions", more, "ORDER BY replaced_at"):
        if row["last_snapshot"] >= snapshot:
            # The first value that was replaced after the plan had read it is the one that it read.
            later.setdefault((row["symbol"], row["session"]), row)
    for place, expected in sorted((then if then is not None else _quoted(inputs)).items()):
        yield from _believed(facts, place, expected, later.get(place), now.get(place))


def _quoted(inputs: PlanInputs) -> Bars:
    """The closes that the plan itself names, where the state that it read is gone; not those from before a split."""
    return {
        (symbol, quote.session): {"close": float(quote.price), "source": quote.source}
        for symbol, quote in inputs.prices.items()
        if quote.session is not None and quote.session == inputs.priced_on
    }


def _believed(
    facts: SessionFacts,
    place: Place,
    expected: dict[str, Any],
    replaced: dict[str, Any] | None,
    bar: dict[str, Any] | None,
) -> Iterator[Finding]:
    """What is kept of the bar that the plan read, and what became of it in the open."""
    symbol, session = place
    key, remark = f"{symbol} {session}", "No restatement of it is recorded: something else changed it."
    values = {name: value for name, value in expected.items() if name in (*_BAR, "source")}
    believed = replaced or bar
    if believed is None:
        if not _set_apart(facts, symbol, session):
            yield Finding("bars", key, "", "absent", "there", remark=remark)
        return
    for item in different("bars" if replaced is None else "bar_revisions", key, believed, values):
        yield replace(item, remark=remark)
    if replaced is not None:
        said = (
            f"Restated in the open ({replaced['reason']}) at {replaced['replaced_at'].isoformat(timespec='seconds')}."
        )
        close = "none" if bar is None else repr(bar["close"])
        yield Finding("bars", key, "close", close, repr(replaced["close"]), "information", said)


def _set_apart(facts: SessionFacts, symbol: str, session: date) -> bool:
    """Whether the bar stands under the name of a company that had the ticker before."""
    found = facts.sources.lake_rows(
        "SELECT 1 AS one FROM bars WHERE market = ? AND session = ? AND starts_with(symbol, ?) LIMIT 1",
        [_market(facts), session, f"{symbol}@"],
    )
    return bool(found)
