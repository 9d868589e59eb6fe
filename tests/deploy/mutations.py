"""What changes something in Dagster, as its UI asks for it: one mutation of each kind, on the small workspace.

Each is shown to work by an operator who is logged in; so what is refused elsewhere would have had an effect.
"""

from __future__ import annotations

import json
import re
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


def changing(name: str, call: str, succeeds: str, asks: str = "", **variables: Any) -> Mutation:
    """A mutation whose call declares its variables as GraphQL does: `startSchedule(scheduleSelector: $s: Kind!)`."""
    declared = ", ".join(re.findall(r"\$\w+: [\w!\[\]]+", call))
    plain = re.sub(r"(\$\w+): [\w!\[\]]+", r"\1", call)
    # What has no kinds of answer is asked for nothing.
    answer = f"{{ __typename ... on PythonError {{ message }} {asks} }}" if succeeds else ""
    return Mutation(
        name, f"mutation M{f'({declared})' if declared else ''} {{ done: {plain} {answer} }}", succeeds, variables
    )


def launch(job: str = "make_thing") -> Mutation:
    selector = {"selector": {**REPOSITORY, "jobName": job}, "runConfigData": {}, "mode": "default"}
    asks = "... on LaunchRunSuccess { run { runId } }"
    return changing(
        "launch a run", "launchRun(executionParams: $e: ExecutionParams!)", "LaunchRunSuccess", asks, e=selector
    )


def move(cursor: str = "elsewhere") -> Mutation:
    call = "setSensorCursor(sensorSelector: $s: SensorSelector!, cursor: $c: String!)"
    return changing("set a cursor", call, "Sensor", s={**REPOSITORY, "sensorName": "watcher"}, c=cursor)


def every(run: str, ended: str) -> list[Mutation]:
    """One of each kind; `run` is going on, `ended` is not."""
    schedule, sensor = {**REPOSITORY, "scheduleName": "hourly"}, {**REPOSITORY, "sensorName": "watcher"}
    again = {"parentRunId": ended, "strategy": "ALL_STEPS"}
    by_hand = {"eventType": "ASSET_MATERIALIZATION", "assetKey": THING, "description": "by hand"}
    attic = {"assetSelection": [{"path": ["furnished"]}], "partitionNames": ["attic"]}
    retry = "launchRunReexecution(reexecutionParams: $r: ReexecutionParams!)"
    pool = "setConcurrencyLimit(concurrencyKey: $k: String!, limit: $l: Int!)"
    state = "ScheduleStateResult"
    return [
        launch(),
        changing("re-execute", retry, "LaunchRunSuccess", r=again),
        changing("start a schedule", "startSchedule(scheduleSelector: $s: ScheduleSelector!)", state, s=schedule),
        changing("reset a schedule", "resetSchedule(scheduleSelector: $s: ScheduleSelector!)", state, s=schedule),
        changing("start a sensor", "startSensor(sensorSelector: $s: SensorSelector!)", "Sensor", s=sensor),
        move(),
        changing(
            "report a materialization",
            "reportRunlessAssetEvents(eventParams: $p: ReportRunlessAssetEventsParams!)",
            "ReportRunlessAssetEventsSuccess",
            p=by_hand,
        ),
        changing(
            "wipe an asset",
            "wipeAssets(assetPartitionRanges: $k: [PartitionsByAssetSelector!]!)",
            "AssetWipeSuccess",
            k=[{"assetKey": THING}],
        ),
        changing(
            "add a partition",
            "addDynamicPartition(repositorySelector: $r: RepositorySelector!, partitionsDefName: $d: String!, "
            "partitionKey: $k: String!)",
            "AddDynamicPartitionSuccess",
            r=REPOSITORY,
            d="rooms",
            k="attic",
        ),
        changing(
            "launch a backfill",
            "launchPartitionBackfill(backfillParams: $b: LaunchBackfillParams!)",
            "LaunchBackfillSuccess",
            b=attic,
        ),
        changing("limit a pool", pool, "", k="broker_paper", l=7),
        changing(
            "terminate a run",
            "terminateRun(runId: $r: String!)",
            "TerminateRunSuccess",
            "... on TerminateRunFailure { message }",
            r=run,
        ),
        changing("delete a run", "deletePipelineRun(runId: $r: String!)", "DeletePipelineRunSuccess", r=ended),
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
