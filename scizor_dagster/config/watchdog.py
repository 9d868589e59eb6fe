"""When a session counts as missed: the section `watchdog`.

What belongs here: names, types and defaults. What does not: what is looked at
(`flow.watch_trading`, `flow.watch_inputs`), and who is told (`notifications`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.config.base import Model

Minutes = Annotated[int, Field(ge=0, le=1440)]


class WatchdogRules(Model):
    """When a session counts as missed.

    Attributes:
        after_open_minutes: By then after the open a plan must be admitted, and the session before reconciled again.
        after_close_minutes: By then after the regular close, also on a day that closes early, prices are collected,
            orders have ended and the session is reconciled.
        heartbeat_minutes: Age from which Dagster's daemon counts as gone.
    """

    after_open_minutes: Minutes = 15
    after_close_minutes: Minutes = 180
    heartbeat_minutes: Annotated[int, Field(ge=1, le=1440)] = 5
