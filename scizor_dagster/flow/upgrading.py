"""Ledger and lake brought to this version's schema, and what they are of.

What belongs here: looking, and migrating in place. What does not: Dagster's storage (the command line's), and moving
stores from one place to another.
"""

from __future__ import annotations

from dataclasses import dataclass

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_choice import refuse_forgotten_server
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import lake_exists, lake_location
from scizor_dagster.lake.tables import tables_due, upgrade_tables
from scizor_dagster.ledger.store import HEAD, Ledger

CURRENT = "this version"
NONE = "none yet"


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """One store before it is upgraded.

    Attributes:
        store: `ledger`, `lake` or `dagster`.
        place: Where it is, without a secret.
        was: The version that was found.
        due: Whether something is to be done.
    """

    store: str
    place: str
    was: str
    due: bool


def upgrade_ledger(desk: Desk, *, check: bool) -> StoreVersion:
    """Bring the ledger to this version's schema, or with `check` only look.

    Raises:
        LedgerError: it was written by a newer version, or cannot be used.
    """
    from scizor_dagster.databases import parse, place_of

    refuse_forgotten_server(desk.settings)
    url = desk.settings.ledger_url
    found = Ledger.version(url)
    if found is not None and (not check or found > HEAD):
        # A newer one is refused here, also where nothing is to be changed.
        Ledger.open(url, upgrading=True).close()
    was = NONE if found is None else CURRENT if found == HEAD else f"schema {found}"
    return StoreVersion("ledger", place_of(parse(url)), was, found not in (None, HEAD))


def upgrade_lake(desk: Desk, *, check: bool) -> StoreVersion:
    """Bring the lake's tables to this version's shape, or with `check` only look.

    Raises:
        DataError: a table is of a version that is not known, or the lake cannot be used.
    """
    refuse_forgotten_server(desk.settings)
    location = lake_location(desk.settings)
    if not lake_exists(location):
        return StoreVersion("lake", location.place, NONE, False)
    lake = Lake(location)
    try:
        due, made = tables_due(lake)
        if due and not check:
            upgrade_tables(lake)
    finally:
        lake.close()
    was = f"{len(due)} table(s) of another version: {', '.join(due)}" if made and due else NONE if due else CURRENT
    return StoreVersion("lake", location.place, was, bool(due))
