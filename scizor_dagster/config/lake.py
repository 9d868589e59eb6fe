"""How long the lake keeps what is past: the section `lake`.

What belongs here: names, types and defaults. What does not: the clean-up itself (`lake.maintenance`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.config.base import Model


class LakeRules(Model):
    """How long the lake keeps what is past.

    Attributes:
        keep_snapshots_days: Age from which earlier states of the lake may go; what is stored now never does.
        audit_years: How long a plan can be made again from exactly what it was made from.
    """

    keep_snapshots_days: Annotated[int, Field(ge=1, le=3650)] = 30
    audit_years: Annotated[int, Field(ge=1, le=100)] = 7
