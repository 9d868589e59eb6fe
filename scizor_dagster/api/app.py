"""The application: the services that are asked for, on one set of stores.

What belongs here: putting it together. What does not: routes (the packages of the services), and listening (`serving`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scizor_dagster.api import algo_trader, backtester, data_farmer, docs_page, health, metrics
from scizor_dagster.api.context import Context, machine_clock
from scizor_dagster.api.front import Front
from scizor_dagster.api.idempotency import HEADER, PATTERN
from scizor_dagster.api.problems import Problem, answer_to, request_id_of
from scizor_dagster.api.routes import ApiRouter, GuardedRoute
from scizor_dagster.api.run_work import Worker
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings
from scizor_dagster.version import release

SERVICES: dict[str, Sequence[ApiRouter]] = {
    "data-farmer": data_farmer.ROUTERS,
    "backtester": backtester.ROUTERS,
    "algo-trader": algo_trader.ROUTERS,
}
"""Routers by the name of their service; the order is that of the documentation."""
_ABOUT = (
    "Weights in, reconciled positions out. Every request needs a key (Authorization: Bearer KEY), made by an operator "
    "with `scizor keys create`. Errors are problem details (RFC 9457). Money and quantities are strings. Instants are "
    "in UTC."
)


def create_app(
    settings: Settings,
    services: Sequence[str] = tuple(SERVICES),
    *,
    clock: Clock = machine_clock,
    hosts: Sequence[str] = (),
    worker: Worker | None = None,
) -> FastAPI:
    """The application with the services named.

    Args:
        settings: Where configuration and stores are.
        services: Of `SERVICES`.
        clock: The machine's.
        hosts: Names that requests may be addressed to, beside those of loopback and of the configuration.
        worker: Who does runs; without one they are done in this process.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    context = Context(settings, clock, worker)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = context.threads
        yield
        await anyio.to_thread.run_sync(context.close)

    app = FastAPI(
        title="Scizor",
        version=release(),
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = context
    app.add_exception_handler(HTTPException, _problem)
    routers = [health.router, metrics.router, *(router for name in services for router in SERVICES[name])]
    for router in routers:
        app.router.routes.extend(router.routes)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    if context.rules.docs:
        docs_page.install(app)
    always = {route.path for route in app.routes if isinstance(route, GuardedRoute) and route.rule.always}
    app.add_middleware(Front, context=context, hosts=(*context.rules.hosts, *hosts), always=always)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    """What is no route, or not with that method."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        path = request.url.path
        known = {
            method
            for route in request.app.routes
            if isinstance(route, Route) and route.path_regex.match(path)
            for method in route.methods or ()
        }
        error = HTTPException(405, headers={"Allow": ", ".join(sorted(known))})
    return answer_to(error, request_id_of(request))


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with what every route has in common; made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for route in app.routes:
            if isinstance(route, GuardedRoute):
                _describe(document, route)
        app.openapi_schema = document
    return app.openapi_schema


def _describe(document: dict[str, Any], route: GuardedRoute) -> None:
    for method in route.methods or ():
        operation = document["paths"][route.path_format][method.lower()]
        operation["security"] = [{"key": []}]
        scopes = [scope.shown for scope in route.rule.scopes]
        said = f"Scope: {' or '.join(f'`{scope}`' for scope in scopes)}."
        operation["description"] = f"{operation.get('description', '')}\n\n{said}".strip()
        operation["x-scope"] = " ".join(scopes)
        if route.uploads is not None:
            binary = {"schema": {"type": "string", "format": "binary"}}
            content = dict.fromkeys(route.uploads.types, binary)
            operation["requestBody"] = {"required": True, "content": content}
        if method == "POST":
            schema = {"type": "string", "pattern": PATTERN}
            told = "One of your own for each thing that you want done: the same again is answered as the first time."
            header = {
                "name": HEADER,
                "in": "header",
                "required": route.rule.could_trade,
                "description": told,
                "schema": schema,
            }
            operation.setdefault("parameters", []).append(header)
