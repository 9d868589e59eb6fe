"""What is looked for behind a rebalance: orders that nobody is at, and what came after a session had ended.

What belongs here: looking, quickly, and asking for `follow_orders`, which alone goes on with what was admitted. What
does not: the looks themselves (`flow.unfinished`, `flow.late_fills`), and acting: a sensor sends nothing and writes
nothing, and a tick that comes twice asks for the same run.

A run key names an occasion and not only a session: Dagster remembers keys for as long as their runs, and one that was
spent on a run that failed would keep every later one away.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from resources.desk import TradingDesk
from scizor_dagster.config import Config
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.late_fills import (
    LateLook,
    PastBatch,
    is_held,
    late_fills,
    may_be_read,
    past_batches,
)
from scizor_dagster.flow.unfinished import look_for_unfinished
from scizor_dagster.jobnames import name_for
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

LATE_EVERY = timedelta(minutes=30)
"""At most one read of an account's broker in this time."""
_ASKED_FOR = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
"""Not those that have started: a run whose process was killed stays so, and the lease says whether it lives."""


def order_sensors(config: Config, jobs: Sequence["UnresolvedAssetJobDefinition"]) -> list[dg.SensorDefinition]:
    """`unfinished_orders` of every portfolio, and `late_fills` of every account that one trades on.

    `jobs` are those of the definitions, `follow_orders` of every portfolio among them.
    """
    named = {job.name: job for job in jobs}
    accounts = list(dict.fromkeys(item.account for item in config.portfolios.values()))
    found = [_unfinished_orders(config, portfolio) for portfolio in config.portfolios]
    return found + [_late_fills(config, account, accounts, named) for account in accounts]


def _unfinished_orders(config: Config, portfolio: str) -> dg.SensorDefinition:
    calendar = TradingCalendar(config.markets[config.portfolios[portfolio].market].calendar)
    job = name_for("follow_orders", portfolio, config.portfolios)

    @dg.sensor(
        name=name_for("unfinished_orders", portfolio, config.portfolios),
        job_name=job,
        minimum_interval_seconds=60,
        description="Asks for follow_orders while orders of today are open and no run is at them.",
    )
    def unfinished_orders(context: dg.SensorEvaluationContext, desk: TradingDesk) -> dg.RunRequest | dg.SkipReason:
        try:
            now = desk.desk.clock()
            session = now.astimezone(calendar.timezone).date()
            if not calendar.is_session(session):
                return dg.SkipReason(f"{session} is no session of {calendar.code}.")
            look = look_for_unfinished(desk.desk, portfolio, session, now)
        except ScizorError as error:
            return dg.SkipReason(str(error))
        if not look.occasion:
            return dg.SkipReason(look.reason)
        key, partition = f"{job}:{session}:{look.occasion}", session.isoformat()
        if _is_asked_for(context.instance, job, partition, key):
            return dg.SkipReason(f"{look.reason} A run of {job} is waiting to start.")
        context.log.info(look.reason)
        return dg.RunRequest(run_key=key, partition_key=partition)

    return unfinished_orders


def _late_fills(
    config: Config, account: str, accounts: Sequence[str], named: Mapping[str, "UnresolvedAssetJobDefinition"]
) -> dg.SensorDefinition:
    jobs = {
        name: name_for("follow_orders", name, config.portfolios)
        for name, item in config.portfolios.items()
        if item.account == account
    }

    @dg.sensor(
        name=name_for("late_fills", account, accounts),
        jobs=[named[job] for job in jobs.values()],
        minimum_interval_seconds=int(LATE_EVERY.total_seconds()),
        description="Asks for follow_orders of a recent session whose fills came late.",
    )
    def look_for_late_fills(context: dg.SensorEvaluationContext, desk: TradingDesk) -> dg.SensorResult | dg.SkipReason:
        try:
            now = desk.desk.clock()
            past = past_batches(desk.desk, account, now)
            if not past:
                return dg.SkipReason(f"No portfolio has traded on account {account} lately.")
            if is_held(desk.desk, account, now):
                return dg.SkipReason(f"A run is at the orders of account {account}.")
        except ScizorError as error:
            return dg.SkipReason(str(error))
        found, said, cursor = _read_at_most_once(desk.desk, account, past, now, context.cursor)
        requests = _requests(context.instance, jobs, found)
        if not requests:
            return dg.SensorResult(skip_reason=said or "Nothing has come late.", cursor=cursor)
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return look_for_late_fills


def _read_at_most_once(
    desk: Desk, account: str, past: Sequence[PastBatch], now: datetime, cursor: str | None
) -> tuple[list[LateLook], str, str | None]:
    """Sessions with late fills, what there is to say, and the cursor: when the broker was asked last."""
    if not may_be_read(desk, account):
        return [], "A TWS is read by runs alone, which need its one connection.", cursor
    read_at = json.loads(cursor)["read_at"] if cursor else None
    # A clock that was ahead has left a time to come: it says nothing of when the broker may be asked again.
    if read_at is not None and abs(now - datetime.fromisoformat(read_at)) < LATE_EVERY:
        return [], f"The broker was asked at {read_at}; it is asked every {LATE_EVERY.seconds // 60} minutes.", cursor
    if not any(item.may_still_fill for item in past):
        return [], "Nothing of the recent sessions can still fill.", cursor
    asked = json.dumps({"read_at": now.isoformat()})
    try:
        return late_fills(desk, account, past, now), "", asked
    except ScizorError as error:
        return [], str(error), asked


def _requests(instance: dg.DagsterInstance, jobs: Mapping[str, str], looks: Sequence[LateLook]) -> list[dg.RunRequest]:
    """One run for each session and portfolio, unless one is waiting to start already."""
    found: dict[tuple[str, str], dg.RunRequest] = {}
    for look in looks:
        job, partition = jobs[look.portfolio], look.session.isoformat()
        key = f"{job}:{partition}:{look.occasion}"
        if (job, partition) not in found and not _is_asked_for(instance, job, partition, key):
            found[job, partition] = dg.RunRequest(run_key=key, partition_key=partition, job_name=job)
    return list(found.values())


def _is_asked_for(instance: dg.DagsterInstance, job: str, partition: str, key: str) -> bool:
    """Whether another run of the job waits to start for this session: one is enough, however long the queue is.

    A run of the same key does not count: a tick that was cut short between making its run and starting it comes again,
    and Dagster then starts that run.
    """
    waiting = instance.get_runs(
        dg.RunsFilter(job_name=job, statuses=_ASKED_FOR, tags={"dagster/partition": partition}), limit=20
    )
    return any(run.tags.get("dagster/run_key") != key for run in waiting)
