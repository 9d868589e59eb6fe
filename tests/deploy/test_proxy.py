"""Nobody writes past the shipped proxy who may not: real nginx, real webservers, real services.

What is refused is proven by Dagster's storage, which is the same afterwards; what an operator does from the site's own
page succeeds, so that every one of these could fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from tests.deploy.mutations import REPORTS, Mutation, every, launch, spellings
from tests.deploy.proxied import API_HOST, OPERATOR, OPERATOR_HOST, VIEWER_HOST, Site, login, own_page, until
from tests.deploy.wire import Answer, Header, basic, request, sent

JSON: Header = ("Content-Type", "application/json")
PAGES = (OPERATOR_HOST, VIEWER_HOST)
GONE = (0, 400, 401, 403, 404, 405, 408, 411, 413, 414, 421, 429, 501, 505)
"""Statuses of a refusal, and of a connection that was closed."""


@pytest.fixture(scope="module")
def runs(site: Site) -> Iterator[tuple[str, str]]:
    """A run that goes on, and one that has ended."""
    going = _launched(site, "endless")
    ended = _launched(site, "make_thing")
    with DagsterInstance.from_config(str(site.home)) as instance:
        until(lambda: _status(instance, going) is DagsterRunStatus.STARTED, "a run goes on")
        until(lambda: _status(instance, ended) is DagsterRunStatus.SUCCESS, "a run has ended")
    # A step writes that it waits, once; what follows is to find everything at rest.
    _at_rest(site)
    yield going, ended
    with DagsterInstance.from_config(str(site.home)) as instance:
        if (run := instance.get_run_by_id(going)) is not None and not run.is_finished:
            instance.run_launcher.terminate(going)


def _at_rest(site: Site) -> None:
    seen: list[dict[str, str]] = [{}]

    def same() -> bool:
        seen.append(site.stored())
        return seen[-1] == seen[-2]

    until(same, "nothing is written any more")


def _status(instance: DagsterInstance, run: str) -> DagsterRunStatus | None:
    found = instance.get_run_by_id(run)
    return None if found is None else found.status


def _launched(site: Site, job: str) -> str:
    """As an operator does it, in the UI."""
    answer = site.ask("/graphql", [JSON, *own_page(OPERATOR_HOST)], launch(job).body)
    assert answer.status == 200, answer
    assert answer.data["done"]["__typename"] == "LaunchRunSuccess", answer.body
    return str(answer.data["done"]["run"]["runId"])


def _refused(answer: Answer) -> None:
    assert answer.status in GONE, (answer.status, answer.body[:300])


@pytest.fixture
def unchanged(site: Site, runs: tuple[str, str]) -> Iterator[None]:
    """Dagster's storage has not one row more, less or other than before."""
    _at_rest(site)
    before = site.stored()
    yield
    assert site.stored() == before


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
        assert b"Unauthorized" in sent(site.viewer, raw).body or not mutation.succeeds


