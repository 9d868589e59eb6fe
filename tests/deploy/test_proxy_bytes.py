"""Requests that no browser would send: other spellings and names, two requests in one. None changes anything."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.deploy.mutations import REPORTS, launch, spellings
from tests.deploy.proxied import OPERATOR_HOST, PAGES, VIEWER_HOST, Site, own_page
from tests.deploy.wire import JSON, REFUSED, assert_refused, connected, request, sent, trusting


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("host", PAGES)
@pytest.mark.parametrize("report", REPORTS)
def test_no_spelling_of_a_report_gets_through(site: Site, host: str, report: str) -> None:
    body = b'{"check_name": "is_there", "passed": true}'
    for target in spellings(report):
        assert_refused(site.send(request(target, [("Host", host), *own_page(host), JSON], body), host))
        read = [("Host", host), *own_page(host), ("X-HTTP-Method-Override", "POST")]
        assert site.send(request(target, read, method="GET"), host).status in (*REFUSED, 200), target
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "REPORT"):
        raw = request(f"/{report}/thing", [("Host", host), *own_page(host), JSON], body, method)
        assert_refused(site.send(raw, host))


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
        "evil.example.net",
        "127.0.0.1",
        "localhost",
        "webserver",
        f"{OPERATOR_HOST}.",
        f"{OPERATOR_HOST}:8443",
        f"{OPERATOR_HOST}:443",
        f"{OPERATOR_HOST}.evil.net",
        f"x.{OPERATOR_HOST}",
        OPERATOR_HOST.upper(),
        f"{OPERATOR_HOST}, evil.net",
        f"{OPERATOR_HOST}/x",
        f"{OPERATOR_HOST}@evil.net",
        f"evil.net@{OPERATOR_HOST}",
        "",
        " ",
        "[::1]",
        VIEWER_HOST + ".",
    ],
)
def test_whoever_asks_for_another_name_is_sent_away(site: Site, host: str) -> None:
    page = [JSON, *own_page(OPERATOR_HOST)]
    for name in (OPERATOR_HOST, VIEWER_HOST):
        assert_refused(site.send(request("/graphql", [("Host", host), *page], launch().body), name))


@pytest.mark.usefixtures("unchanged")
def test_a_request_without_a_name_or_with_two_isassert_refused(site: Site) -> None:
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
        assert_refused(site.send(raw))
    for name in (None, "evil.example.net", "localhost"):
        # Another name in the handshake: nothing is shaken.
        context = _careless()
        raw = request("/graphql", [("Host", OPERATOR_HOST), *page], body)
        assert sent(site.https, raw, context, name).status in (0, 421)


def _careless():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.usefixtures("unchanged")
def test_without_tls_nothing_is_done(site: Site) -> None:
    page = [("Host", OPERATOR_HOST), JSON, *own_page(OPERATOR_HOST)]
    assert_refused(sent(site.http, request("/graphql", page, launch().body)))
    assert_refused(sent(site.https, request("/graphql", page, launch().body)))
    moved = sent(site.http, request("/runs?q=1", [("Host", OPERATOR_HOST)], method="GET"))
    assert (moved.status, moved.headers["location"]) == (301, f"https://{OPERATOR_HOST}/runs?q=1")
    assert sent(site.http, request("/", [("Host", "evil.example.net")], method="GET")).status == 0


def _smuggled(host: str) -> Iterator[bytes]:
    """Requests that two servers might cut in two at different places, with a write in what one of them sees."""
    hidden = request("/report_asset_materialization/thing", [("Host", host), ("Content-Length", "0")])
    chunk = b"0\r\n\r\n" + hidden
    page = [("Host", host), *own_page(host)]
    lengths = [("Content-Length", str(len(chunk)))]
    for coding in (
        "chunked",
        " chunked",
        "chunked ",
        "\tchunked",
        "Chunked",
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked\x0b",
        '"chunked"',
    ):
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
    assert set(tried) <= {*REFUSED, 200, 426}


def _said(connection: ssl.SSLSocket) -> bytes:
    """Everything until the other side hangs up."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_whoever_asks_too_often_is_told_so(site: Site) -> None:
    one = request("/", [("Host", OPERATOR_HOST)], method="HEAD")
    last = request("/", [("Host", OPERATOR_HOST), ("Connection", "close")], method="HEAD")
    with trusting(site.certificate).wrap_socket(
        connected(site.https, source="127.8.8.8"), server_hostname=OPERATOR_HOST
    ) as connection:
        connection.sendall(one * 700 + last)
        said = _said(connection)
    assert said.count(b"HTTP/1.1 401") >= 400
    assert said.count(b"HTTP/1.1 429") >= 1
    # Somebody else is answered all the same.
    assert site.ask("/", [], method="GET").status == 401


@pytest.mark.skipif(not os.environ.get("SCIZOR_TORTURE"), reason="waits as long as the proxy does: make torture")
@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nHost: ", b"GET / HTTP/1.1\r\nHost: desk.example.org\r\nX: "]
)
def test_a_header_that_never_ends_is_not_waited_for(site: Site, begun: bytes) -> None:
    context = trusting(site.certificate)
    with context.wrap_socket(connected(site.https), server_hostname=OPERATOR_HOST) as connection:
        connection.settimeout(60)
        connection.sendall(begun)
        assert b"200" not in _said(connection)
