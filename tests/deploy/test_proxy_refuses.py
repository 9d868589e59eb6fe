"""Nobody changes anything past the shipped proxy who may not: real nginx, real webservers of Dagster's.

What is refused is proven by Dagster's storage, which is the same afterwards; `test_proxy_lets_through` shows that each
of these mutations has an effect where it is allowed.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tests.deploy.mutations import Mutation, every, launch, move
from tests.deploy.proxied import FOREIGN, OPERATOR_HOST, PAGES, VIEWER_HOST, Site, login, own_page
from tests.deploy.wire import JSON, Answer, Header, assert_refused, basic, request, sent


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
def test_whoever_is_not_logged_in_changes_nothing(site: Site, runs: tuple[str, str], host: str) -> None:
    wrong = ["ada:guess", "ada:", ":", "bob:a password of hers", "root:root"]
    ways: list[list[Header]] = [[], *([basic(guess)] for guess in wrong), [("Authorization", "Bearer scz_1_2")]]
    for mutation in every(*runs):
        page = [header for header in own_page(host) if header[0] != "Authorization"]
        assert [site.ask("/graphql", [JSON, *page, *way], mutation.body, host=host).status for way in ways] == [401] * 7
    assert site.ask("/", [], method="GET", host=host).status == 401


@pytest.mark.usefixtures("unchanged")
def test_a_viewer_is_no_operator(site: Site, runs: tuple[str, str]) -> None:
    page = [("Origin", f"https://{OPERATOR_HOST}"), login(VIEWER_HOST)]
    for mutation in every(*runs):
        assert site.ask("/graphql", [JSON, *page], mutation.body).status == 401


@pytest.mark.usefixtures("unchanged")
def test_the_webserver_for_viewers_refuses_every_change_itself(site: Site, runs: tuple[str, str]) -> None:
    through = {
        m.name: site.ask("/graphql", [JSON, *own_page(VIEWER_HOST)], m.body, host=VIEWER_HOST) for m in every(*runs)
    }
    # Where Dagster's schema has no word for a refusal, it is an error of the server.
    assert {answer.status for answer in through.values()} <= {200, 500}
    answers = {name: answer.body.decode() for name, answer in through.items()}
    assert [
        name for name, text in answers.items() if "UnauthorizedError" not in text and "permission" not in text
    ] == []
    for mutation in every(*runs):
        raw = request("/graphql", [("Host", "127.0.0.1"), JSON], mutation.body)
        assert _denied(sent(site.viewer, raw)), mutation.name


def _denied(answer: Answer) -> bool:
    return b"Unauthorized" in answer.body or b"permission" in answer.body


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("page", FOREIGN)
def test_a_page_of_another_site_changes_nothing_with_the_login_of_the_browser(
    site: Site, runs: tuple[str, str], page: str
) -> None:
    for mutation in every(*runs):
        answer = site.ask("/graphql", [JSON, login(OPERATOR_HOST), *FOREIGN[page]], mutation.body)
        assert answer.status == 403, (mutation.name, answer)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
def test_no_link_can_change_anything(site: Site, host: str) -> None:
    mutation = launch()
    asked = urlencode({"query": mutation.query, "variables": json.dumps(mutation.variables)})
    accepts: list[list[Header]] = [[], [("Accept", "text/html")], [("Accept", "*/*")], [("Upgrade", "h2c")]]
    for method in ("GET", "HEAD"):
        for path in ("/graphql", "/graphql/", "//graphql", "/%67raphql", "/graphql%0a", "/graphql%0A", "/%0agraphql"):
            target = f"{path}?{asked}"
            for accept in accepts:
                answer = site.ask(target, [*own_page(host), *accept], method=method, host=host)
                assert answer.status in (400, 403), answer


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "application/graphql",
        "application/json, text/plain",
        "multipart/form-data; boundary=application/json",
        "",
        None,
    ],
)
def test_no_form_can_change_anything(site: Site, host: str, kind: str | None) -> None:
    mutation = launch()
    asked = {"query": mutation.query, "variables": json.dumps(mutation.variables)}
    header = [("Content-Type", kind)] if kind is not None else []
    part = f'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{mutation.query}\r\n--x--\r\n'
    for body in (mutation.body, urlencode(asked).encode(), mutation.query.encode(), part.encode(), b""):
        for target in ("/graphql", f"/graphql?{urlencode(asked)}"):
            assert_refused(site.ask(target, [*header, *own_page(host)], body, host=host))


@pytest.mark.usefixtures("unchanged")
def test_a_query_beside_the_body_is_not_handed_on(site: Site) -> None:
    asked = urlencode({"query": launch().query, "variables": json.dumps(launch().variables)})
    harmless = json.dumps({"query": "{ version }"}).encode()
    answer = site.ask(f"/graphql?{asked}", [JSON, *own_page(OPERATOR_HOST)], harmless)
    assert (answer.status, list(answer.data)) == (200, ["version"])


def test_without_the_proxy_these_forms_would_change_something(site: Site, runs: tuple[str, str]) -> None:
    def asked(mutation: Mutation) -> str:
        return "/graphql?" + urlencode({"query": mutation.query, "variables": json.dumps(mutation.variables)})

    simple = ("Content-Type", "text/plain; application/json")
    ways = [
        (launch(), request(asked(launch()), [("Host", "h")], method="GET")),
        (move("1"), request(asked(move("1")), [("Host", "h")], method="GET")),
        (move("2"), request(asked(move("2")), [("Host", "evil"), ("Content-Type", "text/plain")])),
        (move("3"), request("/graphql", [("Host", "h"), simple], move("3").body)),
        (move("4"), request("/graphql", [("Host", "h"), JSON, *FOREIGN["another site"]], move("4").body)),
        # A line feed at the end of a path is none to what the webserver routes by.
        (move("5"), request(asked(move("5")).replace("?", "%0a?", 1), [("Host", "h")], method="GET")),
    ]
    for mutation, raw in ways:
        before = site.stored()
        assert sent(site.webserver, raw).data["done"]["__typename"] == mutation.succeeds
        assert site.stored() != before
