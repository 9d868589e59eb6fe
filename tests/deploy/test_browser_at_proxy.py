"""A real browser at the shipped proxy: the UI works, and the same browser, logged in, does nothing for another site."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import browser, require_chromium
from tests.deploy.mutations import move
from tests.deploy.proxied import OPERATOR, OPERATOR_HOST, VIEWER, VIEWER_HOST, Site

pytestmark = pytest.mark.browser
SECONDS = 90
_POST = """
const [url, body, kind, done] = arguments;
fetch(url, {method: "POST", credentials: "include", mode: kind ? "no-cors" : "cors",
            headers: {"Content-Type": kind || "application/json"}, body: body})
  .then(answer => answer.text()).then(done, error => done("refused: " + error));
"""
_SOCKET = """
const [url, done] = arguments;
const socket = new WebSocket(url, "graphql-ws");
socket.onopen = () => done("open");
socket.onerror = () => done("refused");
"""


@pytest.fixture(scope="module")
def chrome(site: Site) -> Iterator[Chrome]:
    require_chromium()
    where = ",".join(f"MAP {name}:443 127.0.0.1:{site.https}" for name in (OPERATOR_HOST, VIEWER_HOST))
    with browser(flags=("--ignore-certificate-errors", f"--host-resolver-rules={where}")) as found:
        found.set_script_timeout(SECONDS)
        # The browser keeps both logins, as one that is used for both does.
        for login, host in ((VIEWER, VIEWER_HOST), (OPERATOR, OPERATOR_HOST)):
            name, _, password = login.partition(":")
            found.get(f"https://{name}:{quote(password)}@{host}/server_info")
        yield found


def shows(chrome: Chrome, *words: str) -> bool:
    def text(_: object) -> bool:
        found = chrome.find_element(By.TAG_NAME, "body").text
        return all(word in found for word in words)

    return bool(WebDriverWait(chrome, SECONDS).until(text, f"waiting for {words}"))


@pytest.mark.parametrize("host", [OPERATOR_HOST, VIEWER_HOST])
def test_the_pages_of_dagster_are_filled(chrome: Chrome, host: str) -> None:
    chrome.get(f"https://{host}/jobs")
    assert shows(chrome, "make_thing", "endless")
    assert chrome.execute_async_script(_SOCKET, f"wss://{host}/graphql") == "open"


def test_the_page_of_the_site_may_act(chrome: Chrome, site: Site) -> None:
    chrome.get(f"https://{OPERATOR_HOST}/server_info")
    before = site.stored()
    said = chrome.execute_async_script(_POST, "/graphql", move("here").body.decode(), "")
    assert '"Sensor"' in said
    assert site.stored() != before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "text/plain; application/json", "application/x-www-form-urlencoded"]
)
def test_another_page_of_the_same_browser_may_not(chrome: Chrome, kind: str) -> None:
    chrome.get(f"https://{VIEWER_HOST}/server_info")
    said = chrome.execute_async_script(_POST, f"https://{OPERATOR_HOST}/graphql", move("there").body.decode(), kind)
    assert '"Sensor"' not in said
    assert chrome.execute_async_script(_SOCKET, f"wss://{OPERATOR_HOST}/graphql") == "refused"
