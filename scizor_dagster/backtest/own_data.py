"""Data that a strategy brings along: what it closes over, what its module holds, what it reads from files.

What belongs here: finding it, and putting an altered copy in its place for the length of a check. What does not: the
check itself (`lookahead`).

Only what has a time is data here: a frame, series or mapping by date, or an array with a row for each session. Numbers
by symbol, or a single one, are constants to this module, wherever they were computed.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np

from scizor_dagster.backtest.model import History

Rows = Callable[[Sequence[date] | None, int], "np.ndarray[Any, Any]"]
"""Of the dates of some rows, or of their number where they have none: which of them are to be altered."""
_PANDAS = ("read_csv", "read_table", "read_parquet", "read_excel", "read_json", "read_pickle", "read_feather")
_NUMPY = ("load", "loadtxt", "genfromtxt")


def every_row(_: Sequence[date] | None, count: int) -> np.ndarray[Any, Any]:
    """All of them."""
    return np.ones(count, dtype=bool)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What is done to some rows: `replaced` by noise, `scaled`, `missing`, `shifted` by one, or `removed`."""

    how: str
    rows: Rows
    seed: int = 0

    def of(self, values: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A copy of `values`, numbers with a row for each time, altered where `chosen`; `removed` is done elsewhere."""
        made = np.array(values, dtype=np.float64)
        if self.how == "replaced":
            noise = np.random.default_rng(self.seed).lognormal(0.0, 0.5, made.shape)
            # What was high is low: noise alone would leave some orders as they were.
            size = np.nanmedian(np.abs(made), axis=0) if np.isfinite(made).any() else 1.0
            turned = np.where(made > 0.0, size * size / np.where(made > 0.0, made, 1.0), -made)
            made[chosen] = (turned * noise)[chosen]
        elif self.how == "scaled":
            # Not all columns alike: what is ranked would keep its order.
            odd = (np.arange(made.shape[-1]) if made.ndim > 1 else np.zeros(1, dtype=int)) + self.seed
            made[chosen] *= np.where(odd % 2, 0.6, 1.7)
        elif self.how == "missing":
            made[chosen] = np.nan
        elif self.how == "shifted":
            made[chosen] = np.concatenate([made[1:], made[:1]])[chosen]
        return made


@dataclass(frozen=True, slots=True)
class Held:
    """One place in a strategy's code that holds data with a time."""

    name: str
    value: Any
    put: Callable[[Any], None] = field(repr=False)


@contextmanager
def altered(places: Sequence[Held], alteration: Alteration) -> Iterator[None]:
    """Put altered copies in all these places, and let files be read altered, until the block ends."""
    with ExitStack() as stack:
        for place in places:
            stack.callback(place.put, place.value)
            place.put(alter(place.value, alteration))
        for owner, name, function in _readers():
            stack.callback(setattr, owner, name, function)
            setattr(owner, name, _reading(function, alteration))
        yield


def held_by(function: Any, sessions: int) -> list[Held]:
    """Everything with a time that the function, or what it calls in its own module, can reach by name."""
    found: list[Held] = []
    seen: set[int] = set()
    _walk(function, sessions, found, seen)
    return found


def _walk(item: Any, sessions: int, found: list[Held], seen: set[int]) -> None:
    if isinstance(item, types.MethodType):
        _members(type(item.__self__), sessions, found, seen)
        item = item.__func__
    if isinstance(item, type):
        _members(item, sessions, found, seen)
    if not isinstance(item, types.FunctionType) or id(item) in seen:
        return
    seen.add(id(item))
    for name, cell in zip(item.__code__.co_freevars, item.__closure__ or (), strict=False):
        value = _content(cell)
        _look(name, value, partial(setattr, cell, "cell_contents"), sessions, found)
        _walk_own(value, item.__module__, sessions, found, seen)
    defaults = list(item.__defaults__ or ())
    for index, value in enumerate(defaults):
        _look(f"default {index + 1}", value, _default(item, index), sessions, found)
    for name in sorted(_names(item.__code__)):
        if name in item.__globals__:
            value, space = item.__globals__[name], item.__globals__
            _look(name, value, partial(operator.setitem, space, name), sessions, found)
            _walk_own(value, item.__module__, sessions, found, seen)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # A name that was never given anything.
        return None


def _walk_own(value: Any, module: str, sessions: int, found: list[Held], seen: set[int]) -> None:
    if getattr(value, "__module__", None) == module:
        _walk(value, sessions, found, seen)


def _members(owner: type, sessions: int, found: list[Held], seen: set[int]) -> None:
    if id(owner) in seen:
        return
    seen.add(id(owner))
    for name, value in list(vars(owner).items()):
        value = getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType):
            _walk(value, sessions, found, seen)
        elif not name.startswith("__"):
            label = f"{owner.__name__}.{name}"
            _look(label, value, partial(setattr, owner, name), sessions, found)


def _look(name: str, value: Any, put: Callable[[Any], None], sessions: int, found: list[Held]) -> None:
    if has_time(value, sessions) and not any(place.value is value and place.name == name for place in found):
        found.append(Held(name, value, put))


def _default(function: types.FunctionType, index: int) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        values = list(function.__defaults__ or ())
        values[index] = value
        function.__defaults__ = tuple(values)

    return put


