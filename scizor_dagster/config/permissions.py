"""How far ahead a person may permit live trading: the section `arming`.

What belongs here: names, types and defaults. What does not: the permission itself (`ledger.arming`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.config.base import Model


class ArmingRules(Model):
    """Of `scizor arm`.

    Attributes:
        max_days: The longest that one arming may last, in days of 24 hours.
    """

    max_days: Annotated[int, Field(ge=1, le=90)] = 7
