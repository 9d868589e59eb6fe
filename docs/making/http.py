"""The page of the HTTP interface, out of the application's own OpenAPI description.

What belongs here: OpenAPI as Markdown. What does not: the description itself (`scizor_dagster.api`).
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


def page() -> str:
    return markdown(description())


def description() -> dict[str, Any]:
    """The OpenAPI description of an application on an empty home and the shipped configuration."""
    from scizor_dagster.api.app import create_app
    from scizor_dagster.settings import Settings

    with tempfile.TemporaryDirectory() as home:
        settings = Settings.from_environment({"SCIZOR_HOME": home})
        wanted = inspect.signature(create_app).parameters
        values = {"settings": settings, "home": Path(home), "environment": {"SCIZOR_HOME": home}}
        given = {name: value for name, value in values.items() if name in wanted}
        described: dict[str, Any] = create_app(**given).openapi()
    return described


def markdown(api: Mapping[str, Any]) -> str:
    """A section for each tag, with each route: what it does, what it takes, what it answers."""
    info = api.get("info", {})
    lines = ["# HTTP interface", "", str(info.get("description") or info.get("title") or ""), ""]
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = defaultdict(list)
    for path, methods in api.get("paths", {}).items():
        for method in METHODS:
            if method in methods:
                by_tag[(methods[method].get("tags") or ["routes"])[0]].append((method, path, methods[method]))
    for tag, routes in by_tag.items():
        lines += ["", f"## {tag}", ""]
        for method, path, route in routes:
            lines += _route(method, path, route, api)
    return "\n".join([*lines, ""])


def _route(method: str, path: str, route: Mapping[str, Any], api: Mapping[str, Any]) -> Iterator[str]:
    yield from ["", f"### {method.upper()} {path}", "", str(route.get("description") or route.get("summary") or ""), ""]
    if route.get("parameters"):
        yield from ["| parameter | in | takes | meaning |", "|---|---|---|---|"]
        for item in route["parameters"]:
            needed = " (must be given)" if item.get("required") else ""
            meaning = _cell(item.get("description", ""))
            yield f"| `{item['name']}` | {item['in']} | {_kind(item.get('schema', {}))} | {meaning}{needed} |"
        yield ""
    body = route.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        yield from [f"Body (`{kind}`): {_kind(content.get('schema', {}))}.", ""]
        yield from _example(content, api)
    answers = route.get("responses", {})
    yield from [
        "| answer | |",
        "|---|---|",
        *(f"| {code} | {_cell(item['description'])} |" for code, item in answers.items()),
    ]


def _example(content: Mapping[str, Any], api: Mapping[str, Any]) -> Iterator[str]:
    schema = _resolved(content.get("schema", {}), api)
    shown = content.get("example") or next(iter(schema.get("examples", [])), None)
    if shown is not None:
        yield from ["```json", json.dumps(shown, indent=2), "```", ""]


def _resolved(schema: Mapping[str, Any], api: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = api.get("components", {}).get("schemas", {}).get(name, schema) if name else schema
    return found


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(part) for part in schema[key] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
