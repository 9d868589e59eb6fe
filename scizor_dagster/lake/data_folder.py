"""One folder of Parquet files for all hosts of a lake on a server.

What belongs here: telling that two hosts which call their folder alike mean the same one. What does not: its name,
which the catalog itself holds against every host.

The folder holds a file with a mark, and so does the catalog's schema: a host whose folder has another mark, or none,
would write files that no other host can read.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2

from scizor_dagster.databases import lock_key
from scizor_dagster.errors import DataError
from scizor_dagster.lake.location import SCHEMA, LakeLocation, unreachable

MARK = "scizor-lake.id"


def require_one_folder(location: LakeLocation) -> None:
    """Refuse the data folder of this host where it is not the one that the catalog's files lie in.

    Raises:
        DataError: it is another one, cannot be read, or cannot be made.
    """
    try:
        with closing(psycopg2.connect(**location.connection)) as connection:
            known = _known(connection)
            if known is None:
                known = _mark(connection, Path(location.data_path))
    except psycopg2.Error as error:
        raise unreachable(location, error) from None
    except OSError as error:
        raise DataError(
            f"The lake's data folder cannot be made or written ({error.strerror}).",
            remedy="Set SCIZOR_LAKE_DATA to a folder that you may write to, the same one on every host.",
            where=location.data_path,
        ) from error
    if _found(Path(location.data_path)) != known:
        raise DataError(
            f"The lake in {location.server} has its files in a folder of this name, and it is not the one of this "
            "host.",
            remedy="Mount one and the same folder on every host (NFS), or keep the lake's data at s3://bucket/prefix. "
            f"Where the files were moved, move {MARK} along with them.",
            where=location.data_path,
        )


def _known(connection: psycopg2.extensions.connection) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.data_folder"])
        if (cursor.fetchone() or (None,))[0] is None:
            return None
        cursor.execute(f"SELECT id FROM {SCHEMA}.data_folder")
        row = cursor.fetchone()
    return str(row[0]) if row else None


def _mark(connection: psycopg2.extensions.connection, folder: Path) -> str:
    """Mark folder and catalog, or find that another host has done so in the meantime."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(SCHEMA, "data folder")])
        known = _known(connection)
        if known is not None:
            return known
        folder.mkdir(parents=True, exist_ok=True)
        mark = _found(folder) or uuid4().hex
        (folder / MARK).write_text(f"{mark}\n", encoding="utf-8")
        cursor.execute(f"CREATE TABLE {SCHEMA}.data_folder (id text PRIMARY KEY)")
        cursor.execute(f"INSERT INTO {SCHEMA}.data_folder VALUES (%s)", [mark])
        return mark


def _found(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
