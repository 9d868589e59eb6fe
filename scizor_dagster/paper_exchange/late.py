"""Corporate actions that become known after the exchange's clock has passed their ex session.

What belongs here: which stored actions the books do not have, and putting the books where they would
be had the actions been known in time. What does not: actions of a morning that is entered (`overnight`).

The books are what fills and activities add up to, so a late action is put in at its ex session and
the instrument added up anew: what was held before is split, what was traded since stays as it was
traded. Fills are never changed. A late split corrects the dividends that were paid after it on the
old quantity; a late delisting of what has traded since is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from scizor_dagster.instruments import split_quantity
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.model import AVERAGE_STEP, Activity, Books, Fill, Position, average_cost
from scizor_dagster.paper_exchange.overnight import (
    end_orders,
    in_cents,
    in_order,
    pay_dividend,
    record_split,
    settle_delisting,
    split_reason,
)
from scizor_dagster.paper_exchange.venue_orders import ZERO

KNOWN_WITHIN = timedelta(days=400)
"""An action that becomes known later than this is not looked for."""

_NOTHING = Decimal("0.0000001")
"""Shares below this, after undoing splits that were rounded, are no holding."""

SAME_ACTION = timedelta(days=10)
"""An action that a source has moved by up to this much is the one that was applied, not another."""


@dataclass(frozen=True, slots=True)
class History:
    """Everything that happened to one instrument in one account, each in order of its number."""

    fills: tuple[Fill, ...] = ()
    activities: tuple[Activity, ...] = ()

    def with_activity(self, activity: Activity) -> History:
        return History(self.fills, (*self.activities, activity))


def position_of(symbol: str, history: History, morning: date | None = None) -> Position:
    """The position that a history adds up to; its last price is the last fill's.

    With `morning`, as it is before the open of that day: splits of the day are in it, its fills,
    and a delisting, are not.
    """
    qty = average = last = ZERO
    days = {fill.session for fill in history.fills} | {row.session for row in history.activities}
    for day in sorted(days):
        if morning is not None and day > morning:
            break
        today = [row for row in history.activities if row.session == day and row.qty_factor is not None]
        for row in sorted(today, key=lambda each: each.kind != "split"):
            factor = row.qty_factor or ZERO
            if row.kind == "split":
                qty, average = split_quantity(qty, factor), (average / factor).quantize(AVERAGE_STEP)
            elif morning is None or day < morning:
                qty = average = ZERO
        if day == morning:
            break
        for fill in (each for each in history.fills if each.session == day):
            qty, average = _after_fill(qty, average, fill.side.sign * fill.qty, fill.price)
            last = fill.price
    return Position(symbol, qty, average, last)


def _after_fill(qty: Decimal, average: Decimal, signed: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
    total = qty + signed
    if total == 0:
        return ZERO, ZERO
    if qty * total <= 0:
        return total, price
    if abs(total) > abs(qty):
        return total, average_cost(qty, average, signed, price)
    return total, average


def suspects(
    stored: Sequence[SessionAction],
    positions: Mapping[str, Position],
    trades: Iterable[tuple[str, date, Decimal]],
    activities: Iterable[Activity],
) -> set[str]:
    """Instruments that may lack an action: it is not in the books, and something was held on its morning.

    Reckoned back from today's positions, so that of the whole past only what came after is read; the
    verdict is `missing`'s.

    `trades` (symbol, session, signed quantity of a fill) and `activities` are those since the first of `stored`.
    """
    events: defaultdict[str, list[tuple[date, bool, Decimal]]] = defaultdict(list)
    for symbol, session, qty in trades:
        events[symbol].append((session, True, qty))
    applied: Counter[tuple[str | None, str, date]] = Counter()
    for row in activities:
        applied[row.symbol, row.kind, row.session] += 1
        if row.symbol is not None and row.qty_factor is not None:
            events[row.symbol].append((row.session, False, row.qty_factor))
    wanted = Counter((row.symbol, row.kind, row.session) for row in in_order(stored))
    found: set[str] = set()
    for (symbol, kind, session), count in wanted.items():
        if applied[symbol, kind, session] < count and symbol not in found:
            now = positions[symbol].qty if symbol in positions else ZERO
            if _was_held(now, [event for event in events[symbol] if event[0] >= session]):
                found.add(symbol)
    return found


def _was_held(qty: Decimal, since: list[tuple[date, bool, Decimal]]) -> bool:
    # Backwards, a day's fills come before its splits.
    for _, is_fill, value in sorted(since, reverse=True):
        if not is_fill and value == 0:
            return True
        qty = qty - value if is_fill else qty / value
    return abs(qty) > _NOTHING


def missing(stored: Sequence[SessionAction], histories: Mapping[str, History]) -> list[SessionAction]:
    """The stored actions that have an effect on the books and are not in them, in order."""
    groups: dict[tuple[str, str, date], list[SessionAction]] = {}
    for action in in_order(stored):
        groups.setdefault((action.symbol, action.kind, action.session), []).append(action)
    found: list[SessionAction] = []
    moved = _moved(groups, histories)
    for (symbol, kind, session), actions in groups.items():
        history = histories.get(symbol, History())
        applied = [row for row in history.activities if (row.kind, row.session) == (kind, session)]
        unmatched = [row for row in actions if not any(_is(row, each, history) for each in applied)]
        for action in unmatched[: max(len(actions) - len(applied), 0)]:
            if not _has_effect(action, history):
                continue
            near = [day for day in moved.get((symbol, kind), ()) if abs(day - session) <= SAME_ACTION]
            if near:
                moved[symbol, kind].remove(near[0])
            else:
                found.append(action)
    return in_order(found)


def _moved(
    groups: Mapping[tuple[str, str, date], Sequence[SessionAction]], histories: Mapping[str, History]
) -> dict[tuple[str, str], list[date]]:
    """Ex sessions of applied actions that the store does not have on that day any more."""
    found: dict[tuple[str, str], list[date]] = {}
    for symbol, history in histories.items():
        for row in history.activities:
            if (symbol, row.kind, row.session) not in groups:
                found.setdefault((symbol, row.kind), []).append(row.session)
    return found


def _is(action: SessionAction, applied: Activity, history: History) -> bool:
    if action.kind == "split":
        return applied.qty_factor == action.ratio
    if action.kind == "dividend":
        held = position_of(action.symbol, history, action.session).qty
        return applied.amount == in_cents(held * (action.amount or ZERO))
    return True


def _has_effect(action: SessionAction, history: History) -> bool:
    held = position_of(action.symbol, history, action.session).qty
    if held == 0:
        return False
    if action.kind == "split":
        return action.ratio is not None and action.ratio > 0
    if action.kind == "dividend":
        return in_cents(held * (action.amount or ZERO)) != 0
    return not any(fill.session >= action.session for fill in history.fills)


def apply_late(
    books: Books,
    actions: Sequence[SessionAction],
    histories: Mapping[str, History],
    prices: Mapping[str, Decimal],
    at: datetime,
) -> None:
    """Apply what `missing` found; `prices` are the last ones in today's units, for positions that change."""
    known = dict(histories)
    for action in in_order(actions):
        remark = f"; known only in session {books.session}"
        history = known[action.symbol]
        held = position_of(action.symbol, history, action.session).qty
        made: Activity | None = None
        if action.kind == "split" and action.ratio is not None:
            end_orders(books, action.symbol, split_reason(action.ratio, action.session) + remark, at)
            made = record_split(books, action, action.ratio, remark)
            known[action.symbol] = _corrected(books, history, history.with_activity(made), made, remark)
            _put(books, action, position_of(action.symbol, known[action.symbol]), prices)
            continue
        if action.kind == "dividend" and action.amount is not None:
            made = pay_dividend(books, action, action.amount, held, remark)
        elif action.kind == "delisting":
            end_orders(books, action.symbol, f"delisted from session {action.session}{remark}", at)
            made = settle_delisting(books, action, held, remark)
        if made is not None:
            known[action.symbol] = history.with_activity(made)


def _corrected(books: Books, before: History, after: History, split: Activity, remark: str) -> History:
    """Pay what dividends since the split lack, because they were paid on the old quantity."""
    assert split.symbol is not None
    for paid in before.activities:
        if paid.kind != "dividend" or paid.session < split.session:
            continue
        old, new = (position_of(split.symbol, each, paid.session).qty for each in (before, after))
        rest = in_cents(paid.amount * new / old) - paid.amount if old else ZERO
        if rest:
            text = f"{split.symbol}: the dividend is due on {new:f} shares, not on {old:f}{remark}"
            after = after.with_activity(books.record("dividend", paid.session, split.symbol, text, amount=rest))
    return after


def _put(books: Books, action: SessionAction, position: Position, prices: Mapping[str, Decimal]) -> None:
    if position.qty == 0:
        books.positions.pop(action.symbol, None)
        return
    price = prices.get(action.symbol)
    if price is None:
        old = books.positions.get(action.symbol)
        price = old.last_price / (action.ratio or 1) if old is not None else position.last_price
    books.positions[action.symbol] = Position(action.symbol, position.qty, position.average_price, price)
