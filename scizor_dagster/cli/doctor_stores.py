"""What `scizor doctor` looks at in the stores: each for itself, so that one that is gone hides nothing of the other.

What belongs here: whether ledger and lake are there, whole, and together. What does not: the prices in them
(`doctor`), and every file and row (`doctor_deep`).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from scizor_dagster.errors import DataError, LedgerError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk


def stores(desk: Desk) -> str:
    """Both stores, or what is wrong with the first that is not well; none is created."""
    ledger, lake = _ledger(desk), _lake(desk)
    if not (ledger or lake):
        where = "on the server" if desk.settings.on_server else f"in {desk.settings.home}"
        return f"none yet; the first command that needs them creates them {where}"
    found = f"{lake or 'no lake yet'}, {ledger or 'no ledger yet'}"
    return found + (_time_zone(desk.settings) if desk.settings.on_server else "")


def _ledger(desk: Desk) -> str:
    """What is said of the ledger; nothing where none was begun yet."""
    from scizor_dagster.ledger.verification import verify

    if not desk.has_ledger:
        desk.require_no_lost_ledger()
        return ""
    with desk.ledger.read() as connection:
        broken = verify(connection)
    if broken:
        raise LedgerError(
            f"{len(broken)} thing(s) in the ledger are not as its history says. {broken[0]}",
            remedy="Trade nothing with this ledger; see scizor ledger verify, then restore the last backup.",
            where=desk.ledger.place,
        )
    return f"ledger whole in {desk.ledger.place}"


def _lake(desk: Desk) -> str:
    """What is said of the lake; nothing where none was begun yet."""
    if not desk.has_lake:
        _refuse_lost_lake(desk)
        return ""
    lake = desk.lake.location.server or desk.settings.home
    return f"lake at snapshot {desk.lake.snapshot()} in {lake}"


def _refuse_lost_lake(desk: Desk) -> None:
    """Refuse a ledger with traded sessions that has no lake: no plan is made without one.

    Raises:
        DataError: there is such a ledger, or the lake of this home lies in a file and the ledger on a server.
    """
    import sqlalchemy as sa

    from scizor_dagster.flow.stores_choice import refuse_files
    from scizor_dagster.lake.location import lake_location
    from scizor_dagster.ledger.tables import batches

    if desk.settings.on_server:
        refuse_files(desk.settings, "lake", desk.settings.lake_folder / "catalog.sqlite")
    if not desk.has_ledger:
        return
    traded = sa.select(batches.c.portfolio, batches.c.session).distinct().subquery()
    with desk.ledger.read() as connection:
        lost = connection.execute(sa.select(sa.func.count()).select_from(traded)).scalar_one()
    if lost:
        raise DataError(
            f"The lake is gone, and {lost} session(s) were traded with it.",
            remedy="Bring it back: scizor restore FOLDER --only lake. Or collect the prices again: scizor collect "
            "history. What is held and what was sent is in the ledger.",
            where=lake_location(desk.settings).place,
        )


def _time_zone(settings: Settings) -> str:
    """What the server's database has as its time zone, where it is not UTC: people's own queries would show it."""
    from scizor_dagster.cli.dagster_state import connection_of

    with closing(connection_of(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'")
        (zone,) = cursor.fetchone() or ("UTC",)
    if zone in ("UTC", "Etc/UTC", "GMT", "Etc/GMT"):
        return ""
    return f"; the database's time zone is {zone}, which Scizor overrules: ALTER DATABASE ... SET timezone = 'UTC'"
