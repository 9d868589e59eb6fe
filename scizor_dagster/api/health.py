"""`GET /api/health`: whether the service can do its work.

What belongs here: the stores and the configuration, in a moment. What does not: whether all is well with trading
(`scizor watchdog`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheContext
from scizor_dagster.api.models import Model
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.version import release

router = ApiRouter("health")


class Health(Model):
    """The state of the service. A store that cannot be read is an error (503), not a word here."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "ok",
                "version": "0.1.0",
                "at": "2026-11-20T21:05:00Z",
                "lake": True,
                "ledger": True,
            }
        }
    )

    status: Literal["ok"]
    version: str
    at: datetime = Field(description="The machine's clock.")
    lake: bool = Field(description="Whether there are stored prices yet.")
    ledger: bool


@router.get("/health", summary="Whether the service works")
def health(
    context: TheContext,
    actor: Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))],  # noqa: ARG001
) -> Health:
    """Reads both stores."""
    desk = context.desk
    if desk.has_lake:
        with desk.lake.read() as cursor:
            cursor.execute("SELECT 1")
    return Health(status="ok", version=release(), at=context.clock(), lake=desk.has_lake, ledger=desk.has_ledger)
