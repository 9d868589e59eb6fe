"""Listening: which addresses are allowed, how a connection is kept private, and how a server ends.

What belongs here: refusing what would put keys on a network in clear, and uvicorn. What does not: the application
(`app`), which is imported when everything else is known to be in order.
"""

from __future__ import annotations

import gc
import ipaddress
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scizor_dagster import logs
from scizor_dagster.config import ApiRules
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.secrets import redaction_of

PORTS = {"data-farmer": 8000, "backtester": 8001, "algo-trader": 8002}
"""By service where one is served apart; all together listen on the first."""
SWITCH_SECONDS = 0.0005
_BACKLOG = 512
_GRACE_SECONDS = 20
_ANY = frozenset({"0.0.0.0", "::", ""})  # noqa: S104


@dataclass(frozen=True)
class Listening:
    """Where and how a server listens.

    Attributes:
        proxy: URL that clients know a proxy by, which keeps the connection private; None without one.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxy: str | None = None

    @property
    def url(self) -> str:
        """What a client on this machine asks."""
        host = "127.0.0.1" if self.host in _ANY else self.host
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{name}:{self.port}"

    @property
    def names(self) -> tuple[str, ...]:
        """Hosts that requests may be addressed to, beside those of the configuration."""
        own = () if self.host in _ANY else (f"[{self.host}]" if ":" in self.host else self.host,)
        behind = urlsplit(self.proxy).hostname if self.proxy else None
        return (*own, behind) if behind else own


def check(listening: Listening, rules: ApiRules) -> None:
    """Refuse to listen where others could read keys and answers.

    Raises:
        InputError: a public address without TLS or a stated proxy; half of a certificate, or one that is not there; a
            proxy that does not keep the connection private; a public address without a name to be asked by.
    """
    if (listening.certificate is None) != (listening.key is None):
        raise InputError("A certificate needs its key.", remedy="Give --tls-cert and --tls-key.", where="--tls-cert")
    for path in (listening.certificate, listening.key):
        if path is not None and not path.is_file():
            raise InputError("There is no such file.", remedy="Name a file in PEM.", where=str(path))
    if listening.proxy is not None:
        _check_proxy(listening.proxy)
    if is_loopback(listening.host):
        return
    if listening.certificate is None and listening.proxy is None:
        raise InputError(
            f"{listening.host} can be reached by other machines, and nothing would keep keys and answers private.",
            remedy="Leave --host out, give --tls-cert and --tls-key, or name the proxy in front: --behind-proxy URL.",
            where="--host",
        )
    if not listening.names and not rules.hosts:
        raise InputError(
            f"{listening.host} is every address of this machine, and no name of it is known.",
            remedy="Write the names that clients use under api.hosts, or give one address with --host.",
            where="api.hosts",
        )


def _check_proxy(url: str) -> None:
    parts = urlsplit(url)
    private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not parts.hostname or not private:
        raise InputError(
            f"'{url}' is no address of a proxy that keeps the connection private.",
            remedy="Give the URL that clients use, beginning with https://.",
            where="--behind-proxy",
        )


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches it. A name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(desk: Desk, services: tuple[str, ...], listening: Listening, sock: socket.socket) -> None:
    """Serve until a signal ends it: what is being answered is finished, and so is a run that is under way."""
    import uvicorn

    from scizor_dagster.api.app import create_app
    from scizor_dagster.api.run_work import Worker

    rules = desk.config.api
    # Work in a thread shall keep those who ask waiting for moments, and not for many times five milliseconds.
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.begin(desk.settings.environment, redaction_of(desk.config, desk.settings))
    app = create_app(desk.settings, services, hosts=listening.names, worker=Worker(desk.settings))
    # What is there now stays: to look through it for garbage, again and again, keeps everybody waiting.
    gc.freeze()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=listening.proxy is not None,
        forwarded_allow_ips=list(rules.trusted_proxies),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=_BACKLOG,
        lifespan="on",
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
    )
    # Once all is finished uvicorn raises the signal that ended it again: that is how a server ends, and no fault.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[sock])


def bound(listening: Listening) -> socket.socket:
    """The socket, which listens before anything is opened.

    Raises:
        InputError: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((listening.host, listening.port))
        # From here on whoever comes waits until the application is there.
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise InputError(
            f"{listening.host}:{listening.port} cannot be listened on ({error.strerror or error}).",
            remedy="Give another --port, or end what listens there.",
            where="--port",
        ) from error
    return found
