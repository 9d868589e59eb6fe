"""The edge where Scizor's errors become Dagster's, and Dagster's ids stand in the log.

What belongs here: the one translation, used by every asset body, and what a line of the log says of the step. What does
not: catching an error to go on; an asset that cannot do its work fails, without a retry.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterInvariantViolationError

from assets.metadata import MAX_VIOLATIONS, violations_table
from scizor_dagster.errors import ScizorError, SignalRefused
from scizor_dagster.logs import bound
from scizor_dagster.signals.report import SignalReport


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn a `ScizorError` into a `dagster.Failure` that shows cause, place and remedy and is never retried."""
    try:
        with bound(**_ids()):
            yield
    except SignalRefused as error:
        raise dg.Failure(
            description=str(error),
            metadata={
                "file": dg.MetadataValue.path(error.path),
                "violations": violations_table(error.violations, Path(error.path).name),
                "report": dg.MetadataValue.json(_report(error)),
                "remedy": error.remedy,
            },
            allow_retries=False,
        ) from error
    except ScizorError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"kind": type(error).__name__, "where": error.where or "", "remedy": error.remedy},
            allow_retries=False,
        ) from error


def _ids() -> dict[str, str | None]:
    """Run, job, asset, portfolio and session of the step that is under way; nothing outside of one."""
    try:
        context = dg.AssetExecutionContext.get()
    except DagsterInvariantViolationError:
        return {}
    tags = context.run.tags
    return {
        "run_id": context.run_id,
        "job": context.job_name,
        "asset": " ".join(sorted(key.to_user_string() for key in context.selected_asset_keys)),
        "portfolio": tags.get("scizor/portfolio"),
        "session": tags.get("dagster/partition"),
    }


def _report(error: SignalRefused) -> dict[str, Any]:
    """What `scizor signals check --json` says, bounded as the table is: it stays in Dagster's event log."""
    if not isinstance(error.report, SignalReport):
        return {"status": "refused", "strategy": error.strategy, "path": error.path, "violations": []}
    body = error.report.to_json()
    counts = {f"{name}_found": len(body[name]) for name in ("violations", "warnings")}
    return body | {name: body[name][:MAX_VIOLATIONS] for name in ("violations", "warnings")} | counts
