"""What a run of tests has recorded of each drift, as lines."""

from collections.abc import Iterable, Iterator
from typing import Protocol

DRIFT = "drift"
"""The property under which a test records its row: the drift's name, its class, and when it was found."""


class Report(Protocol):
    @property
    def passed(self) -> bool: ...
    @property
    def user_properties(self) -> list[tuple[str, object]]: ...


def table_of(reports: Iterable[Report]) -> Iterator[str]:
    """A heading and one line for each drift, by name; nothing where none was tried."""
    rows = sorted(
        (str(value[0]), str(value[1]), str(value[2]) if report.passed else "NOT FOUND AS MEANT")
        for report in reports
        for name, value in report.user_properties
        if name == DRIFT and isinstance(value, list | tuple)
    )
    if not rows:
        return
    widths = [max(len(row[place]) for row in rows) for place in range(2)]
    found = sum(row[2] != "NOT FOUND AS MEANT" for row in rows)
    yield f"drifts between plan, ledger and broker: {found} of {len(rows)} kinds found and named"
    for row in rows:
        yield f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}"
