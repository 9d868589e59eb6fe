"""A search for people and programs: tables of its sets, a map of two parameters, JSON, pictures.

What belongs here: shapes of answers. What does not: printing them (`cli.optimize`), and the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.plots import equity_plot, heat_plot
from scizor_dagster.analytics.ratios import OF_CURVES, ratios_of_curves
from scizor_dagster.backtest.search.problem import Problem
from scizor_dagster.backtest.search.search import Plan, Trials, scores_in
from scizor_dagster.backtest.search.trials import State
from scizor_dagster.backtest.search.verdicts import Verdict
from scizor_dagster.backtest.search.walk_forward import WalkForward
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_PLACES = 60
"""Of one side of a map; more are drawn together."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that a search came to. `walked` is None without a walk forward, `verdict` where no trial has a score."""

    problem: Problem
    plan: Plan
    trials: Trials
    verdict: Verdict | None
    walked: WalkForward | None = None

    def table(self) -> pd.DataFrame:
        """A row per set with a curve, the best first: parameters, objective (`score`) and figures after the warm-up."""
        import pandas as pd

        done = self.trials.done()
        returns = self.trials.returns()[self.plan.warm_up :]
        if not done:
            return pd.DataFrame()
        frame = pd.DataFrame([dict(trial.parameters) for trial in done])
        frame["score"] = scores_in(self.trials.returns(), self.plan)
        ratios = ratios_of_curves(returns, self.plan.sessions_a_year)
        for name in OF_CURVES:
            frame[name] = ratios[name]
        frame["equity"] = [float(trial.equity[-1]) for trial in done if trial.equity is not None]
        frame["traded"] = [trial.traded for trial in done]
        frame["costs"] = [trial.costs for trial in done]
        return frame.sort_values("score", ascending=False, kind="stable", na_position="last", ignore_index=True)

    def failures(self) -> dict[str, int]:
        """How many sets failed or were refused, by why."""
        found: dict[str, int] = {}
        for trial in self.trials.kept.values():
            if trial.state is not State.DONE:
                found[trial.error] = found.get(trial.error, 0) + 1
        return found

    def record(self, most: int = 20, axes: Sequence[str] = ()) -> dict[str, Any]:
        """For JSON: what cannot be known is null. The map is that of `axes`, or of the first two that vary."""
        states = [trial.state for trial in self.trials.kept.values()]
        body: dict[str, Any] = {
            "strategy": self.problem.strategy,
            "objective": self.plan.objective.value,
            "method": self.plan.method.value,
            "sets": len(states),
            "computed": self.trials.computed,
            "failed": states.count(State.FAILED),
            "refused": states.count(State.REFUSED),
            "problem": self.problem.digest,
            "errors": self.failures(),
            "axes": [axis.name for axis in self.plan.space.axes],
            "best": self.table().head(most).to_dict("records"),
            "map": self._map_record(axes),
        }
        if self.verdict is not None:
            body["verdict"] = verdict_record(self.verdict)
        if self.walked is not None:
            body["walk_forward"] = walk_record(self.walked, self.problem)
        cleaned: dict[str, Any] = _known(body)
        return cleaned

    def _axes(self, chosen: Sequence[str]) -> list[str]:
        return list(chosen) or _varying(self.trials)[:2]

    def _map_record(self, chosen: Sequence[str]) -> dict[str, Any] | None:
        names = self._axes(chosen)
        if len(names) < 2 or not self.trials.done():
            return None
        frame = heat_map(self, *names)
        values = frame.to_numpy(dtype=float).tolist()
        across, down = names
        return {"across": across, "down": down, "columns": [*frame.columns], "rows": [*frame.index], "values": values}

    def pictures(self, axes: Sequence[str] = ()) -> dict[str, bytes]:
        """PNG by name: a map of two parameters (these, or the first two that vary) and the curve out of sample."""
        found = {}
        names = self._axes(axes)
        if len(names) == 2 and self.trials.done():
            found["map"] = heat_plot(heat_map(self, *names), self.plan.objective.value)
        if self.walked is not None:
            found["out_of_sample"] = equity_plot(curve_of(self.walked, self.problem), self.problem.history.currency)
        return found


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """Figures of the best against luck; `beside` has the same of what it earns beside the market."""
    names = ("score", "sessions", "overfitting", "is_luck", "is_market", "choice_is_luck")
    facts = {name: getattr(verdict, name) for name in names} | asdict(verdict.own)
    beside = None if verdict.beside is None else asdict(verdict.beside)
    return {"parameters": dict(verdict.best.parameters), **facts, "beside": beside, "says": verdict.sentences()}


def walk_record(walked: WalkForward, problem: Problem) -> dict[str, Any]:
    """The choice of each window by the dates of its sessions, and the objective out of sample."""
    return {
        "score": walked.score,
        "sessions": len(walked.rows),
        "total_return": float((1.0 + walked.returns).prod() - 1.0),
        "windows": [
            {
                "train": [_dates(span, problem) for span in window.split.train],
                "test": [_dates(span, problem) for span in window.split.test],
                "parameters": None if window.parameters is None else dict(window.parameters),
                "trained": window.trained,
                "tested": window.tested,
            }
            for window in walked.windows
        ],
    }


def _dates(span: tuple[int, int], problem: Problem) -> list[str]:
    sessions = problem.history.sessions
    return [str(sessions[span[0]]), str(sessions[span[1] - 1])]


def curve_of(walked: WalkForward, problem: Problem) -> pd.DataFrame:
    """Session, equity and drawdown out of sample, from the capital on."""
    import numpy as np
    import pandas as pd

    growth = np.cumprod(1.0 + walked.returns)
    depth = growth / np.maximum(np.maximum.accumulate(growth), 1.0) - 1.0
    sessions = [problem.history.sessions[row] for row in walked.rows]
    return pd.DataFrame({"session": sessions, "equity": growth * problem.choices.capital, "drawdown": depth})


def heat_map(findings: Findings, across: str, down: str) -> pd.DataFrame:
    """The best objective by the values of two parameters, whatever the others are; NaN where none was tried.

    Raises:
        InputError: one of them is no parameter of the search, or both are the same.
    """
    frame = findings.table()
    for name in (across, down):
        if name not in {axis.name for axis in findings.plan.space.axes} or across == down:
            known = ", ".join(axis.name for axis in findings.plan.space.axes)
            raise InputError(f"'{across},{down}' are not two parameters of the search.", remedy=f"Use two of: {known}.")
    for name in (across, down):
        if frame[name].nunique() > MOST_PLACES:
            frame[name] = _together(frame[name])
    return frame.pivot_table(index=down, columns=across, values="score", aggfunc="max").sort_index(ascending=False)


def _together(values: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers of a random search in twenty ranges of equal count, each by its middle."""
    import pandas as pd

    bands = pd.qcut(values.astype(float), 20, duplicates="drop")
    return bands.map(lambda band: float(f"{band.mid:.4g}")).astype(float)


def _varying(trials: Trials) -> list[str]:
    sets = [trial.parameters for trial in trials.done()]
    names = list(sets[0]) if sets else []
    return [name for name in names if len({repr(parameters[name]) for parameters in sets}) > 1]


def _known(value: Any) -> Any:
    """Plain values, None for what is not a finite number."""
    if isinstance(value, Mapping):
        return {str(key): _known(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(item) for item in value]
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
