"""Lines of the log that are written within a step say which run, job, asset, portfolio and session they belong to."""

import json
import logging
from collections.abc import Iterator

import dagster as dg
import pytest

from assets.failures import clear_failures
from scizor_dagster import logs
from scizor_dagster.flow.secrets import redaction_of_environment

SESSIONS = dg.StaticPartitionsDefinition(["2025-02-03"])


@dg.asset(key=["main", "executions"], partitions_def=SESSIONS)
def executions(context: dg.AssetExecutionContext) -> None:
    with clear_failures():
        logging.getLogger("scizor.tried").warning("within the work")
    context.log.info("said by the step: CANARYx9f3e7a1b5c8d2")


@pytest.fixture
def _a_process_of_dagsters() -> Iterator[None]:
    """What a process does that Dagster begins, and undoes when it ends."""
    environment = {"LOG_FORMAT": "json", "A_SECRET": "CANARYx9f3e7a1b5c8d2"}
    before = logging.getLoggerClass()
    logs.dress_dagster(environment, redaction_of_environment(environment))
    yield
    logging.setLoggerClass(before)


def run() -> dg.ExecuteInProcessResult:
    job = dg.Definitions(assets=[executions], jobs=[dg.define_asset_job("rebalance")]).resolve_job_def("rebalance")
    return job.execute_in_process(partition_key="2025-02-03", tags={"scizor/portfolio": "main"})


@pytest.mark.usefixtures("_a_process_of_dagsters")
def test_a_line_within_a_step_has_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    logs.dress(handler, {"LOG_FORMAT": "json"}, str)
    logger = logging.getLogger("scizor.tried")
    logger.addHandler(handler)
    try:
        result = run()
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    own = next(row for row in lines if row["logger"] == "scizor.tried")
    assert {name: own[name] for name in own if name != "time"} == {
        "level": "warning",
        "logger": "scizor.tried",
        "message": "within the work",
        "run_id": result.run_id,
        "job": "rebalance",
        "asset": "main/executions",
        "portfolio": "main",
        "session": "2025-02-03",
    }
    assert {row["run_id"] for row in lines} == {result.run_id}
    said = next(row for row in lines if "said by the step" in row["message"])
    assert said["message"].endswith("said by the step: ***")
    assert (said["job"], said["step"]) == ("rebalance", "main__executions")


def test_outside_of_a_step_there_are_no_ids(caplog: pytest.LogCaptureFixture) -> None:
    with clear_failures():
        logging.getLogger("scizor.tried").warning("on its own")
    assert caplog.messages == ["on its own"]
