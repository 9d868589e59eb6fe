"""A system as it stands on a server: its processes, what the UI asks of them, and the memory that they have.

What belongs here: starting Dagster's code server, webserver and daemon and our services on a project, asking the
webserver what the UI's slow pages ask, and reading /proc. What does not: making the project (`scale_project`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import yaml

from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.settings import PROJECT_ROOT
from tests.benchmarks.memory import peak_mb, pss_mb, rss_mb, tree
from tests.benchmarks.scale_project import Size

ROUNDS = 15
START_SECONDS = 300.0
ANSWER_SECONDS = 3600.0
"""Dagster counts every partition when it is asked for the first time; here for all assets at once, the UI for ten."""
_BIN = Path(sys.executable).parent

_NODE = """
    id groupName isPartitioned isMaterializable isObservable computeKind jobNames description kinds
    assetKey { path } dependencyKeys { path } dependedByKeys { path } tags { key value }
    repository { id name location { id name } }"""
QUESTIONS = {
    "asset graph": f"query {{ assetNodes {{ {_NODE} }} }}",
    "asset graph, states": """query { assetNodes { id assetKey { path }
        assetMaterializations(limit: 1) { timestamp runId }
        partitionStats { numMaterialized numMaterializing numPartitions numFailed }
        assetChecksOrError { ... on AssetChecks { checks { name
        executionForLatestMaterialization { status } } } } } }""",
    "asset page, partitions": """query { assetNodeOrError(assetKey: {path: ["p00", "planned_orders"]}) {
        ... on AssetNode { id partitionKeysByDimension { name partitionKeys }
        partitionStats { numMaterialized numPartitions numFailed }
        assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }""",
    "asset page, events": """query { assetOrError(assetKey: {path: ["p00", "planned_orders"]}) { ... on Asset { id
        assetMaterializations(limit: 100) { timestamp runId partition metadataEntries { label } } } } }""",
    "run list": """query { runsOrError(limit: 25) { ... on Runs { results { id status jobName startTime endTime
        tags { key value } assetSelection { path } } } } }""",
    "automation": """query { repositoriesOrError { ... on RepositoryConnection { nodes { id name
        schedules { name scheduleState { status ticks(limit: 1) { timestamp } } futureTicks(limit: 1) {
        results { timestamp } } } sensors { name sensorState { status ticks(limit: 1) { timestamp } } } } } } }""",
}


class System:
    """The processes by their names, and where the webserver is."""

    def __init__(self, size: Size, started: ExitStack) -> None:
        prepare_home(size.settings)
        self._log = started.enter_context((size.folder / "system.log").open("wb"))
        self._started = started
        self._environment = {
            **os.environ,
            **size.project.environment,
            "DAGSTER_HOME": str(size.settings.dagster_home),
            "PYTHONPATH": str(PROJECT_ROOT),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        code, web, serve = (_free_port() for _ in range(3))
        self.address = f"http://127.0.0.1:{web}"
        where = {"grpc_server": {"host": "127.0.0.1", "port": code, "location_name": "scizor"}}
        workspace = size.folder / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": [where]}), encoding="utf-8")
        module = ["-m", "scizor_dagster.definitions", "-a", "defs", "-d", str(PROJECT_ROOT)]
        self._start("code server", "dagster", "code-server", "start", "-h", "127.0.0.1", "-p", str(code), *module)
        _until(lambda: _listens(code))
        self._start("webserver", "dagster-webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(web))
        self._start("daemon", "dagster-daemon", "run", "-w", str(workspace))
        self._start("serve", "scizor", "serve", "--port", str(serve))
        _until(lambda: _listens(serve) and self._is_loaded())

    def _start(self, name: str, program: str, *arguments: str) -> None:
        process = subprocess.Popen(
            [str(_BIN / program), *arguments],
            cwd=PROJECT_ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.processes[name] = process
        self._started.callback(_end, process)

    def _is_loaded(self) -> bool:
        query = "query { workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
        try:
            found = self.ask(query)["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, OSError, KeyError):
            return False
        return bool(found) and all(item["loadStatus"] == "LOADED" for item in found)

    def ask(self, query: str) -> Mapping[str, object]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        data: Mapping[str, object] = found["data"]
        assert not any("Error" in str(item.get("__typename")) for item in data.values() if isinstance(item, dict))
        return data

    def memory(self) -> dict[str, dict[str, float]]:
        """RSS, PSS and peak of each process with its children, in MB."""
        found = {}
        for name, process in self.processes.items():
            pids = list(tree(process.pid))
            found[name] = {
                key: sum(read(pid) for pid in pids)
                for key, read in (("rss", rss_mb), ("pss", pss_mb), ("peak", peak_mb))
            }
        return found


@contextmanager
def running(size: Size) -> Iterator[System]:
    with ExitStack() as started:
        yield System(size, started)


def asked(system: System) -> dict[str, tuple[float, float, float]]:
    """Seconds of each question: the first time, the median and the 95th percentile."""
    found = {}
    for name, query in QUESTIONS.items():
        taken = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            system.ask(query)
            taken.append(time.perf_counter() - start)
        rest = taken[1:]
        found[name] = (taken[0], float(np.percentile(rest, 50)), float(np.percentile(rest, 95)))
    return found


def _until(happened: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + START_SECONDS, threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "the system does not answer: see system.log"
        pause.wait(0.5)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
