"""Websockets through the proxy: the page of the site gets one, nobody else does, and by none does a viewer act."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.deploy.mutations import launch, move
from tests.deploy.proxied import FOREIGN, OPERATOR_HOST, PAGES, VIEWER_HOST, Site, login
from tests.deploy.wire import SECONDS, Header, connected, trusting


def opened(site: Site, host: str, headers: list[Header], target: str = "/graphql") -> ClientConnection:
    origin = next((value for name, value in headers if name == "Origin"), None)
    return connect(
        f"wss://{host}{target}",
        sock=connected(site.https),
        ssl=trusting(site.certificate),
        server_hostname=host,
        origin=origin,  # type: ignore[arg-type]
        additional_headers=[header for header in headers if header[0] != "Origin"],
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        compression=None,
        open_timeout=SECONDS,
    )


def refusal(site: Site, host: str, headers: list[Header], target: str = "/graphql") -> int:
    with pytest.raises(InvalidStatus) as refused, opened(site, host, headers, target):
        pass
    return refused.value.response.status_code


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("page", [name for name, headers in FOREIGN.items() if headers != [("Origin", "")]])
def test_a_page_of_another_site_gets_no_websocket(site: Site, page: str) -> None:
    for host in PAGES:
        # What is foreign to operators may be the viewers' own, and there it is let in.
        if host == OPERATOR_HOST or f"https://{VIEWER_HOST}" not in str(FOREIGN[page]):
            assert refusal(site, host, [login(host), *FOREIGN[page]]) == 403


@pytest.mark.usefixtures("unchanged")
def test_whoever_is_not_logged_in_gets_no_websocket(site: Site) -> None:
    assert refusal(site, OPERATOR_HOST, [("Origin", f"https://{OPERATOR_HOST}")]) == 401
    assert refusal(site, OPERATOR_HOST, [login(VIEWER_HOST), ("Origin", f"https://{OPERATOR_HOST}")]) == 401


@pytest.mark.usefixtures("unchanged")
def test_there_is_a_websocket_at_one_path_alone(site: Site) -> None:
    page = [login(OPERATOR_HOST), ("Origin", f"https://{OPERATOR_HOST}")]
    for target in ("/", "/graphql/", "/logs", "/report_asset_check/thing"):
        assert refusal(site, OPERATOR_HOST, page, target) in (200, 403, 404)


def told(socket: ClientConnection, query: str, variables: dict[str, object]) -> list[dict[str, object]]:
    """What is answered to an operation, and to one that the server certainly ends, asked after it."""
    found: list[dict[str, object]] = []
    for number, payload in (
        ("1", {"query": query, "variables": variables}),
        ("2", {"query": "subscription { nothing }"}),
    ):
        socket.send(json.dumps({"type": "start", "id": number, "payload": payload}))
    while not any(message.get("id") == "2" for message in found):
        found.append(json.loads(socket.recv(timeout=30)))
    return found


def test_the_page_of_the_site_hears_of_a_run(site: Site, runs: tuple[str, str]) -> None:
    query = 'subscription S($r: ID!) { pipelineRunLogs(runId: $r, cursor: "HEAD") { __typename } }'
    for host in PAGES:
        page = [login(host), ("Origin", f"https://{host}"), ("Sec-Fetch-Site", "same-origin")]
        with opened(site, host, page) as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(socket.recv(timeout=30)) == {"type": "connection_ack"}
            started = {"query": query.replace("HEAD", ""), "variables": {"r": runs[1]}}
            socket.send(json.dumps({"type": "start", "id": "1", "payload": started}))
            assert json.loads(socket.recv(timeout=30))["type"] in ("data", "error")


@pytest.mark.usefixtures("unchanged")
def test_a_viewer_changes_nothing_by_a_websocket(site: Site) -> None:
    page = [login(VIEWER_HOST), ("Origin", f"https://{VIEWER_HOST}")]
    for mutation in (launch(), move("by websocket")):
        with opened(site, VIEWER_HOST, page) as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            messages = told(socket, mutation.query, mutation.variables)
        assert f'"{mutation.succeeds}"' not in json.dumps(messages)
