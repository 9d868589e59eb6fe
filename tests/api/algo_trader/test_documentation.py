"""Every example of docs/api-trading.md is answered as the page says, and every route of the algo trader is on it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scizor_dagster.api import algo_trader
from scizor_dagster.api.routes import GuardedRoute
from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from tests.api.algo_trader.conftest import edit
from tests.api.client import Answer, Client
from tests.api.conftest import LAST_COLLECTED, TRADED
from tests.projects import Project

PAGE = Path(__file__).parents[3] / "docs" / "api-trading.md"
_BLOCK = re.compile(r"^```bash(?: status=(\d+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8000"


def examples() -> list[tuple[int | None, str]]:
    """Each command with the status that the page says; any success where it says none."""
    found = []
    for status, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        commands = re.split(r"\n(?=curl )", text.strip())
        found += [(int(status) if status else None, command) for command in commands]
    return found


def asked(client: Client, command: str, values: dict[str, str]) -> Answer:
    """What curl would send."""
    for name, value in values.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command)
    assert words.pop(0) == "curl"
    method, headers, body, url = "GET", {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0).encode()
        elif word != "-s":
            url = word
    assert url.startswith(URL), command
    return client.request(method, url.removeprefix(URL), headers=headers, body=body)


def queued(request: RunRequest, actor: str) -> RunState:
    return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))


def test_every_example_of_the_page_is_answered_as_it_says(
    desk: Client, project: Project, plan: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it would run has its own tests; an order at the same moment would find the account held.
    monkeypatch.setattr(Runs, "submit", lambda _, request, actor: queued(request, actor))
    edit(project, lambda config: config["portfolios"]["main"].update(manual_orders="absorb"))
    values = {
        "SCIZOR_KEY": desk.key or "",
        "SCIZOR_URL": URL,
        "SESSION": TRADED.isoformat(),
        "TODAY": LAST_COLLECTED.isoformat(),
        "PLAN": plan,
        "ORDER": order,
    }
    for status, command in examples():
        answer = asked(desk, command, values)
        expected = {status} if status else {200, 201, 202}
        assert answer.status in expected, f"{command}\n{answer.text}"


def test_every_route_that_may_change_something_has_an_example() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for router in algo_trader.ROUTERS:
        for route in router.routes:
            if isinstance(route, GuardedRoute) and "GET" not in route.methods:
                last = route.path.rpartition("/")[2] if not route.path.endswith("}") else route.path.split("/")[2]
                assert last in text, route.path
