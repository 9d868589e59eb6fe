"""Faults of a whole feed: one fault, not one of each symbol.

What belongs here: days on which most of a feed is wrong in the same way: dated a day early or late, or copied from
the day before onto a day without trading. What does not: faults of single bars (`quality`), and faults that show
only beside what is stored (`plausibility`).

A feed is dated wrong where it has bars on days that are no sessions, each of them is the session beside it, and that
session has no bar of its own day: one contradiction and the days are left as they are. From such a day the fault
reaches as far as the dates, moved by one day, give every session exactly once. Time zones make it: an evening in
one is the day before in another, for as long as one of them is on daylight time. One series by itself needs two
such days. Nothing is moved back: the source is, because the next answer would be compared with what was guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MIN_SYMBOLS = 3
"""Fewer series than that are no feed."""
SHARE = 0.5
PARTIAL_SHARE = 0.33
_NEARBY = 5
_SHIFTS = (-1, 1)
_EPOCH = date(1970, 1, 1)
_LONGEST_PAUSE = 14

Days = NDArray[np.int64]
Marks = NDArray[np.bool_]
FaultKind = Literal["shifted_day", "copied_holiday", "copied_day", "partial_day", "adjusted_close"]


@dataclass(frozen=True, slots=True)
class FeedFault:
    """One fault of a feed.

    Attributes:
        first, last: The dates that the faulty bars bear.
        symbols: How many symbols have such a bar.
        bars: How many bars are refused for it.
        told: What is wrong and what to do, in words.
    """

    kind: FaultKind
    first: date
    last: date
    symbols: int
    bars: int
    told: str


@dataclass(frozen=True)
class ShiftedDays:
    """Rows whose date is `shift` days from that of their session, and what is said of them."""

    marks: Marks
    shift: NDArray[np.int8]
    faults: tuple[FeedFault, ...]


def shifted_days(codes: Days, days: Days, off: Marks, sessions: Days) -> ShiftedDays:
    """Find the bars that are dated one day early or late.

    Args:
        codes: The symbol of each row, as a number.
        days: The date of each row, in days since 1970.
        off: Which of them are no sessions.
        sessions: The exchange's sessions from a month before the first row to a month after the last, ascending.
    """
    marks, shift = np.zeros(len(days), dtype=bool), np.zeros(len(days), dtype=np.int8)
    faults: list[FeedFault] = []
    if not off.any():
        return ShiftedDays(marks, shift, ())
    for first, last, by in _stretches(_feed_days(days), sessions, evidence=1):
        rows = (days >= first) & (days <= last)
        marks |= rows
        shift[rows] = by
        faults.append(_shifted_fault(first, last, by, codes[rows]))
    for code in np.unique(codes[off & ~marks]):
        own = np.flatnonzero((codes == code) & ~marks)
        for first, last, by in _stretches(np.unique(days[own]), sessions, evidence=2):
            moved = own[(days[own] >= first) & (days[own] <= last)]
            marks[moved] = True
            shift[moved] = by
            faults.append(_shifted_fault(first, last, by, codes[moved]))
    return ShiftedDays(marks, shift, tuple(faults))


def _feed_days(days: Days) -> Days:
    """The days on which the feed as a whole has bars: half as many as is usual around them, and not a few."""
    found, counts = np.unique(days, return_counts=True)
    around = np.array([np.median(counts[max(0, at - _NEARBY) : at + _NEARBY + 1]) for at in range(len(found))])
    return np.asarray(found[(counts >= MIN_SYMBOLS) & (counts >= SHARE * around)])


def _stretches(days: Days, sessions: Days, evidence: int) -> list[tuple[int, int, int]]:
    """Stretches of `days` that are sessions moved by one day: first, last, shift; at least `evidence` off days."""
    known = set(sessions.tolist())
    found: list[tuple[int, int, int]] = []
    for shift in _SHIFTS:
        off = [day for day in days.tolist() if day not in known and day - shift in known]
        done: int | None = None
        for day in off:
            if done is not None and day <= done:
                continue
            at = int(np.searchsorted(days, day))
            first = _extended(days, sessions, at, shift, step=-1)
            last = done = _extended(days, sessions, at, shift, step=1)
            dates = set(days[(days >= first) & (days <= last)].tolist())
            # A session with a bar on its own day as well is not one that was moved.
            moved = not ({each - shift for each in dates} - dates) & set(days.tolist())
            if moved and sum(first <= each <= last for each in off) >= evidence:
                found.append((first, last, shift))
    kept: list[tuple[int, int, int]] = []
    for stretch in sorted(found, key=lambda each: each[0] - each[1]):
        if all(stretch[0] > other[1] or stretch[1] < other[0] for other in kept):
            kept.append(stretch)
    return sorted(kept)


def _extended(days: Days, sessions: Days, at: int, shift: int, step: int) -> int:
    """The furthest day from `at` in one direction up to which the moved dates give each session once."""
    while 0 <= at + step < len(days):
        here, there = sorted((int(days[at]) - shift, int(days[at + step]) - shift))
        lower, upper = np.searchsorted(sessions, [here, there])
        if upper - lower != 1 or upper >= len(sessions) or sessions[upper] != there or sessions[lower] != here:
            break
        at += step
    return int(days[at])


def _shifted_fault(first: int, last: int, shift: int, codes: Days) -> FeedFault:
    begin, end = _date(first), _date(last)
    told = (
        f"the bars dated {begin} to {end} are dated one day {'early' if shift < 0 else 'late'}, "
        "as another time zone does; correct the time zone at the source and collect again"
    )
    return FeedFault("shifted_day", begin, end, len(np.unique(codes)), len(codes), told)


def copied_rows(codes: Days, days: Days, values: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the rows `chosen` that repeat their symbol's bar before them, every one of its `values` (by row)."""
    if len(chosen) == 0:
        return chosen
    near = np.flatnonzero((days >= days[chosen].min() - _LONGEST_PAUSE) & (days <= days[chosen].max()))
    order = near[np.lexsort((days[near], codes[near]))]
    before, after = order[:-1], order[1:]
    same = (codes[before] == codes[after]) & (days[after] - days[before] <= _LONGEST_PAUSE)
    same &= (values[before] == values[after]).all(axis=1)
    return np.asarray(np.intersect1d(after[same], chosen))


