"""When a session counts as missed, and who is told: the section `watchdog`.

What belongs here: names, types and defaults. What does not: what is looked at
(`flow.watch_trading`, `flow.watch_inputs`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model

Minutes = Annotated[int, Field(ge=0, le=1440)]


class WatchdogRules(Model):
    """When a session counts as missed, and who is told.

    Attributes:
        after_open_minutes: By then after the open a plan must be admitted, and the session before reconciled again.
        after_close_minutes: By then after the regular close, also on a day that closes early, prices are collected,
            orders have ended and the session is reconciled.
        heartbeat_minutes: Age from which Dagster's daemon counts as gone.
        notify: Program and arguments that are told, without a shell, the findings as JSON on its standard input;
            None tells nobody.
        notify_when: `findings`, or `always`: also that all is well, for a service that waits to hear from it.
        notify_timeout_seconds: How long the program may take.
    """

    after_open_minutes: Minutes = 15
    after_close_minutes: Minutes = 180
    heartbeat_minutes: Annotated[int, Field(ge=1, le=1440)] = 5
    notify: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    notify_when: Literal["findings", "always"] = "findings"
    notify_timeout_seconds: Annotated[float, Field(gt=0.0, le=600.0)] = 30.0
