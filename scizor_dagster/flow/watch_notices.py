"""Whether somebody could not be told, and the ledger in which the watchdog remembers whom it has told.

What belongs here: looking at what was told. What does not: telling (`notifications.notifier`).
"""

from __future__ import annotations

from collections.abc import Iterator

from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.ledger_choice import ledger_exists
from scizor_dagster.flow.moving import refuse_unfinished_move
from scizor_dagster.flow.watch import Finding, WatchingDesk
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, given_up
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.settings import Settings


def not_told(desk: WatchingDesk) -> Iterator[Finding]:
    """Targets of the configuration that took nothing since a notice for them was given up."""
    if not (desk.config.notifications.tells_somebody and desk.has_ledger):
        return
    with desk.ledger.read() as connection:
        missed = given_up(connection)
    for target in dict.fromkeys(row.target for row in missed):
        mine = [row for row in missed if row.target == target]
        yield Finding(
            "not_told",
            f"{target} was not told of {len(mine)} notice(s) in {MOST_ATTEMPTS} attempts each, the last at "
            f"{mine[-1].last_at.isoformat(timespec='seconds')}: {mine[-1].title}. {mine[-1].reason}",
            "Mend it, and send it something: scizor notify --test.",
        )


def remembering_ledger(settings: Settings) -> Ledger | None:
    """The ledger to write to where there is one of this version; it is neither created nor migrated for this.

    None where it cannot be read, or is being moved: that is a finding, and people are told of it without being
    remembered.
    """
    try:
        # Moved stores are compared with those that they were moved from: neither may change meanwhile.
        refuse_unfinished_move(settings)
        if not ledger_exists(settings):
            return None
        Ledger.open_to_read(settings.ledger_url).close()
        return Ledger.open(settings.ledger_url)
    except ScizorError:
        return None
