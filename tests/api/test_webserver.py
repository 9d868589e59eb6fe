"""Dagster's webserver over GraphQL: asked where it serves this home and its daemon lives, else left alone.

The answers are those of a webserver of the installed version; that it takes a run is shown against the real one by the
acceptance tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scizor_dagster.api.runs import RunRequest, Runs, RunStatus
from scizor_dagster.api.webserver import NotTaken, Webserver
from tests.api.conftest import NOW
from tests.projects import Project

RUN = "0b0f5c3e-6a3f-4b0e-9a46-3c1c0f2f3a10"


class FakeDagster:
    """Answers what the client asks, and keeps it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.daemon = True
        self.refuses = False
        self.asked: list[dict[str, Any]] = []

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "daemonHealth" in query:
            daemons = [{"daemonType": "QUEUED_RUN_COORDINATOR", "healthy": self.daemon}]
            info = f"local_artifact_storage:\n  config:\n    base_dir: {self.home}\nrun_storage: X\n"
            return {"instance": {"info": info, "daemonHealth": {"allDaemonStatuses": daemons}}}
        if "repositoriesOrError" in query:
            jobs = [{"name": "collect_history"}]
            node = {"name": "__repository__", "location": {"name": "scizor"}, "pipelines": jobs, "jobs": jobs}
            return {"repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": [node]}}
        self.asked.append(variables)
        if "terminate" in query.lower():
            kind = "TerminateRunFailure" if self.refuses else "TerminateRunSuccess"
            return {"terminateRun": {"__typename": kind, "message": "no", "run": {"runId": RUN}}}
        if self.refuses:
            return {"launchPipelineExecution": {"__typename": "PythonError", "message": "secret configuration"}}
        return {"launchPipelineExecution": {"__typename": "LaunchRunSuccess", "run": {"runId": RUN}}}


@pytest.fixture
def dagster(fresh: Project) -> Iterator[tuple[FakeDagster, str]]:
    fake = FakeDagster(fresh.settings.dagster_home)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": fake.answer(asked["query"], asked.get("variables") or {})}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield fake, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_is_handed_over_with_what_it_is_and_who_asked(dagster: tuple[FakeDagster, str], fresh: Project) -> None:
    fake, url = dagster
    runs = Runs(fresh.settings, url, lambda: NOW)
    submitted = runs.submit(RunRequest("collection", "collect_history", partition="2025", config={"ops": {}}), "ada")
    runs.close()
    assert (submitted.run_id, submitted.status) == (RUN, RunStatus.QUEUED)
    tags = {item["key"]: item["value"] for item in fake.asked[0]["executionParams"]["executionMetadata"]["tags"]}
    assert tags == {"scizor/kind": "collection", "scizor/actor": "ada", "dagster/partition": "2025"}
    assert fake.asked[0]["executionParams"]["selector"]["pipelineName"] == "collect_history"


def test_a_webserver_of_another_home_or_without_its_daemon_is_left_alone(
    dagster: tuple[FakeDagster, str], fresh: Project, tmp_path: Path
) -> None:
    fake, url = dagster
    assert Webserver(url, fresh.settings.dagster_home).takes_runs()
    assert not Webserver(url, tmp_path).takes_runs()
    fake.daemon = False
    assert not Webserver(url, fresh.settings.dagster_home).takes_runs()
    assert not Webserver("http://127.0.0.1:9", fresh.settings.dagster_home).takes_runs()


def test_what_the_webserver_does_not_take_is_said_without_its_words(
    dagster: tuple[FakeDagster, str], fresh: Project, caplog: pytest.LogCaptureFixture
) -> None:
    fake, url = dagster
    fake.refuses = True
    webserver = Webserver(url, fresh.settings.dagster_home)
    with pytest.raises(NotTaken) as refused:
        webserver.submit("collect_history", {}, {})
    assert refused.value.status == 503
    with pytest.raises(NotTaken):
        webserver.end(RUN)
    assert "secret" not in f"{refused.value}{caplog.text}"


def test_a_run_of_the_webserver_is_ended_by_it(dagster: tuple[FakeDagster, str], fresh: Project) -> None:
    fake, url = dagster
    Webserver(url, fresh.settings.dagster_home).end(RUN)
    assert RUN in str(fake.asked)
