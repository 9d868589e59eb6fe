"""The shipped proxy as a real process, in front of real webservers of Dagster's and the real services.

Of the shipped configuration only what a container would fill in is filled in: names, ports, the servers behind, and
the certificate. Everything listens on loopback and ends with the block.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.deploy.wire import Answer, Header, basic, request, sent, trusting

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OPERATOR_HOST, VIEWER_HOST, API_HOST = "desk.example.org", "view.example.org", "api.example.org"
NAMES = {"OPERATOR_HOST": OPERATOR_HOST, "VIEWER_HOST": VIEWER_HOST, "API_HOST": API_HOST}
PAGES = (OPERATOR_HOST, VIEWER_HOST)
OPERATOR, VIEWER = "ada:a password of hers", "bob:another one"
START_SECONDS = 90
BIN = Path(sys.executable).parent
INSTANCE = """
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""


def require(*programs: str) -> None:
    """Skip with a reason for a user who lacks a program; CI has them."""
    missing = [name for name in programs if shutil.which(name) is None and not Path(f"/usr/sbin/{name}").exists()]
    if missing:
        reason = f"{', '.join(missing)} cannot be found; install it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], object], what: str, seconds: float = START_SECONDS, pause: float = 0.05) -> None:
    """Poll until it is true; `pause` is longer where asking costs a process.

    Raises:
        AssertionError: it was not, in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not in {seconds} seconds: {what}"
        time.sleep(pause)


def certificate(folder: Path) -> Path:
    """A certificate of the three names, signed by itself, with its key; `folder` is what the proxy reads."""
    folder.mkdir(parents=True)
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = f"subjectAltName=DNS:{OPERATOR_HOST},DNS:{VIEWER_HOST},DNS:{API_HOST}"
    into = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    command = [*made, "-days", "2", "-subj", "/CN=Scizor's tests", "-addext", names, *into]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "fullchain.pem"


def logins(folder: Path) -> None:
    """The files of those who may come in, made as docs/deploy.md makes them."""
    folder.mkdir()
    for file, login in (("operators", OPERATOR), ("viewers", VIEWER)):
        name, _, password = login.partition(":")
        made = subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True)
        (folder / file).write_text(f"{name}:{made.stdout}", encoding="utf-8")


def configured(folder: Path, places: Mapping[str, str]) -> Path:
    """The shipped configuration below `folder`; `places` has what stands in its place here, each of
    which must occur.
    """
    shutil.copytree(DEPLOY / "nginx", folder)
    text = (folder / "templates" / "hosts.conf.template").read_text(encoding="utf-8")
    for shipped, here in {**{f"${{{name}}}": value for name, value in NAMES.items()}, **places}.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "hosts.conf").write_text(text, encoding="utf-8")
    certificate(folder / "tls")
    logins(folder / "login")
    return folder


def nginx(configuration: Path) -> list[str]:
    """The command of the compose file; the processes that answer are root's only where root runs the tests."""
    (configuration.parent / "run").mkdir(exist_ok=True)
    also = " user root;" if os.geteuid() == 0 else ""
    settings = ["-p", f"{configuration.parent / 'run'}/", "-c", str(configuration / "nginx.conf")]
    return [shutil.which("nginx") or "/usr/sbin/nginx", *settings, "-g", f"daemon off;{also}"]


@contextmanager
def process(command: list[str], log: Path, environment: Mapping[str, str], cwd: Path = ROOT) -> Iterator[None]:
    """Run it for the block, and end it with everything that it has started."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, cwd=cwd, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
            assert started.poll() is None, f"{command[0]} has ended:\n{log.read_text()[-3000:]}"
        finally:
            _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    """At once: nothing of what a test has running is worth a farewell."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Site:
    """A running proxy with what is behind it.

    Attributes:
        home: Dagster's, of both webservers.
        webserver: Port of the one that takes changes, which nobody but the proxy would reach.
        key: Of the services, to read.
    """

    home: Path
    folder: Path
    https: int
    http: int
    webserver: int
    viewer: int
    api: int
    key: str = ""

    @property
    def certificate(self) -> Path:
        return self.folder / "etc" / "tls" / "fullchain.pem"

    def send(self, raw: bytes, name: str = OPERATOR_HOST) -> Answer:
        """The bytes through TLS, under a name."""
        return sent(self.https, raw, trusting(self.certificate), name)

    def ask(
        self, target: str, headers: list[Header], body: bytes = b"", method: str = "POST", host: str = OPERATOR_HOST
    ) -> Answer:
        return self.send(request(target, [("Host", host), *headers], body, method), host)

    def stored(self) -> dict[str, str]:
        """Every table of Dagster's storage, as digests: what a write would change."""
        return stored(self.home)


def stored(home: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(home.rglob("*.db")):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = sorted(map(repr, connection.execute(f'SELECT * FROM "{table}"')))
                found[f"{path.relative_to(home)}:{table}"] = f"{len(rows)} {sha256(repr(rows).encode()).hexdigest()}"
    return found


def login(host: str) -> Header:
    return basic(OPERATOR if host == OPERATOR_HOST else VIEWER)


def own_page(host: str) -> list[Header]:
    """What a browser sends from a page of the site itself."""
    return [login(host), ("Origin", f"https://{host}"), ("Sec-Fetch-Site", "same-origin")]


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
"""What a browser sends, with the login that it keeps, from a page that is not the operators'."""


@contextmanager
def running(folder: Path, api_environment: Mapping[str, str], api_command: list[str]) -> Iterator[Site]:
    """The proxy in front of two webservers on a small workspace, and of the services of a project."""
    require("nginx", "openssl")
    home = folder / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")
    code, webserver, viewer, api, https, http, health = (free_port() for _ in range(7))
    workspace = folder / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code}, location_name: small}}\n", encoding="utf-8"
    )
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    _make_storage(home)
    web = [str(BIN / "dagster-webserver"), "--workspace", str(workspace), "--port"]
    served = [str(BIN / "dagster"), "api", "grpc", "--module-name", "tests.deploy.small_workspace"]
    etc = configured(
        folder / "etc",
        {
            "listen 8443": f"listen 127.0.0.1:{https}",
            "listen 8080": f"listen 127.0.0.1:{http}",
            "listen 127.0.0.1:8081": f"listen 127.0.0.1:{health}",
            "server webserver:3000": f"server 127.0.0.1:{webserver}",
            "server viewer:3000": f"server 127.0.0.1:{viewer}",
            "server api:8000": f"server 127.0.0.1:{api}",
        },
    )
    commands = {
        "code": ([*served, "--port", str(code)], environment),
        "api": ([*api_command, "--port", str(api)], {**environment, **api_environment}),
        "proxy": (nginx(etc), environment),
    }
    webservers = {
        "webserver": ([*web, str(webserver)], environment),
        "viewer": ([*web, str(viewer), "--read-only"], environment),
    }
    with ExitStack() as stack:
        for name, (command, given) in commands.items():
            stack.enter_context(process(command, folder / f"{name}.log", given))
        until(lambda: answers(code), "the code location listens")
        for name, (command, given) in webservers.items():
            stack.enter_context(process(command, folder / f"{name}.log", given))
        for port in (webserver, viewer, api, https):
            until(lambda port=port: answers(port), f"port {port} listens")
        yield Site(home, folder, https, http, webserver, viewer, api)


def _make_storage(home: Path) -> None:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
        # Made when a page is first shown.
        instance.run_storage.get_run_storage_id()
        instance.all_asset_keys()
        instance.all_instigator_state()
