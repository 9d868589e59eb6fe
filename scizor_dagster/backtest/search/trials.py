"""Trials: one parameter set each, what came of it, and where that is kept.

What belongs here: the value and its two stores. What does not: running them (`running`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from scizor_dagster.backtest.search.spaces import Parameters, digest_text
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import TABLES, append_rows, initialise

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = "backtest_trials"
SOURCE = "backtest"
_AT_ONCE = 500


class State(StrEnum):
    DONE = "done"
    FAILED = "failed"
    """The strategy or the engine raised an error."""
    REFUSED = "refused"
    """The strategy's model of parameters does not take the set; nothing was run, and it counts as no trial."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What came of one parameter set.

    Attributes:
        error: Why there is no curve; empty where there is one.
        equity: T, at the closes; None without a run.
        traded: Value of all trades, in the history's currency.
        costs: Commissions and what spread, slippage and impact took.
        seconds: That the run took.
    """

    parameters: Parameters
    state: State
    error: str = ""
    equity: NDArray[Any] | None = None
    traded: float = 0.0
    costs: float = 0.0
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return digest_text(self.parameters)


class Store(Protocol):
    """Trials by the digest of their problem and the text of their set."""

    def known(self, problem: str, texts: Sequence[str]) -> dict[str, Trial]:
        """Those of these sets that were kept."""

    def keep(self, problem: str, trials: Sequence[Trial]) -> None:
        """Add trials, in one transaction; one that is there is replaced."""


class MemoryStore:
    """Keeps trials as long as it lives."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Trial] = {}

    def known(self, problem: str, texts: Sequence[str]) -> dict[str, Trial]:
        return {text: self._kept[problem, text] for text in texts if (problem, text) in self._kept}

    def keep(self, problem: str, trials: Sequence[Trial]) -> None:
        self._kept |= {(problem, trial.text): trial for trial in trials}


class LakeStore:
    """Keeps trials in the lake, with the strategy's name for whoever reads the table."""

    def __init__(self, lake: Lake, strategy: str) -> None:
        initialise(lake)
        self._lake, self._strategy = lake, strategy

    def known(self, problem: str, texts: Sequence[str]) -> dict[str, Trial]:
        found: dict[str, Trial] = {}
        with self._lake.read() as cursor:
            for part in _parts(texts):
                rows = cursor.execute(
                    f"SELECT parameters, state, error, equity, traded, costs, seconds FROM {TABLE} "
                    "WHERE problem = $problem AND parameters IN (SELECT unnest($texts))",
                    {"problem": problem, "texts": part},
                ).fetchnumpy()
                found |= {trial.text: trial for trial in _trials(rows)}
        return found

    def keep(self, problem: str, trials: Sequence[Trial]) -> None:
        import pandas as pd

        if not trials:
            return
        names = [name.split()[0] for name in TABLES[TABLE].replace("\n", " ").split(",")]
        now = datetime.now(UTC)
        rows = [
            (
                problem, self._strategy, trial.text, trial.state.value, trial.error, trial.equity, trial.traded,
                trial.costs, trial.seconds, SOURCE, now,
            )
            for trial in trials
        ]  # fmt: skip
        with self._lake.write() as cursor:
            cursor.execute(
                f"DELETE FROM {TABLE} WHERE problem = $problem AND parameters IN (SELECT unnest($texts))",
                {"problem": problem, "texts": [trial.text for trial in trials]},
            )
            append_rows(cursor, TABLE, pd.DataFrame(rows, columns=names))


class NearStore(MemoryStore):
    """Another store behind what was read from it or written to it already."""

    def __init__(self, behind: Store) -> None:
        super().__init__()
        self._behind = behind

    def known(self, problem: str, texts: Sequence[str]) -> dict[str, Trial]:
        found = super().known(problem, texts)
        read = self._behind.known(problem, [text for text in texts if text not in found])
        super().keep(problem, [*read.values()])
        return found | read

    def keep(self, problem: str, trials: Sequence[Trial]) -> None:
        self._behind.keep(problem, trials)
        super().keep(problem, trials)


def _trials(rows: dict[str, Any]) -> Iterable[Trial]:
    import numpy as np

    for place in range(len(rows["parameters"])):
        state = State(rows["state"][place])
        yield Trial(
            parameters=json.loads(rows["parameters"][place]),
            state=state,
            error=str(rows["error"][place]),
            equity=np.asarray(rows["equity"][place], dtype=float) if state is State.DONE else None,
            traded=float(rows["traded"][place]),
            costs=float(rows["costs"][place]),
            seconds=float(rows["seconds"][place]),
        )


def _parts(texts: Sequence[str]) -> Iterable[list[str]]:
    return (list(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE))
