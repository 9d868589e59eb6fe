"""The notifier, for sensors and for assets beside those of this project.

What belongs here: a thin resource that hands out the domain's notifier. What does not: whom it tells (the
configuration), and addresses: they stay in the environment, and stand in no run's configuration.
"""

import dagster as dg

from resources.desk import TradingDesk
from scizor_dagster.flow.notifying import notifier_of
from scizor_dagster.notifications.notifier import Notifier

# By the desk, of which a process keeps each that it has opened: what cannot be remembered in the ledger is in here.
_NOTIFIERS: dict[int, Notifier] = {}


class NotifierResource(dg.ConfigurableResource):
    """Whom the section `notifications` of the configuration names, each told once; the log where it names nobody."""

    desk: TradingDesk

    @property
    def notifier(self) -> Notifier:
        """That of this process."""
        desk = self.desk.desk
        if id(desk) not in _NOTIFIERS:
            _NOTIFIERS[id(desk)] = notifier_of(desk)
        return _NOTIFIERS[id(desk)]
