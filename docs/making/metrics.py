"""The table of figures at `/metrics`, out of their catalogue.

What belongs here: the catalogue as Markdown. What does not: what a figure says (`scizor_dagster.monitoring.catalogue`).
"""

from __future__ import annotations


def table() -> str:
    """Name, labels and meaning of each figure, in the order of the catalogue."""
    from scizor_dagster.monitoring.catalogue import METRICS

    rows = [
        f"| `{name}` | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.says} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join(["| figure | labels | what it says |", "|---|---|---|", *rows])
