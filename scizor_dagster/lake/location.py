"""Where a lake lies: its catalog, its Parquet files, and what leads to them.

What belongs here: the place that settings give a lake, and asking whether one is there. What does not: opening it
(`connection`). No secret is part of a catalog string: errors quote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scizor_dagster.errors import ConfigError, DataError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

SCHEMA = "lake"
"""Schema of the catalog in a Postgres database."""
_APPLICATION = "scizor lake"
_SESSION = " ".join(
    f"-c {setting}"
    for setting in (
        "timezone=UTC",
        "search_path=public",
        "idle_in_transaction_session_timeout=0",
        "idle_session_timeout=0",
        "statement_timeout=0",
    )
)
"""What the role or the database has as its defaults is overruled: a reader may think for long between two questions."""
_S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class LakeLocation:
    """Where a lake lives.

    Attributes:
        catalog: DuckLake catalog string: `sqlite:/path/catalog.sqlite` or `postgres:host=...`. It holds no secret.
        data_path: Folder (or object-store prefix) of the Parquet files.
        lock_path: File that embedded writers lock; None for a catalog on a server.
        connection: What libpq is told to reach a catalog on a server, the password among it.
        object_store: The `AWS_...` variables that lead to an object store.
        server: What errors and reports call a catalog on a server.
    """

    catalog: str
    data_path: str
    lock_path: Path | None
    connection: Mapping[str, str] = field(default_factory=dict, repr=False)
    object_store: Mapping[str, str] = field(default_factory=dict, repr=False)
    server: str = ""

    @classmethod
    def embedded(cls, folder: Path) -> LakeLocation:
        return cls(
            catalog=f"sqlite:{folder / 'catalog.sqlite'}",
            data_path=str(folder / "data"),
            lock_path=folder / "write.lock",
        )

    @classmethod
    def on_server(cls, url: str, data_path: str, environment: Mapping[str, str] | None = None) -> LakeLocation:
        """A lake whose catalog is schema `lake` of the Postgres database at `url`.

        Args:
            url: It may hold a password, which is kept apart from the catalog string.
            data_path: A folder that every host sees under this name, or `s3://bucket/prefix`.
            environment: Where the keys of an object store are.

        Raises:
            ConfigError: a key of the object store is missing, or the URL holds a secret that cannot be handed on.
        """
        from scizor_dagster.databases import parse, place_of

        parsed = parse(url)
        connection = _connection_of(parsed)
        shown = {name: value for name, value in connection.items() if name != "password"}
        return cls(
            catalog="postgres:" + " ".join(f"{name}={_conninfo(value)}" for name, value in shown.items()),
            data_path=data_path,
            lock_path=None,
            connection=connection,
            object_store=_object_store(data_path, environment or {}),
            server=f"{place_of(parsed)}, schema {SCHEMA}",
        )

    @property
    def place(self) -> str:
        """What errors and reports call the lake."""
        return self.server or self.catalog

    @property
    def in_object_store(self) -> bool:
        return self.data_path.startswith("s3://")


def lake_location(settings: Settings) -> LakeLocation:
    """Where the lake of these settings lies.

    Raises:
        ConfigError: `DATABASE_URL` or `SCIZOR_LAKE_DATA` cannot be used.
    """
    if not settings.on_server:
        return LakeLocation.embedded(settings.lake_folder)
    return LakeLocation.on_server(settings.database_url, settings.lake_data, settings.environment)


def lake_exists(location: LakeLocation) -> bool:
    """Whether there is a lake already; asking creates none.

    Raises:
        DataError: the server cannot be asked.
    """
    if location.lock_path is not None:
        return location.lock_path.with_name("catalog.sqlite").exists()
    from contextlib import closing

    import psycopg2

    try:
        with closing(psycopg2.connect(**location.connection)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.ducklake_snapshot"])
            found: tuple[str | None] | None = cursor.fetchone()
    except psycopg2.Error as error:
        raise unreachable(location, error) from None
    return found is not None and found[0] is not None


def unreachable(location: LakeLocation, error: BaseException) -> DataError:
    """What is said of a catalog's server that does not answer."""
    lines = str(error).strip().splitlines()
    return DataError(
        f"The lake's catalog cannot be asked ({lines[0].rstrip('.') if lines else type(error).__name__}).",
        remedy="See that the server runs and lets this user in, then run again: nothing was half-written.",
        where=location.place,
    )


def _connection_of(url: sa.URL) -> dict[str, str]:
    from scizor_dagster.databases import parameters_of, patience_of_host, patience_of_server

    asked = parameters_of(url)
    if "sslpassword" in asked:
        raise ConfigError(
            "DATABASE_URL gives the password of a TLS key, which would stand in the lake's catalog string.",
            remedy="Use a key without a password in a file that only this user may read (sslkey), or none.",
            where="environment",
        )
    wanted = {"application_name": _APPLICATION, "client_encoding": "utf8"}
    wanted |= {name: str(value) for name, value in patience_of_host().items()}
    patience = " ".join(f"-c {name}={value}" for name, value in patience_of_server().items())
    return {**wanted, **asked, "options": f"{asked.get('options', '')} {_SESSION} {patience}".strip()}


def _conninfo(value: str) -> str:
    """A value as libpq reads it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _object_store(data_path: str, environment: Mapping[str, str]) -> dict[str, str]:
    if not data_path.startswith("s3://"):
        return {}
    missing = [name for name in _S3_KEYS if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"The lake's data lies in {data_path}, and {' and '.join(missing)} is not set.",
            remedy=f"Set {' and '.join(_S3_KEYS)}, and AWS_REGION where it is not us-east-1.",
            where="environment",
        )
    return {name: value for name, value in environment.items() if name.startswith("AWS_") and value}
