"""Prices as they were known after one close: all that a strategy is handed.

What belongs here: cutting a history at a session, and restating its closes by the actions up to there. What does not:
where a history comes from (`backtest.histories`), and what is made of it (`deciding`).

Every array that a strategy gets is a copy that ends with the decision's session, and read-only. An action that takes
effect later is in no price, and an instrument that was not listed yet has no column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scizor_dagster.backtest.model import ActionKind, History
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.market_data.factors import LONGEST_PAUSE

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Kind = Literal["raw", "split", "total_return"]
Field = Literal["open", "high", "low", "close", "volume"]
LISTED_WITHIN = 20
"""An instrument without a bar in that many sessions is not listed any more, whether or not a source says so."""
_KINDS = ("raw", "split", "total_return")
_FIELDS = ("open", "high", "low", "close", "volume")
_Cut = Callable[[str], "NDArray[Any]"]


class Prices:
    """What was known of a market after the close of one session.

    Rows are sessions, oldest first, the last one is that of the decision; columns are the instruments that were listed
    then, in the order of `symbols`. Missing prices are NaN. Arrays are read-only.

    Attributes:
        sessions: T sessions, without a gap.
        symbols: N instruments with a bar in the last 20 sessions, and not delisted.
        trades_in: The session that the weights trade in, by the calendar; None where that is not known.
        currency: Of all prices.
        adjustment: Of `field`: `raw`, `split` or `total_return`.
    """

    __slots__ = ("_cut", "_kept", "adjustment", "currency", "sessions", "symbols", "trades_in")

    def __init__(
        self,
        sessions: tuple[date, ...],
        symbols: tuple[str, ...],
        cut: _Cut,
        *,
        currency: str,
        adjustment: str,
        trades_in: date | None = None,
    ) -> None:
        self.sessions = sessions
        self.symbols = symbols
        self.currency = currency
        self.adjustment = adjustment
        self.trades_in = trades_in
        self._cut = cut
        self._kept: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def last(self) -> date:
        """The session whose close the decision is made on."""
        return self.sessions[-1]

    def closes(self, kind: Kind = "total_return") -> NDArray[Any]:
        """T x N closes: as traded, restated for splits, or for splits and dividends.

        Restated by what had taken effect by `last`: the last row is always as traded. Returns are measured on
        `total_return`, which holds the dividends that the history knows.

        Raises:
            DataError: the history's prices are restated already and this kind cannot be had from them.
        """
        given = _KINDS[_KINDS.index(self.adjustment) :]
        if kind not in given:
            raise DataError(
                f"The prices are adjusted already ({self.adjustment}): they have no closes of kind '{kind}'.",
                remedy=f"Use one of: {', '.join(given)}.",
            )
        return self._array(f"{kind}_close")

    def field(self, name: Field) -> NDArray[Any]:
        """T x N prices or volumes (in shares) as the source gives them; see `adjustment`.

        Raises:
            DataError: the history has only closes.
        """
        return self._array(name)

    def returns(self) -> NDArray[Any]:
        """(T - 1) x N simple total returns from close to close; NaN beside a missing close."""
        closes = self.closes()
        found: NDArray[Any] = closes[1:] / closes[:-1] - 1.0
        return found

    def window(self, sessions: int) -> Prices:
        """The last `sessions` of them, or all where there are fewer.

        Raises:
            InputError: it is no positive number.
        """
        if sessions < 1:
            raise InputError(f"A window of {sessions} sessions is none.", remedy="Ask for 1 or more.", where="window")
        return Prices(
            self.sessions[-sessions:],
            self.symbols,
            lambda name: self._array(name)[-sessions:].copy(),
            currency=self.currency,
            adjustment=self.adjustment,
            trades_in=self.trades_in,
        )

    def frame(self, what: Kind | Field = "total_return") -> pd.DataFrame:
        """The closes of a kind, or a field, as a frame of its own: days down, symbols across."""
        import pandas as pd

        values = self._array(what) if what in _FIELDS else self.closes(cast("Kind", what))
        index = pd.DatetimeIndex(pd.to_datetime(list(self.sessions)), name="session")
        return pd.DataFrame(values.copy(), index=index, columns=pd.Index(list(self.symbols), name="symbol"))

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._kept:
            found = self._cut(name)
            found.setflags(write=False)
            self._kept[name] = found
        return self._kept[name]


class Panel:
    """The same for all decisions of a history at once: what a vectorised strategy is handed.

    Attributes:
        sessions: T sessions.
        symbols: N instruments, those that are listed later among them; only `listed` says when.
        adjusted: T x N; the ratio of two rows is the total return between them, by what was known in the later one.
        listed: T x N, whether the instrument was in `Prices.symbols` of that session.
    """

    __slots__ = ("adjusted", "listed", "sessions", "symbols")

    def __init__(
        self, sessions: tuple[date, ...], symbols: tuple[str, ...], adjusted: NDArray[Any], listed: NDArray[Any]
    ) -> None:
        self.sessions = sessions
        self.symbols = symbols
        self.adjusted = adjusted
        self.listed = listed


class AsOf:
    """Hands out a history as it was known after the close of any of its sessions.

    Args:
        history: Its actions must have the units of its prices; see `backtest.model.Action`.
        trades_after: The session after the last one of the history, where it is known.
    """

    def __init__(self, history: History, trades_after: date | None = None) -> None:
        self._history = history
        self._symbols = tuple(item.symbol for item in history.instruments)
        self._sessions = (*history.sessions, trades_after)

    @property
    def panel(self) -> Panel:
        adjusted = self._history.close / self._factors[1]
        for array in (adjusted, self.listed):
            array.setflags(write=False)
        return Panel(self._history.sessions, self._symbols, adjusted, self.listed)

    def at(self, row: int, window: int | None = None) -> Prices:
        """What was known after the close of the session with this index; at most `window` sessions of it."""
        first = 0 if window is None else max(0, row + 1 - window)
        columns = np.flatnonzero(self.listed[row])
        return Prices(
            self._history.sessions[first : row + 1],
            tuple(self._symbols[column] for column in columns),
            self._cutter(first, row, columns),
            currency=self._history.currency,
            adjustment=self._history.adjustment,
            trades_in=self._sessions[row + 1],
        )

    def _cutter(self, first: int, row: int, columns: NDArray[Any]) -> _Cut:
        def cut(name: str) -> NDArray[Any]:
            kind, closes = name.removesuffix("_close"), name.endswith("_close")
            source = self._history.close if closes else self._field(name)
            found: NDArray[Any] = np.take(source[first : row + 1], columns, axis=1)
            if closes and kind != self._history.adjustment:
                factors = self._factors[kind == "total_return"]
                found = found * (factors[row, columns] / factors[first : row + 1, columns])
            return found

        return cut

    def _field(self, name: str) -> NDArray[Any]:
        found = getattr(self._history, name)
        if found is None:
            raise DataError(
                f"The history has closes and no column '{name}'.",
                remedy="Use prices.closes(), or a source that gives it.",
                where=self._history.source or None,
            )
        return np.asarray(found)

    @cached_property
    def listed(self) -> NDArray[Any]:
        """T x N: whether an instrument has a bar in the last `LISTED_WITHIN` sessions, and was not delisted since."""
        rows = np.arange(len(self._history.sessions))[:, None]
        seen = np.maximum.accumulate(np.where(np.isfinite(self._history.close), rows, -LISTED_WITHIN), axis=0)
        ended = np.full(seen.shape, -1)
        for action in self._history.actions:
            if action.kind is ActionKind.DELISTING:
                ended[action.row :, action.column] = action.row
        return (rows - seen < LISTED_WITHIN) & (seen >= ended)

    @cached_property
    def _factors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """T x N each: the product of the factors of splits, and of splits and dividends, up to each session."""
        shape = self._history.close.shape
        split, total = np.ones(shape), np.ones(shape)
        for action in self._history.actions:
            row, column = action.row, action.column
            if action.kind is ActionKind.SPLIT:
                split[row:, column] /= action.value
                total[row:, column] /= action.value
            elif action.kind is ActionKind.DIVIDEND:
                total[row:, column] *= self._kept_of(row, column, action.value, split[:, column])
        return split, total

    def _kept_of(self, row: int, column: int, amount: float, split: NDArray[Any]) -> float:
        """What a dividend leaves of the price, by the last close before it, as `market_data.factors` says."""
        before = np.flatnonzero(np.isfinite(self._history.close[:row, column]))
        if not len(before):
            return 1.0
        last = int(before[-1])
        close = float(self._history.close[last, column] * split[row] / split[last])
        recent = self._history.sessions[row] - self._history.sessions[last] <= LONGEST_PAUSE
        return 1.0 - amount / close if recent and amount < close else 1.0


def columns_of(symbols: Sequence[str], chosen: Sequence[str]) -> NDArray[Any]:
    """Indices of the `chosen` among `symbols`, in the order of `symbols`; all of them where none is chosen."""
    wanted = set(chosen)
    return np.array([index for index, name in enumerate(symbols) if not wanted or name in wanted], dtype=np.intp)
