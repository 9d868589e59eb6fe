"""Where things are: stores, configuration files, Dagster's home.

What belongs here: the few environment variables that choose places, resolved once. What does not:
what the user trades and how (`config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scizor_dagster.errors import ConfigError, LedgerError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""What `LOG_LEVEL` may be."""
LOG_FORMATS = ("text", "json")
"""What `LOG_FORMAT` may be."""
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
    def on_server(self) -> bool:
        """Whether the ledger lies in a Postgres database: whether `DATABASE_URL` is set."""
        return "DATABASE_URL" in self.environment

    @property
    def ledger_url(self) -> str:
        """The ledger's database. It may hold a password: never for an error, a log or a report.

        Raises:
            ConfigError: `DATABASE_URL` is set and names no Postgres database.
        """
        if not self.on_server:
            return self.embedded_ledger_url
        # Imported here because only a ledger on a server has a URL that must be read.
        from scizor_dagster.ledger.urls import is_postgres, parse

        url = self.environment["DATABASE_URL"]
        if not is_postgres(url):
            raise ConfigError(
                "DATABASE_URL names no Postgres database.",
                remedy="Set it to postgresql://user:password@host:5432/database, or unset it: the ledger is then a "
                "file under SCIZOR_HOME.",
                where="environment",
            )
        try:
            parse(url)
        except LedgerError as error:
            raise ConfigError("DATABASE_URL cannot be read.", remedy=error.remedy, where="environment") from None
        return url

    @property
    def embedded_ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_file}"

    @property
    def ledger_file(self) -> Path:
        """The embedded ledger, where it is one."""
        return self.home / "ledger.sqlite"

    @property
    def server_note(self) -> Path:
        """Where a home keeps in mind that its ledger lies on a server, and on which; without secrets."""
        return self.home / "ledger.server"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"
