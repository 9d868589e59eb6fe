"""Every route of the application against every key that must not get in. Routes are found, never listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from scizor_dagster.api import algo_trader, backtester, data_farmer, health, metrics
from scizor_dagster.api.app import SERVICES, create_app
from scizor_dagster.api.routes import ApiRouter, GuardedRoute
from scizor_dagster.api.security import Reach
from scizor_dagster.ledger.api_keys import Scope, revoke_key
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Answer, Client
from tests.api.conftest import EVERYTHING, NOW, key_for
from tests.api.samples import FILES, PATHS, QUERIES
from tests.projects import Project

OPEN = {"/docs", "/openapi.json"}
"""All that is answered without a key: what the services are, and nothing that they hold."""
OWN = [health.router, metrics.router]
ROUTERS: list[ApiRouter] = [*OWN, *data_farmer.ROUTERS, *backtester.ROUTERS, *algo_trader.ROUTERS]


@dataclass(frozen=True)
class Guarded:
    """A route and one of its methods."""

    route: GuardedRoute
    method: str

    def __str__(self) -> str:
        return f"{self.method} {self.route.path}"


EVERY = [
    Guarded(route, method)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, GuardedRoute)
    for method in sorted(route.methods)
]
PRIVATE = [item for item in EVERY if item.route.rule.reach is not Reach.SHARED]
each = pytest.mark.parametrize("guarded", EVERY, ids=str)


@pytest.fixture(scope="module")
def world(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Client]]:
    """One application for the whole module: none of these requests may change anything."""
    import shutil

    from tests.api.conftest import enter
    from tests.projects import project_at

    folder = tmp_path_factory.mktemp("guarded") / "project"
    shutil.copytree(_filled.folder, folder)
    project = unlimited(project_at(folder))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        client = Client(create_app(project.settings, clock=lambda: NOW))
        yield project, client
        client.app.state.context.close()
        client.close()


def unlimited(project: Project) -> Project:
    """The project, which nobody asks too often."""
    names = ("requests_per_minute", "requests_per_minute_per_address", "refusals_per_minute")
    with (project.folder / "config.yaml").open("a", encoding="utf-8") as config:
        config.write("api:\n" + "".join(f"  {name}: 100000\n" for name in names))
    return project


def ask(client: Client, guarded: Guarded, key: str | None) -> Answer:
    """The route, asked for as its documentation says, with what belongs to `main`."""
    path = guarded.route.path_format.format_map(PATHS)
    operation = client.app.openapi()["paths"][guarded.route.path_format][guarded.method.lower()]
    headers = {"Idempotency-Key": "guard-1"} if guarded.method == "POST" else {}
    queries = QUERIES.get(str(guarded)) or QUERIES.get(guarded.route.path_format, {})
    options: dict[str, Any] = {"headers": headers, "query": queries}
    if guarded.route.uploads is not None:
        headers["content-type"], options["body"] = FILES[guarded.method, guarded.route.path_format]
    elif guarded.route.takes:
        options["json"] = example_of(client.app.openapi(), operation)
    return client.holding(key).request(guarded.method, path, **options)


def example_of(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """The example of a JSON body; a route whose model has none fails here."""
    media = operation["requestBody"]["content"]["application/json"]
    if "example" in media:
        return media["example"]
    name = media["schema"]["$ref"].rpartition("/")[2]
    return json.loads(json.dumps(document["components"]["schemas"][name]["example"]))


def test_every_route_is_one_of_those_below_and_looked_after(world: tuple[Project, Client]) -> None:
    known = {id(item.route) for item in EVERY}
    assert looked_after(world[1].app) == known
    apart = [create_app(world[0].settings, services=(name,), clock=lambda: NOW) for name in SERVICES]
    assert set().union(*map(looked_after, apart)) == known
    for app in apart:
        app.state.context.close()


def looked_after(app: FastAPI) -> set[int]:
    """The routes of an application, which has no others, nor anything mounted or spoken by another protocol."""
    assert [route for route in app.routes if not isinstance(route, Route)] == []
    guarded = [route for route in app.routes if isinstance(route, GuardedRoute)]
    assert {route.path for route in app.routes if route not in guarded} == OPEN  # type: ignore[attr-defined]
    return {id(route) for route in guarded}


def test_a_route_without_a_rule_cannot_be_defined() -> None:
    router = ApiRouter("test")
    with pytest.raises(TypeError, match="declares 0 rules"):
        router.get("/open")(lambda: {})


@each
def test_every_parameter_of_a_path_has_a_value_to_be_asked_with(guarded: Guarded) -> None:
    assert set(guarded.route.param_convertors) <= set(PATHS), (
        f"give {guarded.route.path} values in tests/api/samples.py"
    )


@each
@pytest.mark.parametrize(
    "shown", [None, "", "scz_0", "scz_" + "0" * 12 + "_" + "0" * 64], ids=["none", "empty", "bad", "made-up"]
)
def test_no_key_and_no_such_key_get_nothing(guarded: Guarded, shown: str | None, world: tuple[Project, Client]) -> None:
    assert ask(world[1], guarded, shown).status == 401


@each
def test_an_expired_key_gets_nothing(guarded: Guarded, world: tuple[Project, Client]) -> None:
    key = key_for(world[0], now=NOW - timedelta(days=2), lasts=timedelta(days=2))
    assert ask(world[1], guarded, key).status == 401


@each
def test_a_revoked_key_gets_nothing(guarded: Guarded, world: tuple[Project, Client]) -> None:
    key = key_for(world[0])
    ledger = Ledger.open(world[0].settings.ledger_url)
    with ledger.transaction() as connection:
        revoke_key(connection, key.split("_")[1], actor="operator", reason="lost", now=NOW)
    ledger.close()
    assert ask(world[1], guarded, key).status == 401


@each
def test_a_key_with_every_scope_but_those_that_are_enough_gets_nothing(
    guarded: Guarded, world: tuple[Project, Client]
) -> None:
    key = key_for(world[0], EVERYTHING - {*guarded.route.rule.scopes})
    assert ask(world[1], guarded, key).status == 403


def listed(answer: Answer) -> list[Any]:
    """What a list shows of accounts; of a text for Prometheus, the lines that name one."""
    if answer.headers["content-type"].startswith("text/plain"):
        return [line for line in answer.text.splitlines() if 'account="' in line]
    return list(answer.json["items"])


@pytest.mark.parametrize("guarded", PRIVATE, ids=str)
def test_a_key_of_another_account_sees_nothing_of_this_one(guarded: Guarded, world: tuple[Project, Client]) -> None:
    answer = ask(world[1], guarded, key_for(world[0], accounts={"another"}))
    if guarded.route.rule.reach is Reach.ACCOUNT:
        assert answer.status == 404, answer.text
    else:
        assert (answer.status, listed(answer)) == (200, []), answer.text


@pytest.mark.parametrize("guarded", [item for item in PRIVATE if item.method == "GET"], ids=str)
def test_the_account_of_the_test_before_is_seen_by_its_own_key(guarded: Guarded, world: tuple[Project, Client]) -> None:
    answer = ask(world[1], guarded, key_for(world[0], {Scope.READ, guarded.route.rule.scope}, accounts={"paper"}))
    assert answer.status == 200, answer.text
    if guarded.route.rule.reach is Reach.LISTED:
        assert listed(answer)
