"""The table of drifts at the end of a run: what was injected, under which class it was found, and when."""

import pytest

from tests.reconciliation.drift_table import table_of


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
