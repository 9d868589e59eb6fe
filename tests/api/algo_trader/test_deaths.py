"""A process that dies at any line between the request of an order and its answer: asked again, it is one order.

Each trial is a forked process that serves one request and is killed at a line of the order core (`tests.torture.lines`:
the ledger's rows of requests and answers are among them). `make test` takes a few lines, SCIZOR_TORTURE many.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select

from scizor_dagster.api.app import create_app
from scizor_dagster.ledger.rows import fills_of
from scizor_dagster.ledger.tables import batches, orders
from tests.api.algo_trader.conftest import edit, ledger_of
from tests.api.algo_trader.test_orders_by_hand import BUY
from tests.api.client import Client
from tests.api.conftest import LAST_COLLECTED, NOW, enter, key_for
from tests.projects import Project, project_at
from tests.torture.lines import Listing, Point, Strike
from tests.torture.wire import Ended, fork

KILLS = 200 if os.environ.get("SCIZOR_TORTURE") else 4
SEED = 20250214
ANSWERS = "ledger/api_answers.py"


@pytest.fixture
def home(_filled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Where each trial's copy is made of: portfolio `main` takes orders by hand."""
    shutil.copytree(_filled.folder, tmp_path / "template")
    template = project_at(tmp_path / "template")
    edit(template, lambda config: config["portfolios"]["main"].update(manual_orders="absorb"))
    return template


def served(project: Project, key: str, before: Callable[[], Any]) -> Ended:
    """A process that serves the one request; what it reports is the status, the answer and what `before` has made."""

    def body(_: Any) -> Any:
        made = before()
        client = Client(create_app(project.settings, clock=lambda: NOW), key)
        answer = client.post("/api/orders", json=BUY, headers={"Idempotency-Key": "o1"})
        # As a server that is gone: nothing is closed.
        return answer.status, answer.json, getattr(made, "lines", None)

    return fork(body).serve(None)


def trial(home: Project, key: str, at: Point | None, patch: pytest.MonkeyPatch) -> tuple[Ended, Project]:
    folder = home.folder.parent / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home.folder, folder)
    project = project_at(folder)
    enter(patch, project)
    before = Listing if at is None else lambda: Strike(at, signal.SIGKILL, lambda _: None)
    return served(project, key, before), project


def chosen(lines: list[tuple[str, Point]]) -> list[tuple[str, Point]]:
    """Lines of the whole request, and as many of those that keep its answer."""
    draw = Random(SEED)
    kept = [row for row in lines if row[0].startswith(ANSWERS)]
    assert kept
    return [draw.choice(kept if number % 2 else lines) for number in range(KILLS)]


def test_whatever_line_a_process_dies_at_the_repeated_request_is_one_order(
    home: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_for(home)
    calm, project = trial(home, key, None, monkeypatch)
    assert not calm.crash, calm.crash
    status, answer, lines = calm.value
    assert status == 201, answer
    expected = facts(project)
    assert expected == (1, 1, 1)
    for place, point in chosen(lines):
        ended, project = trial(home, key, point, monkeypatch)
        assert ended.killed, (place, ended)
        again = served(project, key, lambda: None)
        assert not again.crash, (place, again.crash)
        status, told, _ = again.value
        assert status == 201, (place, told)
        assert [item["state"] for item in told["orders"]] == ["filled"], place
        assert told["plan_id"] == answer["plan_id"], place
        assert facts(project) == expected, place
    assert served(project, key, lambda: None).value[:2] == (201, told)


def facts(project: Project) -> tuple[Any, ...]:
    """How many batches, orders and fills the session has."""
    ledger = ledger_of(project)
    with ledger.read() as connection:
        made = connection.execute(select(func.count()).where(batches.c.session == LAST_COLLECTED)).scalar()
        sent = connection.execute(select(func.count()).where(orders.c.session == LAST_COLLECTED)).scalar()
        fills = len(fills_of(connection, "paper", first=LAST_COLLECTED, last=LAST_COLLECTED))
    ledger.close()
    return made, sent, fills
