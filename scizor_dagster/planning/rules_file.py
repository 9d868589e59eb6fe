"""Rules files for `scizor plan --rules`: the rule sections of `config.yaml`, all of them optional.

What belongs here: which keys such a file may hold and what they default to. What does not: what
the rules do (`rules`, `planner`), or the configuration of markets and accounts (`config`).

The older system's `config.yaml` and today's are both accepted: sections that say nothing about
sizing are named in the notes as having no effect here. Unknown keys are refused, with their line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from scizor_dagster.config import (
    UNLIMITED,
    ExecutionRules,
    Fraction,
    FractionalShares,
    Idempotency,
    Limit,
    Model,
    PlanningChoices,
    Positive,
    RiskRules,
    WeightRules,
    validated,
)
from scizor_dagster.config.legacy import take_legacy_keys
from scizor_dagster.errors import ConfigError
from scizor_dagster.planning.rules import PlanningRules, rules_of
from scizor_dagster.strict_yaml import read_yaml

ELSEWHERE = ("strategy_manifest", "markets", "accounts", "portfolios")
"""Sections of today's `config.yaml` that say nothing about a plan made from files."""


class FileFractionalShares(FractionalShares):
    enabled: bool = True
    min_order_notional: Annotated[float, Field(ge=0.0)] = 1.0
    quantity_precision: Annotated[int, Field(ge=0, le=9)] = 2
    max_total_weight: Positive = 1.0
    adjust_for_overflow: bool = True


class FileRisk(RiskRules):
    fractional_shares: FileFractionalShares = FileFractionalShares()
    max_notional_per_order: Limit = UNLIMITED
    max_share_per_order: Limit = UNLIMITED
    max_total_notional: Limit = UNLIMITED
    min_cash_buffer_pct: Fraction = 0.0


class RulesFile(Model):
    """A rules file. Left out means: no cash buffer, minimum notional 1, two decimals, no limits."""

    risk: FileRisk = FileRisk()
    planning: PlanningChoices = PlanningChoices()
    execution: ExecutionRules = ExecutionRules()
    weights: WeightRules = WeightRules()
    idempotency: Idempotency = Idempotency()


def load_rules(path: Path, environment: Mapping[str, str]) -> tuple[PlanningRules, tuple[str, ...]]:
    """Read a rules file.

    Returns:
        The rules, and one sentence for each key that was read but has no effect on a plan.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key or a bad value.
    """
    document = read_yaml(path, environment)
    if not isinstance(document.value, dict):
        raise ConfigError(
            "The file must be a mapping of sections.",
            remedy="See the sections risk and execution of config/config.yaml.",
            where=str(path),
        )
    values, legacy = take_legacy_keys(document)
    notes = list(legacy.sentences)
    elsewhere = [name for name in ELSEWHERE if values.pop(name, None) is not None]
    notes += [f"{document.where((name,))} has no effect on a plan made from files." for name in elsewhere]
    body = validated(RulesFile, values, document)
    try:
        return rules_of(body.risk, body.planning, body.execution, body.weights, body.idempotency), tuple(notes)
    except ConfigError as error:
        raise ConfigError(error.problem, remedy=error.remedy, where=document.where(("risk",))) from error
