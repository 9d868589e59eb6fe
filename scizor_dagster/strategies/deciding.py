"""Calling a strategy: for one close, and for all the decisions of a history.

What belongs here: the call, the checks of what it answers, and the schedule of a backtest. What does not: what a
strategy is (`protocol`) and where its prices come from (`prices`).

Live and backtest both come through `decide`: the weights of one session are the same in both.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.errors import DataError, ScizorError
from scizor_dagster.strategies.definition import Strategy
from scizor_dagster.strategies.prices import AsOf, Prices
from scizor_dagster.strategies.rebalancing import rebalance_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tell = Callable[[int, int], None]
"""Called after each decision with how many are made, and of how many. What it raises ends the work."""
DIGITS = 12
"""Decimals of a weight: what is below them is an accident of arithmetic, and would differ between machines."""


def nobody(_done: int, _of: int) -> None:
    """Is told how far the work is, and does nothing."""


def decide(strategy: Strategy, prices: Prices) -> dict[str, float] | None:
    """Weights that the strategy makes of these prices: of 12 decimals, by symbol, without zeros.

    Returns:
        None where it decides nothing.

    Raises:
        DataError: it fails, or what it answers is no weights: with its file and line, the session and the symbol.
    """
    arguments = (prices, strategy.parameters) if strategy.definition.takes_parameters else (prices,)
    try:
        function: Any = strategy.definition.make()
        answer = function(*arguments)
    except ScizorError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"Strategy '{strategy.name}' failed on the close of {prices.last}: {type(error).__name__}: {error}.",
            remedy="Mend the strategy; no weights were made.",
            where=_failed_at(error, strategy),
        ) from error
    return None if answer is None else _checked(strategy, prices, answer)


def _checked(strategy: Strategy, prices: Prices, answer: Any) -> dict[str, float]:
    if not hasattr(answer, "items"):
        raise _no_weights(strategy, prices, f"a {type(answer).__name__}", "Answer a mapping of symbol to weight.")
    listed, found = set(prices.symbols), {}
    for symbol, weight in answer.items():
        if symbol not in listed:
            problem = f"a weight for {symbol!r}, which is not among the {len(listed)} symbols it was shown"
            raise _no_weights(strategy, prices, problem, "Answer weights of prices.symbols alone.")
        try:
            value = float(weight)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            problem = f"{weight!r} for {symbol}"
            raise _no_weights(strategy, prices, problem, "A weight is a finite number; leave out what has none.")
        if value := round(value, DIGITS):
            found[str(symbol)] = value
    return {symbol: found[symbol] for symbol in prices.symbols if symbol in found}


def _no_weights(strategy: Strategy, prices: Prices, problem: str, remedy: str) -> DataError:
    return DataError(
        f"Strategy '{strategy.name}' answered {problem} on the close of {prices.last}.",
        remedy=remedy,
        where=strategy.definition.where,
    )


def _failed_at(error: BaseException, strategy: Strategy) -> str:
    own = strategy.definition.where.rpartition(":")[0]
    lines = [item.lineno for item in traceback.extract_tb(error.__traceback__) if item.filename == own]
    return f"{own}:{lines[-1]}" if lines else strategy.definition.where


def weights_at(
    strategy: Strategy, history: History, rows: Sequence[int], tell: Tell = nobody
) -> list[dict[str, float] | None]:
    """What the strategy decides on the closes of these sessions, one after the other, each as of then."""
    known, made = AsOf(history), list[dict[str, float] | None]()
    for row in rows:
        made.append(decide(strategy, known.at(row, strategy.window)))
        tell(len(made), len(rows))
    return made


class Decisions(NamedTuple):
    """What a strategy decides for the sessions of a history.

    Attributes:
        rows: R sessions that it has weights for, ascending.
        weights: R x N shares of equity.
        undecided: Sessions that were due and that it decided nothing for.
    """

    rows: NDArray[Any]
    weights: NDArray[Any]
    undecided: tuple[int, ...] = ()


def strategy_schedule(
    strategy: Strategy,
    history: History,
    *,
    first: date | None = None,
    last: date | None = None,
    delay: int = 1,
    vectorised: bool = True,
) -> Schedule:
    """The strategy's weights for a backtest, in the sessions that it decides anew for; arguments as `decisions_of`.

    Raises:
        DataError: as `decide`.
    """
    return schedule_of(
        strategy, decisions_of(strategy, history, first=first, last=last, delay=delay, vectorised=vectorised)
    )


def schedule_of(strategy: Strategy, made: Decisions) -> Schedule:
    """Decisions as a schedule, which says for how many sessions there is none."""
    left, due = len(made.undecided), len(made.rows) + len(made.undecided)
    notes = (f"Strategy '{strategy.name}' decided nothing for {left} of {due} sessions.",) if left else ()
    return Schedule(made.rows, made.weights, notes)


def decisions_of(
    strategy: Strategy,
    history: History,
    *,
    first: date | None = None,
    last: date | None = None,
    delay: int = 1,
    vectorised: bool = True,
    tell: Tell = nobody,
) -> Decisions:
    """The strategy's weights in the sessions that it decides anew for.

    Before anything is listed there is nothing to decide.

    Args:
        strategy: With its parameters and rhythm.
        history: Weights of row t are made of what was known after the close of row t - delay. What is before `first`
            is there to be looked back at.
        first: Of the sessions that weights trade in; else the history's second.
        last: Of them; else the history's last.
        delay: Sessions from the close that a decision is made on to the session that it trades in; see `Fills`.
        vectorised: Whether the vectorised form is taken where there is one.
        tell: Is told of each decision; of the vectorised form, when all are made.

    Raises:
        DataError: as `decide`.
    """
    sessions = history.sessions
    begins, ends = first or sessions[0], last or sessions[-1]
    chosen = [row for row in rebalance_rows(sessions, strategy.rebalance) if begins <= sessions[row] <= ends]
    listed = np.any(AsOf(history).listed, axis=1)
    rows = [row for row in chosen if row >= delay and listed[row - delay]]
    closes = [row - delay for row in rows]
    if vectorised and strategy.definition.over is not None:
        found = weights_over(strategy, history, closes)
        tell(len(rows), len(rows))
        return Decisions(np.array(rows, dtype=np.intp), found)
    made = list(zip(rows, weights_at(strategy, history, closes, tell), strict=True))
    kept = [(row, weights) for row, weights in made if weights is not None]
    return Decisions(
        np.array([row for row, _ in kept], dtype=np.intp),
        matrix_of(history, (weights for _, weights in kept)),
        tuple(row for row, weights in made if weights is None),
    )


def weights_over(strategy: Strategy, history: History, rows: Sequence[int]) -> NDArray[Any]:
    """R x N weights of the vectorised form, checked and rounded as those of `decide`.

    Raises:
        DataError: it fails, or its answer has another shape, or a weight that is not finite.
    """
    over, panel = strategy.definition.over, AsOf(history).panel
    assert over is not None, strategy.name
    chosen = np.asarray(rows, dtype=np.intp)
    try:
        found = np.asarray(over(panel, chosen, strategy.parameters), dtype=np.float64)
    except ScizorError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"The vectorised form of strategy '{strategy.name}' failed: {type(error).__name__}: {error}.",
            remedy="Mend it, or take it away: the strategy runs without it.",
            where=_failed_at(error, strategy),
        ) from error
    shape = (len(chosen), len(panel.symbols))
    if found.shape != shape or not np.isfinite(found).all():
        at = f"the shape {found.shape}, not {shape}"
        if found.shape == shape:
            row, column = np.argwhere(~np.isfinite(found))[0]
            at = f"{found[row, column]} for {panel.symbols[column]} on the close of {panel.sessions[chosen[row]]}"
        raise DataError(
            f"The vectorised form of strategy '{strategy.name}' answered {at}.",
            remedy="Mend it, or take it away: the strategy runs without it.",
            where=strategy.definition.where,
        )
    return np.round(found, DIGITS) + 0.0


def matrix_of(history: History, made: Iterable[dict[str, float]]) -> NDArray[Any]:
    """R x N weights in the order of the history's instruments."""
    places = {item.symbol: index for index, item in enumerate(history.instruments)}
    rows = list(made)
    found = np.zeros((len(rows), len(places)))
    for row, weights in enumerate(rows):
        for symbol, weight in weights.items():
            found[row, places[symbol]] = weight
    return found