def _names(code: types.CodeType) -> set[str]:
    inner = (item for item in code.co_consts if isinstance(item, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def has_time(value: Any, sessions: int) -> bool:
    """Whether it is data with a time: by date, or as many rows as there are sessions."""
    if isinstance(value, History):
        return True
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and len(value) == sessions and np.issubdtype(value.dtype, np.number)
    if isinstance(value, Mapping):
        return bool(value) and _dates(list(value)) is not None
    return _is_pandas(value) and (_dates_of(value) is not None or len(value) == sessions)


def alter(value: Any, alteration: Alteration) -> Any:
    """An altered copy of data with a time."""
    if isinstance(value, History):
        return alter_history(value, alteration)
    if isinstance(value, np.ndarray):
        chosen = alteration.rows(None, len(value))
        return value[~chosen] if alteration.how == "removed" else alteration.of(value, chosen)
    if isinstance(value, Mapping):
        return _alter_mapping(value, alteration)
    return _alter_pandas(value, alteration)


def alter_history(history: History, alteration: Alteration) -> History:
    """An altered copy; actions of altered rows are left out. `removed` is for the end of a history alone."""
    from dataclasses import replace

    chosen = alteration.rows(history.sessions, len(history.sessions))
    kept = tuple(action for action in history.actions if not chosen[action.row])
    fields = {name: getattr(history, name) for name in ("close", "open", "high", "low", "volume")}
    given = {name: np.asarray(values) for name, values in fields.items() if values is not None}
    if alteration.how == "removed":
        sessions = tuple(day for day, gone in zip(history.sessions, chosen, strict=True) if not gone)
        cut: dict[str, Any] = {name: values[~chosen] for name, values in given.items()}
        return replace(history, sessions=sessions, actions=kept, **cut)
    made: dict[str, Any] = {name: alteration.of(values, chosen) for name, values in given.items()}
    return replace(history, actions=kept, **made)


def _alter_mapping(value: Mapping[Any, Any], alteration: Alteration) -> dict[Any, Any]:
    keys = list(value)
    chosen = alteration.rows(_dates(keys), len(keys))
    if alteration.how == "removed":
        return {key: value[key] for key, gone in zip(keys, chosen, strict=True) if not gone}
    made = dict(value)
    for key, wanted in zip(keys, chosen, strict=True):
        if wanted:
            made[key] = _alter_item(value[key], alteration)
    return made


def _alter_item(item: Any, alteration: Alteration) -> Any:
    """The value of one date: a number, an array, or numbers by name."""
    if isinstance(item, Mapping):
        return {name: _alter_item(part, alteration) for name, part in item.items()}
    if isinstance(item, int | float) and not isinstance(item, bool):
        return float(alteration.of(np.array([item]), np.array([True]))[0])
    if isinstance(item, np.ndarray) and np.issubdtype(item.dtype, np.number):
        return alteration.of(item, np.ones(len(item), dtype=bool))
    if _is_pandas(item):
        whole = Alteration(alteration.how, every_row, alteration.seed)
        return _alter_pandas(item, whole)
    return item


def _alter_pandas(value: Any, alteration: Alteration) -> Any:
    import pandas as pd

    chosen = alteration.rows(_dates_of(value), len(value))
    if alteration.how == "removed":
        return value[~chosen]
    made = value.copy()
    if isinstance(made, pd.Series):
        if not pd.api.types.is_numeric_dtype(made.dtype):
            return made
        return pd.Series(alteration.of(made.to_numpy(dtype=float), chosen), index=made.index, name=made.name)
    columns = {
        place: Alteration(alteration.how, alteration.rows, alteration.seed + place).of(column.to_numpy(float), chosen)
        for place, (_, column) in enumerate(made.items())
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    }
    for place, values in columns.items():
        made.isetitem(place, values)
    return made


def _dates_of(value: Any) -> list[date] | None:
    """A date for each row of a frame or series: from its index, or from its first column that has dates."""
    levels = [value.index.get_level_values(number) for number in range(value.index.nlevels)]
    columns = [value.iloc[:, number] for number in range(value.shape[1])] if value.ndim == 2 else []
    for candidate in [*levels, *columns]:
        found = _dates(list(candidate)) if candidate.dtype.kind not in "iufb" else None
        if found is not None:
            return found
    return None


def _dates(values: Sequence[Any]) -> list[date] | None:
    """Dates as such, as timestamps, or as ISO texts; None where any of them is none."""
    found = []
    for value in values:
        if isinstance(value, datetime):
            found.append(value.date())
        elif isinstance(value, date):
            found.append(value)
        elif isinstance(value, np.datetime64) or (isinstance(value, str) and value[:4].isdigit() and len(value) >= 10):
            try:
                found.append(date.fromisoformat(str(value)[:10]))
            except ValueError:
                return None
        else:
            return None
    return found or None


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "iloc")


def _readers() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    import pandas as pd

    for owner, names in ((pd, _PANDAS), (np, _NUMPY)):
        for name in names:
            yield owner, name, getattr(owner, name)


def _reading(function: Callable[..., Any], alteration: Alteration) -> Callable[..., Any]:
    def read(*arguments: Any, **options: Any) -> Any:
        found = function(*arguments, **options)
        if isinstance(found, np.ndarray) and not (found.ndim and np.issubdtype(found.dtype, np.number)):
            return found
        known = isinstance(found, np.ndarray) or (_is_pandas(found) and _dates_of(found) is not None)
        return alter(found, alteration) if known else found

    return read
