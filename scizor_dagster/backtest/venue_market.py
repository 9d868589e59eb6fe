"""A history as the embedded exchange and a plan see it: bars and actions of one session, facts of the one before.

What belongs here: reading `History` by session, in the units that trade then, by the rules of `market_data.reading` and
`paper_exchange.lake_data`. What does not: plans and fills (`venue`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.model import ActionKind, History
from scizor_dagster.errors import InputError
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.planning.kernel_model import CODE
from scizor_dagster.planning.model import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOK_BACK = timedelta(days=90)
"""A close older than this is no price."""
VOLUME_SESSIONS, FEWEST_VOLUMES = 20, 5
_PRICE_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What a plan knows of the market: N of each, in the order of `History.instruments`.

    Attributes:
        prices: Last closes in the units that trade in the session before; NaN without one.
        previous: The close before each; `volumes` average daily shares. NaN where not known.
        kept: Codes (`planning.books.KEPT`) of what keeps its holding; 0 for none.
    """

    prices: NDArray[Any]
    previous: NDArray[Any]
    volumes: NDArray[Any]
    kept: NDArray[Any]


class VenueMarket:
    """`History` by session. Rows are indices of `History.sessions`.

    Raises:
        InputError: the history has only closes, which no auction and no limit can be filled from.
    """

    def __init__(self, history: History, max_age: int) -> None:
        import numpy as np

        absent = [name for name in ("open", "high", "low", "volume") if getattr(history, name) is None]
        if absent:
            raise InputError(
                f"The history has no {' and no '.join(absent)}; the exchange fills from whole bars.",
                remedy="Take prices with open, high, low, close and volume, or a backtest that fills at closes.",
                where=history.source,
            )
        self.history = history
        self.symbols = tuple(item.symbol for item in history.instruments)
        self._max_age = max_age
        self._columns = (history.open, history.high, history.low, history.close, history.volume)
        there = np.where(np.isnan(history.close), -1, np.arange(len(history.sessions))[:, None])
        self._last = np.maximum.accumulate(there, axis=0)
        self._splits: dict[int, list[tuple[int, float]]] = {}
        self._units: dict[int, list[int]] = {}
        self._actions: dict[int, list[SessionAction]] = {}
        for action in history.actions:
            self._actions.setdefault(action.row, []).append(self._action(action.kind, *_where(action)))
            if action.kind is not ActionKind.DIVIDEND:
                self._units.setdefault(action.column, []).append(action.row)
            if action.kind is ActionKind.SPLIT:
                self._splits.setdefault(action.column, []).append((action.row, action.value))

    def bars(self, row: int) -> Mapping[str, SessionBar] | None:
        """Bars of the session by symbol; None where nothing traded."""
        found = {
            self.symbols[column]: SessionBar(
                *(exact(prices[row, column]) for prices in self._columns if prices is not None)
            )
            for column in (self._last[row] == row).nonzero()[0].tolist()
        }
        return found or None

    def actions(self, row: int) -> Sequence[SessionAction]:
        """What takes effect before the open of the session."""
        return self._actions.get(row, ())

    def marks(self, row: int) -> dict[str, Decimal]:
        """Last closes before the session, of 90 days, in the units that trade in it."""
        found: dict[str, Decimal] = {}
        if row:
            oldest = self.history.sessions[row] - LOOK_BACK
            for column, last in self._known(row - 1, oldest):
                price = exact(self.history.close[last, column])
                for at, ratio in self._splits.get(column, ()):
                    price = price / exact(ratio) if last < at <= row else price
                found[self.symbols[column]] = price
        return found

    def closes(self, row: int) -> dict[str, Decimal]:
        """Last closes up to the session, of 90 days, in the units that trade in it."""
        prices = self._closes(row)
        return {
            symbol: exact(price) for symbol, price in zip(self.symbols, prices.tolist(), strict=True) if price == price
        }

    def facts(self, row: int, *, moves: bool, volumes: bool) -> Facts:
        """What is known at the close before the session; `moves` and `volumes` say what the rules read."""
        import numpy as np

        size, before = len(self.symbols), row - 1
        facts = Facts(self._closes(before), np.full(size, np.nan), np.full(size, np.nan), np.zeros(size, dtype=np.int8))
        oldest = self.history.sessions[before] - LOOK_BACK
        for column, last in self._known(before, oldest):
            if before - last > self._max_age:
                facts.kept[column] = CODE[Reason.STALE_PRICE]
            if moves or volumes:
                self._past(facts, column, last, oldest, volumes=volumes)
        known = dict(self._known(before, oldest))
        for column, rows in self._units.items():
            # A close from before an action is of other units, or of what is no more.
            since = known.get(column, bisect_left(self.history.sessions, oldest))
            if any(since < at <= row for at in rows):
                facts.kept[column] = CODE[Reason.CORPORATE_ACTION]
        return facts

    def _past(self, facts: Facts, column: int, last: int, oldest: date, *, volumes: bool) -> None:
        import numpy as np

        first = bisect_left(self.history.sessions, oldest)
        rows = (self._last[first : last + 1, column] == np.arange(first, last + 1)).nonzero()[0][::-1] + first
        if len(rows) > 1:
            close = float(self.history.close[rows[1], column]) / self._factor(column, int(rows[1]), last)
            facts.previous[column] = float(exact(close).quantize(_PRICE_STEP))
        if volumes and len(rows) >= FEWEST_VOLUMES:
            assert self.history.volume is not None
            recent = rows[:VOLUME_SESSIONS].tolist()
            traded = [float(self.history.volume[at, column]) * self._factor(column, at, last) for at in recent]
            facts.volumes[column] = float(int(np.median(traded)))

    def _factor(self, column: int, since: int, last: int) -> float:
        factor = 1.0
        for at, ratio in self._splits.get(column, ()):
            factor *= ratio if since < at <= last else 1.0
        return factor

    def _known(self, row: int, oldest: date) -> list[tuple[int, int]]:
        """Columns with a bar up to the session that is not older, with the row of their last one."""
        first = bisect_left(self.history.sessions, oldest)
        return [(column, last) for column, last in enumerate(self._last[row].tolist()) if last >= first]

    def _closes(self, row: int) -> NDArray[Any]:
        import numpy as np

        prices = np.full(len(self.symbols), np.nan)
        for column, last in self._known(row, self.history.sessions[row] - LOOK_BACK):
            prices[column] = self.history.close[last, column]
            for at, ratio in self._splits.get(column, ()):
                if last < at <= row:
                    prices[column] /= ratio
        return prices

    def _action(self, kind: ActionKind, row: int, column: int, value: float) -> SessionAction:
        symbol, session = self.symbols[column], self.history.sessions[row]
        if kind is ActionKind.SPLIT:
            return SessionAction(symbol, session, "split", ratio=exact(value))
        if kind is ActionKind.DIVIDEND:
            return SessionAction(symbol, session, "dividend", amount=exact(value))
        amount = exact(value) if value == value else self._last_close(row, column)
        return SessionAction(symbol, session, "delisting", amount=amount)

    def _last_close(self, row: int, column: int) -> Decimal | None:
        last = int(self._last[row - 1, column]) if row else -1
        if last < 0:
            return None
        price = exact(self.history.close[last, column])
        for action in self.history.actions:
            if action.kind is ActionKind.SPLIT and action.column == column and last < action.row <= row:
                price /= exact(action.value)
        return price


def exact(value: float) -> Decimal:
    """The shortest decimal that is this double: what the source wrote."""
    return Decimal(repr(float(value)))


def _where(action: Any) -> tuple[int, int, float]:
    return action.row, action.column, action.value
