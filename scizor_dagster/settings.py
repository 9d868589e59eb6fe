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
PLACES = ("SCIZOR_HOME", "SCIZOR_CONFIG", "DATABASE_URL", "SCIZOR_LAKE_DATA")
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
    def lake_data(self) -> str:
        """Where the Parquet files of a lake on a server lie: a folder, or `s3://bucket/prefix`. `SCIZOR_LAKE_DATA`.

        Raises:
            ConfigError: it is no folder's full name, and no place in an object store that is known here.
        """
        named = self.environment.get("SCIZOR_LAKE_DATA")
        if named is None:
            return str(self.lake_folder / "data")
        scheme, found, rest = named.partition("://")
        folder = Path(named).expanduser()
        # One that depends on where a process was begun would be another place for each of them.
        if (scheme != "s3" or not rest.strip("/")) if found else not folder.is_absolute():
            raise ConfigError(
                "SCIZOR_LAKE_DATA names no place that is known here.",
                remedy="Set it to the full name of a folder (/mnt/lake), or to s3://bucket/prefix.",
                where="environment",
            )
        return named if found else str(folder.resolve())

    @property
    def on_server(self) -> bool:
        """Whether the stores lie in a Postgres database: whether `DATABASE_URL` is set."""
        return "DATABASE_URL" in self.environment

    @property
    def database_url(self) -> str:
        """The Postgres database of all stores. It may hold a password: never for an error, a log or a report.

        Raises:
            ConfigError: `DATABASE_URL` names no Postgres database.
        """
        # Imported here because only stores on a server have a URL that must be read.
        from scizor_dagster.databases import is_postgres, parse

        url = self.environment["DATABASE_URL"]
        if not is_postgres(url):
            raise ConfigError(
                "DATABASE_URL names no Postgres database.",
                remedy="Set it to postgresql://user:password@host:5432/database, or unset it: all stores are then "
                "files under SCIZOR_HOME.",
                where="environment",
            )
        try:
            parse(url)
        except LedgerError as error:
            raise ConfigError("DATABASE_URL cannot be read.", remedy=error.remedy, where="environment") from None
        return url

    @property
    def ledger_url(self) -> str:
        """The ledger's database. It may hold a password: never for an error, a log or a report.

        Raises:
            ConfigError: `DATABASE_URL` is set and names no Postgres database.
        """
        return self.database_url if self.on_server else self.embedded_ledger_url

    @property
    def embedded_ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_file}"

    @property
    def ledger_file(self) -> Path:
        """The embedded ledger, where it is one."""
        return self.home / "ledger.sqlite"

    @property
    def server_note(self) -> Path:
        """Where a home keeps in mind that its stores lie on a server, and on which; without secrets."""
        return self.home / "ledger.server"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"
