"""The application against its own OpenAPI document: whatever is asked, no answer is a 500 or one that is not described.

Requests are made by schemathesis from the document, seeded: right ones and wrong ones. `make test` takes a few of each
operation, SCIZOR_TORTURE many. Routes are found, never listed. What they would run in Dagster is not run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import schemathesis
from fastapi import Depends, Response
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scizor_dagster.api.app import create_app
from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.ledger.api_keys import Scope
from tests.api.conftest import NOW, enter, key_for
from tests.api.samples import PATHS
from tests.api.test_every_route_is_guarded import EVERY, Guarded, unlimited
from tests.projects import Project, project_at

TRIALS = 300 if os.environ.get("SCIZOR_TORTURE") else 6
SEED = 20250203
CONFORMS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
Asked = tuple[Any, dict[str, str]]
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]


class QuietRuns(Runs):
    """Takes whatever is to be run, and runs nothing."""

    def submit(self, request: RunRequest, actor: str) -> RunState:
        return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))


@pytest.fixture(scope="module")
def world(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The document of an application on the filled home, and the headers of a key that may do everything."""
    folder = tmp_path_factory.mktemp("contract") / "project"
    shutil.copytree(_filled.folder, folder)
    project = unlimited(project_at(folder))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        app = create_app(project.settings, clock=lambda: NOW)
        context = app.state.context
        context.runs.close()
        context.runs = QuietRuns(project.settings, context.rules.dagster_url, context.clock)
        headers = {"Authorization": f"Bearer {key_for(project)}", "Host": "localhost"}
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers), headers
        context.close()


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("guarded", EVERY, ids=str)
def test_no_answer_is_a_500_or_one_that_is_not_described(guarded: Guarded, mode: GenerationMode, world: Asked) -> None:
    schema, headers = world
    try:
        conforms(schema[guarded.route.path_format][guarded.method], headers, mode)
    except Unsatisfiable:
        # Nothing can be wrong with a request for which nothing is described; what is not described has its own tests.
        assert mode is GenerationMode.NEGATIVE


def conforms(operation: Any, headers: dict[str, str], mode: GenerationMode) -> None:
    """Ask again and again; the first answer that is a 500, or not described, is an error."""

    @seed(SEED)
    @settings(
        max_examples=TRIALS,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), of_the_home=st.booleans())
    def trial(case: Any, of_the_home: bool) -> None:
        # Half of them are about something that is there: the rest would end at the first 404.
        if of_the_home and case.path_parameters:
            case.path_parameters = {name: PATHS.get(name, value) for name, value in case.path_parameters.items()}
        answer = case.call(headers=headers)
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=CONFORMS)

    trial()


def breaks(actor: Reader) -> dict[str, int]:
    raise RuntimeError("it breaks")


def surprises(actor: Reader) -> dict[str, int]:
    raise RequestRefused("I am a teapot.", remedy="Ask for tea.", status=418)


def lies(actor: Reader) -> dict[str, int]:
    return JSONResponse({"number": "many"})  # type: ignore[return-value]


def mumbles(actor: Reader) -> dict[str, int]:
    return Response("many", media_type="text/plain")  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (breaks, "nobody has foreseen"),
        (surprises, "Undocumented status code"),
        (lies, "schema"),
        (mumbles, "text/plain"),
    ],
)
def test_an_answer_that_is_none_of_those_would_be_found(
    endpoint: Callable[..., Any], words: str, fresh: Project
) -> None:
    app = create_app(fresh.settings, services=(), clock=lambda: NOW)
    router = ApiRouter("test")
    router.get("/wrong")(endpoint)
    app.router.routes.extend(router.routes)
    headers = {"Authorization": f"Bearer {key_for(fresh)}", "Host": "localhost"}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
    with pytest.raises(BaseException, match=words):
        conforms(schema["/api/wrong"]["GET"], headers, GenerationMode.POSITIVE)
    app.state.context.close()