def copied_faults(kind: FaultKind, copied: Days, all_days: Days) -> tuple[FeedFault, ...]:
    """One fault for each day of which most bars are copies: the day of each copied bar, and of every bar."""
    faults = []
    for day, count in zip(*np.unique(copied, return_counts=True), strict=True):
        if count >= MIN_SYMBOLS and count >= SHARE * int((all_days == day).sum()):
            told = f"most symbols repeat on {_date(day)} every value of the day before: the source has copied a day"
            faults.append(FeedFault(kind, _date(day), _date(day), int(count), int(count), told))
    return tuple(faults)


def partial_fault(
    day: int, shares: NDArray[np.float64], answered: NDArray[np.float64], length: float
) -> FeedFault | None:
    """The fault of a last day that was taken before its close, judged by the volume of usually traded symbols.

    Of 6,000 real sessions the quietest whole one has 0.46 of the usual volume (26 December), the quietest early
    close 0.29; days taken during the session have 0.08 to 0.24.

    Args:
        day: Days since 1970.
        shares: Volumes per usual volume, by symbol, of what is stored of the day and of the answer.
        answered: Those of the answer alone: quiet shares that are stored do not speak against one as large as ever.
        length: Of the session, per usual length.
    """
    whole = PARTIAL_SHARE * length
    if len(shares) < MIN_SYMBOLS or float(np.median(shares)) >= whole:
        return None
    if len(answered) and float(np.median(answered)) >= whole:
        return None
    told = (
        f"the volume of {_date(day)} is {float(np.median(shares)):.0%} of the usual, and it is the last day of the "
        "answer: it was taken before the close; collect the session again"
    )
    return FeedFault("partial_day", _date(day), _date(day), len(shares), len(shares), told)


def merged(faults: Iterable[FeedFault]) -> tuple[FeedFault, ...]:
    """Faults of one kind on the same days as one: a feed is asked in parts."""
    found: dict[tuple[str, ...], FeedFault] = {}
    for fault in faults:
        own = fault.told if fault.kind == "adjusted_close" else ""
        key = (fault.kind, str(fault.first), str(fault.last), own)
        known = found.get(key)
        symbols, bars = (known.symbols, known.bars) if known else (0, 0)
        found[key] = replace(fault, symbols=fault.symbols + symbols, bars=fault.bars + bars)
    return tuple(found.values())


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=int(day))
