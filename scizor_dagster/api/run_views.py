"""A run as the services show it, and its progress as events.

What belongs here: the model that collections, backtests and optimizations share. What does not: what a run has made
(the routes of each).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import ConfigDict, Field

from scizor_dagster.api.events import Event, Read, Told
from scizor_dagster.api.models import Model
from scizor_dagster.api.runs import ACTOR_TAG, ENDED, Runs, RunState, RunStatus

RUN_EXAMPLE: dict[str, Any] = {
    "id": "0b0f5c3e-6a3f-4b0e-9a46-3c1c0f2f3a10",
    "status": "running",
    "job": "collect_history",
    "submitted_by": "ada",
    "started_at": "2026-11-20T21:05:00Z",
    "ended_at": None,
    "problem": None,
    "steps_done": ["us__symbols"],
}


class RunView(Model):
    """A run of Dagster."""

    model_config = ConfigDict(json_schema_extra={"example": RUN_EXAMPLE})

    id: str
    status: RunStatus
    job: str = Field(description="Name of the job, as Dagster's UI has it.")
    submitted_by: str
    started_at: datetime | None
    ended_at: datetime | None
    problem: str | None = Field(description="Why it failed.")
    steps_done: list[str]

    @classmethod
    def of(cls, state: RunState) -> RunView:
        return cls(
            id=state.run_id,
            status=state.status,
            job=state.job,
            submitted_by=state.tags.get(ACTOR_TAG, ""),
            started_at=state.started_at,
            ended_at=state.ended_at,
            problem=state.problem or None,
            steps_done=list(state.steps_done),
        )


def accepted(response: Response, path: str, state: RunState) -> RunView:
    """The answer (202) to what was submitted; `path` is where its state is found."""
    response.headers["Location"] = f"{path}/{state.run_id}"
    return RunView.of(state)


def progress_of(runs: Runs, run_id: str, kind: str) -> Read:
    """What `events.stream` tells of a run: each step as it is done, and the end."""

    def read(after: int) -> Told:
        state = runs.state(run_id, kind)
        steps = [Event(number, "step", {"step": name}) for number, name in enumerate(state.steps_done, start=1)]
        ended = state.status in ENDED
        told = {"status": state.status.value, "problem": state.problem or None}
        last = [Event(len(steps) + 1, "end", told)] if ended else []
        return Told([event for event in (*steps, *last) if event.number > after], ended)

    return read
