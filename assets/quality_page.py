"""The data-quality report as a page in a materialization: one Markdown entry, and numbers that Dagster plots.

What belongs here: rendering of `scizor_dagster.flow.quality`. What does not: any judgement.
"""

from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import picture, table
from scizor_dagster.analytics.plots import coverage_plot
from scizor_dagster.flow.quality import Judgement, QualityReport, coverage_map, worst_symbols
from scizor_dagster.market_data.absences import ranges_of

MOST_ROWS = 40


def quality_metadata(report: QualityReport) -> dict[str, Any]:
    """Counts by name, and `quality`, the page."""
    return {
        "covered_share": round(report.coverage, 6),
        "bars_missing": len(report.missing),
        **{f"missing_{reason}": count for reason, count in report.by_reason.items()},
        "stale_symbols": len(report.stale),
        "outliers": len(report.outliers),
        "restated_bars": report.restated,
        "restatement_rate": round(report.restatement_rate, 6),
        "sources_compared": report.compared,
        "sources_differing": len(report.differing),
        "quality": quality_page(report),
    }


def quality_page(report: QualityReport) -> dg.MarkdownMetadataValue:
    """The whole report as one page."""
    first, last = report.sessions[0], report.sessions[-1]
    ranges = ranges_of(report.missing, report.sessions)
    parts = [
        f"## Data quality of {report.market}, {first} to {last}",
        f"{report.bars:,} of {report.expected:,} bars ({report.coverage:.2%}) of {len(report.tracked)} symbols, "
        f"{len(report.sessions)} sessions, from {report.source}. Restated: {report.restated} "
        f"({report.restatement_rate:.3%}).",
        _section("Judgements", judgements_frame(report.judgements)),
        "### Coverage\nGreen is there, red is missing, grey is not due.\n",
        str(picture(coverage_plot(coverage_map(report)), "coverage").value),
        _section("Worst offenders", worst_symbols(report)),
        _section("Missing, by range", ranges.sort_values("sessions", ascending=False, kind="stable")),
        _section("Quarantined, by reason", report.quarantine),
        _section("Stale", report.stale),
        _section("Two sources", report.differing),
        _section("Outliers", report.outliers),
    ]
    return dg.MetadataValue.md("\n\n".join(parts))


def judgements_frame(judgements: tuple[Judgement, ...]) -> pd.DataFrame:
    """One row for each judgement."""
    rows = [
        (item.name, "ok" if item.holds else "BLOCKS PLANS" if item.blocking else "warning", item.detail)
        for item in judgements
    ]
    return pd.DataFrame(rows, columns=["judgement", "", "found"])


def _section(title: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return f"### {title}\nnone"
    rest = max(len(frame) - MOST_ROWS, 0)
    return f"### {title}\n\n{table(frame.head(MOST_ROWS), rest=rest).value}"
