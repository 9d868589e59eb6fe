"""Two processes and one account: who is waited for, who is not, and who can write no more."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import AccountBusy
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases

START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
TTL = timedelta(minutes=2)
HOLDER = """
import sys
from datetime import UTC, datetime, timedelta
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.store import Ledger

ledger = Ledger.open(sys.argv[1])
start = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
try:
    with lease(ledger, "paper", "the other process", lambda: start, timedelta(minutes=2)) as held:
        print("held", flush=True)
        for line in sys.stdin:
            with ledger.transaction() as connection:
                held.guard(connection)
            print("written", flush=True)
except LedgerError as error:
    print(error.problem, flush=True)
"""


@contextmanager
def _holder(url: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the account, and writes under its lease for each line that it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert _says(process) == "held"
        yield process
    finally:
        process.kill()
        process.communicate()


def _says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("write\n")
    process.stdin.flush()


def test_of_two_processes_one_has_the_account_and_the_other_is_told_who(
    ledger: Ledger, ledger_url: str, project_root: Path
) -> None:
    with _holder(ledger_url, project_root) as other:
        with pytest.raises(AccountBusy) as busy, lease(ledger, "paper", "this one", lambda: START, TTL):
            raise AssertionError("two holders")
        assert busy.value.holder == "the other process"
        _tell(other)
        assert _says(other) == "written"


def test_the_successor_of_a_killed_holder_does_not_wait_for_its_lease_to_expire(
    ledger: Ledger, ledger_url: str, project_root: Path
) -> None:
    with _holder(ledger_url, project_root) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        with lease(ledger, "paper", "this one", lambda: START, TTL) as held:
            assert held.token == 2
            with ledger.read() as connection:
                assert connection.execute(sa.select(leases.c.advisory)).scalar_one()


def test_a_holder_that_was_stopped_until_its_lease_expired_can_write_no_more(
    ledger: Ledger, ledger_url: str, project_root: Path
) -> None:
    with _holder(ledger_url, project_root) as other:
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(AccountBusy), lease(ledger, "paper", "this one", lambda: START, TTL):
            raise AssertionError("taken before it expired")
        with lease(ledger, "paper", "this one", lambda: START + TTL, TTL) as held:
            with ledger.read() as connection:
                # The stopped process has its lock still; nothing but the row says that it is over.
                assert not connection.execute(sa.select(leases.c.advisory)).scalar_one()
            os.kill(other.pid, signal.SIGCONT)
            _tell(other)
            assert _says(other) == "The lease of account 'paper' was lost (number 1)."
            with ledger.transaction() as connection:
                held.guard(connection)
