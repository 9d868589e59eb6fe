"""What has been seen of one instrument in one session: its price path, cut off at an instant.

What belongs here: bars of any stretch of a path, as far as it has been walked. What does not: the path
itself (`price_path`), and how a door cuts a session into stretches.

Prices are those of the session, before any later split; on the instrument's price steps where they lie
between two nodes of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.price_path import Hours, PricePath

Touch = Callable[[Decimal], tuple[Decimal, Decimal]]
"""Bid and ask around a price."""
_WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A bar of a part of a session; `volume` in whole shares, which add up over a session."""

    begin: datetime
    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Trace:
    """One session of one instrument until `until`, which lies not before its open."""

    symbol: str
    path: PricePath
    until: datetime
    instrument: Instrument
    touch: Touch

    @property
    def session(self) -> date:
        return self.hours.session

    @property
    def hours(self) -> Hours:
        return self.path.hours

    def price(self, at: datetime) -> Decimal:
        return on_step(self.path.price(min(at, self.until)), self.instrument)

    def stretch(self, begin: datetime, end: datetime) -> Stretch | None:
        """What happened from `begin` to `end`; None where nothing of that has been seen."""
        first = max(begin, self.hours.open)
        last = min(end, self.hours.close, self.until)
        if first >= last or self.path.bar.volume == 0:
            return None
        turns = zip(self.hours.nodes, self.path.prices, strict=True)
        ends = (self.price(first), self.price(last))
        seen = [*ends, *(price for node, price in turns if first <= node <= last)]
        volume = self._traded(last) - self._traded(first)
        return Stretch(begin, self.session, ends[0], max(seen), min(seen), ends[1], volume)

    def stretches(self, step: timedelta, zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[Stretch]:
        """Bars of `step` that begin from `first` on and before `last`; that of now, or of `last`, is cut short.

        They begin at whole steps of the day in `zone`, and at the open.
        """
        opens = self.hours.open
        midnight = datetime.combine(opens.astimezone(zone).date(), time.min, zone).astimezone(opens.tzinfo)
        begin = midnight + (opens - midnight) // step * step
        if first > begin:
            begin += (first - begin) // step * step
        while begin < min(self.hours.close, self.until, last):
            end = begin + step
            if max(begin, opens) >= first and end > opens:
                found = self.stretch(max(begin, opens), min(end, last))
                if found is not None:
                    yield found
            begin = end

    def _traded(self, at: datetime) -> Decimal:
        return self.path.volume(at).quantize(_WHOLE)


def on_step(price: Decimal, instrument: Instrument) -> Decimal:
    """The price step of the instrument that is nearest to `price`; at least one step."""
    step = instrument.price_step(price)
    return max((price / step).to_integral_value(ROUND_HALF_EVEN) * step, step)
