"""Where things are: stores, configuration files, Dagster's home.

What belongs here: the few environment variables that choose places, resolved once. What does not:
what the user trades and how (`config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scizor_dagster.errors import ConfigError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""What `LOG_LEVEL` may be."""
PLACES = ("SCIZOR_HOME", "SCIZOR_CONFIG", "DATABASE_URL")
PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Resolved places.

    Attributes:
        home: Everything that Scizor writes: lake, ledger, Dagster's instance. `SCIZOR_HOME`.
        config_path: `SCIZOR_CONFIG`, else `config/config.yaml` of the source tree.
        environment: The variables that `${NAME}` in configuration files may use; secrets among them.
    """

    home: Path
    config_path: Path
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Resolve the places.

        Raises:
            ConfigError: a variable that chooses one is set to nothing: the place that was meant is not known.
        """
        for name in PLACES:
            if name in environment and not environment[name].strip():
                raise ConfigError(
                    f"The environment variable {name} is set to an empty text.",
                    remedy="Give it a value, or unset it to use its default.",
                    where="environment",
                )
        home = Path(environment.get("SCIZOR_HOME", PROJECT_ROOT / ".scizor")).expanduser().resolve()
        config = Path(environment.get("SCIZOR_CONFIG", PROJECT_ROOT / "config" / "config.yaml")).expanduser()
        return cls(home=home, config_path=config.resolve(), environment={**environment, "SCIZOR_HOME": str(home)})

    @property
    def lake_folder(self) -> Path:
        return self.home / "lake"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.home / 'ledger.sqlite'}"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"
