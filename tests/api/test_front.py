"""What holds before any route: hosts, sizes, rates, methods, headers, and what is told of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from scizor_dagster.api import docs_page
from scizor_dagster.api.app import create_app
from scizor_dagster.ledger.api_keys import Scope, keys_of
from tests.api.client import Answer, Client
from tests.api.conftest import NOW, key_for
from tests.projects import Project

STRICT = {
    "requests_per_minute": 8,
    "requests_per_minute_per_address": 12,
    "refusals_per_minute": 3,
    "max_body_bytes": 200,
    "docs": False,
    "hosts": ["desk.example"],
}


@pytest.fixture
def strict(fresh: Project) -> Iterator[Client]:
    """An application with small limits and without documentation, asked with a key that only reads."""
    with (fresh.folder / "config.yaml").open("a", encoding="utf-8") as config:
        config.write(f"api: {json.dumps(STRICT)}\n")
    client = Client(create_app(fresh.settings, clock=lambda: NOW), key_for(fresh, {Scope.READ}))
    yield client
    client.app.state.context.close()
    client.close()


def is_problem(answer: Answer, status: int) -> bool:
    body = answer.json
    same = answer.status == body["status"] == status
    return same and answer.headers["content-type"] == "application/problem+json" and bool(body["remedy"])


@pytest.mark.parametrize("host", ["desk.example", "desk.example:8000", "DESK.example", "127.0.0.1:8000", "[::1]:8000"])
def test_a_host_that_is_configured_or_this_machine_is_answered(strict: Client, host: str) -> None:
    assert strict.get("/api/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "desk.example.evil", "desk.example@evil", "", "127.0.0.1.evil", "[::2]", "desk.example:x", None],
)
def test_a_request_that_is_addressed_to_another_host_is_refused(strict: Client, host: str | None) -> None:
    assert is_problem(strict.get("/api/health", headers={"Host": host}), 400)


def test_every_answer_carries_an_id_and_the_headers_that_keep_browsers_out(strict: Client) -> None:
    for answer in (strict.get("/api/health"), strict.get("/nothing"), strict.holding(None).get("/api/health")):
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_is_no_route_and_what_has_no_such_method_are_problems(strict: Client) -> None:
    assert is_problem(strict.get("/api/nothing"), 404)
    wrong = strict.delete("/api/portfolios")
    assert is_problem(wrong, 405)
    assert wrong.headers["allow"] == "GET"


def test_the_documentation_is_not_there_where_it_is_switched_off(strict: Client) -> None:
    assert [strict.get(path).status for path in ("/docs", "/openapi.json")] == [404, 404]


def test_the_documentation_loads_nothing_and_runs_nothing(empty_api: Client) -> None:
    page = empty_api.holding(None).get("/docs")
    assert page.status == 200
    assert "script" not in page.headers["content-security-policy"]
    assert not any(word in page.text for word in ("<script", "src=", 'href="http', "@import", "url("))
    document = empty_api.holding(None).get("/openapi.json").json
    assert all(path in page.text for path in document["paths"])


def test_the_documentation_is_made_once_for_whatever_address_it_is_asked_by(
    empty_api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    once = docs_page.page
    monkeypatch.setattr(docs_page, "page", lambda document, url: made.append(url) or once(document, url))
    for host in ("localhost", "127.0.0.1:8123", "[::1]"):
        page = empty_api.holding(None).get("/docs", headers={"Host": host}).text
        assert f"http://{host}/api/health" in page
        assert "services.invalid" not in page
        assert empty_api.holding(None).get("/openapi.json").json["info"]["title"] == "Scizor"
    assert len(made) == 1


def test_a_key_may_ask_so_often_and_is_told_when_it_may_again(strict: Client) -> None:
    answers = [strict.get("/api/health") for _ in range(9)]
    assert [answer.status for answer in answers] == [200] * 8 + [429]
    assert is_problem(answers[-1], 429)
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert strict.get("/api/health", address="10.0.0.2").status == 429


def test_an_address_may_ask_so_often_whatever_it_shows(strict: Client) -> None:
    assert [strict.get("/nothing").status for _ in range(13)] == [404] * 12 + [429]
    assert strict.get("/nothing", address="10.0.0.2").status == 404


def test_when_too_many_are_being_answered_the_next_is_told_to_come_again(empty_api: Client) -> None:
    places = empty_api.app.state.context.requests
    rules = empty_api.app.state.context.rules
    for _ in range(rules.max_threads + rules.max_waiting):
        places.take()
    full = empty_api.get("/api/health")
    assert is_problem(full, 503)
    assert full.headers["retry-after"] == "1"
    places.give_back()
    assert [empty_api.get("/api/health").status for _ in range(2)] == [200, 200]


def test_whoever_tries_keys_is_not_looked_at_any_more_not_even_with_a_good_one(strict: Client) -> None:
    thief = strict.holding("scz_" + "0" * 12 + "_" + "0" * 64)
    assert [thief.get("/api/health").status for _ in range(4)] == [401, 401, 401, 429]
    assert strict.get("/api/health").status == 429
    assert strict.get("/api/health", address="10.0.0.2").status == 200


@pytest.mark.parametrize("size", [{"content-length": "201"}, {}], ids=["stated", "sent"])
def test_a_body_that_is_too_large_is_not_read(strict: Client, size: dict[str, str]) -> None:
    headers = {"content-length": None, **size}
    body = b"x" if size else b"x" * 201
    assert is_problem(strict.request("GET", "/api/health", body=body, headers=headers), 413)


def test_a_body_that_nobody_asked_for_is_refused(strict: Client) -> None:
    assert is_problem(strict.request("GET", "/api/health", body=b"{}"), 400)


@pytest.mark.parametrize("shown", ["Basic YTpi", "Bearer", "Bearer  ", "bearer scz_", "scz_x", "Bearer ünï"])
def test_what_is_no_bearer_key_opens_nothing(empty_api: Client, shown: str) -> None:
    answer = empty_api.holding(None).get("/api/health", headers={"Authorization": shown})
    assert is_problem(answer, 401)


def test_a_key_in_the_address_or_a_cookie_opens_nothing(empty_api: Client) -> None:
    nobody = empty_api.holding(None)
    assert nobody.get("/api/health", query={"key": empty_api.key}).status == 401
    assert nobody.get("/api/health", headers={"Cookie": f"key={empty_api.key}"}).status == 401


def test_a_key_opens_nothing_from_the_moment_on_that_it_expires(fresh: Project) -> None:
    now = [NOW]
    client = Client(create_app(fresh.settings, clock=lambda: now[0]), key_for(fresh, now=NOW, lasts=timedelta(hours=2)))
    assert client.get("/api/health").status == 200
    now[0] += timedelta(hours=2)
    assert client.get("/api/health").status == 401
    client.app.state.context.close()
    client.close()


def test_the_use_of_a_key_is_kept_to_the_hour(empty_api: Client) -> None:
    for _ in range(2):
        empty_api.get("/api/health")
    ledger = empty_api.app.state.context.ledger
    with ledger.read() as connection:
        assert [key.last_used_at for key in keys_of(connection)] == [NOW]


def test_a_configuration_that_was_changed_is_read_anew_and_a_broken_one_is_named(
    empty_api: Client, fresh: Project
) -> None:
    config = fresh.folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("  main:", "  other:"), encoding="utf-8")
    assert [item["name"] for item in empty_api.get("/api/portfolios").json["items"]] == ["other"]
    config.write_text(text + "nonsense: 1\n", encoding="utf-8")
    broken = empty_api.get("/api/portfolios")
    assert is_problem(broken, 503)
    assert "nonsense" in broken.json["problem"]
    config.write_text(text, encoding="utf-8")
    assert [item["name"] for item in empty_api.get("/api/portfolios").json["items"]] == ["main"]


def test_a_page_is_as_long_as_asked_and_names_the_next(empty_api: Client, fresh: Project) -> None:
    config = fresh.folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    more = text.replace("share: 1.0", "share: 0.3")
    body = more[more.index("  main:") : more.index("risk:")]
    config.write_text(
        more.replace("risk:", body.replace("main:", "second:") + body.replace("main:", "third:") + "risk:")
    )
    first = empty_api.get("/api/portfolios?limit=2")
    assert [item["name"] for item in first.json["items"]] == ["main", "second"]
    link = first.headers["link"]
    assert link == f'</api/portfolios?limit=2&cursor={first.json["next"]}>; rel="next"'
    rest = empty_api.get(link[1 : link.index(">")])
    assert ([item["name"] for item in rest.json["items"]], rest.json["next"]) == (["third"], None)
    assert "link" not in rest.headers


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1%00", "cursor=A%0A", "limit=1001", "limit=x", "cursor=%21", "cursor=", "cursor=AA", "cursor=A"],
)
def test_a_page_that_cannot_be_is_refused(empty_api: Client, query: str) -> None:
    assert is_problem(empty_api.get(f"/api/portfolios?{query}"), 422)


def test_a_server_that_has_ended_leaves_no_lock_behind(empty_api: Client, fresh: Project) -> None:
    context = empty_api.app.state.context
    context.hold(context.ledger)
    assert [path.name for path in fresh.home.iterdir() if context.holder in path.name]
    context.close()
    assert not [path.name for path in fresh.home.iterdir() if context.holder in path.name]
