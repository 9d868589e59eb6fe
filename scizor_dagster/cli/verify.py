"""`scizor verify`: does every asset check hold on what is stored now?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.cli.preflight import open_desk

if TYPE_CHECKING:
    from scizor_dagster.cli.check_evaluations import Judged
    from scizor_dagster.cli.check_scope import Scope
    from scizor_dagster.settings import Settings


def verify(
    market: Annotated[list[str] | None, typer.Option(help="Only this market; may be given again.")] = None,
    portfolio: Annotated[list[str] | None, typer.Option(help="Only this portfolio; may be given again.")] = None,
    partition: Annotated[
        str | None, typer.Option(help="Session or year to judge; default: the last one that is over.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail as well.")] = False,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Leave no record in Dagster of the checks that are run.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the result as JUnit's XML too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge every asset check of the environment, and fail where one does not hold.

    A check that an asset makes while it writes is judged by its newest evaluation on the newest data; one that stands
    alone is run. What fails: an evaluation of severity ERROR that did not pass, whether the check blocks or not; one
    that was never made, is older than the data, or was lost with its run. Warnings are shown: also `behind`, where a
    portfolio has begun nothing since the session that is judged. Nothing is materialized, and no broker is asked.

    When: in CI and after a deployment: a run is green although a check that blocks nothing has failed.
    Writes: A run of the checks that stand alone into Dagster's record, and FILE. No store of Scizor's is changed.
    Exit codes: 0 every check holds; 1 one does not; 2 nothing is named by these words, or the configuration is wrong.
    JSON: ok, strict, counts{*}, checks[asset, check, partition, state, blocking, evaluated_at, age_hours, run_id,
    detail].
    Example: scizor verify --market us --junit build/checks.xml
    Example: scizor verify --portfolio main --partition 2026-11-20 --strict
    """
    from scizor_dagster.cli.check_scope import Scope

    desk = open_desk()
    scope = Scope.of(desk, market or (), portfolio or (), partition)
    with working("Verifying", quiet=as_json):
        judged = _judge(desk.settings, scope, ephemeral=ephemeral)
    failed = failing(judged, strict=strict)
    if junit is not None:
        _write_report(junit, judged, failed)
    rows = [_row(item, desk.clock()) for item in judged]
    if as_json:
        counts = {str(item.state): 0 for item in judged}
        for item in judged:
            counts[str(item.state)] += 1
        emit_json({"ok": not failed, "strict": strict, "counts": counts, "checks": rows})
    else:
        _print(rows, len(failed))
    raise typer.Exit(1 if failed else 0)


def failing(judged: Sequence[Judged], *, strict: bool) -> list[Judged]:
    """Those of the checks that make the whole fail."""
    from scizor_dagster.cli.check_evaluations import WARNINGS, State

    harmless = {State.PASSED} if strict else {State.PASSED, *WARNINGS}
    return [item for item in judged if item.state not in harmless]


def _judge(settings: Settings, scope: Scope, *, ephemeral: bool) -> list[Judged]:
    import dagster as dg

    from scizor_dagster.cli.check_evaluations import Evaluations
    from scizor_dagster.cli.check_runs import run_checks, stands_alone
    from scizor_dagster.cli.check_scope import Expected
    from scizor_dagster.cli.dead_runs import PROCESS_TAG, living_process
    from scizor_dagster.cli.instance import opened_instance, prepare_home
    from scizor_dagster.definitions import build_defs

    definitions = build_defs(settings)
    graph = definitions.resolve_asset_graph()
    prepare_home(settings)
    with ExitStack() as opened:
        instance = opened.enter_context(opened_instance(settings))
        process = opened.enter_context(living_process(settings.dagster_home))
        target = opened.enter_context(dg.DagsterInstance.ephemeral()) if ephemeral else instance
        checks = Expected(instance, graph, scope).checks()
        stored = Evaluations(instance, graph)
        judged = [stored.judge(key, at) for key, at in checks if not stands_alone(graph, key)]
        by_partition: dict[str | None, list[dg.AssetCheckKey]] = {}
        for key, at in checks:
            if stands_alone(graph, key):
                by_partition.setdefault(at, []).append(key)
        for at, keys in by_partition.items():
            judged += run_checks(definitions, target, keys, at, {PROCESS_TAG: process})
    return sorted((_newest(item, scope) for item in judged), key=lambda item: (item.asset, item.check))


def _newest(item: Judged, scope: Scope) -> Judged:
    """What holds of a portfolio is no news where sessions have passed since."""
    from scizor_dagster.cli.check_evaluations import State

    since = scope.newer_than(item.asset.partition("/")[0], item.partition)
    if since is None or item.state is not State.PASSED:
        return item
    words = f"Holds for {item.partition}, after which nothing was begun; the last session that is over is {since}."
    return replace(item, state=State.BEHIND, detail=words)


def _row(item: Judged, now: datetime) -> dict[str, Any]:
    return {
        "asset": item.asset,
        "check": item.check,
        "partition": item.partition,
        "state": item.state,
        "blocking": item.blocking,
        "evaluated_at": item.at,
        "age_hours": None if item.at is None else round((now - item.at).total_seconds() / 3600, 1),
        "run_id": item.run_id or None,
        "detail": item.detail,
    }


def _write_report(path: Path, judged: Sequence[Judged], failed: Sequence[Judged]) -> None:
    from scizor_dagster.cli.junit import Case, write_junit

    cases = []
    for item in judged:
        name = f"{item.check}[{item.partition}]" if item.partition else item.check
        said = f"{item.state}: {item.detail}".rstrip(": ")
        cases.append(Case(item.asset, name, said if item in failed else None, item.detail))
    write_junit(path, "scizor verify", cases)


def _warned(rows: Sequence[dict[str, Any]]) -> str:
    from scizor_dagster.cli.check_evaluations import WARNINGS

    warned = sum(row["state"] in WARNINGS for row in rows)
    return f" {warned} of them with a warning." if warned else ""


def _print(rows: Sequence[dict[str, Any]], failed: int) -> None:
    columns = ("asset", "check", "partition", "state", "age in hours", "detail")
    shown = [[row[name.replace("age in hours", "age_hours")] for name in columns] for row in rows]
    print_table("scizor verify", columns, shown)
    if failed:
        typer.secho(f"{failed} of {len(rows)} checks do not hold. See them in the UI: scizor dev.", fg=typer.colors.RED)
    else:
        typer.echo(f"All {len(rows)} checks hold." + _warned(rows))
