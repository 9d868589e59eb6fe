"""A run before its first session: history, schedule and choices as the arrays and numbers that the loop works on.

What belongs here: conversions. What does not: what is refused (`engine_checks`).
"""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.costs_model import BASIS_POINTS
from scizor_dagster.backtest.engine_actions import tables_of
from scizor_dagster.backtest.engine_model import WINDOW, Account, Book, Market, Output, Rates, Setting
from scizor_dagster.backtest.model import TRADE_FIELDS, Choices, Costs, FillAt, History, Schedule
from scizor_dagster.planning.books import PreparedBook
from scizor_dagster.planning.kernel_model import records

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRADES = 1 << 24
"""Records that are set aside at first: memory that nothing is written to is not taken from the machine."""


def market_of(history: History, schedule: Schedule, choices: Choices, prepared: PreparedBook) -> Market:
    import numpy as np

    size = len(history.instruments)
    days = np.array([session.toordinal() for session in history.sessions], dtype=np.int64)
    reads = reads_volumes(choices, prepared)
    volume = history.volume if reads and history.volume is not None else np.empty((0, size))
    nights = np.diff(days, prepend=days[:1])
    nights[: choices.begins + 1] = 0
    arrays = {
        "close": history.close.astype(np.float64, copy=False),
        "fill": _fill_prices(history, choices.fills.at).astype(np.float64, copy=False),
        "volume": volume.astype(np.float64, copy=False),
        "nights": nights,
        "rows": schedule.rows.astype(np.int64),
        "weights": schedule.weights.astype(np.float64, copy=False),
        "kept": (np.empty((0, size)) if schedule.kept is None else schedule.kept).astype(np.bool_),
        "facts": prepared.facts.astype(np.int8),
        **tables_of(history.actions, len(history.sessions)),
    }
    return Market(**{name: _read_only(array) for name, array in arrays.items()})


def reads_volumes(choices: Choices, prepared: PreparedBook) -> bool:
    costs = (choices.costs, *choices.costs_of.values())
    return prepared.reads_volumes or any(one.impact_bps or one.max_participation < math.inf for one in costs)


def setting_of(choices: Choices, prepared: PreparedBook, schedule: Schedule) -> NDArray[Any]:
    fills, costs = choices.fills, (choices.costs, *choices.costs_of.values())
    made = records(Setting, 1)
    made[0] = astuple(
        Setting(
            delay=fills.delay,
            oldest=choices.max_price_age,
            minimum=float(prepared.capabilities.min_notional),
            buffer=prepared.buffer,
            short_equity=prepared.short_equity,
            cash_rate=choices.costs.cash_rate,
            debit_rate=choices.costs.debit_rate,
            price_scale=0.0 if fills.price_decimals is None else 10.0**fills.price_decimals,
            volume_share=fills.volume_share,
            volumes=any(one.impact_bps or one.max_participation < math.inf for one in costs),
            moves=prepared.reads_moves,
            averages=prepared.reads_volumes,
            keep=choices.keep_positions,
            records=choices.keep_trades,
            cents=fills.cents,
            borrows=any(one.borrow_rate for one in costs),
            apart=1 if choices.costs_of else 0,
            stays=schedule.kept is not None,
            pledged=_pledges(choices.costs, schedule),
        )
    )
    return made


def _pledges(costs: Costs, schedule: Schedule) -> bool:
    return costs.cash_rate != 0.0 and not costs.short_proceeds_earn and bool((schedule.weights < 0.0).any())


def rates_of(history: History, choices: Choices) -> NDArray[Any]:
    made = records(Rates, len(history.instruments))
    made[:] = _rates(choices.costs)
    for column, instrument in enumerate(history.instruments):
        if instrument.symbol in choices.costs_of:
            made[column] = _rates(choices.costs_of[instrument.symbol])
    return made


def account_of(choices: Choices) -> NDArray[Any]:
    made = records(Account, 1)
    made["cash"] = made["equity"] = choices.capital
    return made


def book_of(size: int, prepared: PreparedBook) -> Book:
    import numpy as np

    volumes = size if prepared.reads_volumes else 0
    return Book(
        count=np.zeros(size, dtype=np.int64),
        held=np.zeros(size),
        last=np.full(size, np.nan),
        before=np.full(size, np.nan),
        seen=np.full(size, -1, dtype=np.int64),
        changed=np.full(size, -1, dtype=np.int64),
        planned=np.zeros(size, dtype=np.int64),
        sale=np.zeros(size, dtype=np.int64),
        reference=np.full(size, np.nan),
        code=np.zeros(size, dtype=np.int8),
        filled=np.zeros(size, dtype=np.int64),
        window=np.full((WINDOW, volumes), np.inf),
        ordered=np.full((WINDOW + 1, volumes), np.inf),
        known=np.zeros(size, dtype=np.int64),
        average=np.full(volumes, np.nan),
        turn=np.empty((3, volumes)),
        room=np.zeros((10, size)),
    )


def output_of(history: History, schedule: Schedule, choices: Choices) -> Output:
    import numpy as np

    sessions, size = len(history.sessions), len(history.instruments)
    plans, keep = len(schedule.rows), choices.keep_positions
    trades = min(_TRADES, size * plans) if choices.keep_trades else 0
    return Output(
        equity=np.zeros(sessions),
        cash=np.zeros(sessions),
        counts=np.zeros((sessions if keep else 1, size), dtype=np.int64),
        codes=np.zeros((plans if keep else 0, size), dtype=np.int8),
        trades=np.empty(max(trades, size, 1), dtype=list(TRADE_FIELDS)),
        income=np.zeros((sessions, 4)),
        needed=np.ones(plans),
        spent=np.zeros((sessions, 5)),
    )


def with_room(out: Output, used: int) -> Output:
    """The same with room for twice the trades."""
    import numpy as np

    wider = np.empty(2 * len(out.trades), dtype=out.trades.dtype)
    wider[:used] = out.trades[:used]
    return out._replace(trades=wider)


def _fill_prices(history: History, at: FillAt) -> NDArray[Any]:
    import numpy as np

    if at is FillAt.OPEN:
        assert history.open is not None
        return history.open
    if at is FillAt.CLOSE:
        return history.close
    assert history.high is not None
    assert history.low is not None
    typical = history.high + history.low
    typical += history.close
    typical /= 3.0
    return np.asarray(typical)


def _rates(costs: Costs) -> tuple[float, ...]:
    of = costs.commission
    return astuple(
        Rates(
            per_share=of.per_share,
            share=of.bps / BASIS_POINTS,
            minimum=of.minimum,
            maximum=of.maximum_bps / BASIS_POINTS,
            sell_per_share=of.sell_per_share,
            sell_share=of.sell_bps / BASIS_POINTS,
            taxed=1.0 + of.tax,
            half_spread=costs.half_spread_bps / BASIS_POINTS,
            slippage=costs.slippage_bps / BASIS_POINTS,
            impact=costs.impact_bps / BASIS_POINTS,
            participation=costs.max_participation,
            borrow_rate=costs.borrow_rate,
        )
    )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """One kind of array for the compiler, wherever it comes from; nothing is copied that lies row by row."""
    import numpy as np

    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
