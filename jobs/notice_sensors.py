"""Who is told when: a sensor for runs that failed, and one for what the stores say.

What belongs here: reading from Dagster why a run failed, and asking the notifier. What does not: what is due
(`flow.notices`), its words, and whom it reaches (`notifications`). Telling is the one effect of these sensors: they ask
for no run and write nothing but who was told. Nobody who cannot be told makes a tick fail.
"""

from datetime import date
from typing import Any

import dagster as dg

from resources.desk import TradingDesk
from resources.notifier import NotifierResource
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.notices import due_notices
from scizor_dagster.notifications.notifier import Outcome
from scizor_dagster.notifications.texts import FailedRun, run_failed

PORTFOLIO = "scizor/portfolio"
_PARTITION = "dagster/partition"
_WILL_RETRY = "dagster/will_retry"
_CHECKS = "DagsterAssetCheckFailedError"
"""Its text names checks and assets, and nothing else."""


def notice_sensors() -> list[dg.SensorDefinition]:
    """`notify_failed_runs` of every job, and `notify` of what ledger and lake hold."""
    return [_failed_runs(), _notify()]


def _failed_runs() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="notify_failed_runs",
        minimum_interval_seconds=30,
        description="Tells whom the configuration names of each run that failed.",
    )
    def notify_failed_runs(context: dg.RunFailureSensorContext, notifier: NotifierResource) -> dg.SkipReason:
        if context.dagster_run.tags.get(_WILL_RETRY) == "true":
            return dg.SkipReason("Dagster runs it again by itself.")
        try:
            return dg.SkipReason(_said(notifier.notifier.tell([run_failed(failed_run(context))])))
        except ScizorError as error:
            return dg.SkipReason(str(error))

    return notify_failed_runs


def _notify() -> dg.SensorDefinition:
    @dg.sensor(
        name="notify",
        minimum_interval_seconds=60,
        description="Tells whom the configuration names of stops, breaks, what waits for a person, and the day.",
    )
    def notify(context: dg.SensorEvaluationContext, desk: TradingDesk, notifier: NotifierResource) -> dg.SkipReason:
        try:
            teller = notifier.notifier
            due, problems = due_notices(desk.desk, desk.desk.clock(), teller.rules.is_on)
        except ScizorError as error:
            return dg.SkipReason(str(error))
        for problem in problems:
            context.log.warning(problem)
        return dg.SkipReason(" ".join([_said(teller.tell(due, again=True)), *problems]))

    return notify


def failed_run(context: dg.RunFailureSensorContext) -> FailedRun:
    """What a notice says of a run. Of an error that is not this project's only its name: its text may hold anything."""
    run = context.dagster_run
    step, problem, held = "", "", False
    for event in context.get_step_failure_events()[:1]:
        step, data = str(event.step_key or ""), event.step_failure_data
        problem, held = _why(data)
    return FailedRun(
        job=run.job_name,
        run_id=run.run_id,
        partition=run.tags.get(_PARTITION, ""),
        portfolio=run.tags.get(PORTFOLIO, ""),
        step=step,
        problem=problem,
        held=held,
        day=_began(context),
    )


def _began(context: dg.RunFailureSensorContext) -> date | None:
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    return record.create_timestamp.date() if record is not None else None


def _why(data: Any) -> tuple[str, bool]:
    """Cause, place and remedy of a `dagster.Failure` of this project, and whether a person is waited for."""
    said = data.user_failure_data
    if said is not None and said.description:
        report = said.metadata.get("report")
        return said.description, isinstance(report, dg.JsonMetadataValue) and _status(report.data) == "held"
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None or not error.cls_name:
        return "", False
    return (error.message.strip() if error.cls_name == _CHECKS else f"It ended with {error.cls_name}."), False


def _status(report: Any) -> str:
    return str(report.get("status", "")) if isinstance(report, dict) else ""


def _said(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return "There is nothing to tell that was not told before."
    lines = [item.failure or f"{item.target} was told: {item.title}." for item in outcomes]
    return " ".join(lines)