FOREIGN: dict[str, list[Header]] = {
    "another site": [("Origin", "https://evil.example.net"), ("Sec-Fetch-Site", "cross-site")],
    "another site, in a browser that does not say so": [("Origin", "https://evil.example.net")],
    "a neighbour": [("Origin", "https://blog.example.org"), ("Sec-Fetch-Site", "same-site")],
    "the page for viewers": [("Origin", f"https://{VIEWER_HOST}"), ("Sec-Fetch-Site", "same-site")],
    "a frame without an origin": [("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
    "no origin": [],
    "no origin, and a referrer": [("Referer", f"https://{OPERATOR_HOST}/runs")],
    "an empty origin": [("Origin", "")],
    "the site without TLS": [("Origin", f"http://{OPERATOR_HOST}")],
    "another port": [("Origin", f"https://{OPERATOR_HOST}:8443")],
    "a name that begins alike": [("Origin", f"https://{OPERATOR_HOST}.evil.net")],
    "a name that ends alike": [("Origin", f"https://evil{OPERATOR_HOST}")],
    "a user of that name": [("Origin", f"https://{OPERATOR_HOST}@evil.net")],
    "two origins": [("Origin", f"https://{OPERATOR_HOST} https://evil.net")],
    "the right origin, from elsewhere": [("Origin", f"https://{OPERATOR_HOST}"), ("Sec-Fetch-Site", "cross-site")],
    "the right origin, from a neighbour": [("Origin", f"https://{OPERATOR_HOST}"), ("Sec-Fetch-Site", "same-site")],
    "the right origin, from nowhere": [("Origin", f"https://{OPERATOR_HOST}"), ("Sec-Fetch-Site", "none")],
}


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
        for target in (f"/graphql?{asked}", f"/graphql/?{asked}", f"//graphql?{asked}", f"/%67raphql?{asked}"):
            for accept in accepts:
                answer = site.ask(target, [*own_page(host), *accept], method=method, host=host)
                # With a slash behind it is a page of the UI, and no question.
                assert answer.status in (400, 403) or (answer.status == 200 and b"data" not in answer.body[:10]), answer


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
            _refused(site.ask(target, [*header, *own_page(host)], body, host=host))


@pytest.mark.usefixtures("unchanged")
def test_a_query_beside_the_body_is_not_handed_on(site: Site) -> None:
    asked = urlencode({"query": launch().query, "variables": json.dumps(launch().variables)})
    harmless = json.dumps({"query": "{ version }"}).encode()
    answer = site.ask(f"/graphql?{asked}", [JSON, *own_page(OPERATOR_HOST)], harmless)
    assert (answer.status, list(answer.data)) == (200, ["version"])


def test_without_the_proxy_these_forms_would_launch_runs(site: Site, runs: tuple[str, str]) -> None:
    mutation = launch()
    asked = urlencode({"query": mutation.query, "variables": json.dumps(mutation.variables)})
    for raw in (
        request(f"/graphql?{asked}", [("Host", "h")], method="GET"),
        request(f"/graphql?{asked}", [("Host", "evil"), ("Content-Type", "text/plain")]),
        request("/graphql", [("Host", "h"), ("Content-Type", "text/plain; application/json")], mutation.body),
        request(
            "/graphql", [("Host", "h"), ("Content-Type", "application/json"), *FOREIGN["another site"]], mutation.body
        ),
    ):
        assert sent(site.webserver, raw).data["done"]["__typename"] == "LaunchRunSuccess"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
@pytest.mark.parametrize("report", REPORTS)
def test_no_spelling_of_a_report_gets_through(site: Site, host: str, report: str) -> None:
    for target in spellings(report):
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "REPORT"):
            raw = request(
                target, [("Host", host), *own_page(host), JSON], b'{"check_name": "is_there", "passed": true}', method
            )
            _refused(site.send(raw, host))
        raw = request(target, [("Host", host), *own_page(host), ("X-HTTP-Method-Override", "POST")], method="GET")
        answer = site.send(raw, host)
        assert answer.status in (*GONE, 200), (target, answer)


def test_without_the_proxy_a_report_would_be_believed(site: Site, runs: tuple[str, str]) -> None:
    before = site.stored()
    taken = [
        target
        for target in spellings(REPORTS[0])
        if sent(site.webserver, request(target, [("Host", "evil")])).status == 200
    ]
    assert len(taken) >= 5
    assert site.stored() != before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "host",
    [
        "evil.example.net", "127.0.0.1", "localhost", "webserver", f"{OPERATOR_HOST}.", f"{OPERATOR_HOST}:8443", f"{OPERATOR_HOST}:443",
        f"{OPERATOR_HOST}.evil.net", f"x.{OPERATOR_HOST}", OPERATOR_HOST.upper(), f"{OPERATOR_HOST}, evil.net", f"{OPERATOR_HOST}/x",
        f"{OPERATOR_HOST}@evil.net", f"evil.net@{OPERATOR_HOST}", "", " ", "[::1]", VIEWER_HOST + ".",
    ],
)  # fmt: skip
def test_whoever_asks_for_another_name_is_sent_away(site: Site, host: str) -> None:
    page = [JSON, *own_page(OPERATOR_HOST)]
    for name in (OPERATOR_HOST, VIEWER_HOST):
        _refused(site.send(request("/graphql", [("Host", host), *page], launch().body), name))


@pytest.mark.usefixtures("unchanged")
def test_a_request_without_a_name_or_with_two_is_refused(site: Site) -> None:
    page, body = [JSON, *own_page(OPERATOR_HOST)], launch().body
    other = "evil.example.net"
    for raw in (
        request("/graphql", page, body),
        request("/graphql", page, body, version="HTTP/1.0"),
        request(f"https://{other}/graphql", [("Host", OPERATOR_HOST), *page], body),
        request(f"https://{OPERATOR_HOST}/graphql", [("Host", other), *page], body),
        request("http://127.0.0.1:3000/graphql", [("Host", OPERATOR_HOST), *page], body),
        request("/graphql", [("Host", other), ("Host", OPERATOR_HOST), *page], body),
        request("/graphql", [("Host", other), ("X-Forwarded-Host", OPERATOR_HOST), *page], body),
        request("graphql", [("Host", OPERATOR_HOST), *page], body),
        b"POST /graphql\r\n\r\n" + body,
    ):
        _refused(site.send(raw))
    for name in (None, "evil.example.net", "localhost"):
        # Another name in the handshake: nothing is shaken.
        context = _careless()
        raw = request("/graphql", [("Host", OPERATOR_HOST), *page], body)
        assert sent(site.https, raw, context, name).status in (0, 421)


