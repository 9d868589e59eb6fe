"""The parameter sets that a search may try, and how a person writes them.

What belongs here: axes, their texts, and what a strategy's model of parameters says of them. What does not: the order
of trying (`samplers`).

An axis is written `NAME=VALUES`: `lookback=20:200:20` (from, to and the step; the end belongs to it if a step reaches
it), `top=5,10,20` (a list), or `alpha=0.01..0.1` (anything between; whole numbers only where both ends are whole), the
last with ` log` behind for a logarithmic scale.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

Parameters = Mapping[str, Any]
"""Values by name, as JSON has them: whole numbers, floats, texts, booleans."""

MOST_VALUES = 100_000
REMEDY = "Write NAME=FROM:TO:STEP, NAME=A,B,C or NAME=LOW..HIGH, the last with ' log' behind for a logarithmic scale."
_NAME = re.compile(r"^[A-Za-z_]\w*$")
_WHOLE = re.compile(r"^[+-]?\d+$")
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Listed:
    """An axis of values that are written down."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """An axis of all numbers, or all whole ones, between two ends that belong to it."""

    name: str
    low: float
    high: float
    whole: bool = False
    log: bool = False

    def at(self, share: float) -> float | int:
        """The number at this share (from 0 to 1, exclusive) of the way."""
        # A whole number has the room half around it, so that the ends are as likely as the others.
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.whole else inside


Axis = Listed | Interval


@dataclass(frozen=True, slots=True)
class Space:
    """All parameter sets of some axes.

    Attributes:
        axes: Each of another name.
        refusal: Why a set is none that the strategy takes, as a sentence; None for one that it takes. Without it, any
            set is taken.
    """

    axes: tuple[Axis, ...]
    refusal: Callable[[Parameters], str | None] | None = None

    def size(self) -> float:
        """How many sets there are; infinite with an interval of any numbers."""
        return math.prod((_count(axis) for axis in self.axes), start=1.0)

    def corners(self) -> Iterator[dict[str, Any]]:
        """Sets of the first and the last value of each axis: the ends of what the space has."""
        ends = [
            {axis.values[0], axis.values[-1]} if isinstance(axis, Listed) else {axis.at(0.0), axis.at(1.0)}
            for axis in self.axes
        ]
        for values in product(*(sorted(pair, key=str) for pair in ends)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every set, the last axis changing first.

        Raises:
            InputError: an axis is an interval of any numbers.
        """
        for axis in self.axes:
            if isinstance(axis, Interval) and not axis.whole:
                raise InputError(
                    f"{axis.name} is anything between {axis.low} and {axis.high}, which no grid can try.",
                    remedy=f"Give it steps, as {axis.name}=FROM:TO:STEP, or search at random or guided.",
                    where=axis.name,
                )
        columns = [
            axis.values if isinstance(axis, Listed) else range(int(axis.low), int(axis.high) + 1) for axis in self.axes
        ]
        for values in product(*columns):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))


def digest_text(parameters: Parameters) -> str:
    """Canonical JSON of a set: equal sets give equal text."""
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)


def space_of(texts: Sequence[str], model: type[BaseModel] | None = None, fixed: Parameters | None = None) -> Space:
    """The space that these axes span, each checked against the strategy's model of parameters where it has one.

    `fixed` has the parameters that are the same in every set; they are no part of it.

    Raises:
        InputError: an axis cannot be read, is named twice, is none of the strategy's parameters, or leaves its bounds.
    """
    axes: list[Axis] = []
    for text in texts:
        axis = _axis(text)
        if any(axis.name == other.name for other in axes) or axis.name in (fixed or {}):
            raise InputError(f"{axis.name} is given twice.", remedy="Give each parameter one range.", where=text)
        axes.append(axis if model is None else _checked(axis, model, text))
    if model is None:
        return Space(tuple(axes))
    for name in fixed or {}:
        _check_name(name, model, f"{name}={(fixed or {})[name]}")
    return Space(tuple(axes), lambda parameters: _refusal(model, {**(fixed or {}), **parameters}))


def _axis(text: str) -> Axis:
    name, equals, values = text.partition("=")
    name, values = name.strip(), values.strip()
    if not equals or not _NAME.match(name) or not values:
        raise InputError(f"'{text}' is no parameter with its values.", remedy=REMEDY, where=text)
    log = values.endswith(" log")
    body = values.removesuffix(" log").strip()
    if ".." in body:
        return _interval(name, body, text, log=log)
    if log:
        raise InputError(f"'{text}' has a logarithmic scale without an interval.", remedy=REMEDY, where=text)
    if ":" in body:
        return Listed(name, _stepped(body, text))
    listed = tuple(_value(part.strip()) for part in body.split(","))
    if "" in listed or len({(type(value), value) for value in listed}) < len(listed):
        raise InputError(f"'{text}' has an empty value or one twice.", remedy=REMEDY, where=text)
    return Listed(name, listed)


