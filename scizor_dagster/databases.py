"""Database URLs: read, brought into one spelling, and named to a person without their secrets.

What belongs here: which URLs a store can be opened at, what a driver is to be told, and what may be shown of one. What
does not: opening (the stores), and which URL is the one that is meant (`settings`).

No error of this module quotes a URL: it may hold a password, and a password that is not percent-encoded
ends up in any of its parts.
"""

from __future__ import annotations

import hashlib
import re

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError

POSTGRES_DRIVER = "postgresql+psycopg2"
_POSTGRES = ("postgres", "postgresql", POSTGRES_DRIVER)
_FORM = "postgresql://user:password@host:5432/database"
_HOST = re.compile(r"[A-Za-z0-9._:%-]*")

KEEPALIVE = {"idle": 30, "interval": 10, "count": 3}
"""Seconds of silence before either side of a connection to a server asks whether the other's machine is there, between
two times that it asks, and how often it asks."""
SILENT_SERVER_MS = 30_000
"""How long a host waits for the server's machine to take what was sent."""


def silent_host_ms() -> int:
    """After which silence the server lets go of the session of a host, and of its locks.

    It holds as well where the host has yet to take what the server has sent: without it, a quarter of an hour.
    """
    return 1_000 * (KEEPALIVE["idle"] + KEEPALIVE["interval"] * KEEPALIVE["count"])


def patience_of_host() -> dict[str, int]:
    """What libpq is told, so that a server that has vanished is noticed."""
    asks = {f"keepalives_{name}": value for name, value in KEEPALIVE.items()}
    return {"connect_timeout": 10, "keepalives": 1, **asks, "tcp_user_timeout": SILENT_SERVER_MS}


def patience_of_server() -> dict[str, int]:
    """What the server is told for a session, so that it notices a host that has vanished."""
    asks = {f"tcp_keepalives_{name}": value for name, value in KEEPALIVE.items()}
    return {**asks, "tcp_user_timeout": silent_host_ms()}


def parse(url: str) -> sa.URL:
    """Read the URL of a database; `postgres://` and `postgresql://` become `postgresql+psycopg2://`.

    Raises:
        LedgerError: it is no URL, names another kind of database, or none that lasts.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The cause quotes what it could not read, which may be a part of the password.
        raise LedgerError(
            "The database URL cannot be read.",
            remedy=f"Use sqlite:///path/ledger.sqlite or {_FORM}, with special characters of the password "
            "percent-encoded (@ is %40, / is %2F, : is %3A).",
        ) from None
    if parsed.drivername in _POSTGRES:
        return _checked(parsed.set(drivername=POSTGRES_DRIVER))
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise LedgerError(
            f"A ledger of kind '{parsed.drivername}' cannot be opened here.",
            remedy=f"Use a file, sqlite:///path/ledger.sqlite, or a Postgres database, {_FORM}. "
            "A ledger in memory would forget what it sent.",
        )
    return parsed


def is_postgres(url: str) -> bool:
    """Whether `url` names a Postgres database, by its scheme alone."""
    return url.strip().partition("://")[0] in _POSTGRES


def place_of(url: sa.URL) -> str:
    """Where a parsed URL leads, for errors and reports: a file, or host, port and database. Never a secret."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    hosts = url.query.get("host", ())
    host = url.host or ",".join([hosts] if isinstance(hosts, str) else hosts) or "local socket"
    return f"Postgres {host}{f':{url.port}' if url.port else ''}/{url.database}"


def parameters_of(url: sa.URL) -> dict[str, str]:
    """What libpq, and all that is built on it, is told to connect to a parsed Postgres URL; the password among it."""
    _, parameters = url.get_dialect()().create_connect_args(url)
    return {name: str(value) for name, value in parameters.items()}


def lock_key(schema: str, name: str) -> int:
    """The number that stands for a lock of the store in `schema`; advisory locks are kept per database."""
    return int.from_bytes(hashlib.sha256(f"scizor {schema} {name}".encode()).digest()[:8], "big", signed=True)


def _checked(url: sa.URL) -> sa.URL:
    split_wrong = not _HOST.fullmatch(url.host or "") or any(sign in (url.database or "") for sign in "@/")
    if split_wrong or not url.database:
        raise LedgerError(
            "The database URL has no usable host and database name.",
            remedy=f"Use {_FORM}, with special characters of the password percent-encoded (@ is %40, / is %2F).",
        )
    return url
