"""Twelve secrets, put where secrets are, and pulled at through every error that can be had: none is told anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import Depends

from scizor_dagster.api.app import create_app
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Reach, require
from scizor_dagster.errors import BrokerUnavailable, ConfigError, InputError, LedgerError
from scizor_dagster.flow.secrets import redaction_of
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.logs import dress
from tests.api.client import Answer, Client
from tests.api.conftest import NOW, key_for
from tests.projects import Project

CANARIES = [f"CANARY{number:02d}x9f3e7a1b5c8d2" for number in range(12)]
VARIABLES = {
    "APCA_API_KEY_ID": CANARIES[0],
    "APCA_API_SECRET_KEY": CANARIES[1],
    "PHONE_URL": f"json://user:{CANARIES[2]}@127.0.0.1:9/{CANARIES[3]}?token={CANARIES[4]}",
    "HOOK_URL": f"https://127.0.0.1/{CANARIES[5]}",
    "SECOND_KEY": CANARIES[6],
    "SECOND_SECRET": CANARIES[7],
}
ERRORS = {
    "input": InputError,
    "config": ConfigError,
    "broker": BrokerUnavailable,
    "ledger": LedgerError,
}


def fail(kind: str, index: int, actor: object = Depends(require(Scope.READ, Reach.SHARED))) -> None:
    """Raises what somebody careless might: an error with a secret in its words."""
    secret = list(VARIABLES.values())[index % len(VARIABLES)]
    if kind in ERRORS:
        raise ERRORS[kind](f"It broke at {secret}.", remedy=f"Look at {secret}.", where=f"where {secret}")
    raise RuntimeError(f"deep inside: {secret}")


@pytest.fixture
def told(fresh: Project, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[Client, list[Answer], Project]]:
    """An application in whose configuration and environment every canary is, and all that it answers."""
    with (fresh.folder / "config.yaml").open("a", encoding="utf-8") as config:
        config.write("notifications: {targets: ['${PHONE_URL}', '${HOOK_URL}']}\n")
    text = (fresh.folder / "config.yaml").read_text(encoding="utf-8")
    pinned = (
        "accounts:\n  first: {broker: alpaca, environment: paper, account_id: PA1, initial_cash: 1.0}\n"
        "  second: {broker: alpaca, environment: paper, account_id: PA2, initial_cash: 1.0, "
        "key_id: '${SECOND_KEY}', secret_key: '${SECOND_SECRET}'}\n"
    )
    (fresh.folder / "config.yaml").write_text(text.replace("accounts:\n", pinned), encoding="utf-8")
    settings = type(fresh.settings)(
        fresh.settings.home, fresh.settings.config_path, {**fresh.settings.environment, **VARIABLES}
    )
    router = ApiRouter("test")
    router.get("/fail/{kind}/{index}")(fail)
    router.post("/fail/{kind}/{index}")(fail)
    app = create_app(settings, clock=lambda: NOW)
    app.router.routes.extend(router.routes)
    caplog.set_level(logging.DEBUG)
    context = app.state.context
    plain = caplog.handler.formatter
    dress(caplog.handler, {}, redaction_of(context.desk.config, settings))
    client = Client(app, key_for(fresh))
    yield client, [], fresh
    caplog.handler.setFormatter(plain)
    context.close()
    client.close()


def test_no_secret_is_told_by_any_error_path(
    told: tuple[Client, list[Answer], Project], caplog: pytest.LogCaptureFixture
) -> None:
    client, answers, project = told
    shown = [*CANARIES[8:], f"scz_{'0' * 12}_{CANARIES[11]}"]
    for kind in (*ERRORS, "bug"):
        answers += [client.get(f"/api/fail/{kind}/{index}") for index in range(len(VARIABLES))]
        answers += [
            client.post(f"/api/fail/{kind}/{index}", headers={"Idempotency-Key": f"{kind}{index}"})
            for index in range(len(VARIABLES))
        ]
    answers += [client.holding(secret).get("/api/health") for secret in shown]
    answers += [client.get("/api/health", headers={"Host": secret}) for secret in shown]
    answers += [client.post("/api/health", body=secret.encode()) for secret in CANARIES]
    answers += [client.get("/api/symbols", query={"market": "x", "limit": secret}) for secret in CANARIES]
    key = str(client.key)
    answers += [client.delete(f"/api/symbols/{key}", query={"reason": f"it was {key}"})]
    answers += [client.get(f"/api/{path}/{key}") for path in ("data", "plans", "strategies", "orders", "portfolios")]
    answers += [client.post(f"/api/strategies/{key}/start", json={"reason": "r"}, headers={"Idempotency-Key": key})]
    answers += [client.holding(None).post(f"/api/strategies/{key}/signals", body=b"a")]
    statuses = {answer.status for answer in answers}
    assert statuses >= {400, 401, 405, 409, 422, 500, 503}
    secret_part = key.rpartition("_")[2]
    said = [answer.text + str(answer.headers) for answer in answers] + [caplog.text]
    stored = [path.read_bytes().decode("latin-1") for path in sorted(project.home.rglob("*")) if path.is_file()]
    assert any("It broke at ***" in text for text in stored)
    for secret in (*CANARIES, secret_part):
        assert not [text for text in (*said, *stored) if secret in text], secret


def test_the_canaries_would_be_heard(told: tuple[Client, list[Answer], Project]) -> None:
    client, _, _ = told
    redact = client.app.state.context.redact
    assert [redact(secret) for secret in CANARIES[:8]] == ["***"] * 8
    assert redact("nothing of it") == "nothing of it"


def test_a_trace_in_the_log_is_without_secrets(told: tuple[Client, list[Answer], Project], tmp_path: Path) -> None:
    client, _, _ = told
    handler = logging.FileHandler(tmp_path / "log.txt")
    dress(handler, {}, client.app.state.context.redact)
    logger = logging.getLogger("scizor.api")
    logger.addHandler(handler)
    client.get("/api/fail/bug/1")
    logger.removeHandler(handler)
    handler.close()
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "RuntimeError: deep inside: ***" in text
    assert CANARIES[1] not in text