def _interval(name: str, body: str, text: str, *, log: bool) -> Interval:
    low, _, high = (part.strip() for part in body.partition(".."))
    first, last = _number(low, text), _number(high, text)
    if not first < last or (log and first <= 0):
        reason = "does not rise from its first number to its second" if first >= last else "needs numbers above 0"
        raise InputError(f"'{text}' {reason}.", remedy=REMEDY, where=text)
    return Interval(name, float(first), float(last), bool(_WHOLE.match(low) and _WHOLE.match(high)), log)


def _stepped(body: str, text: str) -> tuple[int | float, ...]:
    parts = [part.strip() for part in body.split(":")]
    if len(parts) not in (2, 3):
        raise InputError(f"'{text}' is not FROM:TO:STEP.", remedy=REMEDY, where=text)
    first, last, step = (_number(part, text) for part in (*parts, "1")[:3])
    if step <= 0 or first > last:
        raise InputError(f"'{text}' does not rise from its first number to its last.", remedy=REMEDY, where=text)
    steps = int((last - first) / step)
    if steps >= MOST_VALUES:
        raise InputError(f"'{text}' has {steps + 1:,} values.", remedy="Use a longer step, or LOW..HIGH.", where=text)
    # Exact until the end: 0.1 + 0.2 is 0.3.
    numbers = [first + step * place for place in range(steps + 1)]
    return tuple(int(number) if all(map(_WHOLE.match, parts)) else float(number) for number in numbers)


def _number(part: str, text: str) -> Decimal:
    try:
        number = Decimal(part)
    except InvalidOperation:
        raise InputError(f"'{part}' of '{text}' is not a number.", remedy=REMEDY, where=text) from None
    if not number.is_finite() or abs(number) > Decimal(10) ** 15:
        raise InputError(f"'{part}' of '{text}' is not a finite number.", remedy=REMEDY, where=text)
    return number


def _value(part: str) -> Any:
    if part.lower() in _WORDS:
        return _WORDS[part.lower()]
    if _WHOLE.match(part):
        return int(part)
    try:
        number = float(part)
    except ValueError:
        return part
    return number if math.isfinite(number) else part


def _check_name(name: str, model: type[BaseModel], text: str) -> None:
    if name not in model.model_fields:
        near = difflib.get_close_matches(name, model.model_fields, n=1)
        known = ", ".join(model.model_fields) or "none"
        raise InputError(
            f"The strategy has no parameter {name}.",
            remedy=f"Did you mean {near[0]}?" if near else f"Its parameters are: {known}.",
            where=text,
        )


def _checked(axis: Axis, model: type[BaseModel], text: str) -> Axis:
    """The axis with its values as the model's field has them: 5 becomes 5.0 where that is a float."""
    from pydantic import TypeAdapter, ValidationError

    _check_name(axis.name, model, text)
    field = model.model_fields[axis.name]
    # Of the metadata alone: a default or an alias says nothing of a value.
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def taken(value: Any) -> Any:
        try:
            return adapter.dump_python(adapter.validate_python(value), mode="json")
        except ValidationError as error:
            raise InputError(
                f"{axis.name} does not take {value!r}: {_words(error)}", remedy="Change its range.", where=text
            ) from error

    if isinstance(axis, Listed):
        return Listed(axis.name, tuple(taken(value) for value in axis.values))
    ends = [taken(int(end) if axis.whole else end) for end in (axis.low, axis.high)]
    # Whole ends of a parameter that is any number mean any number between them.
    whole = axis.whole and all(isinstance(end, int) for end in ends)
    return Interval(axis.name, axis.low, axis.high, whole, axis.log)


def _refusal(model: type[BaseModel], parameters: Parameters) -> str | None:
    from pydantic import ValidationError

    try:
        # As JSON, so that a list is a tuple and a text a date.
        model.model_validate_json(json.dumps(dict(parameters), default=str))
    except ValidationError as error:
        return _words(error)
    return None


def _words(error: Any) -> str:
    parts = [(".".join(str(place) for place in item["loc"]), item["msg"]) for item in error.errors(include_url=False)]
    return "; ".join(f"{place}: {message}" if place else message for place, message in parts)


def _count(axis: Axis) -> float:
    if isinstance(axis, Listed):
        return len(axis.values)
    return axis.high - axis.low + 1 if axis.whole else math.inf
