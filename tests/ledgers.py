"""Ledgers for tests, on each kind of store, by URL: a child process opens the same one by the same text."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import sqlalchemy as sa

from scizor_dagster.ledger.postgres import SCHEMA
from scizor_dagster.ledger.store import Ledger
from tests.postgres import Server

Store = Literal["sqlite", "postgres"]
STORES: tuple[Store, ...] = ("sqlite", "postgres")


@cache
def _migrated_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger.open(f"sqlite:///{path}").close()
        return path.read_bytes()


@cache
def _migrated_database(server: Server) -> str:
    name = server.new_database()
    Ledger.open(server.url(name)).close()
    return name


def sqlite_ledger(folder: Path) -> str:
    """URL of a new empty ledger in `folder`, which is migrated already."""
    path = folder / "ledger.sqlite"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


def postgres_ledger(server: Server) -> str:
    """URL of a new empty ledger in a database of its own, which is migrated already.

    `server.drop` of the URL's last part ends it.
    """
    return server.url(server.new_database(_migrated_database(server)))


def url_of(ledger: Ledger) -> str:
    """The URL that opens the same ledger again."""
    return ledger.engine.url.render_as_string(hide_password=False)


def another(ledger: Ledger) -> Ledger:
    """The same ledger, opened as another process would, and brought up to date; the caller closes it."""
    return Ledger.open(url_of(ledger), synchronous="OFF", upgrading=True)


@lru_cache(maxsize=16)
def onlooker(url: str) -> sa.Engine:
    """An engine of the tests' own, with nothing of the ledger's: each connection is new, and gone when closed."""
    target = url.replace("postgresql://", "postgresql+psycopg2://")
    engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
    schema = SCHEMA if engine.dialect.name == "postgresql" else None
    return engine.execution_options(schema_translate_map={None: schema})
