"""The notifier of a desk: its configuration, its secrets to keep, and the ledger that remembers who was told.

What belongs here: putting it together. What does not: telling (`notifications.notifier`).
"""

from __future__ import annotations

from collections.abc import Callable

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.secrets import redaction_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.notifications.notifier import Notifier


def notifier_of(desk: Desk, open_ledger: Callable[[], Ledger | None] | None = None) -> Notifier:
    """The notifier of the desk's configuration; by default its own ledger remembers, where there is one.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    return Notifier(
        desk.config.notifications,
        desk.settings.environment,
        desk.config.folder,
        open_ledger or (lambda: desk.ledger if desk.has_ledger else None),
        desk.machine_clock,
        redaction_of(desk.config, desk.settings),
    )
