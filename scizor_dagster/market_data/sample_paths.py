"""The synthetic market's paths: one symbol's bars and corporate actions as arrays over sessions.

What belongs here: how a path is drawn. What does not: ranges, frames, the clock (`sample`).

Every random number comes from a stream keyed by (seed, symbol or factor, calendar year) and is picked
by day of the year. A bar therefore depends on the seed, the symbol, its sector, its date and the
market's first session alone: not on what else is asked, not on today, and not on sessions that a
later calendar adds or drops in the future.

The log return of a session is `drift + beta * market + gamma * sector + own`, each of the three a
normal draw whose scale is tripled in 2 % of the sessions. Prices are as traded: a cash dividend lowers
the price on its ex session, a split divides it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]

_MARKET_SCALE = 0.008
_SECTOR_SCALE = 0.005
_DAYS = 366
_TICK = 0.01


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action at the session of index `index`."""

    index: int
    kind: str
    ratio: float = np.nan
    amount: float = np.nan


@dataclass(frozen=True, slots=True)
class Path:
    """One symbol over all sessions: arrays of the same length, and where a bar was printed at all."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    printed: NDArray[np.bool_]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Traits:
    """What does not change over a symbol's life. Scales are per session, yields per year."""

    fund: bool
    price: float
    drift: float
    beta: float
    gamma: float
    scale: float
    dollar_volume: float
    dividend_yield: float
    dividend_month: int
    dividend_day: int
    delisted_on: date | None


