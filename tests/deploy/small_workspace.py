"""A code location with one of everything that a stranger could want to move. It imports nothing of the project's."""

import dagster as dg


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="thing")])
def thing() -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


rooms = dg.DynamicPartitionsDefinition(name="rooms")


@dg.asset(partitions_def=rooms)
def furnished() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.op
def wait_to_be_ended() -> None:
    import time

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.1)


@dg.job(executor_def=dg.in_process_executor)
def endless() -> None:
    wait_to_be_ended()


make_thing = dg.define_asset_job("make_thing", selection=[thing], executor_def=dg.in_process_executor)
hourly = dg.ScheduleDefinition(name="hourly", job=make_thing, cron_schedule="0 * * * *")


@dg.sensor(job=make_thing, name="watcher")
def watcher() -> dg.SkipReason:
    return dg.SkipReason("nothing")


defs = dg.Definitions(assets=[thing, furnished], jobs=[make_thing, endless], schedules=[hourly], sensors=[watcher])
