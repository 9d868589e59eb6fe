"""How long Dagster's record of runs is kept: the section `runs`.

What belongs here: names, types and defaults. What does not: the pruning itself (`resources.run_history`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.config.base import Model


class RunRules(Model):
    """How long Dagster's record of runs is kept; no store of Scizor's depends on it.

    Attributes:
        keep_days: Age from which a finished run may go, with its events; one that a partition's newest state rests on
            stays. At least 35: by then no schedule and no sensor asks for the same run again.
        keep_output_days: Age from which the captured output of a finished run goes, also of one that stays.
    """

    keep_days: Annotated[int, Field(ge=35, le=36500)] = 400
    keep_output_days: Annotated[int, Field(ge=1, le=36500)] = 35
