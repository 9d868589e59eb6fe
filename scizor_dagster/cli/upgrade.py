"""`scizor upgrade`: the stores that are chosen, brought to this version.

What belongs here: the command, and Dagster's own storage. What does not: ledger and lake (`flow.upgrading`), and the
way of a store from one place to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import DataError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from scizor_dagster.flow.upgrading import StoreVersion

CheckOption = Annotated[bool, typer.Option("--check", help="Only look, and end with 1 where something is due.")]


def upgrade(check: CheckOption = False, as_json: JsonOption = False) -> None:
    """Bring ledger, lake and Dagster's record of runs to the schema of this version, where they are of an earlier one.

    Works on the stores that are chosen: those of SCIZOR_HOME, or those on the server that DATABASE_URL names. Each is
    migrated in one piece or not at all, and a store of a newer version is refused. Two that run it at once do no harm:
    the second finds nothing to do. A store that is not there yet is not made.

    When: after a new version was installed, before anything of it is started; a server's stores are migrated by nothing
        else.
    Writes: The schemas of ledger, lake and Dagster's storage; with --check nothing.
    Exit codes: 0 all is of this version; 1 something is due (--check), or a store cannot be upgraded.
    JSON: check, due, stores[store, place, was, due].
    Example: scizor upgrade --check
    """
    from scizor_dagster.flow.upgrading import upgrade_lake, upgrade_ledger

    desk = open_desk()
    with working("upgrading the stores", quiet=as_json):
        found = [
            upgrade_ledger(desk, check=check),
            upgrade_lake(desk, check=check),
            upgrade_dagster(desk.settings, check=check),
        ]
    due = check and any(item.due for item in found)
    if as_json:
        stores = [{"store": item.store, "place": item.place, "was": item.was, "due": item.due} for item in found]
        emit_json({"check": check, "due": due, "stores": stores})
    else:
        rows = [(item.store, item.place, item.was, _said(item, check=check)) for item in found]
        print_table("scizor upgrade", ["store", "place", "was", "now"], rows)
    raise typer.Exit(1 if due else 0)


def _said(item: StoreVersion, *, check: bool) -> str:
    if not item.due:
        return "as it was"
    return "an upgrade is due: scizor upgrade" if check else "upgraded to this version"


def upgrade_dagster(settings: Settings, *, check: bool) -> StoreVersion:
    """Bring Dagster's own storage to the schema of the installed version, or with `check` only look.

    Raises:
        DataError: a newer version wrote it, or it cannot be read.
    """
    from scizor_dagster.cli.dagster_state import dagster_is_made, place_of_dagster
    from scizor_dagster.cli.instance import opened_instance, prepare_home
    from scizor_dagster.flow.upgrading import CURRENT, NONE, StoreVersion

    place = place_of_dagster(settings)
    if not dagster_is_made(settings):
        return StoreVersion("dagster", place, NONE, False)
    if not check:
        prepare_home(settings)
    with opened_instance(settings) as instance:
        found = _revisions(instance)
        due = [revision for revision, newest in found if revision != newest]
        if due and not check:
            with _alone(settings), _newer_refused(place):
                instance.upgrade()
    was = f"schema {', '.join(dict.fromkeys(due))}" if due else CURRENT
    return StoreVersion("dagster", place, was, bool(due))


def _revisions(instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """Of each part of Dagster's storage its revision and the newest one that is known here."""
    parts = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    found = [part.alembic_version() for part in parts if part is not None]
    return [(str(item[0]), str(item[1])) for item in found if item is not None]


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """On a server two that upgrade at once take turns; in a home, opening the instance is what they take turns in."""
    from filelock import FileLock

    if not settings.on_server:
        with FileLock(settings.dagster_home / "upgrading.lock"):
            yield
        return
    from scizor_dagster.cli.dagster_state import connection_of
    from scizor_dagster.cli.dagster_storage import take_turn

    with closing(connection_of(settings)) as connection:
        take_turn(connection)
        yield


@contextmanager
def _newer_refused(place: str) -> Iterator[None]:
    from alembic.util import CommandError

    try:
        yield
    except CommandError as error:
        raise DataError(
            f"Dagster's storage has a schema that this version does not know ({error}).",
            remedy="Use the version of Scizor that wrote it, or a newer one.",
            where=place,
        ) from error
