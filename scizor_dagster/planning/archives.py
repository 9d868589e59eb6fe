"""Everything a plan was made from, as one text that it can be made from again.

What belongs here: inputs, rules and capabilities as canonical JSON, its hash, and the way back. What does not:
where the text is kept (`frames`), and how long (`flow.maintenance`).

A plan that has its text beside it needs no old state of the lake any more: prices, actions, factors, targets and
rates are in it as they were read, and so are holdings and open orders, which no lake ever knew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.errors import DataError
from scizor_dagster.planning.inputs import PlanInputs, named_symbols
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
_ONLY_WHERE_GIVEN = ("manual", "set_apart")


@dataclass(frozen=True, slots=True)
class PlanArchive:
    """What `make_plan` was given."""

    inputs: PlanInputs
    rules: PlanningRules
    capabilities: Capabilities

    def text(self) -> str:
        """Canonical JSON; of prices, volumes and instruments only those that have a say in the plan."""
        return json.dumps(_plain(replace(self, inputs=_used(self.inputs, self.rules))), sort_keys=True)

    def plan(self) -> Plan:
        """The plan, made anew."""
        return make_plan(self.inputs, self.rules, self.capabilities)


def digest_of(text: str) -> str:
    """SHA-256 of an archive's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_archive(text: str, digest: str, where: str) -> PlanArchive:
    """The archive that `text` is, which must be the one that `digest` was taken of.

    Raises:
        DataError: the text was changed since, or is none.
    """
    if digest_of(text) != digest:
        raise DataError(
            f"The inputs kept beside the plan have the SHA-256 {digest_of(text)[:12]}; "
            f"with the plan {digest[:12]} was recorded.",
            remedy="They were changed after the plan was made: restore the lake from its backup.",
            where=where,
        )
    try:
        return _adapter().validate_json(text)
    except ValueError as error:
        raise DataError(
            f"The inputs kept beside the plan cannot be read ({str(error).splitlines()[0]}).",
            remedy="Read them with the version that made the plan, which plans.code_version names.",
            where=where,
        ) from error


def _used(inputs: PlanInputs, rules: PlanningRules) -> PlanInputs:
    used = named_symbols(inputs)
    known = used | {symbol for symbol, _ in rules.overrides}
    return replace(
        inputs,
        prices=_only(inputs.prices, used),
        instruments=_only(inputs.instruments, known),
        previous_prices=_only(inputs.previous_prices, used),
        adv=_only(inputs.adv, used),
        atr=_only(inputs.atr, used),
    )


def _only(items: Mapping[str, T], names: set[str]) -> dict[str, T]:
    return {name: item for name, item in items.items() if name in names}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = {item.name: getattr(value, item.name) for item in fields(value)}
        # Left out where they say nothing: the text of a plan without them is what it was before they were known.
        return {name: _plain(item) for name, item in named.items() if item or name not in _ONLY_WHERE_GIVEN}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) else value


@cache
def _adapter() -> TypeAdapter[PlanArchive]:
    # Pydantic is known already wherever a configuration was read; building the adapter is not free.
    from pydantic import TypeAdapter

    return TypeAdapter(PlanArchive)
