"""One strategy's code, and the code with its parameters: what a registry finds and what is called.

What belongs here: reading name, parameters and source of a function or class, and the version that they make. What does
not: where the code lies (`registry`), and the checks of what it answers (`deciding`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import reprlib
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from scizor_dagster.errors import ConfigError, ParametersRefused
from scizor_dagster.strategies.protocol import Parameters, VectorisedWeights, WeightFunction
from scizor_dagster.strategies.rebalancing import Rebalance

METHOD, VECTORISED = "weights", "weights_over"


@dataclass(frozen=True)
class Definition:
    """A strategy as its author wrote it.

    Attributes:
        name: What manifest, records and commands call it.
        origin: `shipped`, `package` or `file`.
        where: File and line of its function or class.
        summary: The first paragraph of its docstring.
        parameters: Model of its parameters.
        make: A function that decides; a new object for each decision, where the strategy is a class.
        over: Its vectorised form; None where it has none.
        source: Text of its module, and of the modules of the same package that it uses.
        reload: Executes a file's text anew; None where the code is imported.
    """

    name: str
    origin: str
    where: str
    summary: str
    parameters: type[Parameters]
    make: Callable[[], WeightFunction] = field(repr=False)
    over: VectorisedWeights | None = field(repr=False)
    source: str = field(repr=False)
    takes_parameters: bool = True
    reload: Callable[[], Definition] | None = field(default=None, repr=False, compare=False)

    def configured(self, values: Mapping[str, Any] | None = None, rebalance: Rebalance = "daily") -> Strategy:
        """The strategy with these parameters; what is not named has its default.

        Raises:
            ParametersRefused: a name is unknown, or a value is not within its bounds; every one of them is named.
        """
        try:
            # As JSON, so that a list is a tuple and a text a date, wherever the values come from.
            parameters = self.parameters.model_validate_json(json.dumps(dict(values or {}), default=str))
        except ValidationError as error:
            raise self._refused(error) from error
        return Strategy(self, parameters, rebalance)

    def _refused(self, error: ValidationError) -> ParametersRefused:
        found = []
        for item in error.errors(include_url=False):
            key = ".".join(map(str, item["loc"])) or "parameters"
            given = "" if item["type"] in ("missing", "extra_forbidden") else f" ({reprlib.repr(item['input'])})"
            found.append(f"{key}{given}: {item['msg']}")
        known = ", ".join(self.parameters.model_fields) or "none"
        return ParametersRefused(
            f"The parameters of strategy '{self.name}' cannot be used: {'; '.join(found)}.",
            remedy=f"It takes: {known}. See: scizor strategy show {self.name}.",
            where=self.where,
        )


@dataclass(frozen=True)
class Strategy:
    """A definition with the parameters and the rhythm that it runs with."""

    definition: Definition
    parameters: Parameters
    rebalance: Rebalance = "daily"

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def window(self) -> int | None:
        """Sessions that it is shown; see `Parameters.window`.

        Raises:
            ConfigError: its parameters answer no number of sessions.
        """
        found: object = self.parameters.window()
        if found is None or (isinstance(found, int) and found >= 1):
            return found
        raise ConfigError(
            f"Strategy '{self.name}' asks for a window of {found!r} sessions.",
            remedy="Let window() of its parameters answer a whole number of 1 or more, or None.",
            where=self.definition.where,
        )

    @property
    def symbols(self) -> frozenset[str]:
        """Those that a parameter `symbols` names; empty where there is none, or it names none."""
        return frozenset(getattr(self.parameters, "symbols", ()))

    @cached_property
    def parameters_text(self) -> str:
        """All parameters, defaults included, as canonical JSON."""
        values = self.parameters.model_dump(mode="json")
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @cached_property
    def version(self) -> str:
        """SHA-256 over name, source, parameters and rhythm: a change of any of them is another version."""
        parts = (self.name, self.definition.source, self.parameters_text, self.rebalance)
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    def with_parameters(self, values: Mapping[str, Any]) -> Strategy:
        """The same with other values of some parameters. Raises as `Definition.configured`."""
        both = self.parameters.model_dump(mode="json") | dict(values)
        return self.definition.configured(both, self.rebalance)

    def with_rebalance(self, rebalance: Rebalance) -> Strategy:
        return replace(self, rebalance=rebalance)


def definition_of(found: object, name: str, origin: str, source: str | None = None) -> Definition:
    """The strategy in a module, or that a function or class is.

    Args:
        found: A function like `protocol.WeightFunction`, a class with such a method `weights`, or a module that has
            either: a function `weights`, or exactly one class with that method.
        name: What it is to be called.
        origin: See `Definition`.
        source: Text of the module, where it was read already.

    Raises:
        ConfigError: it is none of these, with the place and what is missing.
    """
    over = None
    if isinstance(found, ModuleType):
        over = getattr(found, VECTORISED, None)
        found = _of_module(found)
    where = place_of(found)
    if isinstance(found, type):
        function, make = getattr(found, METHOD, None), lambda: getattr(found(), METHOD)
        over = getattr(_made(found, name, where), VECTORISED) if hasattr(found, VECTORISED) else over
    else:
        function, make = found, lambda: found
    if not callable(function):
        raise ConfigError(
            f"Strategy '{name}' is {type(found).__name__}, no function, and no class with a method '{METHOD}'.",
            remedy=f"Write def {METHOD}(prices, parameters), or a class that has it.",
            where=where,
        )
    model = _parameters_of(function, name, where, bound=isinstance(found, type))
    return Definition(
        name=name,
        origin=origin,
        where=where,
        summary=_summary(found, function),
        parameters=model or Parameters,
        make=typing.cast("Callable[[], WeightFunction]", make),
        over=over,
        source=source if source is not None else source_of(found),
        takes_parameters=model is not None,
    )


def _made(found: type, name: str, where: str) -> object:
    try:
        return found()
    except Exception as error:
        raise ConfigError(
            f"Strategy '{name}' cannot be made without arguments: {type(error).__name__}: {error}.",
            remedy="Give what it needs as parameters of its method.",
            where=where,
        ) from error


def _of_module(module: ModuleType) -> object:
    function = getattr(module, METHOD, None)
    if inspect.isfunction(function) and function.__module__ == module.__name__:
        return function
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and item.__module__ == module.__name__ and callable(getattr(item, METHOD, None))
    ]
    if len(classes) == 1:
        return classes[0]
    named = f" ({', '.join(item.__name__ for item in classes)})" if classes else ""
    raise ConfigError(
        f"The module has no function '{METHOD}' and {len(classes) or 'no'} classes with a method '{METHOD}'{named}.",
        remedy=f"A file holds one strategy: def {METHOD}(prices, parameters), or one class that has it.",
        where=str(module.__file__),
    )


def _parameters_of(function: Callable[..., Any], name: str, where: str, *, bound: bool) -> type[Parameters] | None:
    """The annotation of the second argument; None where there is no second one."""
    given = [item for item in inspect.signature(function).parameters.values() if item.default is item.empty]
    given = given[1:] if bound else given
    if len(given) == 1:
        return None
    try:
        hint = typing.get_type_hints(function).get(given[1].name) if len(given) == 2 else None
    except (NameError, TypeError) as error:
        raise ConfigError(
            f"Strategy '{name}' has an annotation that cannot be resolved: {error}.",
            remedy="Define the model of parameters at the top level of the module.",
            where=where,
        ) from error
    if isinstance(hint, type) and issubclass(hint, Parameters):
        return hint
    raise ConfigError(
        f"Strategy '{name}' does not say what its parameters are.",
        remedy=f"Write def {METHOD}(prices: Prices, parameters: P), where P is a subclass of "
        "scizor_dagster.strategies.protocol.Parameters; or leave the second argument out.",
        where=where,
    )


def place_of(found: object) -> str:
    """File and line of a function or class, as far as they are known."""
    code = getattr(found, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    known: Any = found
    try:
        return f"{inspect.getsourcefile(known)}:{inspect.getsourcelines(known)[1]}"
    except (OSError, TypeError):
        return str(getattr(found, "__module__", found))


def source_of(found: object) -> str:
    """Text of the module that defines it, and of the modules of its package that this one takes names from."""
    name = str(getattr(found, "__module__", ""))
    package, texts, waiting = name.rpartition(".")[0], dict[str, str](), [name]
    while waiting:
        module = sys.modules.get(current := waiting.pop())
        if current in texts or module is None:
            continue
        try:
            texts[current] = inspect.getsource(module)
        except (OSError, TypeError):
            texts[current] = ""
        owners = {str(getattr(item, "__module__", "")) for item in vars(module).values()}
        waiting += [owner for owner in owners if package and owner.startswith(f"{package}.")]
    return "\n".join(texts[key] for key in sorted(texts))


def _summary(found: object, function: object) -> str:
    text = inspect.getdoc(found) or inspect.getdoc(function) or ""
    return " ".join(text.partition("\n\n")[0].split())
