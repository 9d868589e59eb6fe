"""`/api/strategies`: named strategies with their parameters, and the functions that they are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.strategies import records_of
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.strategy_records import RecordRow

router = ApiRouter("strategies")
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]


class StrategyRecord(Model):
    """A named strategy as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "fast",
                "version": "3f0a9c21" * 8,
                "description": "Momentum over three months.",
                "changed_by": "ada",
                "reason": "less turnover",
                "changed_at": "2026-11-20T21:05:00Z",
            }
        }
    )

    name: str
    version: str = Field(description="SHA-256 of function, source and parameters.")
    description: str
    changed_by: str
    reason: str
    changed_at: datetime

    @classmethod
    def of(cls, row: RecordRow) -> StrategyRecord:
        return cls(
            name=row.name,
            version=row.version,
            description=row.description,
            changed_by=row.actor,
            reason=row.reason,
            changed_at=row.at,
        )


@router.get("/strategies", summary="The named strategies")
def list_strategies(desk: TheDesk, actor: Reader, paging: ThePage) -> Page[StrategyRecord]:  # noqa: ARG001
    """Those that were not deleted, by name."""
    rows = records_of(desk) if desk.has_ledger else {}
    return paging.page([StrategyRecord.of(row) for row in rows.values()], lambda item: item.name)