class PathMaker:
    """Draws paths over a fixed list of sessions.

    Args:
        seed: Of the whole market.
        sessions: Ascending, naive `datetime64[D]`.
    """

    def __init__(self, seed: int, sessions: Dates) -> None:
        self.seed = seed
        self.sessions = sessions
        self._factors: dict[str, Floats] = {}

    @cached_property
    def _years(self) -> NDArray[np.int64]:
        years: NDArray[np.int64] = self.sessions.astype("datetime64[Y]").astype(np.int64) + 1970
        return years

    @cached_property
    def _day_of_year(self) -> NDArray[np.int64]:
        days: NDArray[np.int64] = (self.sessions - self.sessions.astype("datetime64[Y]")).astype(np.int64)
        return days

    @property
    def _first(self) -> date:
        first: date = self.sessions[0].astype(object)
        return first

    def _stream(self, *labels: object) -> np.random.Generator:
        key = "|".join(str(label) for label in (self.seed, *labels))
        return np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(key.encode(), digest_size=16).digest())))

    def _by_day(self, draw: Callable[[np.random.Generator, tuple[int, int]], Floats], label: str, rows: int) -> Floats:
        """`rows` numbers for every session, drawn year by year."""
        result = np.empty((rows, len(self.sessions)))
        for year in np.unique(self._years):
            chosen = self._years == year
            block = draw(self._stream(label, year), (rows, _DAYS))
            result[:, chosen] = block[:, self._day_of_year[chosen]]
        return result

    def _factor(self, label: str, scale: float) -> Floats:
        if label not in self._factors:
            draws = self._by_day(_normal, f"factor|{label}", 1)[0]
            rare = self._by_day(_uniform, f"factor tail|{label}", 1)[0] < 0.02
            self._factors[label] = scale * draws * np.where(rare, 3.0, 1.0)
        return self._factors[label]

    def _index_of(self, day: date) -> int:
        """First session on or after `day`; the number of sessions where there is none."""
        return int(np.searchsorted(self.sessions, np.datetime64(day, "D")))

    def traits(self, symbol: str, fund: bool) -> Traits:
        u = self._stream("traits", symbol).random(16)
        bell = float(self._stream("traits bell", symbol).standard_normal())
        low_priced, thin = not fund and u[0] < 0.06, u[1] < 0.08
        price = 3.0 + 5.0 * u[2] if low_priced else float(np.clip(np.exp(4.3 + 0.7 * bell), 12.0, 480.0))
        pays = u[3] < (0.85 if fund else 0.65)
        delisted = not fund and u[4] < 0.0238
        life = timedelta(days=int(550 + u[5] * 1200))
        return Traits(
            fund=fund,
            price=price,
            drift=0.0006 * u[6],
            beta=0.6 + 0.8 * u[7],
            gamma=0.5 + u[8],
            scale=0.002 + 0.003 * u[9] if fund else 0.008 + 0.014 * u[9],
            dollar_volume=2e4 * (1 + u[10]) if thin else float(10 ** (6.5 + 2.0 * u[10])),
            dividend_yield=0.004 + 0.04 * u[11] if pays else 0.0,
            dividend_month=int(u[12] * 3),
            dividend_day=3 + int(u[13] * 22),
            delisted_on=self._first + life if delisted else None,
        )

    def path(self, symbol: str, sector: str) -> Path:
        """The whole path of `symbol`; one without a sector is a fund, which moves less and never splits."""
        traits = self.traits(symbol, fund=not sector)
        z = self._by_day(_normal, f"own|{symbol}", 5)
        u = self._by_day(_uniform, f"own tail|{symbol}", 2)
        own = traits.scale * z[0] * np.where(u[0] < 0.02, 3.0, 1.0)
        returns = traits.drift + traits.beta * self._factor("market", _MARKET_SCALE) + own
        if sector:
            returns = returns + traits.gamma * self._factor(sector, _SECTOR_SCALE)
        payouts = self._payouts(symbol, traits)
        level = np.log(traits.price) + np.cumsum(returns) + np.cumsum(np.log1p(-payouts))
        ratios = self._splits(symbol, traits, level)
        divisor = np.cumprod(ratios)
        wiggle = 0.4 * (traits.scale + traits.beta * _MARKET_SCALE)
        opened = level - 0.7 * returns + 0.3 * traits.scale * z[1]
        highest = np.maximum(opened, level) + wiggle * np.abs(z[2])
        lowest = np.minimum(opened, level) - wiggle * np.abs(z[3])
        lines = (opened, highest, lowest, level)
        opens, highs, lows, closes = (_ticks(np.exp(line) / divisor) for line in lines)
        dollars = traits.dollar_volume * np.exp(0.35 * z[4] + 12.0 * np.abs(returns))
        end = self._index_of(traits.delisted_on) if traits.delisted_on else len(self.sessions)
        actions = self._actions(payouts, ratios, closes, end)
        volume = np.maximum(np.rint(dollars / closes), 1.0)
        return Path(opens, highs, lows, closes, volume, self._printed(symbol, u[1], end), actions)

    def _payouts(self, symbol: str, traits: Traits) -> Floats:
        """Dividend of each session as a share of the close before it."""
        result = np.zeros(len(self.sessions))
        if not traits.dividend_yield:
            return result
        for year in np.unique(self._years):
            sizes = self._stream("dividend", symbol, year).random(4)
            for quarter, size in enumerate(sizes):
                day = date(int(year), 3 * quarter + 1 + traits.dividend_month, traits.dividend_day)
                index = self._index_of(day)
                if 0 < index < len(result):
                    result[index] = traits.dividend_yield / 4 * (0.9 + 0.2 * size)
        return result

    def _splits(self, symbol: str, traits: Traits, level: Floats) -> Floats:
        """New shares per old share at each session: one candidate day a year, the price before it decides."""
        ratios = np.ones(len(self.sessions))
        if traits.fund:
            return ratios
        held = 1.0
        for year in np.unique(self._years):
            when, whether, which = self._stream("split", symbol, year).random(3)
            index = self._index_of(date(int(year), 1, 1) + timedelta(days=int(365 * when)))
            if 0 < index < len(ratios):
                ratio = _split_ratio(float(np.exp(level[index - 1])) / held, whether, which)
                ratios[index] *= ratio
                held *= ratio
        return ratios

    def _actions(self, payouts: Floats, ratios: Floats, close: Floats, end: int) -> tuple[Action, ...]:
        found = [Action(int(i), "split", ratio=float(ratios[i])) for i in np.flatnonzero(ratios[:end] != 1.0)]
        for i in np.flatnonzero(payouts[:end]):
            amount = round(float(payouts[i] * close[i - 1] / ratios[i]), 4)
            if amount > 0:
                found.append(Action(int(i), "dividend", amount=amount))
        if end < len(self.sessions):
            found.append(Action(end, "delisting"))
        return tuple(found)

    def _printed(self, symbol: str, missing: Floats, end: int) -> NDArray[np.bool_]:
        """Where bars are: not while halted, not after a delisting, and now and then simply missing."""
        printed = missing >= 0.0004
        for year in np.unique(self._years):
            whether, when, length = self._stream("halt", symbol, year).random(3)
            if whether < 0.05:
                start = self._index_of(date(int(year), 1, 1) + timedelta(days=int(360 * when)))
                printed[start : start + 2 + int(5 * length)] = False
        printed[end:] = False
        return printed


def _normal(stream: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return stream.standard_normal(shape)


def _uniform(stream: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return stream.random(shape)


def _ticks(prices: Floats) -> Floats:
    return np.maximum(np.round(prices, 2), _TICK)


def _split_ratio(price: float, whether: float, which: float) -> float:
    if price >= 300.0:
        return float(np.clip(round(price / 100.0), 2, 20))
    if price >= 50.0 and whether < 0.25:
        return 2.0 if which < 0.6 else 3.0 if which < 0.85 else 1.5
    return 0.1 if price < 5.0 else 1.0
