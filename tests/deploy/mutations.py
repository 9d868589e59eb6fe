"""What changes something in Dagster, as its UI asks for it: one mutation of each kind, on the small workspace.

Each is shown to work by an operator who is logged in; so what is refused elsewhere would have had an effect.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "small"}
THING = {"path": ["thing"]}


@dataclass(frozen=True)
class Mutation:
    """`succeeds` is the `__typename` of an answer that says that it was done."""

    name: str
    query: str
    succeeds: str
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return json.dumps({"query": self.query, "variables": self.variables}).encode()


def launch(job: str = "make_thing") -> Mutation:
    return Mutation(
        "launch a run",
        "mutation M($e: ExecutionParams!) { done: launchRun(executionParams: $e) { __typename "
        "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        "LaunchRunSuccess",
        {"e": {"selector": {**REPOSITORY, "jobName": job}, "runConfigData": {}, "mode": "default"}},
    )


def every(run: str, ended: str) -> list[Mutation]:
    """One of each kind; `run` is going on, `ended` is not."""
    schedule, sensor = {**REPOSITORY, "scheduleName": "hourly"}, {**REPOSITORY, "sensorName": "watcher"}
    error = "... on PythonError { message }"
    return [
        launch(),
        Mutation(
            "re-execute a run",
            "mutation M($r: ReexecutionParams!) { done: launchRunReexecution(reexecutionParams: $r) "
            f"{{ __typename {error} }} }}",
            "LaunchRunSuccess",
            {"r": {"parentRunId": ended, "strategy": "ALL_STEPS"}},
        ),
        Mutation(
            "start a schedule",
            "mutation M($s: ScheduleSelector!) { done: startSchedule(scheduleSelector: $s) "
            f"{{ __typename {error} }} }}",
            "ScheduleStateResult",
            {"s": schedule},
        ),
        Mutation(
            "reset a schedule",
            f"mutation M($s: ScheduleSelector!) {{ done: resetSchedule(scheduleSelector: $s) {{ __typename {error} }} }}",
            "ScheduleStateResult",
            {"s": schedule},
        ),
        Mutation(
            "start a sensor",
            f"mutation M($s: SensorSelector!) {{ done: startSensor(sensorSelector: $s) {{ __typename {error} }} }}",
            "Sensor",
            {"s": sensor},
        ),
        Mutation(
            "set the cursor of a sensor",
            'mutation M($s: SensorSelector!) { done: setSensorCursor(sensorSelector: $s, cursor: "elsewhere") '
            f"{{ __typename {error} }} }}",
            "Sensor",
            {"s": sensor},
        ),
        Mutation(
            "report a materialization",
            "mutation M($p: ReportRunlessAssetEventsParams!) { done: reportRunlessAssetEvents(eventParams: $p) "
            f"{{ __typename {error} }} }}",
            "ReportRunlessAssetEventsSuccess",
            {"p": {"eventType": "ASSET_MATERIALIZATION", "assetKey": THING, "description": "by hand"}},
        ),
        Mutation(
            "wipe an asset",
            "mutation M($k: [PartitionsByAssetSelector!]!) { done: wipeAssets(assetPartitionRanges: $k) "
            f"{{ __typename {error} }} }}",
            "AssetWipeSuccess",
            {"k": [{"assetKey": THING}]},
        ),
        Mutation(
            "add a partition",
            "mutation M($r: RepositorySelector!) { done: addDynamicPartition(repositorySelector: $r, "
            f'partitionsDefName: "rooms", partitionKey: "attic") {{ __typename {error} }} }}',
            "AddDynamicPartitionSuccess",
            {"r": REPOSITORY},
        ),
        Mutation(
            "launch a backfill",
            f"mutation M($b: LaunchBackfillParams!) {{ done: launchPartitionBackfill(backfillParams: $b) {{ __typename {error} }} }}",
            "LaunchBackfillSuccess",
            {"b": {"assetSelection": [{"path": ["furnished"]}], "partitionNames": ["attic"]}},
        ),
        Mutation(
            "limit a pool",
            'mutation M { done: setConcurrencyLimit(concurrencyKey: "broker_paper", limit: 7) }',
            "",
        ),
        Mutation(
            "terminate a run",
            f'mutation M {{ done: terminateRun(runId: "{run}") {{ __typename {error} }} }}',
            "TerminateRunSuccess",
        ),
        Mutation(
            "delete a run",
            f'mutation M {{ done: deletePipelineRun(runId: "{ended}") {{ __typename {error} }} }}',
            "DeletePipelineRunSuccess",
        ),
    ]


REPORTS = ("report_asset_materialization", "report_asset_check", "report_asset_observation")


def spellings(report: str) -> list[str]:
    """The path of a report, and what a server might take for it."""
    plain = f"/{report}/thing"
    first, rest = report[0], report[1:]
    return [
        plain,
        f"{plain}/",
        f"{plain}?description=x",
        f"/{report}/",
        f"/{report}?asset_key=%5B%22thing%22%5D",
        f"//{report}/thing",
        f"///{report}//thing",
        f"/./{report}/thing",
        f"/x/../{report}/thing",
        f"/graphql/../{report}/thing",
        f"/%2e%2e/{report}/thing",
        f"/x/%2e%2e/{report}/thing",
        f"/x/..%2f{report}/thing",
        f"/%2f{report}/thing",
        f"/{report}%2fthing",
        f"/{report}%2Fthing",
        f"/%{ord(first):02x}{rest}/thing",
        f"/%25{ord(first):02x}{rest}/thing",
        f"/{report.replace('_', '%5f')}/thing",
        f"/{report.upper()}/thing",
        f"/{report.title()}/thing",
        f"/{report}/thing;x=y",
        f"/;/{report}/thing",
        f"/{report};/thing",
        f"/\\{report}/thing",
        f"/{report}\\thing",
        f"/{report}%00/thing",
        f"/{report}%20/thing",
        f"/{report}%09/thing",
        f"/graphql/{report}/thing",
        f"/graphql?/{report}/thing",
        f"/graphql%3f/{report}/thing",
        f"/graphql#/{report}/thing",
        f"/logs/../{report}/thing",
        f"/static/..;/{report}/thing",
        f"{plain}%0d%0aX:%20y",
        f"http://127.0.0.1{plain}",
        f"https://desk.example.org{plain}",
        f"{report}/thing",
        f"*/{report}/thing",
    ]
