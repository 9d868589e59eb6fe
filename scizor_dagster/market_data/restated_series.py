"""What a source has done to a series that it shows on another basis now: a split, dividends, another unit.

What belongs here: naming a restatement from its factors on price and volume. What does not: finding those factors
(`overlap`), and what is done about it (`refetch`, `observed_splits`).

A split divides every earlier price by its ratio and multiplies every earlier volume by it; a dividend lowers prices
alone. So the ratio of the volumes gives the split, however the dividends of an adjusted source have moved its prices
besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Literal

from scizor_dagster.market_data.provider import Adjustment

MIN_SESSIONS = 2
_NO_SPLIT = 0.005
_EXACT = 0.0005
_COARSE = 0.03
_LARGEST_PART = 20
_FEWER = 5
_HELD_FOR_ONE = (*range(2, 11), 20)
_UNITS = (100.0, 0.01, 1000.0, 0.001)
_UNIT_ROOM = 0.01
_DIVIDEND_ROOM = (0.3, 1.02)
"""Where the price factor times the split ratio lies, when a source adjusts for dividends besides."""
_LARGEST_YIELD = 0.2

RestatementKind = Literal["split", "spin_off", "dividends", "currency_unit", "price_factor"]


@dataclass(frozen=True, slots=True)
class Level:
    """A run of sessions with one factor: fetched per stored.

    Attributes:
        most: The highest factor that the prices, as they are rounded, leave room for.
        first: Its first session.
        volume: Usual factor of the volumes; None where nothing traded.
    """

    factor: float
    most: float
    first: date
    volume: float | None
    sessions: int


@dataclass(frozen=True, slots=True)
class SeenSplit:
    """A split that the factors show.

    Attributes:
        ratio: New shares per old share.
        ex_session: First compared session on the newer basis; None where the split is later than all of them.
    """

    ratio: float
    ex_session: date | None


@dataclass(frozen=True, slots=True)
class Restatement:
    """What has happened to a series.

    Attributes:
        factor: The provider's price per stored price, in the newest sessions compared.
        sessions: How many were compared.
        kind: `split`: a ratio as splits have it, its inverse on the volumes. `spin_off`: the same with
            any other ratio, as sources show spin-offs and consolidations with a payment. `dividends`: prices
            alone, lower the older they are. `currency_unit`: prices alone, by 100 or 1000. `price_factor`:
            prices alone, by anything else.
        paid: Whether prices have fallen by more than the splits explain, as a source that adjusts for dividends
            lowers them.
        between_sources: Whether two sources differ, and none has changed what it says.
    """

    factor: float
    sessions: int
    kind: RestatementKind
    splits: tuple[SeenSplit, ...] = ()
    paid: bool = False
    between_sources: bool = False

    def permitted(self, adjustment: Adjustment) -> bool:
        """Whether a source with prices of this adjustment may move a series so: what is raw never moves.

        Two sources may always differ.
        """
        if self.between_sources:
            return True
        if self.kind == "currency_unit" or adjustment == "raw":
            return False
        return adjustment == "total_return" or not self.paid

    @property
    def told(self) -> str:
        """What it is, in words."""
        ratios = ", ".join(ratio_text(split.ratio) for split in self.splits)
        besides = ", and prices are lowered besides, as for dividends" if self.paid else ""
        return {
            "split": f"a split of {ratios}: the volumes have changed by the inverse{besides}",
            "spin_off": f"a spin-off or a consolidation with a payment, counted as a split of {ratios}{besides}",
            "dividends": "prices alone, as a source that adjusts for dividends changes them",
            "currency_unit": "prices alone: another unit of the currency (pence for pounds, cents for dollars)",
            "price_factor": "prices alone: another currency or another adjustment, and no split",
        }[self.kind]


def restatement_of(levels: Sequence[Level]) -> Restatement:
    """Name what gave a series these factors; `levels` ascend by session and are not empty."""
    newest = levels[-1]
    sessions = sum(level.sessions for level in levels)
    splits = _splits(levels)
    if splits:
        kind: RestatementKind = (
            "split" if any(simple_ratio(split.ratio) is not None for split in splits) else "spin_off"
        )
        return Restatement(newest.factor, sessions, kind, splits, _paid(levels, splits))
    if any(abs(newest.factor / unit - 1.0) < _UNIT_ROOM for unit in _UNITS):
        return Restatement(newest.factor, sessions, "currency_unit")
    factors = [level.factor for level in levels]
    rising = all(later >= earlier * (1.0 - _EXACT) for earlier, later in pairwise(factors))
    lowered = factors[-1] <= 1.0 + _NO_SPLIT and factors[0] < 1.0
    paid = lowered and rising and (len(levels) > 1 or newest.factor > 1.0 - _LARGEST_YIELD)
    return Restatement(newest.factor, sessions, "dividends" if paid else "price_factor", paid=paid)


def _paid(levels: Sequence[Level], splits: Sequence[SeenSplit]) -> bool:
    """Whether a level's prices are lower than the splits after it make them, beyond what is noise."""
    for level in levels:
        later = [split.ratio for split in splits if split.ex_session is None or split.ex_session > level.first]
        # Any other ratio than one of small whole numbers is only as exact as the volumes of a thin share.
        room = _NO_SPLIT if all(simple_ratio(ratio) is not None for ratio in later) else _COARSE
        if level.most * prod(later) < 1.0 - room:
            return True
    return False


