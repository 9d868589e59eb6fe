"""The documentation of the services, made from their OpenAPI document, without anything from elsewhere.

What belongs here: one page of plain HTML, with no script. What does not: what it says (the routes and their models).

The usual pages load a program from a network of others. A page without any program needs nobody, and cannot be made to
send a key anywhere.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def install(app: FastAPI) -> None:
    """`/docs` and `/openapi.json`."""

    async def openapi(_: Request) -> Response:
        return JSONResponse(app.openapi())

    async def docs(_: Request) -> Response:
        return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": CSP})

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("scizor_dagster.api", "templates"), autoescape=True)
    return environment.get_template("docs.html").render(document=document)
