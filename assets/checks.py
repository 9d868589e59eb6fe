"""Asset checks: one factory from a pandera schema to a blocking check, and checks of plain facts.

What belongs here: specs and results. What does not: schemas (`scizor_dagster.lake.schemas`) and
rules. Checks run inside the step that wrote the rows, so they cost no step of their own; a blocking
one stops what follows in its run, and `executions` reads the stored facts again for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import table
from scizor_dagster.lake.schemas import schema_failures


@dataclass(frozen=True)
class SchemaCheck:
    """A pandera schema as a blocking check of the rows that were stored."""

    key: dg.AssetKey
    schema: Callable[[], Any]
    name: str = "rows_match_schema"

    @property
    def spec(self) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(
            self.name,
            asset=self.key,
            blocking=True,
            description="Every row has the columns, types and ranges that the table promises.",
        )

    def result(self, frame: pd.DataFrame) -> dg.AssetCheckResult:
        failures = schema_failures(self.schema(), frame)
        metadata: dict[str, Any] = {"rows": len(frame), "failures": len(failures)}
        if not failures.empty:
            metadata["failing_rows"] = table(failures)
        return dg.AssetCheckResult(
            check_name=self.name,
            passed=failures.empty,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=metadata,
        )


@dataclass(frozen=True)
class FactCheck:
    """A sentence that must be true of what was just written."""

    key: dg.AssetKey
    name: str
    description: str
    blocking: bool = False

    @property
    def spec(self) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(self.name, asset=self.key, blocking=self.blocking, description=self.description)

    def result(self, passed: bool, **metadata: Any) -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(check_name=self.name, passed=passed, severity=severity, metadata=metadata)
