"""Whether a strategy knows what it cannot know: the future is altered, and no decision before it may change.

What belongs here: the check and its findings. What does not: the data that a strategy brings along (`own_data`).

Prices are handed out as of a close, so that a strategy can only learn of the future by another way: a vectorised form
that reaches into later rows, or data of its own. Both are checked. Of data that a strategy computed before (a signal
shifted by a day, kept as a frame), no alteration can show which rows it was made of; where weights depend on such
data, and it goes on after the decision, that is a finding as well, which says so (`proven` is false).

What cannot be found: a number, or numbers by symbol, that somebody computed from the whole sample and wrote into the
code or into parameters; what is read by other means than those of pandas and NumPy; and a universe that was chosen by
what became of it. A weight file has no function to ask: of one, only its dates can be
checked (`signals.dating`), not what its weights were made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from scizor_dagster.backtest.model import History
from scizor_dagster.backtest.own_data import Alteration, Held, alter_history, altered, every_row, held_by
from scizor_dagster.errors import ScizorError
from scizor_dagster.strategies.deciding import decide, weights_over
from scizor_dagster.strategies.definition import Strategy
from scizor_dagster.strategies.prices import AsOf
from scizor_dagster.strategies.rebalancing import rebalance_rows

HOW = ("removed", "replaced", "scaled", "missing", "shifted")
_CLOSE = 1e-9
Weights = dict[str, float] | str | None
"""What was decided: weights, nothing, or the error that came instead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first decision that changes.

    Attributes:
        form: `weights`, or `weights_over`.
        session: On whose close it is made.
        symbol: The first whose weight changes; empty where there are no weights to compare.
        before, after: Its weight with the data as it is, and with the altered one; NaN where there is none.
        how: What was done to the rows after the decision; `agreement` where the two forms differ.
        future: The first session whose alteration is enough; None where that cannot be told.
        proven: Whether rows after the decision made the difference; else it is data of the strategy's own that goes on
            after it, and may have been made from what came later.
        detail: Names of such data; an error that came in the place of weights.
    """

    form: str
    session: date
    symbol: str
    before: float
    after: float
    how: str
    future: date | None
    proven: bool
    detail: str = ""

    def __str__(self) -> str:
        changed = f"the weight of {self.symbol} on the close of {self.session}: {self.before:g} -> {self.after:g}"
        if not self.symbol:
            changed = f"the decision on the close of {self.session}"
        detail = f" ({self.detail})" if self.detail else ""
        if self.how == "agreement":
            return f"weights and weights_over differ in {changed}{detail}"
        if not self.proven:
            return f"{self.form} depends on data of its own that goes on after the decision{detail}: {changed}"
        named = f", that of {self.future} alone is enough" if self.future else ""
        return f"{self.form} knows the future: with later rows {self.how}{named}, it changes {changed}{detail}"


def check_lookahead(
    history: History,
    strategy: Strategy,
    *,
    first: date | None = None,
    last: date | None = None,
    at: int = 12,
    seed: int = 0,
) -> list[Finding]:
    """Alter everything after a close, in five ways at `at` closes, and see whether a decision on it changes.

    Args:
        history: The prices; a few hundred sessions are enough.
        strategy: With the parameters and the rhythm that it is to be checked with.
        first: Of the sessions whose weights are looked at.
        last: Of them; what is after it is there to be altered.
        at: Closes that are tried, spread over the decisions; around one that changes, the first is looked for.
        seed: Of the noise.

    Returns:
        At most one finding of each kind for each form of the strategy; none where nothing was found.

    Raises:
        DataError: the strategy fails on the data as it is.
    """
    begins, ends = first or date.min, last or date.max
    due = rebalance_rows(history.sessions, strategy.rebalance)
    rows = [row - 1 for row in due if begins <= history.sessions[row] <= ends]
    listed = np.any(AsOf(history).listed, axis=1)
    rows = [row for row in rows if listed[row]]
    if not rows:
        return []
    tried = sorted({rows[int(place)] for place in np.linspace(0, len(rows) - 1, min(at, len(rows)))})
    checks = [_Check(history, strategy, "weights", seed)]
    if strategy.definition.over is not None:
        checks.append(_Check(history, strategy, "weights_over", seed))
    found = [finding for check in checks for finding in check.findings(rows, tried)]
    return found + (_disagreement(checks, tried) if len(checks) > 1 else [])


@dataclass(frozen=True)
class _Check:
    """One form of a strategy, asked again and again; what it has answered once is remembered."""

    history: History
    strategy: Strategy
    form: str
    seed: int
    answers: dict[tuple[int, str, int | None], Weights] = field(default_factory=dict, repr=False)

    def findings(self, rows: Sequence[int], tried: Sequence[int]) -> list[Finding]:
        proven = self._first(rows, tried)
        if proven is not None:
            return [proven]
        own = self._own(tried)
        return [own] if own is not None else []

    def _first(self, rows: Sequence[int], tried: Sequence[int]) -> Finding | None:
        before = -1
        for row in tried:
            if any(self._changes(row, how) for how in HOW):
                # Somewhere since the last close that was tried, decisions began to change.
                for earlier in [item for item in rows if before < item <= row]:
                    how = next((how for how in HOW if self._changes(earlier, how)), None)
                    if how is not None:
                        return self._described(earlier, how)
            before = row
        return None

    def _changes(self, row: int, how: str, through: int | None = None) -> bool:
        return not _same(self.decided(row), self.decided(row, how, through))

    def _described(self, row: int, how: str) -> Finding:
        future, changing = None, [item for item in HOW[1:] if self._changes(row, item)]
        # Two weights say more than an error in the place of one.
        changing.sort(key=lambda item: not isinstance(self.decided(row, item), dict))
        told = next(iter(changing), None)
        if told is not None:
            low, high = row, len(self.history.sessions) - 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if self._changes(row, told, middle) else (middle, high)
            future = self.history.sessions[high]
        chosen = told or how
        return self._finding(row, self.decided(row, chosen), chosen, future, proven=True)

    def _own(self, tried: Sequence[int]) -> Finding | None:
        """Whether weights depend on data with a time that is not from the prices handed out, wherever it is altered."""
        for row in tried:
            # Everything but the history: nothing that was handed out is altered.
            everything = Alteration("replaced", every_row, self.seed)
            after = self._asked(row, self.history, everything)
            if not _same(self.decided(row), after):
                names = ", ".join(sorted({place.name for place in self._places()})) or "read from files"
                return self._finding(row, after, "replaced", None, proven=False, detail=names)
        return None

    def _alteration(self, how: str, row: int, through: int | None = None) -> Alteration:
        """Of everything after the session of `row`, up to that of `through`."""
        sessions = self.history.sessions
        last = sessions[through] if through is not None else date.max

        def later(dates: Sequence[date] | None, count: int) -> Any:
            if dates is None:
                places = np.arange(count)
                return (places > row) & (places <= (through if through is not None else count))
            return np.array([sessions[row] < day <= last for day in dates], dtype=bool)

        return Alteration(how, later, self.seed)

    def decided(self, row: int, how: str = "", through: int | None = None) -> Weights:
        """On the close of `row`, with later rows up to `through` altered, or nothing."""
        key = (row, how, through)
        if key not in self.answers:
            alteration = self._alteration(how, row, through) if how else None
            history = self.history if alteration is None else alter_history(self.history, alteration)
            self.answers[key] = self._asked(row, history, alteration)
        return self.answers[key]

    def _asked(self, row: int, history: History, alteration: Alteration | None) -> Weights:
        """The decision; of a file's two ways to know more, by what it read when it was loaded and by what it holds,
        the one that changes it.
        """
        if alteration is None:
            return self._answered(self.strategy, row, history)
        reload, answers = self.strategy.definition.reload, list[Weights]()
        if reload is not None:
            with altered([], alteration):
                anew = reload().configured(self.strategy.parameters.model_dump(mode="json"), self.strategy.rebalance)
                answers.append(self._tried(anew, row, history))
        with altered(self._places(), alteration):
            answers.append(self._tried(self.strategy, row, history))
        before = self.decided(row)
        return next((item for item in answers if not _same(before, item)), answers[-1])

    def _tried(self, strategy: Strategy, row: int, history: History) -> Weights:
        try:
            return self._answered(strategy, row, history)
        except ScizorError as error:
            return error.problem

    def _answered(self, strategy: Strategy, row: int, history: History) -> Weights:
        if self.form == "weights":
            return decide(strategy, AsOf(history, _day_after(self.history, history)).at(row, strategy.window))
        found = weights_over(strategy, history, [row])[0]
        named = zip((item.symbol for item in history.instruments), found, strict=True)
        return {symbol: float(weight) for symbol, weight in named if weight}

    def _places(self) -> list[Held]:
        definition = self.strategy.definition
        function = definition.make() if self.form == "weights" else definition.over
        return held_by(function, len(self.history.sessions))

    def _finding(
        self, row: int, after: Weights, how: str, future: date | None, *, proven: bool, detail: str = ""
    ) -> Finding:
        before = self.decided(row)
        symbol, first, second = _difference(before, after)
        detail = after if isinstance(after, str) else detail
        return Finding(self.form, self.history.sessions[row], symbol, first, second, how, future, proven, detail)


def _disagreement(checks: Sequence[_Check], tried: Sequence[int]) -> list[Finding]:
    for row in tried:
        single, many = checks[0].decided(row), checks[1].decided(row)
        if single is not None and not _same(single, many):
            symbol, before, after = _difference(single, many)
            session = checks[0].history.sessions[row]
            return [Finding("weights_over", session, symbol, before, after, "agreement", None, proven=True)]
    return []


def _day_after(whole: History, history: History) -> date | None:
    """The calendar is known ahead: a history that was cut off is followed by the session that it was followed by."""
    count = len(history.sessions)
    return whole.sessions[count] if count < len(whole.sessions) else None


def _same(first: Weights, second: Weights) -> bool:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return first == second
    return all(abs(first.get(name, 0.0) - second.get(name, 0.0)) <= _CLOSE for name in first.keys() | second.keys())


def _difference(first: Weights, second: Weights) -> tuple[str, float, float]:
    """The first symbol that differs, and both weights, of two decisions that do differ."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return "", float("nan"), float("nan")
    names = first.keys() | second.keys()
    changed = sorted(name for name in names if abs(first.get(name, 0.0) - second.get(name, 0.0)) > _CLOSE)
    return changed[0], first.get(changed[0], 0.0), second.get(changed[0], 0.0)
