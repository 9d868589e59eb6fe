"""What is looked for: new weight files; `order_sensors` has what is looked for once orders are out, and
`notice_sensors` who is told of what.

What belongs here: looking, quickly. What does not: acting; a sensor only asks for a run, ticks come
at least once, and a tick that comes twice changes nothing.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from jobs.notice_sensors import notice_sensors
from jobs.order_sensors import order_sensors
from resources.desk import TradingDesk
from scizor_dagster.config import Config
from scizor_dagster.flow.weight_files import missing_files, weight_files_state, weight_sessions
from scizor_dagster.jobnames import name_for
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def sensors(config: Config, jobs: Sequence["UnresolvedAssetJobDefinition"]) -> list[dg.SensorDefinition]:
    """`new_weight_file` and `unfinished_orders` of every portfolio, `late_fills` of every account, and the notices.

    `jobs` are those of the definitions, which know them by name and object.
    """
    files = [_new_weight_file(config, portfolio) for portfolio in config.portfolios]
    return [*files, *order_sensors(config, jobs), *notice_sensors()]


def _new_weight_file(config: Config, portfolio: str) -> dg.SensorDefinition:
    settings = config.portfolios[portfolio]
    calendar = TradingCalendar(config.markets[settings.market].calendar)
    first = config.markets[settings.market].first_session
    job = name_for("take_signals", portfolio, config.portfolios)

    @dg.sensor(
        name=name_for("new_weight_file", portfolio, config.portfolios),
        job_name=job,
        minimum_interval_seconds=60,
        description=f"Takes in the weights of {settings.signals.named} when the content of a file has changed.",
    )
    def new_weight_file(context: dg.SensorEvaluationContext, desk: TradingDesk) -> dg.SensorResult | dg.SkipReason:
        seen = json.loads(context.cursor) if context.cursor else {}
        found = weight_files_state(desk.desk, portfolio)
        if found is None:
            missing = " and ".join(missing_files(desk.desk, portfolio))
            if not missing:
                return dg.SkipReason(f"No strategy of portfolio {portfolio} runs: no weight file is read.")
            return dg.SkipReason(f"The weight file of strategy {missing} does not exist yet.")
        if found == seen.get("taken"):
            return dg.SkipReason("The weight file has not changed.")
        if found != seen.get("waiting"):
            # Half a file may have been seen: it counts once two ticks agree.
            cursor = json.dumps({**seen, "waiting": found})
            return dg.SensorResult(skip_reason="The weight file has changed; is it stable?", cursor=cursor)
        # The number keeps the run key new when a file returns to what it was once before.
        number = int(seen.get("number", 0)) + 1
        cursor = json.dumps({"taken": found, "waiting": found, "number": number})
        now = desk.desk.clock()
        weights = weight_sessions(desk.desk, portfolio)
        known = sorted(session for session in weights if session >= first)
        if weights and not known:
            reason = f"The newest weights are for {max(weights)}; market {settings.market} begins on {first}."
            return dg.SensorResult(skip_reason=reason, cursor=cursor)
        session = session_to_take_in(known, calendar, now)
        if session > now.astimezone(calendar.timezone).date():
            # Its partition does not exist yet; the rebalance of that day takes the file in.
            return dg.SensorResult(skip_reason=f"The next weights are for {session}, which is ahead.", cursor=cursor)
        request = dg.RunRequest(run_key=f"{job}:{number}:{found}", partition_key=session.isoformat())
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return new_weight_file


def session_to_take_in(sessions: Sequence[date], calendar: TradingCalendar, now: datetime) -> date:
    """The first session from today on that the file names, else its last one.

    A refused file names none: its run is of the last closed session, and shows the reasons.
    """
    current = calendar.current_session(now)
    ahead = [session for session in sessions if session >= current]
    if ahead:
        return ahead[0]
    return sessions[-1] if sessions else calendar.last_closed(now)
