"""In which order a search tries the sets of its space: all of them, at random, or led by what it has seen.

What belongs here: asking for sets and telling of them. What does not: running them (`running`).

Each sampler is a pure function of its space, its seed and what it is told, in rounds of the same size: the same search
asks for the same sets again, which is how one that was interrupted goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from scizor_dagster.backtest.search.spaces import Axis, Interval, Listed, Parameters, Space, digest_text
from scizor_dagster.errors import InputError

Scored = tuple[Parameters, float]
"""A set and its score; NaN where it has none."""
ROUND = 16
"""Sets that are asked for at a time where each round is led by those before."""
_PATIENCE = 200
"""Draws in a row that bring nothing new, after which a space counts as exhausted."""
_GUIDED_PATIENCE = 2 * ROUND
"""The same of draws that take some time each."""


class Method(StrEnum):
    GRID = "grid"
    RANDOM = "random"
    GUIDED = "guided"


class Sampler(Protocol):
    def ask(self) -> list[dict[str, Any]]:
        """The next sets, none of them asked for before; empty when there is no more."""

    def tell(self, scored: Sequence[Scored]) -> None:
        """What came of all that was asked for last."""


def sampler_of(method: Method, space: Space, *, trials: int | None, seed: int) -> Sampler:
    """A sampler of at most so many sets; None is all of a grid, and needed of the others.

    Raises:
        InputError: a grid of any numbers, no number of trials, or `optuna` is not installed.
    """
    if trials is None and method is not Method.GRID:
        raise InputError(f"A {method} search needs to know how many sets to try.", remedy="Give --trials N.")
    if trials is not None and trials < 1:
        raise InputError(f"{trials} trials are none.", remedy="Try at least 1.")
    if method is Method.GRID:
        return _Listing(islice(space.grid(), trials))
    assert trials is not None
    if method is Method.RANDOM:
        return _Listing(_draws(space, trials, seed))
    return _Guided(space, trials, seed)


class _Listing:
    """Sets in an order that is known before the first of them has run."""

    def __init__(self, sets: Iterator[dict[str, Any]]) -> None:
        self._rest = sets

    def ask(self) -> list[dict[str, Any]]:
        # All at once: nothing has to be waited for between them.
        return list(self._rest)

    def tell(self, scored: Sequence[Scored]) -> None:
        """What came of them changes nothing."""


def _draws(space: Space, trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """Different sets, each as likely as any other; of a space that has no more than asked for, all of them."""
    import numpy as np

    if space.size() <= trials:
        yield from space.grid()
        return
    chance, seen, idle = np.random.default_rng(seed), set[str](), 0
    while len(seen) < trials and idle < _PATIENCE:
        drawn = {axis.name: _draw(axis, float(chance.random())) for axis in space.axes}
        text = digest_text(drawn)
        if text in seen:
            idle += 1
            continue
        seen.add(text)
        idle = 0
        yield drawn


def _draw(axis: Axis, share: float) -> Any:
    return axis.at(share) if isinstance(axis, Interval) else axis.values[int(share * len(axis.values))]


class _Guided:
    """Tree-structured Parzen estimators: Bergstra, Bardenet, Bengio and Kegl, NIPS 24, 2011, as `optuna` has them."""

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise InputError(
                "A guided search needs the package optuna, which is not installed.",
                remedy="Install it: pip install 'scizor[search]'; or use --sampler random.",
            ) from error
        # Its own lines would repeat ours, one per trial.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._space, self._left = space, trials
        self._scores: dict[str, float] = {}
        self._waiting: dict[str, Any] = {}

    def ask(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        idle = 0
        while len(found) < min(ROUND, self._left) and idle < _GUIDED_PATIENCE:
            trial = self._study.ask()
            drawn = {axis.name: _suggest(axis, trial) for axis in self._space.axes}
            text = digest_text(drawn)
            if text in self._scores:
                self._close(trial, self._scores[text])
            elif text in self._waiting:
                self._study.tell(trial, state=self._failed)
            else:
                self._waiting[text] = trial
                found.append(drawn)
                idle = 0
                continue
            idle += 1
        self._left -= len(found)
        return found

    def tell(self, scored: Sequence[Scored]) -> None:
        for parameters, score in scored:
            text = digest_text(parameters)
            self._scores[text] = score
            self._close(self._waiting.pop(text), score)

    def _close(self, trial: Any, score: float) -> None:
        if math.isnan(score):
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, score)


def _suggest(axis: Axis, trial: Any) -> Any:
    if isinstance(axis, Listed):
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in axis.values):
            # Places instead of values: neighbours are alike, whatever their distance.
            places = sorted(axis.values)
            return places[trial.suggest_int(axis.name, 0, len(places) - 1)]
        return axis.values[trial.suggest_categorical(axis.name, list(range(len(axis.values))))]
    if axis.whole:
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)
