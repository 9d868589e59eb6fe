"""The notifier of a desk: its configuration, its secrets to keep, and the ledger that remembers who was told.

What belongs here: putting it together. What does not: telling (`notifications.notifier`).
"""

from __future__ import annotations

from collections.abc import Callable

from scizor_dagster.config import AlpacaConnection, Config
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.notifications.notifier import Notifier
from scizor_dagster.notifications.redaction import Redaction, filled_in, referenced
from scizor_dagster.settings import Settings


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


def redaction_of(config: Config, settings: Settings) -> Redaction:
    """Blots out every secret that the configuration leads to."""
    sources = [
        *config.accounts.values(),
        *(item for market in config.markets.values() for item in market.sources.values()),
    ]
    keys = [text for item in sources if isinstance(item, AlpacaConnection) for text in (item.key_id, item.secret_key)]
    environment = settings.environment
    targets = [target.url.get_secret_value() for target in config.notifications.targets]
    parts = [environment.get(name, "") for target in targets for name in referenced(target)]
    addresses = [*(filled_in(target, environment) for target in targets), environment.get("DATABASE_URL", ""), *parts]
    return Redaction([filled_in(key, environment) for key in keys], addresses)
