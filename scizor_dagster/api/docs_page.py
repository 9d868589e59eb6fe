"""The documentation of the services, made from their OpenAPI document, without anything from elsewhere.

What belongs here: one page of plain HTML, with no script. What does not: what it says (the routes and their models).

The usual pages load a program from a network of others. A page without any program needs nobody, and cannot be made to
send a key anywhere.
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_SOMEWHERE = "http://services.invalid"
"""Stands on the page that is kept for the address that it is asked by."""
_CODE = re.compile(r"`([^`]+)`")
_BOUNDS = {"minimum": "at least", "maximum": "at most", "enum": "one of", "format": ""}


def install(app: FastAPI) -> None:
    """`/docs` and `/openapi.json`, each made once: whoever has no key gets them too, and they take their time."""

    @cache
    def document() -> bytes:
        return bytes(JSONResponse(app.openapi()).body)

    @cache
    def text() -> str:
        return page(app.openapi(), _SOMEWHERE)

    async def openapi(_: Request) -> Response:
        return Response(document(), media_type="application/json")

    async def docs(request: Request) -> Response:
        here = html.escape(str(request.base_url).rstrip("/"))
        return HTMLResponse(text().replace(_SOMEWHERE, here), headers={"Content-Security-Policy": CSP})

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)


def page(document: dict[str, Any], url: str) -> str:
    """The whole page; `url` is where the services are."""
    # Imported here because nobody else needs a template.
    from jinja2 import Environment, PackageLoader

    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(document, path, method, operation))
    from markupsafe import Markup, escape

    environment = Environment(loader=PackageLoader("scizor_dagster.api", "templates"), autoescape=True)
    environment.filters["words"] = lambda text: Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704
    problem = _pretty(document["components"]["schemas"]["Problem"]["example"])
    return environment.get_template("docs.html").render(
        document=document, groups=groups.items(), problem=problem, url=url
    )


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": [line for line in operation.get("description", "").split("\n\n")[:-1] if line],
        "scope": operation.get("x-scope", ""),
        "parameters": [_parameter(item) for item in operation.get("parameters", ())],
        "body": _body(document, operation.get("requestBody")),
        "answer": _answer(document, operation["responses"]),
        "statuses": [(status, item["description"].rstrip(".")) for status, item in operation["responses"].items()],
    }


def _parameter(item: dict[str, Any]) -> dict[str, Any]:
    schema = item.get("schema", {})
    kinds = [one.get("type", "") for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    bounds = [f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
    default = [f"default {schema['default']}"] if schema.get("default") is not None else []
    return {
        "name": item["name"],
        "where": item["in"],
        "required": item.get("required", False),
        "description": item.get("description", schema.get("description", "")),
        "kind": ", ".join([" or ".join(kinds), *bounds, *default]),
    }


def _body(document: dict[str, Any], body: dict[str, Any] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    content = body["content"]
    return {"types": ", ".join(content), "example": _example(document, content.get("application/json"))}


def _answer(document: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any] | None:
    for status, item in responses.items():
        example = _example(document, item.get("content", {}).get("application/json"))
        if status.startswith("2") and example:
            return {"status": status, "example": example}
    return None


def _example(document: dict[str, Any], media: dict[str, Any] | None) -> str:
    if media is None:
        return ""
    found = media.get("example", _value(document, media.get("schema", {})))
    return _pretty(found) if found is not None else ""


def _value(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """An example of what a schema describes; None where nothing in it has one."""
    if "$ref" in schema:
        return _value(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "array":
        item = _value(document, schema.get("items", {}))
        return [item] if item is not None else []
    if schema.get("type") == "object" and "properties" in schema:
        return {name: _value(document, one) for name, one in schema["properties"].items()}
    return None


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
