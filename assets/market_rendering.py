"""What each asset of a market shows of itself in the UI.

What belongs here: turning reports of `scizor_dagster.market_data` into Dagster metadata. What does
not: counting anything anew.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import price_label, table
from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.reports import (
    ActionsReport,
    FailedSymbol,
    HistoryReport,
    PricesReport,
    RestatedBar,
    SessionReport,
    SuspectedSplit,
    SymbolsReport,
)
from scizor_dagster.market_data.restated_series import ratio_text

SYMBOL_COLUMNS = (
    *("symbol", "instrument_id", "name", "sector", "currency", "provider_id", "verified", "last_verified", "next_due"),
    *("reason", "retired_on", "note"),
)
ACTION_COLUMNS = ("symbol", "ex_session", "kind", "ratio", "amount", "currency", "new_symbol")
MAX_NAMES = 40


def symbols_metadata(report: SymbolsReport, stored: pd.DataFrame) -> dict[str, Any]:
    retired = pd.DataFrame(
        [(item.symbol, item.reason, str(item.retired_on), item.note) for item in report.retired],
        columns=["symbol", "reason", "retired on", "note"],
    )
    identities = pd.DataFrame(
        [("renamed", item.old, item.new, str(item.before)) for item in report.renamed]
        + [("reused", item.symbol, item.archived, str(item.cut)) for item in report.reused]
        + [("another id", item.symbol, item.symbol, item.note) for item in report.reidentified],
        columns=["what", "ticker", "its history is under", "from"],
    )
    return {
        "dagster/row_count": report.symbols,
        "verified": report.verified,
        "asked": report.asked,
        "from_cache": report.from_cache,
        "doubted": ", ".join(item.symbol for item in report.doubted) or "none",
        "without_answer": _names([symbol for symbol, _ in report.silent]),
        "why_without_answer": "; ".join(sorted({why for _, why in report.silent})) or "none",
        "source": report.source,
        "changed": report.changed,
        "removed": ", ".join(report.removed) or "none",
        "returned": ", ".join(report.returned) or "none",
        "retired": table(retired),
        "renamed_and_reused": table(identities),
        "universe": table(stored.sort_values(["retired_on", "symbol"], na_position="last"), SYMBOL_COLUMNS),
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
        "changed": report.changed,
        "set_aside": report.set_aside,
        "gaps_left": report.gaps,
        "quarantined": report.quarantined,
        "through": str(report.through),
        "calls": _calls(report.calls),
        "source": report.source,
        "taken_from_preferred_source": report.preferred,
        **_failures(report.failed),
        "prices": price_label(report.adjustment, report.synthetic),
        "years": table(years),
        "quarantine": table(refused),
        "feed_faults": _faults(report.faults),
        "suspected_splits": _splits(report.suspected_splits),
        "restatements": _restatements(report.restatements),
        "restatement_rate": report.restatement_rate,
    }


def sessions_metadata(report: SessionReport, stored: pd.DataFrame, refused: pd.DataFrame) -> dict[str, Any]:
    one = report.first == report.session
    return {
        "dagster/row_count": report.stored,
        "sessions": str(report.session) if one else f"{report.first} to {report.session}",
        "inserted": report.inserted,
        "changed": report.changed,
        "quarantined": report.quarantined,
        "missing": len(report.missing),
        "missing_symbols": _names(report.missing),
        "calls": _calls(report.calls),
        "source": report.source,
        "taken_from_preferred_source": report.preferred,
        **_failures(report.failed),
        "prices": price_label(report.adjustment, report.synthetic),
        "bars": table(stored, ["symbol", "open", "high", "low", "close", "volume"]),
        "quarantine": table(refused),
        "feed_faults": _faults(report.faults),
        "suspected_splits": _splits(report.suspected_splits),
        "restatements": _restatements(report.restatements),
        "restatement_rate": report.restatement_rate,
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


def _failures(failed: Sequence[FailedSymbol]) -> dict[str, Any]:
    """Symbols of which the source said nothing, though it answered for others."""
    rows = [(item.symbol, item.reason, item.words) for item in failed]
    return {
        "failed": len(failed),
        "failed_symbols": _names([f"{item.symbol} ({item.reason})" for item in failed]),
        "failures": table(pd.DataFrame(rows, columns=["symbol", "reason", "what the source says"])),
    }


def _calls(calls: int | None) -> str:
    """Requests for bars; a source that does not count them, or was not asked, has none to show."""
    return "none" if calls is None else f"{calls:,}"


def _splits(splits: Sequence[SuspectedSplit]) -> dg.MarkdownMetadataValue:
    rows = [
        (split.symbol, split.kind, ", ".join(ratio_text(ratio) for ratio in split.ratios), split.factor, split.overlap,
         split.refetched)
        for split in splits
    ]  # fmt: skip
    return table(pd.DataFrame(rows, columns=["symbol", "kind", "split", "factor", "overlap", "refetched"]))


def _faults(faults: Sequence[FeedFault]) -> dg.MarkdownMetadataValue:
    rows = [(fault.kind, fault.first, fault.last, fault.symbols, fault.bars, fault.told) for fault in faults]
    return table(pd.DataFrame(rows, columns=["fault", "first", "last", "symbols", "bars", "what"]))


def _restatements(bars: Sequence[RestatedBar]) -> dg.MarkdownMetadataValue:
    return table(pd.DataFrame([asdict(bar) for bar in bars], columns=[field.name for field in fields(RestatedBar)]))


def _names(symbols: Sequence[str]) -> str:
    rest = f" and {len(symbols) - MAX_NAMES} more" if len(symbols) > MAX_NAMES else ""
    return (", ".join(symbols[:MAX_NAMES]) + rest) or "none"
