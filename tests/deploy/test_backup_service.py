"""The compose file's daily backup: what its shell does with a success and a failure, and what its health check sees.

What belongs here: command and health check of the service, in this machine's shell. What does not: a real backup by
them, which `test_services_in_namespaces` makes.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.namespaces import backup_of, filled_services

HOURS = 3600
# Fails for the first time it is called, and is fine for the second.
SCIZOR = '#!/bin/sh\necho "scizor $*" >> "$CALLS"\ntest "$(grep -c scizor "$CALLS")" -gt 1\n'
# Returns at once; the second call ends the shell that would otherwise go on for ever.
SLEEP = '#!/bin/sh\necho "sleep $*" >> "$CALLS"\ntest "$(grep -c sleep "$CALLS")" -lt 2 || kill $PPID\n'


def test_a_backup_that_fails_is_tried_again_soon_in_the_same_container(tmp_path: Path) -> None:
    for name, text in (("scizor", SCIZOR), ("sleep", SLEEP)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    command = filled_services()["backup"]["command"]
    subprocess.run(command, env=environment, check=False, timeout=60)
    once = backup_of(command)
    assert once == "scizor backup /var/backups/scizor --keep 14"
    assert [line.rstrip() for line in calls.read_text(encoding="utf-8").splitlines()] == [
        once, "sleep 900", once, "sleep 86400",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hours", "healthy"),
    [
        ("scizor-20261120T210000Z", 1, True),
        ("scizor-20261120T210000Z", 27, False),
        (".scizor-20261120T210000Z.part", 0, False),
        ("lost+found", 0, False),
    ],
)
def test_a_service_is_healthy_by_a_whole_copy_of_the_last_day(
    name: str, hours: int, healthy: bool, tmp_path: Path
) -> None:
    copy = tmp_path / name
    copy.mkdir()
    then = time.time() - hours * HOURS
    os.utime(copy, (then, then))
    kind, line = filled_services()["backup"]["healthcheck"]["test"]
    assert (kind, "/var/backups/scizor" in line) == ("CMD-SHELL", True)
    here = line.replace("/var/backups/scizor", str(tmp_path))
    assert (subprocess.run(["sh", "-c", here], check=False).returncode == 0) is healthy


def test_the_health_check_tells_of_a_first_backup_that_fails_within_the_hour() -> None:
    check = filled_services()["backup"]["healthcheck"]
    minutes = {key: int(check[key].removesuffix("m")) for key in ("start_period", "interval")}
    assert minutes["start_period"] + check["retries"] * minutes["interval"] < 60
