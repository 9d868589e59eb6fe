"""The one resource that assets share: a desk that opens stores, providers and brokers when asked.

What belongs here: thin Dagster resources that hand out domain objects. What does not: any rule
about data or orders; those live in `scizor_dagster`, which runs without Dagster.
"""

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

import dagster as dg
from pydantic import Field

from scizor_dagster.flow.desk import Desk
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings


def system_clock() -> datetime:
    return datetime.now(UTC)


class SystemClock(dg.ConfigurableResource):
    """The time that assets see. Tests and replays put `fixed_at` (ISO 8601, with offset) in its place."""

    fixed_at: str | None = None

    def now(self) -> datetime:
        return _clock(self.fixed_at)()


class TradingDesk(dg.ConfigurableResource):
    """Lake, ledger, market data and brokers of one configuration.

    Attributes:
        home: Folder that everything is written to (`SCIZOR_HOME`).
        config_path: The `config.yaml` in force (`SCIZOR_CONFIG`).
        secrets: Values of the environment variables that the configuration names for its secrets, and of
            `DATABASE_URL` where the ledger lies on a server, each given as an `EnvVar`, so that it is read when a
            step begins and stands in no run's configuration.
    """

    home: str
    config_path: str
    clock: SystemClock
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)

    @property
    def desk(self) -> Desk:
        return _open_desk(self.home, self.config_path, self.clock.fixed_at, tuple(sorted(self.secrets.items())))


def fixed(resource: dg.ConfigurableResource[Any]) -> dg.ResourceDefinition:
    """The resource with the values that it has, and no configuration: one that a run is started with is refused.

    A run that names another home or another database would trade with another project's ledger.
    """
    definition = resource.get_resource_definition()
    return definition.configured(
        definition.config_schema.default_value,
        config_schema={},
        description=f"{resource.__doc__}\nThe environment and the configuration file alone decide; no run changes it.",
    )


def ledger_secrets(settings: Settings) -> dict[str, str]:
    """The variable that leads to a ledger on a server, password and all, still unread."""
    return {"DATABASE_URL": dg.EnvVar("DATABASE_URL")} if settings.on_server else {}


@cache
def _open_desk(home: str, config_path: str, fixed_at: str | None, secrets: tuple[tuple[str, str], ...]) -> Desk:
    # Opening a lake costs a quarter of a second, and one process runs many steps: one desk serves them all.
    environment = {**os.environ, **dict(secrets), "SCIZOR_HOME": home, "SCIZOR_CONFIG": config_path}
    return Desk(Settings.from_environment(environment), _clock(fixed_at))


def _clock(fixed_at: str | None) -> Clock:
    if fixed_at is None:
        return system_clock
    instant = datetime.fromisoformat(fixed_at)
    assert instant.tzinfo is not None, "fixed_at needs an offset"
    return lambda: instant
