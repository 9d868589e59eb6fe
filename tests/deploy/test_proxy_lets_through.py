"""What the shipped proxy lets through: operators act, viewers look, programs ask with their keys."""

from __future__ import annotations

import json

import pytest
from dagster import DagsterInstance

from tests.deploy.conftest import begun
from tests.deploy.mutations import Mutation, every, move
from tests.deploy.proxied import API_HOST, FOREIGN, OPERATOR, OPERATOR_HOST, PAGES, VIEWER_HOST, Site, login, own_page
from tests.deploy.wire import JSON, Answer, basic, request


def test_an_operator_at_the_page_of_the_site_may_do_all_of_it(site: Site, instance: DagsterInstance) -> None:
    for mutation in every(*begun(site, instance)):
        before = site.stored()
        answer = site.ask("/graphql", [JSON, *own_page(OPERATOR_HOST)], mutation.body)
        assert answer.status == 200, (mutation.name, answer)
        _succeeded(mutation, answer)
        assert site.stored() != before, mutation.name


def _succeeded(mutation: Mutation, answer: Answer) -> None:
    done = answer.data["done"]
    assert (done["__typename"] if mutation.succeeds else done) in (mutation.succeeds, True), answer.body


def test_an_operator_of_an_older_browser_may_too(site: Site) -> None:
    page = [login(OPERATOR_HOST), ("Origin", f"https://{OPERATOR_HOST}")]
    kind = ("Content-Type", "application/json; charset=UTF-8")
    _succeeded(move(), site.ask("/graphql", [kind, *page], move().body))


@pytest.mark.parametrize("host", PAGES)
def test_whoever_is_logged_in_can_look(site: Site, host: str) -> None:
    asked = json.dumps({"query": "{ runsOrError(limit: 3) { ... on Runs { results { runId } } } }"}).encode()
    answer = site.ask("/graphql", [JSON, *own_page(host)], asked, host=host)
    assert answer.status == 200
    assert "results" in answer.data["runsOrError"]
    for target in ("/", "/runs", "/locations", "/assets/thing?view=partitions", "/server_info"):
        assert site.ask(target, [login(host)], method="GET", host=host).status == 200
    assert site.ask("/", [login(host)], method="HEAD", host=host).status == 200


@pytest.mark.parametrize("host", [*PAGES, API_HOST])
def test_every_answer_tells_the_browser_how_to_be_careful(site: Site, host: str) -> None:
    for target, headers in (("/", [login(host)] if host in PAGES else []), ("/graphql?query=x", []), ("/%2e%2e/", [])):
        answer = site.ask(target, headers, method="GET", host=host)
        said = answer.headers
        assert said["strict-transport-security"] == "max-age=31536000"
        assert (said["x-frame-options"], said["x-content-type-options"]) == ("DENY", "nosniff")
        assert "frame-ancestors 'none'" in said["content-security-policy"]
        assert said["referrer-policy"] == "same-origin"
        assert said["server"] == "nginx"


def test_the_login_stays_at_the_proxy_and_the_key_of_a_program_does_not(site: Site) -> None:
    health = site.ask("/api/health", [("Authorization", f"Bearer {site.key}")], method="GET", host=API_HOST)
    assert health.status == 200, health
    assert site.ask("/api/health", [], method="GET", host=API_HOST).status == 401
    assert site.ask("/api/health", [basic(OPERATOR)], method="GET", host=API_HOST).status == 401
    assert site.ask("/", [("Authorization", f"Bearer {site.key}")], method="GET").status == 401


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/metrics/",
        "/metrics?x",
        "//metrics",
        "/%6detrics",
        "/METRICS",
        "/x/../metrics",
        "/./metrics",
        "/metrics%00",
        "/metrics;x",
    ],
)
def test_metrics_are_not_for_everybody(site: Site, target: str) -> None:
    answer = site.ask(target, [("Authorization", f"Bearer {site.key}")], method="GET", host=API_HOST)
    assert answer.status in (400, 404)
    assert answer.headers["content-type"].startswith("text/html"), "the services have seen it"


@pytest.mark.parametrize(
    "page",
    ["another site", "a neighbour", "a frame without an origin", "another site, in a browser that does not say so"],
)
def test_a_page_of_another_site_is_not_answered_by_the_services(site: Site, page: str) -> None:
    key = ("Authorization", f"Bearer {site.key}")
    answer = site.ask("/api/portfolios/main/halt", [JSON, key, *FOREIGN[page]], b"{}", host=API_HOST)
    assert answer.status == 403
    assert b"nginx" in answer.body


def test_a_body_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    for host, size in ((OPERATOR_HOST, 1024**2 + 1), (VIEWER_HOST, 1024**2 + 1), (API_HOST, 33 * 1024**2 + 1)):
        raw = request("/graphql", [("Host", host), JSON, *own_page(host), ("Content-Length", str(size))])
        assert site.send(raw, host).status == 413
