"""`.env.example` and docs/configuration.md know every variable that the code reads or the compose file fills in."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from scizor_dagster.settings import PLACES, Settings
from tests.deploy.proxied import DEPLOY, ROOT

_NAME = r"""["']([A-Z][A-Z0-9_]{3,})["']"""
_READ = re.compile(rf"(?:environ|environment|getenv|EnvVar)(?:\.get)?[\[(]\s*{_NAME}")
_ASKED_FOR = re.compile(rf"{_NAME}\s+(?:not )?in\s+(?:\w+\.)?environ")
_FAMILIES = "SCIZOR|DAGSTER|LOG|MAX|APCA|AWS|IBKR"
_NAMED = re.compile(rf"""^_?[A-Z_]+ *(?::[^=]+)?= *\(?["']((?:{_FAMILIES})_[A-Z_]+)["']""", re.MULTILINE)
# Variables of the process that every program has, and what a shell completion is asked with.
_OF_EVERYBODY = {"PATH", "HOME", "LANG", "PYTHONPATH", "TZ", "_SCIZOR_COMPLETE", "COLUMNS"}
_FILLED_IN = re.compile(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)[:}?-]")


def _sources() -> list[Path]:
    return [
        path for folder in ("scizor_dagster", "assets", "jobs", "resources") for path in (ROOT / folder).rglob("*.py")
    ]


def read_by_the_code() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in _sources()]
    found = {name for text in texts for form in (_READ, _ASKED_FOR, _NAMED) for name in form.findall(text)}
    return (found | set(PLACES)) - _OF_EVERYBODY


def filled_in_by_compose() -> set[str]:
    return set(_FILLED_IN.findall((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8")))


def offered() -> dict[str, str | None]:
    """The example as it is once everything is uncommented."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    there = [line.removeprefix("# ") for line in lines if re.match(r"# [A-Z][A-Z0-9_]*=", line)]
    return dotenv_values(stream=StringIO("\n".join(there)), interpolate=False)


def test_the_search_finds_what_is_read() -> None:
    assert {
        "DATABASE_URL",
        "LOG_LEVEL",
        "MAX_WORKERS",
        "SCIZOR_HOME",
        "SCIZOR_KERNEL",
        "XDG_CACHE_HOME",
    } <= read_by_the_code()
    assert {"OPERATOR_HOST", "API_HOST", "SCIZOR_IMAGE", "BACKUPS_KEPT"} <= filled_in_by_compose()


def test_the_example_has_every_variable_that_the_code_reads() -> None:
    assert sorted(read_by_the_code() - set(offered())) == []


def test_the_example_has_every_variable_that_the_compose_file_fills_in() -> None:
    assert sorted(filled_in_by_compose() - set(offered())) == []


def test_the_page_of_the_configuration_describes_every_variable_that_the_code_reads() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", line)
    }
    assert sorted(read_by_the_code() - rows) == []


def test_what_a_user_of_the_older_system_has_set_does_no_harm() -> None:
    known = {"DATABASE_URL", "REDIS_URL", "IBKR_HOST", "IBKR_PORT", "IBKR_CLIENT_ID", "LOG_LEVEL", "MAX_WORKERS"}
    assert known | {"APCA_API_KEY_ID", "APCA_API_SECRET_KEY"} <= set(offered())
    settings = Settings.from_environment({"REDIS_URL": "redis://127.0.0.1:6379/0"})
    assert settings.home == Settings.from_environment({}).home
    assert "REDIS_URL" not in read_by_the_code()


def test_no_line_of_the_example_is_in_force() -> None:
    assert dotenv_values(ROOT / ".env.example") == {}
