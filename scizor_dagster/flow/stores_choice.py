"""Which lake and which record of runs a configuration has, and when new ones may be begun beside others.

What belongs here: the refusals that keep a command from beginning an empty store where the one that is meant lies
elsewhere. What does not: the ledger's own, which are stricter (`ledger_choice`), and moving stores.
"""

from __future__ import annotations

from pathlib import Path

from scizor_dagster.errors import DataError
from scizor_dagster.flow.ledger_choice import note_server, refuse_forgotten_server
from scizor_dagster.lake.location import LakeLocation, lake_exists, lake_location
from scizor_dagster.settings import Settings


def choose_lake(settings: Settings) -> LakeLocation:
    """Where the lake is, or may be begun.

    Raises:
        ConfigError: `DATABASE_URL` or `SCIZOR_LAKE_DATA` cannot be used.
        DataError: this home has a lake in files, and there is none on the server yet.
        LedgerError: the stores of this home lie on a server, and `DATABASE_URL` is not set; or they are being moved.
    """
    # Imported here because a command that only looks whether there is a store starts without the ledger.
    from scizor_dagster.flow.moving import refuse_unfinished_move

    refuse_unfinished_move(settings)
    refuse_forgotten_server(settings)
    location = lake_location(settings)
    if settings.on_server and not lake_exists(location):
        refuse_files(settings, "lake", settings.lake_folder / "catalog.sqlite")
    keep_in_mind(settings)
    return location


def has_lake(settings: Settings) -> bool:
    """Whether there is a lake already; asking creates none.

    Raises:
        DataError: the server cannot be asked.
        LedgerError: the stores of this home lie on a server, and `DATABASE_URL` is not set.
    """
    refuse_forgotten_server(settings)
    return lake_exists(lake_location(settings))


def refuse_files(settings: Settings, store: str, file: Path) -> None:
    """Refuse to begin a store on a server where the home has it in a file.

    Raises:
        DataError: there is such a file.
    """
    if file.exists():
        from scizor_dagster.databases import parse, place_of

        raise DataError(
            f"There is no {store} yet in {place_of(parse(settings.database_url))}, and this home has one in {file}.",
            remedy="Move it there: scizor migrate. To begin anew, move the whole home away.",
            where=str(settings.home),
        )


def keep_in_mind(settings: Settings) -> None:
    """Leave a note in the home of stores on a server, so that a shell without `DATABASE_URL` begins no others."""
    if settings.on_server:
        from scizor_dagster.databases import parse, place_of

        note_server(settings, place_of(parse(settings.database_url)))
