"""A ledger for each test; and the table of drifts at the end of a run: what was injected, found as what, and when."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.ledger.store import Ledger
from tests.ledgers import sqlite_ledger
from tests.reconciliation.drift_table import table_of


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    yield opened
    opened.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every drift that was tried, also where test processes ran side by side."""
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    for line in table_of(reports):
        terminalreporter.write_line(line)
