"""Which ledger a configuration has, and when a new one may be begun.

What belongs here: the choice between the file under the home and a Postgres database, and the refusals that keep a
command from trading with an empty ledger while another one knows what was sent. What does not: the ledger itself, which
is imported when one is asked for: a command that only looks whether there is a store starts without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from scizor_dagster.errors import LedgerError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.ledger.store import Ledger

_HOLDS = "holds rows\n"


def ledger_exists(settings: Settings) -> bool:
    """Whether there is a ledger already; asking creates none.

    Raises:
        ConfigError: `DATABASE_URL` cannot be used.
        LedgerError: the server cannot be asked; or the ledger of this home lies on one, and `DATABASE_URL` does not
            say so: there is a ledger, and it is not here.
    """
    from scizor_dagster.ledger.store import Ledger

    refuse_forgotten_server(settings)
    return Ledger.exists(settings.ledger_url)


def open_ledger(settings: Settings, traded_sessions: Callable[[], int]) -> Ledger:
    """Open the ledger, created where none is needed yet.

    Args:
        settings: Places, and `DATABASE_URL` where the ledger lies on a server.
        traded_sessions: How many sessions the lake knows to be traded; asked only where the ledger is empty.

    Raises:
        ConfigError: `DATABASE_URL` cannot be used.
        LedgerError: it cannot be opened; or the stores are being moved; or it is empty, and sessions were traded with
            another one; or the ledger of this home lies on a server, and `DATABASE_URL` does not say so.
    """
    from scizor_dagster.flow.moving import refuse_unfinished_move
    from scizor_dagster.ledger.store import Ledger

    refuse_unfinished_move(settings)
    refuse_forgotten_server(settings)
    if not (holds := Ledger.holds_anything(settings.ledger_url)):
        refuse_to_forget(settings, traded_sessions)
    ledger = Ledger.open(settings.ledger_url)
    try:
        # Again, now that whoever moves the stores would find the ledger open.
        refuse_unfinished_move(settings)
        note_server(settings, ledger.place, holds=holds)
    except BaseException:
        ledger.close()
        raise
    return ledger


def refuse_to_forget(settings: Settings, traded_sessions: Callable[[], int]) -> None:
    """Refuse an empty ledger where another one knows what was sent; see `open_ledger`. Asking creates none.

    Raises:
        LedgerError: there was another one.
    """
    from scizor_dagster.ledger.store import Ledger

    if not settings.on_server:
        if lost := traded_sessions():
            raise LedgerError(
                f"The ledger is gone, and {lost} session(s) were traded with it.",
                remedy="Restore it from its backup, or move the whole home away to begin anew: "
                "without it, what is held and what was sent is not known.",
                where=str(settings.ledger_file),
            )
        return
    if Ledger.holds_anything(settings.embedded_ledger_url):
        known = f"an embedded one in {settings.ledger_file} holds what was done until now"
    elif (file := settings.lake_folder / "catalog.sqlite").exists():
        known = f"this home has its lake in {file}"
    elif lost := traded_sessions():
        known = f"{lost} session(s) were traded with another one"
    elif (noted := _noted(settings)) and noted.holds:
        known = f"the one of this home, in {noted.place}, held what was done until now"
    else:
        _refuse_half_restored(settings)
        return
    raise LedgerError(
        f"The ledger that DATABASE_URL names is empty, and {known}.",
        remedy="Move the stores of this home there (scizor migrate), restore the backup of the other ledger into this "
        "database, or move the whole home away to begin anew: "
        "a new ledger knows nothing of what is held and what was sent.",
        where=str(settings.home),
    )


def _refuse_half_restored(settings: Settings) -> None:
    """Refuse to begin a ledger where another host's restore has renamed one, and has not filled its successor yet."""
    from scizor_dagster.flow.moving import renamed_ledgers

    if renamed := renamed_ledgers(settings.database_url):
        raise LedgerError(
            f"The ledger that DATABASE_URL names is empty, and an earlier one was renamed there ({renamed[-1]}).",
            remedy="Let the restore that did so come to its end, where it was begun: a new ledger knows nothing of "
            "what is held and what was sent. To begin anew, drop or rename those schemas.",
            where=str(settings.home),
        )


def refuse_forgotten_server(settings: Settings) -> None:
    """Refuse a file where the ledger of this home lies on a server.

    Raises:
        LedgerError: `DATABASE_URL` is not set, and it was.
    """
    if settings.on_server:
        return
    if noted := _noted(settings):
        note = settings.server_note
        raise LedgerError(
            f"The stores of this home lie in {noted.place}, and DATABASE_URL is not set.",
            remedy="Set DATABASE_URL as it is set where Scizor trades. To go back to embedded stores, restore the "
            f"backup of those into another home, or here once {note.name} is removed.",
            where=str(note),
        )


def note_server(settings: Settings, place: str, *, holds: bool = False) -> None:
    """Leave a note in the home of stores on a server, so that a shell without `DATABASE_URL` begins no other one.

    Args:
        settings: Of the home.
        place: The database, without a secret.
        holds: The ledger there holds rows. From then on this home begins no empty one, and no place where nothing was
            seen yet takes the other's place in the note.
    """
    noted = _noted(settings)
    if not settings.on_server or not settings.home.is_dir() or (noted and noted.holds and not holds):
        return
    wanted = _Noted(place, holds)
    if noted != wanted:
        # Several processes may be at it.
        scratch = settings.server_note.with_suffix(f".{uuid4().hex}.new")
        scratch.write_text(f"{place}\n{_HOLDS if holds else ''}")
        scratch.replace(settings.server_note)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a home keeps in mind of its stores on a server: where they lie, and whether the ledger there held rows."""

    place: str
    holds: bool


def _noted(settings: Settings) -> _Noted | None:
    try:
        place, *rest = settings.server_note.read_text().splitlines() or [""]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _Noted(place.strip(), _HOLDS.strip() in rest)
