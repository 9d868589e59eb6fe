"""Speed of a warm rebalance run: all assets and checks, against the same graph with empty bodies.

    python -m tests.benchmarks.bench_rebalance

Both run on the same embedded Dagster instance in the same process, so that the difference is what
Scizor does for its instruments and orders, and the reference is what Dagster needs to run six
assets with their checks. Aim: 1.5 x.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.definitions import build_defs
from scizor_dagster.flow.collecting import history_config
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.summary import session_summary
from scizor_dagster.settings import PROJECT_ROOT, Settings
from tests.benchmarks.ratios import row, seconds

SESSIONS = [date(2024, 1, day) for day in (9, 10, 11, 12, 16, 17)]
WARM_UP = 2


def write_project(folder: Path) -> Settings:
    """The shipped configuration with history from 2024 on, and weights that move every name every session."""
    shipped = yaml.safe_load((PROJECT_ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    shipped["markets"]["us"]["first_session"] = date(2024, 1, 2)
    shipped["markets"]["us"]["universes"] = [
        str(PROJECT_ROOT / "config" / name) for name in shipped["markets"]["us"]["universes"]
    ]
    shipped["accounts"]["paper"]["initial_cash"] = 1_000_000.0
    (folder / "config.yaml").write_text(yaml.safe_dump(shipped), encoding="utf-8")
    manifest = (PROJECT_ROOT / "config" / "strategy_manifest.yaml").read_text(encoding="utf-8")
    (folder / "strategy_manifest.yaml").write_text(manifest, encoding="utf-8")
    os.environ.update(SCIZOR_HOME=str(folder / "home"), SCIZOR_CONFIG=str(folder / "config.yaml"))
    return Settings.from_environment(os.environ)


def write_weights(desk: Desk) -> int:
    """Weights between half and one and a half of an equal share, another in each session; how many names."""
    symbols = sorted(desk.instruments("us"))
    path = desk.settings.home / "signals" / "demo_momentum.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["date", "ticker", "weight"])
        for turn, session in enumerate(SESSIONS):
            shares = [1.0 + ((7 * place + 5 * turn) % 11 - 5) / 10 for place in range(len(symbols))]
            total = sum(shares)
            rows = zip(symbols, shares, strict=True)
            writer.writerows((session.isoformat(), symbol, f"{0.95 * share / total:.8f}") for symbol, share in rows)
    return len(symbols)


def empty_graph(definitions: dg.Definitions, job: str) -> dg.Definitions:
    """Same keys, dependencies, partitions and checks as `job`; the bodies only say that all is well."""
    wanted = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
    graph: list[Any] = [
        _empty(asset) for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)
        and asset.keys & wanted
    ]  # fmt: skip
    selection = dg.AssetSelection.assets(*wanted)
    empty = dg.define_asset_job("empty", selection=selection, executor_def=dg.in_process_executor)
    return dg.Definitions(assets=graph, jobs=[empty])


def _empty(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    checks = list(asset.check_specs)

    @dg.multi_asset(name=f"empty_{asset.node_def.name}", specs=list(asset.specs), check_specs=checks)
    def body() -> Iterator[dg.MaterializeResult]:
        for spec in asset.specs:
            passed = [dg.AssetCheckResult(check_name=item.name, passed=True) for item in checks]
            yield dg.MaterializeResult(asset_key=spec.key, check_results=passed)

    return body


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        settings = write_project(Path(name))
        desk = Desk(settings, lambda: datetime.now(UTC))
        names = write_weights(desk)
        graph = empty_graph(build_defs(settings), "rebalance")
        with JobRunner.open(settings) as runner, dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            runner.run("collect_history", partition_range=("2024", "2024"), config=history_config("us", SESSIONS[-1]))
            keys = iter([session.isoformat() for session in SESSIONS])
            empty_keys = iter([session.isoformat() for session in SESSIONS])
            empty = graph.resolve_job_def("empty")

            def run_empty() -> None:
                ended = empty.execute_in_process(instance=instance, partition_key=next(empty_keys), run_config=_QUIET)
                assert ended.success

            for _ in range(WARM_UP):
                runner.run("rebalance", partition=next(keys))
                run_empty()
            measured = len(SESSIONS) - WARM_UP
            taken = seconds(lambda: runner.run("rebalance", partition=next(keys)), measured)
            reference = seconds(run_empty, measured)
        orders = session_summary(desk, "main", SESSIONS[-1])["orders"]
        row(f"rebalance of {names} names, {orders} orders", taken, reference, "the graph with empty bodies")


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

if __name__ == "__main__":
    main()
