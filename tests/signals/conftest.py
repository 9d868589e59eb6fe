"""Fixtures for the tests of signals, and the counts of the files that they tried."""

from collections import Counter
from collections.abc import Iterator

import pytest

from scizor_dagster.signals import readers
from scizor_dagster.signals.reading import read


@pytest.fixture(scope="module")
def in_process() -> Iterator[None]:
    """Read in this process: for many small files, where the process that reads is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "read_in_child", read)
        yield


COUNTED = {
    "corpus": ("refused", "held", "warned", "accepted", "silent acceptance"),
    "odd but valid": ("accepted", "warned", "wrongly refused"),
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of the bad files, and of the odd but valid ones."""
    for kind, names in COUNTED.items():
        counts = Counter(
            value
            for reports in terminalreporter.stats.values()
            for report in reports
            if isinstance(report, pytest.TestReport) and report.when == "call"
            for name, value in report.user_properties
            if name == kind
        )
        if counts:
            parts = ", ".join(f"{name} {counts[name]}" for name in names)
            terminalreporter.write_line(f"{kind}: {sum(counts.values())} files: {parts}")