def _careless():  # noqa: ANN202
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.usefixtures("unchanged")
def test_without_tls_nothing_is_done(site: Site) -> None:
    page = [("Host", OPERATOR_HOST), JSON, *own_page(OPERATOR_HOST)]
    _refused(sent(site.http, request("/graphql", page, launch().body)))
    _refused(sent(site.https, request("/graphql", page, launch().body)))
    moved = sent(site.http, request("/runs?q=1", [("Host", OPERATOR_HOST)], method="GET"))
    assert (moved.status, moved.headers["location"]) == (301, f"https://{OPERATOR_HOST}/runs?q=1")
    assert sent(site.http, request("/", [("Host", "evil.example.net")], method="GET")).status == 0


def _smuggled(host: str) -> Iterator[bytes]:
    """A request that two servers might cut in two at different places, with a write in the part that one of them sees."""
    hidden = request("/report_asset_materialization/thing", [("Host", host), ("Content-Length", "0")])
    chunk = b"0\r\n\r\n" + hidden
    page = [("Host", host), *own_page(host)]
    lengths = [("Content-Length", str(len(chunk)))]
    for coding in (
        "chunked", " chunked", "chunked ", "\tchunked", "Chunked", "xchunked", "chunked, identity", "identity, chunked", "gzip, chunked",
        "chunked\x0b", '"chunked"',
    ):  # fmt: skip
        for method, target, kind in (("POST", "/graphql", [JSON]), ("GET", "/", []), ("GET", "/server_info", [])):
            yield request(target, [*page, *kind, *lengths, ("Transfer-Encoding", coding)], method=method) + chunk
            yield request(target, [*page, *kind, ("Transfer-Encoding", coding), *lengths], method=method) + chunk
            yield request(target, [*page, *kind, ("Transfer-Encoding", coding)], method=method) + chunk
    for name in (
        "Transfer-Encoding ",
        " Transfer-Encoding",
        "Transfer_Encoding",
        "X: y\nTransfer-Encoding",
        "X: y\rTransfer-Encoding",
    ):
        yield request("/", [*page, *lengths, (name, "chunked")], method="GET") + chunk
    for length in ("0", "+0", "-1", "0x0", "1,0", "0, 0", "00", "4 4", "0\r\nContent-Length: 44", ""):
        yield request("/", [*page, ("Content-Length", length)], method="GET") + hidden
        yield request("/graphql", [*page, JSON, ("Content-Length", length)]) + hidden
    yield request("/", [*page, ("Connection", "Upgrade"), ("Upgrade", "websocket")], method="GET") + hidden
    yield request("/", [*page, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")], method="GET") + hidden
    yield request("/ HTTP/1.1\r\nHost: x\r\n\r\n" + hidden.decode(), page, method="GET")
    yield request("/%0d%0a%0d%0a" + quote(hidden.decode()), page, method="GET")
    yield request("/", [*page, ("X", "y\r\n\r\n" + hidden.decode())], method="GET")
    yield request("/", page, method="GET") + hidden
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
def test_nothing_is_smuggled_past_the_proxy(site: Site, host: str) -> None:
    tried = [site.send(raw, host).status for raw in _smuggled(host)]
    assert len(tried) >= 80
    assert set(tried) <= {*GONE, 200, 426}


def test_an_operator_at_the_page_of_the_site_may_do_all_of_it(site: Site, runs: tuple[str, str]) -> None:
    for mutation in every(*runs):
        before = site.stored()
        answer = site.ask("/graphql", [JSON, *own_page(OPERATOR_HOST)], mutation.body)
        assert answer.status == 200, (mutation.name, answer)
        _succeeded(mutation, answer)
        assert site.stored() != before, mutation.name


def _succeeded(mutation: Mutation, answer: Answer) -> None:
    done = answer.data["done"]
    assert (done["__typename"] if mutation.succeeds else done) in (mutation.succeeds, True), answer.body


def test_an_operator_of_an_older_browser_may_too(site: Site, runs: tuple[str, str]) -> None:
    page = [login(OPERATOR_HOST), ("Origin", f"https://{OPERATOR_HOST}")]
    answer = site.ask("/graphql", [("Content-Type", "application/json; charset=UTF-8"), *page], launch().body)
    assert answer.data["done"]["__typename"] == "LaunchRunSuccess"


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
    ["/metrics", "/metrics/", "/metrics?x", "//metrics", "/%6detrics", "/METRICS", "/x/../metrics", "/./metrics", "/metrics%00", "/metrics;x"],
)  # fmt: skip
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
