"""Websockets through the proxy: the page of the site gets one, nobody else does, and by none does a viewer act."""

from __future__ import annotations

import asyncio
import json

import pytest

# Not the client of threads: its reader and its writer share one TLS object, which OpenSSL does not allow.
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.deploy.mutations import Mutation, launch, move
from tests.deploy.proxied import FOREIGN, OPERATOR_HOST, PAGES, VIEWER_HOST, Site, login
from tests.deploy.wire import SECONDS, Header, connected, trusting


def opened(site: Site, host: str, headers: list[Header], target: str = "/graphql") -> connect:
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
    async def ask() -> int:
        with pytest.raises(InvalidStatus) as refused:
            await opened(site, host, headers, target)
        return refused.value.response.status_code

    return asyncio.run(ask())


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


async def said(socket: ClientConnection) -> dict[str, object]:
    async with asyncio.timeout(SECONDS):
        message: dict[str, object] = json.loads(await socket.recv())
    return message


async def told(socket: ClientConnection, query: str, variables: dict[str, object]) -> list[dict[str, object]]:
    """What is answered to an operation, and to one that the server certainly ends, asked after it."""
    found: list[dict[str, object]] = []
    for number, payload in (
        ("1", {"query": query, "variables": variables}),
        ("2", {"query": "subscription { nothing }"}),
    ):
        await socket.send(json.dumps({"type": "start", "id": number, "payload": payload}))
    while not any(message.get("id") == "2" for message in found):
        found.append(await said(socket))
    return found


def test_the_page_of_the_site_hears_of_a_run(site: Site, runs: tuple[str, str]) -> None:
    query = 'subscription S($r: ID!) { pipelineRunLogs(runId: $r, cursor: "HEAD") { __typename } }'
    started = {"query": query.replace("HEAD", ""), "variables": {"r": runs[1]}}

    async def hear(host: str) -> None:
        page = [login(host), ("Origin", f"https://{host}"), ("Sec-Fetch-Site", "same-origin")]
        async with opened(site, host, page) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            assert await said(socket) == {"type": "connection_ack"}
            await socket.send(json.dumps({"type": "start", "id": "1", "payload": started}))
            assert (await said(socket))["type"] in ("data", "error")

    for host in PAGES:
        asyncio.run(hear(host))


@pytest.mark.usefixtures("unchanged")
def test_a_viewer_changes_nothing_by_a_websocket(site: Site) -> None:
    page = [login(VIEWER_HOST), ("Origin", f"https://{VIEWER_HOST}")]

    async def act(mutation: Mutation) -> str:
        async with opened(site, VIEWER_HOST, page) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            return json.dumps(await told(socket, mutation.query, mutation.variables))

    for mutation in (launch(), move("by websocket")):
        assert f'"{mutation.succeeds}"' not in asyncio.run(act(mutation))
