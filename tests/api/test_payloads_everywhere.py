"""The names of `data_farmer.test_payloads`, put wherever any route of any service takes a text.

`make test` puts each name at one route in nineteen, SCIZOR_TORTURE at every one. Routes are found, never listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.client import Client
from tests.api.data_farmer.test_payloads import CANARY, NAMES, attacked, outside
from tests.api.samples import FILES, PATHS
from tests.api.test_every_route_is_guarded import EVERY, Guarded, example_of
from tests.projects import Project

STRIDE = 1 if os.environ.get("SCIZOR_TORTURE") else 19
World = tuple[Client, Project]


@pytest.fixture(scope="module")
def world(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with attacked(_filled, tmp_path_factory.mktemp("everywhere")) as found:
        yield found


def beyond(project: Project) -> dict[str, bytes]:
    """Every file around the stores; of those that a request may mean to change, that they are there."""
    meant = ("universe.csv", "weights.csv")
    return {path: b"" if path.endswith(meant) else content for path, content in outside(project).items()}


def requests_with(client: Client, guarded: Guarded, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The route asked for with the name: in its path, in each parameter, and in each text of its body."""
    document, route = client.app.openapi(), guarded.route
    operation = document["paths"][route.path_format][guarded.method.lower()]
    usual = route.path_format.format_map(PATHS)
    body: dict[str, Any] = {"json": example_of(document, operation)} if route.takes and route.uploads is None else {}
    if route.uploads is not None:
        kind, file = FILES[guarded.method, route.path_format]
        body = {"body": file, "headers": {"content-type": kind}}
    if route.param_convertors:
        spelled = {parameter: quote(name, safe="") for parameter in route.param_convertors}
        yield route.path_format.format_map(spelled), body
    asked = [item["name"] for item in operation.get("parameters", ()) if item["in"] == "query"]
    if asked:
        yield usual, body | {"query": dict.fromkeys(asked, name)}
        yield usual, body | {"query": {asked[len(name) % len(asked)]: name}}
    if route.uploads is not None:
        yield usual, body | {"body": name.encode("utf-8", "replace")}
    texts = [field for field, value in body.get("json", {}).items() if isinstance(value, str)]
    for field in texts:
        yield usual, body | {"json": body["json"] | {field: name}}


@pytest.mark.parametrize("place", range(len(NAMES)), ids=[f"{at}-{ascii(name)[1:30]}" for at, name in enumerate(NAMES)])
def test_a_name_reaches_no_file_no_query_and_no_program_by_any_route(place: int, world: World) -> None:
    client, project = world
    before = beyond(project)
    for at, guarded in enumerate(EVERY):
        if (at + place) % STRIDE:
            continue
        for number, (path, options) in enumerate(requests_with(client, guarded, NAMES[place])):
            headers = {"Idempotency-Key": f"{place}-{at}-{number}", **options.pop("headers", {})}
            answer = client.request(guarded.method, path, headers=headers, **options)
            assert 200 <= answer.status < 500, f"{guarded} {path[:80]} {str(options)[:200]}: {answer.text}"
            assert CANARY.encode() not in answer.body
            assert b"root:" not in answer.body
            assert "x-injected" not in answer.headers
    assert beyond(project) == before
