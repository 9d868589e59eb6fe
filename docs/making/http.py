"""The pages of the HTTP interface, out of the application's own OpenAPI description.

What belongs here: OpenAPI as Markdown. What does not: the description itself (`scizor_dagster.api`).
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
PLACE, OBJECTS = "reference/http.md", "reference/http-objects.md"
_PROBLEM = "application/problem+json"
_PAGE = re.compile(r"Page_(\w+?)_$")


def pages() -> dict[str, str]:
    """Markdown by its place below `docs`: the routes, and what their bodies and answers hold."""
    described = description()
    return {PLACE: markdown(described), OBJECTS: objects(described)}


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
    everywhere = _everywhere([route for routes in by_tag.values() for *_, route in routes])
    lines += _refusals(everywhere)
    for tag, routes in by_tag.items():
        lines += ["", f"## {_title(tag)}", ""]
        for method, path, route in routes:
            lines += _route(method, path, route, api, everywhere)
    return "\n".join([*lines, ""])


def objects(api: Mapping[str, Any]) -> str:
    """A section for each object of a body or an answer, with its fields."""
    lines = ["# Bodies and answers", "", f"What the [routes]({Path(PLACE).name}) take and answer, by name.", ""]
    for name, schema in sorted(api.get("components", {}).get("schemas", {}).items()):
        if _PAGE.match(name):
            continue
        lines += ["", f"## {name}", "", str(schema.get("description", "")), ""]
        if "enum" in schema:
            lines += [f"One of {_kind(schema)}.", ""]
        lines += _fields(schema)
    return "\n".join([*lines, ""])


def _everywhere(routes: list[Mapping[str, Any]]) -> dict[str, str]:
    """Refusals that every route may give, with their names."""
    refusals = [
        {
            code: str(item["description"])
            for code, item in route.get("responses", {}).items()
            if _PROBLEM in item.get("content", {})
        }
        for route in routes
    ]
    first = refusals[0] if refusals else {}
    return {code: name for code, name in first.items() if all(code in found for found in refusals)}


def _refusals(everywhere: Mapping[str, str]) -> Iterator[str]:
    if everywhere:
        named = ", ".join(f"{code} {name}" for code, name in everywhere.items())
        yield from [
            f"Any route may refuse with a `{_PROBLEM}` ([`Problem`]({Path(OBJECTS).name}#problem)): {named}. What each "
            "of them means: [Answers](../api.md#answers). A route names only what it answers besides.",
            "",
        ]


def _route(
    method: str, path: str, route: Mapping[str, Any], api: Mapping[str, Any], everywhere: Mapping[str, str]
) -> Iterator[str]:
    summary, more = (str(route.get(name) or "") for name in ("summary", "description"))
    yield from ["", f"### {method.upper()} {path}", "", f"**{summary}.** {more}" if summary else more, ""]
    if route.get("parameters"):
        yield from ["| parameter | in | takes | meaning |", "|---|---|---|---|"]
        for item in route["parameters"]:
            needed = " (must be given)" if item.get("required") else ""
            meaning = _cell(item.get("description", ""))
            yield f"| `{item['name']}` | {item['in']} | {_kind(item.get('schema', {}))} | {meaning}{needed} |"
        yield ""
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        yield from [f"Body (`{kind}`): {_kind(content.get('schema', {}))}.", ""]
        yield from _example(content, api)
    for code, item in route.get("responses", {}).items():
        if code not in everywhere:
            yield from [f"Answers **{code}**: {_answer(item)}", ""]


def _answer(item: Mapping[str, Any]) -> str:
    """What an answer is, in a sentence: its object, or what the route says of it."""
    kinds = {_kind(content.get("schema", {})): name for name, content in item.get("content", {}).items()}
    says = str(item["description"]).rstrip(".")
    told = next((kind for kind in kinds if kind.startswith(("[", "a page", "list of ["))), "")
    if says == "Successful Response":
        return f"{told or 'JSON' if kinds else 'nothing more'}."
    other = [f"`{name}`" for name in item.get("content", {}) if name != "application/json"]
    return "; ".join([f"{says}", *([told] if told else []), *([", ".join(other)] if other else [])]) + "."


def _example(content: Mapping[str, Any], api: Mapping[str, Any]) -> Iterator[str]:
    schema = _resolved(content.get("schema", {}), api)
    shown = next(
        (item for item in (content.get("example"), schema.get("example"), *schema.get("examples", [])) if item), None
    )
    if shown is not None:
        yield from ["```json", json.dumps(shown, indent=2), "```", ""]


def _resolved(schema: Mapping[str, Any], api: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = api.get("components", {}).get("schemas", {}).get(name, schema) if name else schema
    return found


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    fields: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    if fields:
        yield from ["| field | type | meaning |", "|---|---|---|"]
        for name, field in fields.items():
            # Only what is sent may be left out; an answer has all that it has.
            missing = "" if name in schema.get("required", ()) else " (may be left out)"
            yield f"| `{name}` | {_kind(field)} | {_cell(field.get('description', ''))}{missing} |"
        yield ""


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _named(str(schema["$ref"]).rpartition("/")[2])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(part) for part in schema[key] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _named(name: str) -> str:
    """A link to the object; a page of a list is one of what it holds."""
    page = _PAGE.match(name)
    if page:
        return f"a page of {_named(page[1])}" if not page[1].startswith("dict_") else "a page of objects"
    return f"[`{name}`]({Path(OBJECTS).name}#{name.lower()})"


def _title(tag: str) -> str:
    return tag[:1].upper() + tag[1:]


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