def _splits(levels: Sequence[Level]) -> tuple[SeenSplit, ...]:
    """Splits by the steps of the volume factor, of which the price factors are the inverse but for dividends."""
    found: list[SeenSplit] = []
    after = 1.0
    later: Level | None = None
    for level in reversed(levels):
        volume = level.volume
        if volume is None:
            continue
        if not _DIVIDEND_ROOM[0] < level.factor * volume < _DIVIDEND_ROOM[1]:
            return ()
        total = _total(level.factor, volume)
        ratio = total / after
        if abs(ratio - 1.0) > _NO_SPLIT:
            found.append(SeenSplit(_rounded(ratio), later.first if later else None))
            after = total
        later = level
    return tuple(reversed(found))


def _total(factor: float, volume: float) -> float:
    """The ratio of all splits since: the volumes' own, or the prices' where those of a thin share are too coarse."""
    if abs(volume - 1.0) < _NO_SPLIT or simple_ratio(volume) is not None:
        return volume
    by_price = 1.0 / factor
    return by_price if simple_ratio(by_price) is not None and abs(by_price / volume - 1.0) < _COARSE else volume


def _rounded(ratio: float) -> float:
    simple = simple_ratio(ratio)
    return float(simple) if simple is not None else float(f"{ratio:.6g}")


def simple_ratio(ratio: float) -> Fraction | None:
    """The ratio of small whole numbers that it is within a twentieth of a percent, if it is one.

    Any ratio at all is near one of two numbers up to 20: where volumes do not speak as well, ask `common_split`.
    """
    return _nearest(
        ratio, lambda part: min(part.numerator, part.denominator) == 1 or part.numerator <= _LARGEST_PART + 1
    )


def common_split(ratio: float) -> Fraction | None:
    """The ratio of a split as they happen that it is within a twentieth of a percent, if it is one.

    That is `n:1` and `1:n`, as 3:2 or 5:4 two small numbers, and for stock dividends one new share for 20, 10 or fewer.
    """
    return _nearest(ratio, _happens)


def _nearest(ratio: float, counts: Callable[[Fraction], bool]) -> Fraction | None:
    whole = Fraction(round(ratio)) if ratio >= 1 else Fraction(1, round(1 / ratio))
    for candidate in (whole, Fraction(ratio).limit_denominator(_LARGEST_PART)):
        if candidate > 0 and counts(candidate) and abs(float(candidate) / ratio - 1.0) < _EXACT:
            return candidate
    return None


def _happens(ratio: Fraction) -> bool:
    fewer, more = sorted((ratio.numerator, ratio.denominator))
    dividend = ratio.numerator == ratio.denominator + 1 and ratio.denominator in _HELD_FOR_ONE
    return fewer == 1 or dividend or (fewer <= _FEWER and more < 2 * _FEWER)


def ratio_text(ratio: float) -> str:
    """`2:1`, `1:10`, `3:2`, or the ratio itself."""
    simple = common_split(ratio)
    return f"{simple.numerator}:{simple.denominator}" if simple is not None else f"{ratio:g}"
