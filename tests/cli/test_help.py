"""Every command teaches: a description and an example that names the command itself."""

import pytest

from tests.cli.conftest import Scizor
from tests.projects import Project

TAUGHT = (
    ("demo",),
    ("doctor",),
    ("watchdog",),
    ("notify",),
    ("backtest", "run"),
    ("backtest", "list"),
    ("backtest", "show"),
    ("backtest", "delete"),
    ("plan",),
    ("signals", "check"),
    ("signals", "consolidate"),
    ("signals", "approve"),
    ("signals", "approvals"),
    ("collect", "daily"),
    ("collect", "history"),
    ("data", "gaps"),
    ("data", "quality"),
    ("data", "show"),
    ("data", "maintain"),
    ("prices", "accept"),
    ("prices", "quarantined"),
    ("rates", "accept"),
    ("rates", "doubtful"),
    ("symbols", "populate"),
    ("symbols", "validate"),
    ("symbols", "list"),
    ("symbols", "add"),
    ("symbols", "remove"),
    ("run",),
    ("reconcile",),
    ("export",),
    ("costs",),
    ("performance",),
    ("end-order",),
    ("adopt",),
    ("explain",),
    ("replay",),
    ("strategy", "list"),
    ("strategy", "create"),
    ("strategy", "show"),
    ("strategy", "update"),
    ("strategy", "delete"),
    ("strategy", "list-code"),
    ("strategy", "show-code"),
    ("strategy", "approve-code"),
    ("strategy", "withdraw-code"),
    ("strategy", "run-code"),
    ("strategy", "start"),
    ("strategy", "pause"),
    ("strategy", "resume"),
    ("strategy", "stop"),
    ("approve",),
    ("arm",),
    ("disarm",),
    ("halt",),
    ("reduce",),
    ("resume",),
    ("limits",),
    ("risk", "events"),
    ("risk", "locks"),
    ("risk", "unlock"),
    ("risk", "accept-equity"),
    ("paper", "serve"),
    ("paper", "status"),
    ("serve",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
)


@pytest.mark.parametrize("command", TAUGHT, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_describes_the_command_with_an_example(
    scizor: Scizor, fresh: Project, command: tuple[str, ...], flag: str
) -> None:
    answer = scizor(*command, flag)
    assert answer.code == 0
    text = " ".join(answer.out.split())
    assert f"Example: scizor {' '.join(command)}" in text
    assert "--json" in text
    assert not fresh.home.exists()


def test_the_help_of_dev_says_that_schedules_are_off_until_switched_on(scizor: Scizor, fresh: Project) -> None:
    text = " ".join(scizor("dev", "--help").out.split())
    assert "Example: scizor dev" in text
    assert "off until they are switched on" in text
    assert not fresh.home.exists()


def test_the_list_of_commands_names_every_one(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("--help")
    assert answer.code == 0
    for name in ("demo", "dev", *(command[0] for command in TAUGHT)):
        assert f" {name} " in answer.out


def test_no_command_at_all_shows_the_help(scizor: Scizor, fresh: Project) -> None:
    answer = scizor()
    assert answer.code == 2
    assert "Usage: scizor" in " ".join((answer.out + answer.err).split())
    assert not fresh.home.exists()
