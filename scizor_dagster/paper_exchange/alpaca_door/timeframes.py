"""Timeframes of bars: `5Min`, `1Hour`, `1Day`, `1Week`, `3Month`.

What belongs here: how a word is read, and where its bars begin. What does not: the bars (`bars`).

Bars of minutes and hours begin at multiples of their length from midnight in New York, weeks on Monday,
months on the first of January and every so many months from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK
from scizor_dagster.paper_exchange.price_path import Hours

_WORD = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W|Month|M)")


class Unit(StrEnum):
    MINUTE = "Min"
    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"


_SHORT = {"T": Unit.MINUTE, "H": Unit.HOUR, "D": Unit.DAY, "W": Unit.WEEK, "M": Unit.MONTH}
_AMOUNTS = {
    Unit.MINUTE: range(1, 60),
    Unit.HOUR: range(1, 24),
    Unit.DAY: range(1, 2),
    Unit.WEEK: range(1, 2),
    Unit.MONTH: (1, 2, 3, 4, 6, 12),
}


@dataclass(frozen=True, slots=True)
class Timeframe:
    amount: int
    unit: Unit

    @property
    def is_intraday(self) -> bool:
        return self.unit in (Unit.MINUTE, Unit.HOUR)

    @property
    def length(self) -> timedelta:
        """Of a bar of minutes or hours."""
        return timedelta(minutes=self.amount * (1 if self.unit is Unit.MINUTE else 60))

    def period(self, day: date) -> date:
        """First day of the bar that `day` is in."""
        if self.unit is Unit.WEEK:
            return day - timedelta(days=day.weekday())
        if self.unit is Unit.MONTH:
            return date(day.year, day.month - (day.month - 1) % self.amount, 1)
        return day

    def edges(self, hours: Hours) -> list[datetime]:
        """Where a session's bars begin, and the end of the last; the first may begin before the open."""
        opens = hours.open.astimezone(NEW_YORK)
        passed = timedelta(hours=opens.hour, minutes=opens.minute)
        at = hours.open - passed % self.length
        found = [at]
        while at < hours.close:
            at += self.length
            found.append(at)
        return found


def read_timeframe(word: str | None) -> Timeframe | None:
    """The timeframe of a word; None where it is none."""
    match = _WORD.fullmatch(word or "")
    if match is None:
        return None
    unit = _SHORT.get(match[2]) or Unit(match[2])
    amount = int(match[1])
    return Timeframe(amount, unit) if amount in _AMOUNTS[unit] else None
