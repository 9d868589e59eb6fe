"""What a strategy is: the shape of its function or class, and of its parameters.

What belongs here: the two protocols and the base of parameters. What does not: finding strategies (`registry`), and
calling them (`deciding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import Field

from scizor_dagster.config.base import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scizor_dagster.strategies.prices import Panel, Prices

Invested = Annotated[float, Field(gt=0.0, le=1.0)]
Sessions = Annotated[int, Field(ge=1, le=5000)]


class Parameters(Model):
    """Base of a strategy's parameters: a Pydantic model that is frozen, refuses unknown keys, NaN and infinity.

    A strategy without parameters takes this one. Bounds are those of Pydantic (`Field(ge=..., le=...)`).

    Attributes:
        NAMES_FILES: Whether a parameter names a file, which nobody may choose from outside this machine.
    """

    NAMES_FILES: ClassVar[bool] = False

    def window(self) -> int | None:
        """How many sessions, the decision's own included, the strategy is shown; None for all that there are.

        Backtest and live are cut alike, so that a longer history changes no weight.
        """
        return None


class WeightFunction(Protocol):
    """A strategy as a function, or the method `weights` of a class that is made without arguments for each decision.

    Args:
        prices: What was known after the close that the decision is made on.
        parameters: The model that the second argument is annotated with; a function without one takes `prices` alone.

    Returns:
        Shares of equity by symbol, of `prices.symbols`; what is not named is 0, and what they leave of 1 stays in cash.
        An empty mapping sells everything. None decides nothing: the session has no plan of this strategy.
    """

    def __call__(self, prices: Prices, parameters: Any, /) -> Mapping[str, float] | None: ...


class VectorisedWeights(Protocol):
    """The same for many decisions at once, where speed matters: `weights_over`, beside `weights`.

    Args:
        panel: The whole history: row `r` of the answer may use rows up to `rows[r]` and no others.
        rows: R indices of sessions, ascending, whose closes the decisions are made on.
        parameters: As above.

    Returns:
        R x N shares of equity, N in the order of `panel.symbols`; equal to what `weights` answers.
    """

    def __call__(self, panel: Panel, rows: NDArray[Any], parameters: Any, /) -> NDArray[Any]: ...
