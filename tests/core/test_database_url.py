"""`DATABASE_URL`: which values choose a ledger, and that none of them is ever quoted."""

from pathlib import Path

import pytest

from scizor_dagster.errors import ConfigError
from scizor_dagster.settings import Settings


def _settings(url: str) -> Settings:
    return Settings.from_environment({"SCIZOR_HOME": "/nowhere", "DATABASE_URL": url})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_postgres_database_is_the_ledgers(scheme: str) -> None:
    settings = _settings(f"{scheme}://me:hush@db.example:5432/scizor")
    assert settings.on_server
    assert settings.ledger_url == f"{scheme}://me:hush@db.example:5432/scizor"
    assert "hush" not in repr(settings)


def test_without_one_the_ledger_is_a_file_of_the_home() -> None:
    settings = Settings.from_environment({"SCIZOR_HOME": "/nowhere"})
    assert not settings.on_server
    assert settings.ledger_url == f"sqlite:///{Path('/nowhere/ledger.sqlite')}"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///hush.sqlite",
        "mysql://me:hush@h/db",
        "postgresql+asyncpg://me:hush@h/db",
        "postgress://me:hush@h/db",
        "hush",
        "postgresql://me:hush@h",
        "postgresql://me:p@ss/hush@h/db",
        "postgresql://me:hush@h:hush/db",
    ],
)
def test_anything_else_is_refused_with_a_remedy_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _ = _settings(url).ledger_url
    assert "postgresql://user:password@host:5432/database" in caught.value.remedy
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
