"""The page of a backtest, written whole.

What belongs here: where it goes. What does not: what it says (`backtest.pages`).
"""

from __future__ import annotations

from pathlib import Path

from scizor_dagster.flow.backtests import Ran
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.reporting import FOLDER
from scizor_dagster.tabular.whole_files import write_whole


def report_backtest(desk: Desk, ran: Ran, out: Path | None = None) -> Path:
    """Write the page of a backtest, whole or not at all.

    Args:
        desk: Whose data folder it goes to.
        ran: What came of it.
        out: A file; None for `reports/backtests/ID.html` in the data folder.

    Raises:
        InputError: the file cannot be written.
    """
    from scizor_dagster.analytics.report.page import render
    from scizor_dagster.backtest.pages import page_of

    path = out or desk.settings.home / FOLDER / "backtests" / f"{ran.head.short}.html"
    content = render(page_of(ran.head, ran.frames)).encode("utf-8", "replace")
    remedy = "Name a file that can be written with --html."
    return write_whole([(path.name, content)], path.parent, what="The page", remedy=remedy)[path.name]
