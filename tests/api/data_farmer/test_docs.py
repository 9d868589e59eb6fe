"""Every curl of `docs/api-data.md`, in its order, against the application."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.api.data_farmer.encoding import MEDIA_TYPES
from scizor_dagster.cli.instance import JobRunner, RunFailed
from scizor_dagster.settings import PROJECT_ROOT
from tests.api.client import Answer, Client
from tests.projects import Project, write_universe

PAGE = PROJECT_ROOT / "docs" / "api-data.md"
VALUES = {"API": "http://127.0.0.1:8000/api", "SCIZOR_KEY": "KEY"}


def commands() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith("    curl ")]


def asked(client: Client, command: str, values: dict[str, str]) -> tuple[str, Answer]:
    """Send what curl would have sent."""
    for name, value in values.items():
        command = command.replace(f"${name}", value)
    words = iter(shlex.split(command)[1:])
    method, headers, body, url = "GET", dict[str, str](), None, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = next(words)
        elif word == "-d":
            method, body = "POST", next(words).encode()
        elif word == "-o":
            assert not Path(next(words)).is_absolute()
        elif word != "-N":
            url = word
    assert headers.pop("Authorization") == "Bearer KEY", command
    path = url.removeprefix("http://127.0.0.1:8000")
    return path, client.request(method, path, headers=headers, body=body)


def fails(*_: Any, **__: Any) -> None:
    raise RunFailed("Nothing is run here.", remedy="Run it elsewhere.", where="a step")


def test_every_curl_of_the_page_is_answered(farm: Client, priced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobRunner, "run", fails)
    # The page speaks of a home where one market alone has AAPL.
    write_universe(priced.folder / "asx.csv", ["BHP"], "XASX", "AUD")
    values, statuses = dict(VALUES), list[int]()
    for command in commands():
        path, answer = asked(farm, command, values)
        # What is to be cancelled has ended by then, as it would have for a reader.
        expected = (409,) if path.endswith("/cancel") else (200, 201, 202)
        assert answer.status in expected, f"{command}\n{answer.text}"
        statuses.append(answer.status)
        if answer.status == 202:
            values["ID"] = answer.json["id"]
            farm.app.state.context.runs.wait(values["ID"])
    assert (len(statuses), statuses.count(202)) == (len(commands()), 3)


def test_the_page_names_every_route_and_every_form() -> None:
    from scizor_dagster.api import data_farmer

    text = PAGE.read_text(encoding="utf-8")
    for router in data_farmer.ROUTERS:
        for route in router.routes:
            stem = route.path_format.removeprefix("/api").split("/{")[0]  # type: ignore[attr-defined]
            assert stem in text, route.path_format  # type: ignore[attr-defined]
    assert all(kind in text for kind in MEDIA_TYPES.values())
