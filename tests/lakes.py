"""Lakes for tests, on each kind of store, by location: a child process opens the same one by the same object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scizor_dagster.lake.location import LakeLocation
from tests.postgres import Server

NewLake = Callable[[str], LakeLocation]
"""The location of a lake that is not there yet, by the name of a folder."""


@contextmanager
def new_lakes(store: str, folder: Path, server: Callable[[], Server]) -> Iterator[NewLake]:
    """Locations below `folder`; on `postgres` with the catalog in a database of its own each, dropped at the end."""
    made: list[str] = []

    def new(name: str) -> LakeLocation:
        if store == "sqlite":
            return LakeLocation.embedded(folder / name)
        made.append(server().new_database())
        return LakeLocation.on_server(server().url(made[-1]), str(folder / name / "data"))

    try:
        yield new
    finally:
        for database in made:
            server().drop(database)
