"""What each asset of a market shows of itself in the UI.

What belongs here: turning reports of `scizor_dagster.market_data` into Dagster metadata. What does
not: counting anything anew.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import price_label, table
from scizor_dagster.market_data.reports import (
    ActionsReport,
    HistoryReport,
    PricesReport,
    SessionReport,
    SuspectedSplit,
    SymbolsReport,
)

SYMBOL_COLUMNS = ("symbol", "instrument_id", "name", "sector", "currency", "verified", "note")
ACTION_COLUMNS = ("symbol", "ex_session", "kind", "ratio", "amount", "currency", "new_symbol")
MAX_NAMES = 40


def symbols_metadata(report: SymbolsReport, stored: pd.DataFrame) -> dict[str, Any]:
    return {
        "dagster/row_count": report.symbols,
        "verified": report.verified,
        "source": report.source,
        "changed": report.changed,
        "removed": ", ".join(report.removed) or "none",
        "universe": table(stored, SYMBOL_COLUMNS),
    }


def actions_metadata(report: ActionsReport, stored: pd.DataFrame) -> dict[str, Any]:
    newest = stored.sort_values(["ex_session", "symbol"], ascending=[False, True]).head(50)
    return {
        "dagster/row_count": report.total,
        "kinds": dg.MetadataValue.json(report.kinds),
        "range": f"{report.first} to {report.last}",
        "newest": table(newest, ACTION_COLUMNS),
    }


def history_metadata(report: HistoryReport, refused: pd.DataFrame) -> dict[str, Any]:
    years = pd.DataFrame(
        [(y.year, y.sessions, y.asked, y.gaps_before, y.inserted, y.quarantined, y.gaps_after) for y in report.years],
        columns=["year", "sessions", "symbols asked", "gaps before", "inserted", "quarantined", "gaps left"],
    )
    return {
        "dagster/row_count": report.inserted,
        "inserted": report.inserted,
        "gaps_left": report.gaps,
        "quarantined": report.quarantined,
        "through": str(report.through),
        "source": report.source,
        "prices": price_label(report.adjustment, report.synthetic),
        "years": table(years),
        "quarantine": table(refused),
        "suspected_splits": _splits(report.suspected_splits),
    }


def sessions_metadata(reports: Sequence[SessionReport], stored: pd.DataFrame, refused: pd.DataFrame) -> dict[str, Any]:
    newest = reports[-1]
    missing = sorted({symbol for report in reports for symbol in report.missing})
    return {
        "dagster/row_count": sum(report.stored for report in reports),
        "sessions": f"{reports[0].session} to {newest.session}" if len(reports) > 1 else str(newest.session),
        "inserted": sum(report.inserted for report in reports),
        "quarantined": sum(report.quarantined for report in reports),
        "missing": len(missing),
        "missing_symbols": _names(missing),
        "source": newest.source,
        "prices": price_label(newest.adjustment, newest.synthetic),
        "bars": table(stored, ["symbol", "open", "high", "low", "close", "volume"]),
        "quarantine": table(refused),
        "suspected_splits": _splits([split for report in reports for split in report.suspected_splits]),
    }


def prices_metadata(report: PricesReport, coverage: pd.DataFrame) -> dict[str, Any]:
    labels = coverage["adjustment"].unique()
    synthetic = bool(coverage["synthetic"].any())
    return {
        "dagster/row_count": int(coverage["bars"].sum()),
        "symbols": report.symbols,
        "factors": report.factors,
        "changed": report.changed,
        "prices": price_label(", ".join(labels), synthetic),
        "coverage": table(coverage),
    }


def _splits(splits: Sequence[SuspectedSplit]) -> dg.MarkdownMetadataValue:
    rows = [(split.symbol, split.factor, split.overlap, split.refetched) for split in splits]
    return table(pd.DataFrame(rows, columns=["symbol", "factor", "overlap", "refetched"]))


def _names(symbols: Sequence[str]) -> str:
    rest = f" and {len(symbols) - MAX_NAMES} more" if len(symbols) > MAX_NAMES else ""
    return (", ".join(symbols[:MAX_NAMES]) + rest) or "none"
