"""The application against its own OpenAPI document: whatever is asked, no answer is a 500 or one that is not described.

Requests are made by schemathesis from the document, seeded: right ones and wrong ones. `make test` takes a few of each
operation, SCIZOR_TORTURE many. Routes are found, never listed. What they would run in Dagster is not run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scizor_dagster.api.app import create_app
from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from tests.api.conftest import NOW, enter, key_for
from tests.api.samples import PATHS
from tests.api.test_every_route_is_guarded import EVERY, Guarded, unlimited
from tests.projects import Project, project_at

TRIALS = 300 if os.environ.get("SCIZOR_TORTURE") else 8
SEED = 20250203
CONFORMS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


class QuietRuns(Runs):
    """Takes whatever is to be run, and runs nothing."""

    def submit(self, request: RunRequest, actor: str) -> RunState:
        return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))


@pytest.fixture(scope="module")
def world(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """The document's operations on an application, and the headers of a key that may do everything."""
    folder = tmp_path_factory.mktemp("contract") / "project"
    shutil.copytree(_filled.folder, folder)
    project = unlimited(project_at(folder))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        headers = {"Authorization": f"Bearer {key_for(project)}", "Host": "localhost"}
        app = create_app(project.settings, clock=lambda: NOW)
        context = app.state.context
        context.runs = QuietRuns(project.settings, context.rules.dagster_url, context.clock)
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers), headers
        context.close()


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("guarded", EVERY, ids=str)
def test_no_answer_is_a_500_or_one_that_is_not_described(
    guarded: Guarded, mode: GenerationMode, world: tuple[Any, dict[str, str]]
) -> None:
    schema, headers = world
    operation = schema[guarded.route.path_format][guarded.method]

    @seed(SEED)
    @settings(
        max_examples=TRIALS,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def trial(case: Any) -> None:
        # Half of the wrong ones are about something that is there: the rest would end at the first 404.
        if len(case.id) and int(case.id.encode().hex(), 16) % 2:
            case.path_parameters |= {name: PATHS[name] for name in case.path_parameters or {} if name in PATHS}
        answer = case.call(headers=headers)
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=CONFORMS)

    try:
        trial()
    except schemathesis.errors.InvalidSchema:
        raise
    except Exception as error:
        # Nothing can be wrong where nothing can be said: schemathesis makes no wrong request of such an operation.
        if type(error).__name__ not in ("Unsatisfiable", "SkipTest", "Skipped"):
            raise
