"""What stays the same over all trials of a search, and its digest: what a stored trial is known by.

What belongs here: history, strategy, rules, broker and choices as one value. What does not: the sets that are tried
(`spaces`), and running them (`running`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.model import Choices, History, Schedule
from scizor_dagster.backtest.search.spaces import Parameters
from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.planning.books import PreparedBook, prepare
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.version import code_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

Maker = Callable[[History, Sequence[Parameters]], Iterable[Schedule]]
"""A strategy in its vectorised form: the schedules of several sets, in their order, each made when it is asked for.

What sets have in common (a moving average of one window) is computed once. To run in several processes it has to be
known by name: a function of a module, or a dataclass of such.
"""
ARRAYS = ("close", "open", "high", "low", "volume")


@dataclass(frozen=True, slots=True)
class OneByOne:
    """A strategy in its plain form, from a history and one set to a schedule, as a `Maker`."""

    function: Callable[[History, Parameters], Schedule]

    def __call__(self, history: History, sets: Sequence[Parameters]) -> Iterator[Schedule]:
        return (self.function(history, parameters) for parameters in sets)


@dataclass(frozen=True, eq=False)
class Problem:
    """A search without its space.

    Attributes:
        strategy: Its name, for a person.
        version: Of the strategy: another one makes other trials, whatever its name.
        maker: The strategy.
    """

    strategy: str
    version: str
    maker: Maker
    history: History
    rules: PlanningRules
    capabilities: Capabilities
    choices: Choices

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a trial depends on beside its parameters, the code that runs it included."""
        facts = {
            "strategy": [self.strategy, self.version],
            "rules": self.rules.as_text(),
            "capabilities": _plain(asdict(self.capabilities)),
            # Which records are kept changes nothing of what is measured.
            "choices": _plain(asdict(replace(self.choices, keep_positions=False, keep_trades=False))),
            "code": engine_version(),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        digest.update(history_digest(self.history).encode())
        return digest.hexdigest()

    @cached_property
    def market(self) -> NDArray[Any]:
        """T returns of holding all instruments in equal parts, anew each session; 0 where none of them is known."""
        import numpy as np

        from scizor_dagster.strategies.prices import AsOf

        closes = AsOf(self.history).panel.adjusted
        with np.errstate(all="ignore"):
            returns = closes[1:] / closes[:-1] - 1.0
        known = np.isfinite(returns)
        sums = np.where(known, returns, 0.0).sum(axis=1)
        return np.concatenate([[0.0], sums / np.maximum(known.sum(axis=1), 1)])

    @cached_property
    def book(self) -> PreparedBook:
        """Instruments and rules, resolved once for all trials of a process.

        Raises:
            InputError: rules or instruments that the planner's arrays do not have.
        """
        return prepare(self.history.instruments, self.rules, self.capabilities, currency=self.history.currency)


def history_digest(history: History) -> str:
    """SHA-256 of the prices and everything else in a history that a result depends on."""
    import numpy as np

    facts = [
        [str(session) for session in history.sessions],
        [_plain(asdict(instrument)) for instrument in history.instruments],
        [history.currency, history.adjustment],
        [[action.kind, action.row, action.column, repr(action.value)] for action in history.actions],
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name in ARRAYS:
        values: NDArray[Any] | None = getattr(history, name)
        digest.update(f"{name} {None if values is None else values.shape}".encode())
        if values is not None:
            digest.update(np.ascontiguousarray(values, dtype="<f8").data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """For JSON in an order of its own: sets are sorted."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(str(item) for item in value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@cache
def engine_version() -> str:
    """The code's version with a digest of the sources that run a backtest and measure it."""
    folder = Path(__file__).parent.parent
    measured = folder.parent / "analytics"
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("engine*.py")), folder / "model.py", measured / "ratios.py"]:
        digest.update(path.name.encode() + path.read_bytes())
    return f"{code_version()}.{digest.hexdigest()[:12]}"


def without_arrays(history: History) -> tuple[History, dict[str, NDArray[Any]]]:
    """A history whose arrays are taken out, and these by name."""
    import numpy as np

    assert {item.name for item in fields(History)} >= set(ARRAYS)
    taken = {name: getattr(history, name) for name in ARRAYS if getattr(history, name) is not None}
    bare = dict.fromkeys(ARRAYS)
    return replace(history, **(bare | {"close": np.empty((0, 0))})), taken  # type: ignore[arg-type]
