"""When jobs run: cron in exchange time, the exchange's calendar for what cron does not know.

What belongs here: ticks. What does not: the work. Every schedule passes an explicit partition key;
a tick that comes late (after downtime Dagster fires the last missed one, however old) is skipped
with a reason, because a plan made for 09:00 is not one for 11:00. Collecting has no such age: its tick
also asks for the sessions that were missed.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from jobs.maintenance import MAINTAIN
from jobs.times import ticks_of
from resources.desk import TradingDesk
from scizor_dagster.config import Config
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.passes import day_to_close
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.flow.trades import MAX_START_AHEAD, SCHEDULED_FOR
from scizor_dagster.flow.weight_files import concerns
from scizor_dagster.jobnames import name_for
from scizor_dagster.sessions import TradingCalendar

MAX_TICK_AGE = timedelta(minutes=15)
MAX_SESSIONS_CAUGHT_UP = 10
SATURDAY_NOON = "0 12 * * 6"
"""In UTC: no stock exchange trades."""


def schedules(config: Config) -> list[dg.ScheduleDefinition]:
    """`close_day` and `rebalance` before the open, `collect_daily` and `follow_orders` after it, `maintain` weekly."""
    found = [_collection(config, market) for market in config.markets]
    found.append(_maintenance())
    for portfolio in config.portfolios:
        found.append(_second_pass(config, portfolio))
        found.append(_rebalance(config, portfolio))
        found.append(_follow(config, portfolio))
    return found


def _collection(config: Config, market: str) -> dg.ScheduleDefinition:
    calendar = TradingCalendar(config.markets[market].calendar)
    job = name_for("collect_daily", market, config.markets)

    @dg.schedule(
        name=f"{job}_after_close",
        job_name=job,
        cron_schedule=ticks_of(calendar).after_close,
        execution_timezone=str(calendar.timezone),
        description="90 minutes after the regular close, on sessions only. A late tick collects all that was missed.",
    )
    def after_close(
        context: dg.ScheduleEvaluationContext, desk: TradingDesk
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        session = context.scheduled_execution_time.astimezone(calendar.timezone).date()
        if not calendar.is_session(session):
            return dg.SkipReason(f"{session} is no session of {calendar.code}.")
        due = sessions_due(calendar, newest_stored_session(desk.desk, market), session)
        if len(due) > MAX_SESSIONS_CAUGHT_UP:
            context.log.warning(f"{len(due)} sessions are missing from {due[0]} on; fill them: scizor collect history.")
        # A missed session carries the tick as well: a run of it that failed before does not keep this one away.
        return [
            dg.RunRequest(
                run_key=f"{job}:{day}" if day == session else f"{job}:{day}:{session}", partition_key=day.isoformat()
            )
            for day in due[-MAX_SESSIONS_CAUGHT_UP:]
        ]

    return after_close


def _maintenance() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="maintain_weekly",
        job_name=MAINTAIN,
        cron_schedule=SATURDAY_NOON,
        execution_timezone="UTC",
        description="Saturdays at noon, UTC: expires earlier states of the lake, compacts and deletes files.",
    )


def _second_pass(config: Config, portfolio: str) -> dg.ScheduleDefinition:
    settings = config.portfolios[portfolio]
    calendar = TradingCalendar(config.markets[settings.market].calendar)
    job = name_for("close_day", portfolio, config.portfolios)

    @dg.schedule(
        name=f"{job}_before_open",
        job_name=job,
        cron_schedule=ticks_of(calendar).second_pass,
        execution_timezone=str(calendar.timezone),
        description="75 minutes before the open, on sessions: reconciles the last traded session again, and closes it.",
    )
    def second_pass(context: dg.ScheduleEvaluationContext, desk: TradingDesk) -> dg.RunRequest | dg.SkipReason:
        today = context.scheduled_execution_time.astimezone(calendar.timezone).date()
        if not calendar.is_session(today):
            return dg.SkipReason(f"{today} is no session of {calendar.code}.")
        try:
            session = day_to_close(desk.desk, portfolio, today)
        except ScizorError as error:
            return dg.SkipReason(str(error))
        if session is None:
            return dg.SkipReason(f"Every day that portfolio {portfolio} has traded before {today} is closed.")
        return dg.RunRequest(run_key=f"{job}:{session}:{today}", partition_key=session.isoformat())

    return second_pass


def _rebalance(config: Config, portfolio: str) -> dg.ScheduleDefinition:
    settings = config.portfolios[portfolio]
    calendar = TradingCalendar(config.markets[settings.market].calendar)
    job = name_for("rebalance", portfolio, config.portfolios)

    @dg.schedule(
        name=f"{job}_before_open",
        job_name=job,
        cron_schedule=ticks_of(calendar).before_open,
        execution_timezone=str(calendar.timezone),
        description="30 minutes before the open, on sessions with weights of a strategy. Stale ticks are skipped.",
    )
    def before_open(context: dg.ScheduleEvaluationContext, desk: TradingDesk) -> dg.RunRequest | dg.SkipReason:
        scheduled = context.scheduled_execution_time
        session = scheduled.astimezone(calendar.timezone).date()
        if not calendar.is_session(session):
            return dg.SkipReason(f"{session} is no session of {calendar.code}.")
        stale = staleness(scheduled, desk.clock.now())
        if stale:
            return dg.SkipReason(stale)
        if settings.signals.as_of == "exact" and not _may_concern(desk.desk, portfolio, session):
            return dg.SkipReason(f"There are no weights for {session} of {settings.signals.named}.")
        return dg.RunRequest(
            run_key=f"{job}:{session}", partition_key=session.isoformat(), tags={SCHEDULED_FOR: scheduled.isoformat()}
        )

    return before_open


def _may_concern(desk: Desk, portfolio: str, session: date) -> bool:
    try:
        return concerns(desk, portfolio, session)
    except ScizorError:
        # The run says what is wrong; and a ledger that was away for this moment alone costs no session.
        return True


def _follow(config: Config, portfolio: str) -> dg.ScheduleDefinition:
    settings = config.portfolios[portfolio]
    calendar = TradingCalendar(config.markets[settings.market].calendar)
    job = name_for("follow_orders", portfolio, config.portfolios)

    @dg.schedule(
        name=f"{job}_after_collection",
        job_name=job,
        cron_schedule=ticks_of(calendar).after_collection,
        execution_timezone=str(calendar.timezone),
        description="Once the session's prices are collected: ends its orders, reconciles and measures it.",
    )
    def after_collection(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        scheduled = context.scheduled_execution_time
        session = scheduled.astimezone(calendar.timezone).date()
        if not calendar.is_session(session):
            return dg.SkipReason(f"{session} is no session of {calendar.code}.")
        return dg.RunRequest(run_key=f"{job}:{scheduled.isoformat()}", partition_key=session.isoformat())

    return after_collection


def sessions_due(calendar: TradingCalendar, newest: date | None, session: date) -> list[date]:
    """The sessions after the `newest` stored one up to `session`, which is always among them."""
    if newest is None or newest >= session:
        return [session]
    return calendar.sessions(calendar.next_session(newest), session)


def staleness(scheduled: datetime, now: datetime) -> str:
    """A sentence when the tick is older than `MAX_TICK_AGE`, or ahead of the clock as no run may be, else nothing."""
    age = now - scheduled
    if -MAX_START_AHEAD <= age <= MAX_TICK_AGE:
        return ""
    if now < scheduled:
        return (
            f"The tick of {scheduled.isoformat()} lies ahead of this machine's clock, which says {now.isoformat()}. "
            "Set the clock by NTP. To trade this session all the same: scizor run."
        )
    minutes = int(age.total_seconds() // 60)
    limit = int(MAX_TICK_AGE.total_seconds() // 60)
    return (
        f"The tick of {scheduled.isoformat()} is {minutes} minutes old; {limit} are allowed. "
        "To trade this session all the same: scizor run."
    )
